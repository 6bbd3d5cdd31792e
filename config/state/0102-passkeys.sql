-- Passkeys of people, what they are asked to sign, and what a browser has confirmed with one. Challenges and tokens are here as hashes.

create table passkeys (
  id text primary key,
  subject text not null,
  name text not null,
  public_key text not null,
  counter bigint not null,
  transports text not null,
  created_at bigint not null,
  used_at bigint
);
create index passkeys_subject on passkeys (subject);

create table passkey_challenges (
  id text primary key,
  subject text not null,
  purpose text not null,
  expires_at bigint not null
);
create index passkey_challenges_subject on passkey_challenges (subject);

create table passkey_confirmations (
  id text primary key,
  subject text not null,
  target text not null,
  credential text not null,
  proven_at bigint not null,
  expires_at bigint not null
);

-- Null: the question asks for no passkey. Empty: it does. Else the credential that answered.
alter table waiting_sign_ins add column passkey text;
