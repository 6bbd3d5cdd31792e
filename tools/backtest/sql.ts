/** Judges recorded SQL as a session would: with the catalogue of the database as it is now, read as the account that the configuration has for the target. */
import type { Config } from '../../config/load.ts'
import type { SqlFilter, SqlJudge } from '../../gateway/filters/filters.ts'
import { silent } from '../../gateway/model/log.ts'
import type { Role } from '../../gateway/model/role.ts'
import type { StatedSession } from '../../gateway/recorder/recorder.ts'
import { UpkeepClient } from '../../gateway/postgres/upkeep.ts'
import { createUpstreams } from '../../gateway/upstreams/upstreams.ts'
import type { Answer } from './verdicts.ts'
import { secretOf } from './store.ts'

const DIAL_MS = 15_000
const PARAMETERS = new Map([
  ['application_name', 'sallyport backtest'],
  ['client_encoding', 'UTF8'],
  ['default_transaction_read_only', 'on'],
])

type Target = Config['targets'][number]

export class SqlVerdicts {
  readonly #filter: SqlFilter
  readonly #role: Role
  readonly #upstreams = createUpstreams({ log: silent, environment: process.env })
  /** Databases whose catalogue could not be read, with the reason. */
  readonly #closed = new Map<string, string>()

  constructor(filter: SqlFilter, role: Role) {
    this.#filter = filter
    this.#role = role
  }

  /** A judge that remembers what the session prepared. */
  async judge(target: Target, { start }: StatedSession): Promise<SqlJudge | Extract<Answer, { kind: 'unknown' }>> {
    const key = JSON.stringify([target.name, start.command])
    const known = this.#closed.get(key)
    if (known !== undefined) return { kind: 'unknown', why: known }
    try {
      return await this.#filter.createJudge(this.#role, {
        target: target.name,
        database: start.command,
        account: start.account,
        parameters: new Map([['application_name', start.clientVersion]]),
        ask: (statements) => this.#ask(target, start.command, statements),
      })
    } catch (failure) {
      const why = `the catalogue of ${start.command} on ${target.name} cannot be read now (${failure instanceof Error ? failure.message : 'no answer'})`
      this.#closed.set(key, why)
      return { kind: 'unknown', why }
    }
  }

  async #ask(target: Target, database: string, statements: readonly string[]) {
    const endpoint = target.postgres
    if (endpoint === undefined) throw new Error('it has no database in this configuration')
    const { username, password } = endpoint.credential
    const line = await this.#upstreams.reach(target, 'postgres', AbortSignal.timeout(DIAL_MS))
    const login = { username, password: secretOf(password), database, parameters: PARAMETERS }
    const client = await UpkeepClient.open(line, endpoint, login)
    try {
      return await Promise.all(statements.map((statement) => client.query(statement)))
    } finally {
      client.close()
    }
  }
}
