-- Browsers that were handed over from the portal to a web target's own host name. Codes and cookies are never here, only their hashes.

create table web_codes (
  id text primary key,
  browser text not null,
  target text not null,
  nonce_hash text not null,
  return_to text not null,
  expires_at bigint not null
);

create table web_sessions (
  id text primary key,
  browser text not null,
  target text not null,
  created_at bigint not null,
  expires_at bigint not null
);
create index web_sessions_browser on web_sessions (browser);

-- Public halves of the keys that sign what web targets are told; each process has keys of its own.
create table web_keys (
  kid text primary key,
  jwk text not null,
  expires_at bigint not null
);
