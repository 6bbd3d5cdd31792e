/** A PostgreSQL 15 with an empty database `regression`, and the gateway before it with a role that may do what its superuser may. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Client } from 'pg'
import { type PostgresServer, startPostgres } from '../../test/fixtures/postgres.ts'
import { serve } from '../bench/postgres-gateway.ts'
import { BINARIES } from './sources.ts'

const run = promisify(execFile)

export const DATABASE = 'regression'
/** Also the gateway's target. */
export const USER = 'tester'

export type World = {
  readonly server: PostgresServer
  readonly gatewayPort: number
  /** Empty again, with the settings that pg_regress gives the database that it makes itself. */
  renew(): Promise<void>
  /** All databases and roles as text, without what differs from dump to dump. */
  dump(): Promise<string>
  close(): Promise<void>
}

const SETTINGS = [
  "lc_messages TO 'C'",
  "lc_monetary TO 'C'",
  "lc_numeric TO 'C'",
  "lc_time TO 'C'",
  "bytea_output TO 'hex'",
  "timezone_abbreviations TO 'Default'",
]

export async function openWorld(): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const server = await startPostgres({ version: 15, settings: { max_connections: '60' } })
  if (server === undefined) throw new Error('there is no PostgreSQL 15 here')
  opened.defer(() => server.stop())
  const { port, password, ca } = server
  const sql = async (database: string, statements: readonly string[]) => {
    const client = new Client({ host: '127.0.0.1', port, user: 'postgres', password, database })
    await client.connect()
    try {
      for (const statement of statements) await client.query(statement)
    } finally {
      await client.end()
    }
  }
  const account = { username: USER, password }
  await sql('postgres', [`CREATE ROLE ${USER} SUPERUSER LOGIN PASSWORD '${password}'`, `CREATE DATABASE ${DATABASE}`])
  const gateway = await serve({
    target: DATABASE,
    username: USER,
    server: { port, database: DATABASE, ca },
    account,
    allowPlaintext: false,
  })
  opened.defer(() => gateway.close())
  // The first connection is told where to sign in; the suite expects no such line.
  const ssl = { rejectUnauthorized: false }
  const first = new Client({ host: '127.0.0.1', port: gateway.port, user: USER, database: DATABASE, ssl })
  await first.connect()
  await first.end()
  const all = opened.move()
  return {
    server,
    gatewayPort: gateway.port,
    renew: async () => {
      await sql('postgres', [
        `DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`,
        `CREATE DATABASE ${DATABASE} TEMPLATE template0 OWNER ${USER}`,
        ...SETTINGS.map((setting) => `ALTER DATABASE ${DATABASE} SET ${setting}`),
      ])
    },
    dump: async () => {
      const where = ['-h', '127.0.0.1', '-p', `${port}`, '-U', 'postgres']
      const env = { ...process.env, PGPASSWORD: password }
      const { stdout } = await run(`${BINARIES}/pg_dumpall`, where, { env, maxBuffer: 2 ** 30 })
      return stdout.replaceAll(/^\\(un)?restrict .*$/gm, '')
    },
    close: () => all.disposeAsync(),
  }
}
