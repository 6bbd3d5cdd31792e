/** One connection to the SQLite file, with its prepared statements. */
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { Fault } from '../model/refusal.ts'
import type { Value } from './state.ts'

/** Statements of varying length (lists of ids) must not pile up. */
const MAX_PREPARED = 200

export class SqliteConnection {
  readonly #database: DatabaseSync
  readonly #prepared = new Map<string, StatementSync>()

  /** The database's own timeout serves while it is opened; afterwards nobody may stand still for longer than a moment. */
  constructor(database: DatabaseSync) {
    this.#database = database
    const mode = database.prepare('pragma journal_mode = wal').get()?.['journal_mode']
    if (mode !== 'wal') throw new Fault('The state store needs a file system that SQLite can keep a WAL on.')
    database.exec(
      'pragma synchronous = full; pragma foreign_keys = on; pragma trusted_schema = off; pragma busy_timeout = 5',
    )
  }

  execute(sql: string): void {
    this.#database.exec(sql)
  }

  all(sql: string, params: readonly Value[]): readonly object[] {
    return this.#prepare(sql).all(named(params))
  }

  /** Rows that this statement changed. */
  run(sql: string, params: readonly Value[]): number {
    return Number(this.#prepare(sql).run(named(params)).changes)
  }

  /** Rows that this connection has changed since it was opened. */
  changes(): number {
    return Number(this.#prepare('select total_changes() as n').get()?.['n'])
  }

  /** Another number whenever another connection has committed. */
  dataVersion(): number {
    return Number(this.#prepare('pragma data_version').get()?.['data_version'])
  }

  rollback(): void {
    if (this.#database.isTransaction) this.#database.exec('rollback')
  }

  close(): void {
    this.#prepared.clear()
    this.#database.close()
  }

  #prepare(sql: string): StatementSync {
    const known = this.#prepared.get(sql)
    if (known !== undefined) return known
    if (this.#prepared.size >= MAX_PREPARED) this.#prepared.clear()
    const fresh = this.#database.prepare(sql)
    this.#prepared.set(sql, fresh)
    return fresh
  }
}

/** `$1` is a name to SQLite. */
const named = (params: readonly Value[]): Record<string, Value> =>
  Object.fromEntries(params.map((value, index) => [`$${index + 1}`, value]))
