/** The database that the SQL corpus is about: tables, and what somebody planted there in an earlier session. */
import { readFile } from 'node:fs/promises'
import { Client } from 'pg'
import type { PostgresServer } from '../../test/fixtures/postgres.ts'

const FIXTURE = new URL('../../test/corpora/sql-fixture.sql', import.meta.url)
export const TEMPLATE = 'tmpl'
/** Of the fixture's roles. */
export const PASSWORD = 'corpus'

export const admin = (server: PostgresServer, database: string): Client =>
  new Client({ host: '127.0.0.1', port: server.port, user: 'postgres', password: server.password, database })

/** Written for psql: everything up to `\c` runs on its own, the rest in the new database. Extensions that a version lacks are left out. */
export async function loadFixture(server: PostgresServer, more = ''): Promise<void> {
  const script = (await readFile(FIXTURE, 'utf8')).replaceAll(/port '5432'|port=5432/g, (text) =>
    text.replace('5432', `${server.port}`),
  )
  const [before = '', after = ''] = script.split(/^\\c tmpl$/m)
  const root = admin(server, 'postgres')
  await root.connect()
  for (const statement of before.replaceAll(/^\\.*$/gm, '').split(';'))
    if (statement.trim() !== '') await root.query(statement)
  for (const role of ['app_rw', 'app_reader', 'app_super'])
    await root.query(`ALTER ROLE ${role} PASSWORD '${PASSWORD}'`)
  await root.query("SELECT pg_create_physical_replication_slot('keepme')")
  await root.end()
  const client = admin(server, TEMPLATE)
  await client.connect()
  try {
    const isExtension = /CREATE EXTENSION (\w+);/g
    const { rows } = await client.query<{ name: string }>('SELECT name FROM pg_available_extensions')
    const there = new Set(rows.map(({ name }) => name))
    for (const [, name = ''] of after.matchAll(isExtension))
      if (there.has(name)) await client.query(`CREATE EXTENSION ${name}`)
    await client.query(after.replaceAll(isExtension, ''))
    if (more !== '') await client.query(more)
  } finally {
    await client.end()
  }
}
