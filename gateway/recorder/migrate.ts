/** Brings an audit store to the schema of config/clickhouse: numbered files, in order, each of which may run again. */
import { readdirSync, readFileSync } from 'node:fs'
import type { ClickHouseClient } from '@clickhouse/client'
import path from 'node:path'
import { type AuditStore, connect } from './store.ts'

const SCHEMA = path.join(import.meta.dirname, '../../config/clickhouse')

/** Something that makes things faster, and that an older server may refuse. */
const OPTIONAL = '.optional.sql'

/** What is thrown away after some days, by the column that says how old it is. The audit log and the signatures stay. */
const KEPT_FOR_DAYS = { events: 'ts', lines: 'ts', sessions: 'started' } as const

/**
 * The user must be allowed to create databases and tables, and to alter tables.
 *
 * @param days how long recordings are kept; undefined: as long as the store says already.
 * @throws with the file's name where a statement fails.
 */
export async function migrate(store: AuditStore, days?: number): Promise<void> {
  const client = connect(store)
  try {
    for (const file of readdirSync(SCHEMA).toSorted()) {
      for (const query of statements(readFileSync(path.join(SCHEMA, file), 'utf8'))) {
        await client.command({ query }).catch((cause: unknown) => {
          if (file.endsWith(OPTIONAL)) return
          throw new Error(`The audit store refused ${file}`, { cause })
        })
      }
    }
    if (days !== undefined && days !== (await daysKept(client))) await keepFor(client, days)
  } finally {
    await client.close()
  }
}

/** Days that recordings are kept; undefined where nothing is thrown away. */
export async function daysKept(client: ClickHouseClient): Promise<number | undefined> {
  const result = await client.query({
    query: "SELECT create_table_query FROM system.tables WHERE database = 'audit' AND name = 'events'",
    format: 'JSONCompactEachRow',
  })
  const [[text] = ['']] = await result.json<[string]>()
  const days = /TTL toDateTime\(ts\) \+ (?:toIntervalDay\((\d+)\)|INTERVAL (\d+) DAY)/.exec(text)
  return days === null ? undefined : Number(days[1] ?? days[2])
}

/** What is too old goes at the server's next merge of its month. `events` comes last: it says that all is done. */
async function keepFor(client: ClickHouseClient, days: number): Promise<void> {
  for (const table of ['lines', 'sessions', 'events'] as const)
    await client.command({
      query: `ALTER TABLE audit.${table} MODIFY TTL toDateTime(${KEPT_FOR_DAYS[table]}) + INTERVAL ${Math.trunc(days)} DAY`,
    })
}

/** A statement ends with a semicolon at the end of a line. */
const statements = (sql: string): readonly string[] =>
  sql
    .replaceAll(/^--.*$/gm, '')
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
