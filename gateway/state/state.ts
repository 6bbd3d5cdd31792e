/** Front door: the one store behind grants and identity. Statements are the SQL that SQLite and PostgreSQL share. */
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { Fault } from '../model/refusal.ts'
import { applyMigrations, checkMigrations } from './migrations.ts'
import { openSqlite } from './sqlite.ts'

/** What goes into a statement. Times are milliseconds, JSON is text, a truth is 0 or 1. */
export type Value = string | number | null

/**
 * Parameters are `$1`, `$2`…, each used at least once. Only what both engines know: ids TEXT, times BIGINT,
 * fractions DOUBLE PRECISION, JSON as TEXT, `returning`, `on conflict`.
 *
 * All functions throw a Refusal UNAVAILABLE when the store is out of reach or too busy, a Fault when the statement is wrong.
 */
export type Statements = {
  all<Row extends object>(sql: string, params?: readonly Value[]): Promise<readonly Row[]>
  /** Returns how many rows were changed: zero is how compare-and-set says that somebody was faster. */
  run(sql: string, params?: readonly Value[]): Promise<number>
}

export type State = Statements & {
  /**
   * All or nothing, one writer at a time. Inside, speak to `tx` only, and await nothing but `tx`: everybody else waits meanwhile.
   * A call of `state.run` or `state.tx` inside would wait for itself, and is a Fault.
   */
  tx<T>(work: (tx: Statements) => Promise<T>): Promise<T>
  /** Calls back after a commit changed something: our own at once, that of another process within about 100 ms. Returns how to stop. */
  onChange(listener: () => void): () => void
  /** When the store last answered. */
  health(): Moment
  close(): Promise<void>
}

export type StateParts = {
  /** `sqlite:/path/of/file.db` */
  readonly url: string
  readonly clock: Clock
  readonly log: Log
  /** The supervisor brings the tables up to date; everybody else only checks that they are. */
  readonly migrate?: boolean
}

/** @throws {Fault} when the store cannot be opened or its tables are not those that this program knows. */
export async function openState(parts: StateParts): Promise<State> {
  const path = /^sqlite:(?<path>.+)$/s.exec(parts.url)?.groups?.['path']
  if (path === undefined) throw new Fault('The state store must be given as sqlite:/path/of/file.db.')
  const engine = openSqlite({ path, clock: parts.clock, log: parts.log })
  try {
    await (parts.migrate === true ? applyMigrations(engine, parts.clock) : checkMigrations(engine))
  } catch (failure) {
    await engine.close()
    throw failure
  }
  return engine
}
