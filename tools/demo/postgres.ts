/** The demo's PostgreSQL 18: database `app` with customers and orders, template roles, and the provisioner. */
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { Client } from 'pg'
import { type PostgresServer, type ServerOptions, startPostgres } from '../../test/fixtures/postgres.ts'

export type DemoPostgres = {
  readonly server: PostgresServer
  readonly host: string
  readonly port: AddressInfo['port']
  readonly database: string
  /** PEM; the certificate's name is `localhost`. */
  readonly ca: string
  readonly provisioner: { readonly username: string; readonly password: string }
  stop(): Promise<void>
}

const PASSWORD = 'change me'
const GUIDE = new URL('../../docs/postgres-target.md', import.meta.url)

const DATA = `
CREATE TABLE customers (
  id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL, email text NOT NULL UNIQUE, country text NOT NULL, created_at timestamptz NOT NULL
);
CREATE TABLE orders (
  id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, customer_id int NOT NULL REFERENCES customers, status text NOT NULL, total numeric(10,2) NOT NULL, placed_at timestamptz NOT NULL
);
INSERT INTO customers (name, email, country, created_at)
  SELECT initcap(f.n) || ' ' || initcap(l.n), f.n || '.' || l.n || i || '@customers.example', (ARRAY['DE','FR','GB','NL','US','JP'])[1 + i % 6], now() - i * interval '7 hours'
  FROM generate_series(1, 2000) i,
    LATERAL (SELECT (ARRAY['ada','ben','cleo','dan','eva','finn','gita','hugo'])[1 + i % 8] n) f,
    LATERAL (SELECT (ARRAY['abel','baker','costa','dahl','evans','fuchs','garcia'])[1 + i % 7] n) l;
INSERT INTO orders (customer_id, status, total, placed_at)
  SELECT 1 + (i * 7919) % 2000, (ARRAY['placed','paid','shipped','delivered','returned'])[1 + (i * 31) % 5], round((5 + (i * 97) % 40000 / 100.0)::numeric, 2), now() - i * interval '53 minutes'
  FROM generate_series(1, 8000) i;
CREATE INDEX ON orders (customer_id);
ANALYZE;
`

/** Fills a fresh server, or finds it filled. The guide for DBAs is what is run, so that it stays true. */
async function fillDemo(server: PostgresServer): Promise<void> {
  const login = { host: '127.0.0.1', port: server.port, user: 'postgres', password: server.password }
  const root = new Client({ ...login, database: 'postgres' })
  await root.connect()
  const known = await root.query("SELECT FROM pg_database WHERE datname = 'app'")
  if (known.rowCount === 0) {
    await root.query('CREATE ROLE app_owner NOLOGIN')
    await root.query('CREATE DATABASE app OWNER app_owner')
  }
  await root.end()
  if (known.rowCount !== 0) return
  const app = new Client({ ...login, database: 'app' })
  await app.connect()
  await app.query('ALTER SCHEMA public OWNER TO app_owner')
  await app.query(`SET ROLE app_owner; ${DATA}; RESET ROLE`)
  for (const block of await guide()) await app.query(block)
  await app.end()
}

/** The SQL blocks of the guide, in order. */
async function guide(): Promise<readonly string[]> {
  const text = await readFile(GUIDE, 'utf8')
  return [...text.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, sql]) => sql ?? '')
}

/** @returns undefined where there is no such server for this machine. */
export async function startDemoPostgres(options: ServerOptions = {}): Promise<DemoPostgres | undefined> {
  const server = await startPostgres(options)
  if (server === undefined) return undefined
  try {
    await fillDemo(server)
  } catch (failure) {
    await server.stop()
    throw failure
  }
  return {
    server,
    host: 'localhost',
    port: server.port,
    database: 'app',
    ca: server.ca,
    provisioner: { username: 'sallyport_provisioner', password: PASSWORD },
    stop: () => server.stop(),
  }
}
