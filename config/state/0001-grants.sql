-- Grants, who is in, who is locked out, and events on their way to the log.

create table counters (
  name text primary key,
  value bigint not null
);
insert into counters (name, value) values ('grant', 0);
insert into counters (name, value) values ('grants-changed', 0);
insert into counters (name, value) values ('sessions-changed', 0);

create table grants (
  id text primary key,
  number bigint not null unique,
  version bigint not null,
  state text not null check (state in ('requested', 'approved', 'live', 'ended')),
  subject text not null,
  username text not null,
  target text not null,
  role text not null,
  endpoints text not null,
  minutes double precision not null,
  reason text not null,
  requested_at bigint not null,
  proof text not null,
  approvals_needed bigint not null,
  approvals text not null,
  extends text references grants (id),
  approved_at bigint,
  live_at bigint,
  expires_at bigint,
  ended_at bigint,
  end_reason text check (end_reason in ('expired', 'revoked', 'released', 'denied', 'withdrawn', 'failed')),
  ended_by text,
  end_note text,
  check (state <> 'live' or (live_at is not null and expires_at is not null)),
  check ((state = 'ended') = (ended_at is not null and end_reason is not null))
);
create index grants_by_person on grants (subject, state);
create index grants_by_state on grants (state, expires_at);
create unique index grants_one_waiting on grants (subject, target, role) where state = 'requested' and extends is null;
create unique index grants_one_extension on grants (extends) where state = 'requested' and extends is not null;

create table locks (
  username text primary key,
  subject text,
  locked_at bigint not null,
  locked_by text not null,
  note text not null
);
create index locks_by_subject on locks (subject);

create table live_sessions (
  id text primary key,
  worker text not null,
  username text not null,
  start text not null,
  started_at bigint not null,
  heartbeat bigint not null,
  killed_by text,
  kill_note text
);
create index live_sessions_by_worker on live_sessions (worker);

create table outbox (
  id text primary key,
  created_at bigint not null,
  event text not null
);
