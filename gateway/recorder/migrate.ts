/** Brings an audit store to the schema of config/clickhouse: numbered files, in order, each of which may run again. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { type AuditStore, connect } from './store.ts'

const SCHEMA = path.join(import.meta.dirname, '../../config/clickhouse')

/** Something that makes things faster, and that an older server may refuse. */
const OPTIONAL = '.optional.sql'

/** The user must be allowed to create databases and tables. @throws with the file's name where a statement fails. */
export async function migrate(store: AuditStore): Promise<void> {
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
  } finally {
    await client.close()
  }
}

/** A statement ends with a semicolon at the end of a line. */
const statements = (sql: string): readonly string[] =>
  sql
    .replaceAll(/^--.*$/gm, '')
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
