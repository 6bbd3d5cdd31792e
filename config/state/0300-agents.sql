-- Agents: who may dial in, for which targets, and where they are connected just now. Keys are fingerprints; secrets are hashes.
create table agent_tokens (
  hash text primary key,
  agent text not null,
  targets text not null,
  created_by text not null,
  created_at bigint not null,
  expires_at bigint not null,
  used_at bigint
);

create table agents (
  name text primary key,
  fingerprint text not null,
  shell_key text not null,
  targets text not null,
  enrolled_by text not null,
  enrolled_at bigint not null,
  revoked_at bigint,
  revoked_by text
);

create table agent_lines (
  agent text not null,
  worker text not null,
  address text not null,
  version text not null,
  offers text not null,
  since bigint not null,
  seen_at bigint not null,
  primary key (agent, worker)
);
