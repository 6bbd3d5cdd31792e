-- Tokens that stand for a password of psql (as SCRAM verifiers), and sign-ins that further connections may share for a while.

create table database_tokens (
  subject text primary key,
  verifier text not null,
  provider text not null,
  proof text not null,
  issued_at bigint not null,
  expires_at bigint not null
);

create table sign_in_leases (
  id text primary key,
  subject text not null,
  provider text not null,
  proof text not null,
  expires_at bigint not null
);
create index sign_in_leases_subject on sign_in_leases (subject);
