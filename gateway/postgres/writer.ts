/** Runs one statement that a second person let through: on a connection of its own, in a transaction of ours, with a limit on the rows. */
import type { Duplex } from 'node:stream'
import type { Refusal } from '../model/refusal.ts'
import type { PostgresEndpoint } from '../model/target.ts'
import { isPermit, type Permit } from '../session/session.ts'
import { cstring, FieldReader, int16, int32, message, readReport, TERMINATE } from './message.ts'
import type { Account } from './provision.ts'
import { ByteReader } from './reader.ts'
import { cancelOn, logIn, type Upstream } from './upstream.ts'

export type WriterParts = {
  readonly endpoint: PostgresEndpoint
  readonly database: string
  /** A login that may write, made for `work` and dropped after it. */
  readonly login: <T>(work: (account: Account) => Promise<T>) => Promise<T>
  readonly dial: () => Promise<Duplex>
  /** For a CancelRequest. */
  readonly reach: () => Promise<Duplex>
  /** The start-up parameters of such a session: how the person's own reads times and dates. */
  readonly parameters: () => ReadonlyMap<string, string>
  readonly statementTimeoutMs: number
}

export type Wanted = {
  /** Messages of the client, whole, as it sent them; without Sync. */
  readonly messages: readonly Buffer[]
  readonly text: string
  /** The Bind among them, when there is one. */
  readonly bind: Buffer | undefined
  readonly mostRows: number
}

export type Ran = {
  /** What the client gets in place of the target's answer; without ReadyForQuery. */
  readonly answer: readonly Buffer[]
  readonly tag: string
  /** Per table, triggers and cascades included, as the target's own counters of this transaction say. */
  readonly rows: readonly (readonly [table: string, rows: number])[]
}

/** What carries out statements that a second person let through: on a connection of its own, or a workspace on the session's. */
export type Runner = {
  readonly database: string
  explain(
    wanted: Pick<Wanted, 'bind' | 'text'>,
    stop: AbortSignal,
  ): Promise<{ readonly plan: string; readonly rows: number | undefined }>
  run(permit: Permit, wanted: Wanted, over: () => Refusal | undefined, stop: AbortSignal): Promise<Ran>
  /** It was not let through, or could not be done. */
  leave?(): Promise<void>
}

/** The target refused the statement, or the limit did: nothing of it stays. `report` is for the client. */
export class NotRun extends Error {
  override readonly name = 'NotRun'
  readonly report: ReadonlyMap<string, string>
  constructor(report: ReadonlyMap<string, string>) {
    super(`${report.get('M') ?? ''} (${report.get('C') ?? ''})`)
    this.report = report
  }
}

type Message = { readonly type: string; readonly body: Buffer }

const SYNC = message('S')
const MAX_ANSWER = 16 * 1024 * 1024
const MAX_PLAN = 8 * 1024
const LOCK_MS = 10_000
const EXPLAIN_MS = 2_000
const CANCEL_MS = 2_000
const TABLES =
  "SELECT schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_catalog.pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY 1"

export class Writer implements Runner {
  readonly #parts: WriterParts

  constructor(parts: WriterParts) {
    this.#parts = parts
  }

  get database(): string {
    return this.#parts.database
  }

  /** EXPLAIN in a read-only transaction. @throws {NotRun} what the target says against it. */
  explain(
    { bind, text }: Pick<Wanted, 'bind' | 'text'>,
    stop: AbortSignal,
  ): Promise<{ plan: string; rows: number | undefined }> {
    return this.#connected(stop, async (line) => {
      await line.run('BEGIN READ ONLY')
      await line.run(`SET LOCAL statement_timeout = ${EXPLAIN_MS}; SET LOCAL lock_timeout = ${EXPLAIN_MS / 2}`)
      const parse = message('P', cstring(''), cstring(`EXPLAIN (VERBOSE) ${text}`), int16(0))
      const execute = message('E', cstring(''), int32(0))
      const answer = await line.exchange([parse, bindOf(bind), execute, SYNC])
      const plan = answer.flatMap(({ body, type }) => (type === 'D' ? [readRow(body)[0] ?? ''] : [])).join('\n')
      const rows = /->.*? rows=(\d+)/.exec(plan)?.[1]
      return { plan: plan.slice(0, MAX_PLAN), rows: rows === undefined ? undefined : Number(rows) }
    })
  }

  /**
   * @param permit that a second person let exactly this run.
   * @param over asked right before the COMMIT: why it may not be any more.
   * @throws {NotRun}; {Refusal} what `over` says. Nothing of the statement stays then.
   */
  run(permit: Permit, wanted: Wanted, over: () => Refusal | undefined, stop: AbortSignal): Promise<Ran> {
    if (!isPermit(permit)) throw new TypeError('a permit that nobody gave')
    return this.#connected(stop, async (line) => {
      const { mostRows } = wanted
      await line.run('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE')
      await line.run(
        `SET LOCAL statement_timeout = ${this.#parts.statementTimeoutMs}; SET LOCAL lock_timeout = ${LOCK_MS}`,
      )
      const isQuery = wanted.messages[0]?.[0] === 0x51
      const answer = await line.exchange(isQuery ? wanted.messages : [...wanted.messages, SYNC])
      if (answer.some(({ type }) => type === 's'))
        throw notRun(
          '54000',
          'rows were asked for in portions, and a statement like this one runs once: it was rolled back',
        )
      // What a constraint has put off to the end belongs to what is looked at.
      await line.run('SET CONSTRAINTS ALL IMMEDIATE')
      const tag = tagOf(answer)
      const rows = (await line.run(TABLES)).flatMap(({ body, type }): [string, number][] => {
        const [table = '', count] = type === 'D' ? readRow(body) : []
        return type === 'D' ? [[table ?? '', Number(count)]] : []
      })
      const touched = Math.max(
        rowsOf(tag),
        rows.reduce((sum, [, count]) => sum + count, 0),
      )
      if (touched > mostRows)
        throw notRun('54000', `${tag} touched ${touched} rows, and ${mostRows} is the most: it was rolled back`)
      const ended = over()
      if (ended !== undefined) throw ended
      const end = tagOf(await committed(line))
      if (end !== 'COMMIT') throw notRun('25P02', `the target answered COMMIT with ${end}`)
      return { answer: forClient(answer), tag, rows }
    })
  }

  #connected<T>(stop: AbortSignal, work: (line: Line) => Promise<T>): Promise<T> {
    const { database, dial, endpoint, login, parameters } = this.#parts
    return login(async (account) => {
      stop.throwIfAborted()
      const upstream = await logIn(await dial(), endpoint, { ...account, database, parameters: parameters() })
      const line = new Line(upstream)
      const halt = () => void this.#cancel(upstream)
      stop.addEventListener('abort', halt, { once: true })
      try {
        stop.throwIfAborted()
        return await work(line)
      } finally {
        stop.removeEventListener('abort', halt)
        // A transaction that is still open goes with its connection.
        line.close()
      }
    })
  }

  async #cancel(upstream: Upstream): Promise<void> {
    const late = setTimeout(() => upstream.stream.destroy(), CANCEL_MS)
    upstream.stream.once('close', () => clearTimeout(late))
    try {
      await cancelOn(await this.#parts.reach(), this.#parts.endpoint, upstream.processId, upstream.key)
    } catch {
      upstream.stream.destroy()
    }
  }
}

/** One question after the other; an error of the target is thrown. */
class Line {
  readonly #stream: Duplex
  readonly #reader: ByteReader

  constructor({ stream }: Upstream) {
    this.#stream = stream
    this.#reader = new ByteReader(stream)
    stream.resume()
  }

  run(sql: string): Promise<readonly Message[]> {
    return this.exchange([message('Q', cstring(sql))])
  }

  /** All up to ReadyForQuery. @throws {NotRun}, {MalformedMessage}, Closed. */
  async exchange(bytes: readonly Buffer[]): Promise<readonly Message[]> {
    this.#stream.write(Buffer.concat(bytes))
    const answer: Message[] = []
    let failure: NotRun | undefined
    let size = 0
    for (;;) {
      const next = await this.#reader.message(MAX_ANSWER)
      if (next.type === 'Z') break
      size += next.body.length + 5
      if (size > MAX_ANSWER) throw notRun('54000', 'the answer is too large: it was rolled back')
      if (next.type === 'E') failure ??= new NotRun(readReport(next.body))
      else if ('TDCIN12ns'.includes(next.type)) answer.push(next)
      else if (!'SAt'.includes(next.type))
        throw notRun('0A000', 'the target asked for more than the statement: it was rolled back')
    }
    if (failure !== undefined) throw failure
    return answer
  }

  close(): void {
    if (!this.#stream.destroyed) this.#stream.end(TERMINATE)
    this.#stream.destroy()
  }
}

/** The one step after which nobody can say what became of it, when the answer is lost. */
async function committed(line: Line): Promise<readonly Message[]> {
  try {
    return await line.run('COMMIT')
  } catch (failure) {
    if (failure instanceof NotRun) throw failure
    throw notRun(
      '08007',
      'the target was lost during COMMIT, and it is not known whether the statement stays: look before you try again',
    )
  }
}

export const notRun = (code: string, text: string): NotRun =>
  new NotRun(
    new Map([
      ['S', 'ERROR'],
      ['V', 'ERROR'],
      ['C', code],
      ['M', text],
    ]),
  )

function tagOf(answer: readonly Message[]): string {
  const body = answer.findLast(({ type }) => type === 'C')?.body
  return body === undefined ? '' : body.toString('utf8', 0, Math.max(0, body.length - 1))
}

const rowsOf = (tag: string): number => Number(/ (\d+)$/.exec(tag)?.[1] ?? 0)

const readRow = (body: Buffer): readonly (string | null)[] => {
  const fields = new FieldReader(body)
  return Array.from({ length: fields.int16() }, () => fields.value()?.toString('utf8') ?? null)
}

/** ParseComplete and BindComplete came from the session's own connection before. */
const forClient = (answer: readonly Message[]): readonly Buffer[] =>
  answer.filter(({ type }) => 'TDCIN'.includes(type)).map(({ body, type }) => message(type, body))

/** The same parameters for the unnamed statement, and its result as text. */
function bindOf(bind: Buffer | undefined): Buffer {
  if (bind === undefined) return message('B', cstring(''), cstring(''), int16(0), int16(0), int16(0))
  const fields = new FieldReader(bind, 5)
  fields.string()
  fields.string()
  const from = fields.at
  fields.skip(2 * fields.int16())
  for (let left = fields.int16(); left > 0; left--) fields.skipValue()
  return message('B', cstring(''), cstring(''), bind.subarray(from, fields.at), int16(0))
}
