-- What identity/ keeps. Cookies, codes and tokens are never here, only their hashes.

create table people (
  subject text primary key,
  username text not null unique,
  member_of text not null,
  seen_at bigint not null
);

create table sign_in_attempts (
  id text primary key,
  provider text not null,
  return_to text not null,
  max_age_ms bigint not null,
  is_second bigint not null,
  address text not null,
  began_at bigint not null,
  expires_at bigint not null,
  used_at bigint
);
create index sign_in_attempts_address on sign_in_attempts (address);

create table browser_sessions (
  id text primary key,
  subject text not null,
  provider text not null,
  proof text not null,
  provider_session text,
  sealed_id_token text not null,
  created_at bigint not null,
  seen_at bigint not null,
  expires_at bigint not null
);
create index browser_sessions_subject on browser_sessions (subject);

create table bound_keys (
  subject text not null,
  fingerprint text not null,
  provider text not null,
  proof text not null,
  bound_at bigint not null,
  expires_at bigint not null,
  primary key (subject, fingerprint)
);

create table waiting_sign_ins (
  id text primary key,
  joint text not null,
  direction text not null,
  kind text not null,
  username text not null,
  source_address text not null,
  client_version text not null,
  key_fingerprint text,
  target text,
  code_hash text,
  tries bigint not null,
  state text not null,
  subject text,
  provider text,
  proof text,
  detail text not null,
  asked_at bigint not null,
  expires_at bigint not null
);
create index waiting_sign_ins_joint on waiting_sign_ins (joint);

create table spent_logout_tokens (
  id text primary key,
  expires_at bigint not null
);
