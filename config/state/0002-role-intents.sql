-- Database roles that are about to be made, or were made, on targets: written before the role is, removed after it is dropped.
create table role_intents (
  target text not null,
  role text not null,
  grant_id text not null,
  holder text not null,
  created_at bigint not null,
  expires_at bigint not null,
  primary key (target, role)
);
