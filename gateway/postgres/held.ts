/**
 * Statements of a session that a second person has to let through: where one may stand among the others, the wait, and the run.
 * The session's own connection stays idle meanwhile, outside of any transaction; what is let through runs on another one.
 */
import { hash } from 'node:crypto'
import { Refusal } from '../model/refusal.ts'
import { ALLOW, type Verdict } from '../model/statement.ts'
import type { Permit, Session } from '../session/session.ts'
import type { Judgement, SqlJudge, TransactionStatus } from './judge.ts'
import { readyForQuery, report } from './message.ts'
import { withoutPasswords } from './passwords.ts'
import { NotRun, type Ran, type Runner } from './writer.ts'

export type HeldParts = {
  readonly session: Session
  readonly judge: SqlJudge
  readonly writer: Runner
  /** Between two messages of the target. */
  readonly client: { tell(text: string): void; say(bytes: Buffer): void }
  /** Ends the group on the session's own connection, unseen by the client. False when the target refused something in it. */
  settle(): Promise<boolean>
}

/** What the client sent, as far as it belongs to the statement that waits. */
export type Parked = {
  /** Its number in the recording, with the verdict `hold`. */
  readonly n: number
  readonly kind: 'query' | 'execute'
  readonly text: string
  readonly parameters: readonly (string | null)[] | undefined
  readonly messages: readonly Buffer[]
  readonly bind: Buffer | undefined
  readonly judgement: Judgement
}

const MAX_BIND = 16 * 1024
const IN_TRANSACTION =
  'a statement that waits for a second person runs in a transaction of its own, and one is open here: COMMIT or ROLLBACK first'
const ALONE = 'a statement that waits for a second person comes alone, not in one group with others'
const TOO_LONG = 'its parameters are too long for a second person to read'

export class HeldStatements {
  readonly #parts: HeldParts
  #status: TransactionStatus = 'I'
  /** What the client's messages since the last ReadyForQuery were. */
  #group: 'empty' | 'others' | 'held' = 'empty'
  /** After an error in the extended protocol nothing counts before the next Sync. */
  #skips = false
  #stop: AbortController | undefined
  #isOver = false
  #isSettling = false
  #running: Promise<void> | undefined

  constructor(parts: HeldParts) {
    this.#parts = parts
  }

  /** Whether the server would skip this message. */
  skips(type: string): boolean {
    if (type === 'sync' || type === 'terminate') this.#skips = false
    return this.#skips
  }

  /** After each ReadyForQuery of the target. */
  ready(status: TransactionStatus): void {
    this.#status = status
    if (!this.#isSettling) this.#group = 'empty'
  }

  /** What may run next to what waits: the verdict on a message that would do something, or make a portal for it. */
  placed(kind: 'query' | 'execute' | 'call' | 'bind', judgement: Judgement): Judgement {
    // COMMIT of a transaction that has failed is a ROLLBACK, and nobody's business.
    if (judgement.held?.kind === 'commit' && this.#status === 'E') return { ...judgement, verdict: ALLOW }
    const why = this.#misplaced(kind, judgement.verdict, judgement)
    if (why === undefined) return judgement
    return { ...judgement, verdict: { decision: 'deny', reason: why } }
  }

  #misplaced(kind: string, { decision }: Verdict, { held }: Judgement): string | undefined {
    if (decision === 'deny') return undefined
    if (decision === 'allow') {
      if (this.#group === 'held') return ALONE
      if (kind !== 'bind') this.#group = 'others'
      return undefined
    }
    if (held === undefined) return 'this cannot wait for a second person'
    if (this.#status !== 'I' && held.kind !== 'commit') return IN_TRANSACTION
    if (this.#group === 'others' || (this.#group === 'held' && kind === 'query')) return ALONE
    this.#group = 'held'
    return undefined
  }

  /** Ctrl-C. @returns false when nothing waits or runs here. */
  interrupt(): boolean {
    if (this.#stop === undefined) return false
    this.#stop.abort(new Refusal('CONFLICT', 'You took it back.'))
    return true
  }

  /** The session is over, or the client has left. */
  close(): void {
    this.#isOver = true
    this.#stop?.abort(new Refusal('CONFLICT', 'The connection was closed.'))
  }

  /** Resolves when nothing of this session runs any more. */
  async over(): Promise<void> {
    await this.#running
  }

  /** Parks it, waits, runs it, and answers the client. Never throws. */
  park(parked: Parked): Promise<void> {
    this.#running = this.#park(parked)
    return this.#running
  }

  async #park(parked: Parked): Promise<void> {
    const { client } = this.#parts
    if (parked.kind === 'execute' && !(await this.#settled())) {
      // The client has the target's error already.
      this.#skips = true
      this.#outcome(parked.n, performance.now(), 'not-sent', { error: 'skipped after an error' })
      return
    }
    const stop = new AbortController()
    this.#stop = stop
    try {
      const { answer } = await this.#through(parked, stop.signal)
      if (!this.#isOver) for (const bytes of answer) client.say(bytes)
    } catch (failure) {
      this.#skips = parked.kind === 'execute'
      await this.#parts.writer.leave?.().catch(() => undefined)
      if (!this.#isOver) client.say(this.#error(failure, stop.signal))
    } finally {
      this.#stop = undefined
    }
    if (parked.kind === 'execute' || this.#isOver) return
    client.say(readyForQuery('I'))
    this.ready('I')
  }

  async #settled(): Promise<boolean> {
    this.#isSettling = true
    const isFine = await this.#parts.settle()
    this.#isSettling = false
    return isFine
  }

  async #through(parked: Parked, stop: AbortSignal): Promise<Ran> {
    const { client, session, writer } = this.#parts
    const { hold } = session
    const { held } = parked.judgement
    const { n } = parked
    const since = performance.now()
    const { role } = session.admission
    const mostRows = role.hold?.rows ?? 0
    let permit: Permit
    try {
      if (hold === undefined || held === undefined) throw new Refusal('NOT_ALLOWED', 'Nothing is held here.')
      if ((parked.bind?.length ?? 0) > MAX_BIND) throw new Refusal('BAD_INPUT', TOO_LONG)
      const explained =
        held.kind === 'truncate' ? { plan: 'TRUNCATE has no plan.' } : await this.#explained(parked, stop)
      permit = await hold.ask(
        {
          kind: 'sql',
          verb: held.kind.toUpperCase(),
          text: parked.text,
          normalised: held.normalised,
          tables: parked.judgement.tables ?? [],
          ...(parked.parameters === undefined ? {} : { parameters: parked.parameters }),
          place: writer.database,
          ...explained,
          ...(held.kind === 'truncate' ? {} : { mostRows }),
          digest: hash('sha256', Buffer.concat([Buffer.from(`${writer.database}\0`), ...parked.messages]), 'hex'),
        },
        (text) => client.tell(text),
        stop,
      )
      await this.#stillHeld(parked)
    } catch (failure) {
      this.#outcome(n, since, 'not-sent', {
        error: failure instanceof Error ? failure.message : 'it was not let through',
      })
      throw failure
    }
    return this.#run(parked, permit, { n, since, mostRows }, stop)
  }

  async #run(
    parked: Parked,
    permit: Permit,
    before: { readonly n: number; readonly since: number; readonly mostRows: number },
    stop: AbortSignal,
  ): Promise<Ran> {
    const { session, writer } = this.#parts
    const { mostRows } = before
    this.#parts.client.tell(`Request ${permit.request} was approved by ${permit.by.join(', ')}: it runs now.`)
    const n = await this.#recorded(parked, permit)
    this.#outcome(before.n, before.since, 'not-sent', {
      error: `let through as statement ${n} (request ${permit.request})`,
    })
    const since = performance.now()
    try {
      const over = () => (session.ended.aborted ? asRefusal(session.ended.reason) : session.admission.over())
      const ran = await writer.run(permit, { ...parked, mostRows }, over, stop)
      const rows = ran.rows.map(([table, count]) => `${table} ${count}`).join(', ')
      this.#outcome(n, since, 'done', { tag: ran.tag, rows: ran.rows.reduce((sum, [, count]) => sum + count, 0) })
      await session.hold?.ran(permit, rows === '' ? ran.tag : `${ran.tag} (rows touched: ${rows})`)
      return ran
    } catch (failure) {
      const error = failure instanceof Error ? failure.message : 'it failed'
      this.#outcome(n, since, 'error', { error })
      await session.hold?.ran(permit, `it was not carried out, ${error}`)
      throw failure
    }
  }

  /** What the target refuses outright need not be read by a second person. */
  async #explained(
    parked: Parked,
    stop: AbortSignal,
  ): Promise<{ readonly plan: string; readonly estimatedRows?: number }> {
    try {
      const { plan, rows } = await this.#parts.writer.explain(parked, stop)
      return { plan, ...(rows === undefined ? {} : { estimatedRows: rows }) }
    } catch (failure) {
      stop.throwIfAborted()
      if (failure instanceof NotRun && !/^(57|55)/.test(failure.report.get('C') ?? '')) throw failure
      return { plan: `There is no plan: ${failure instanceof Error ? failure.message : 'the target did not answer'}.` }
    }
  }

  /** The catalog or the role may have changed while it waited. */
  async #stillHeld({ text }: Parked): Promise<void> {
    const { verdict } = await this.#parts.judge.query(text)
    if (verdict.decision !== 'hold') throw new Refusal('NOT_ALLOWED', 'Meanwhile this statement is judged otherwise.')
  }

  /** @returns its number, once it is in the journal. @throws {Refusal} when the session ends instead. */
  #recorded({ judgement, parameters, text }: Parked, permit: Permit): Promise<number> {
    const { road, ended } = this.#parts.session
    return new Promise((resolve, reject) => {
      const cut = () => reject(asRefusal(ended.reason))
      if (ended.aborted) return cut()
      ended.addEventListener('abort', cut, { once: true })
      const go = (n: number) => {
        ended.removeEventListener('abort', cut)
        resolve(n)
      }
      const record = {
        ...(judgement.fingerprint === undefined ? {} : { fingerprint: judgement.fingerprint }),
        ...(judgement.tables === undefined ? {} : { tables: judgement.tables }),
        ...(parameters === undefined ? {} : { parameters }),
        approved: { request: permit.request, by: permit.by },
      }
      road.statement(
        { statement: { kind: 'sql', text: withoutPasswords(text) }, verdict: ALLOW, record },
        go,
        (_verdict, n) => go(n),
      )
      return undefined
    })
  }

  #outcome(
    n: number,
    since: number,
    result: 'done' | 'error' | 'not-sent',
    more: { readonly tag?: string; readonly rows?: number; readonly error?: string },
  ): void {
    this.#parts.session.road.outcome({ n, result, ms: Math.round(performance.now() - since), ...more })
  }

  #error(failure: unknown, stop: AbortSignal): Buffer {
    if (failure instanceof NotRun) {
      const { report: fields } = failure
      return report({
        severity: 'ERROR',
        code: fields.get('C') ?? 'XX000',
        message: fields.get('M') ?? 'the statement failed',
        detail: fields.get('D'),
        hint: fields.get('H'),
      })
    }
    if (stop.aborted)
      return report({ severity: 'ERROR', code: '57014', message: 'canceling statement due to user request' })
    if (failure instanceof Refusal)
      return report({ severity: 'ERROR', code: failure.wire.sqlstate, message: failure.message, hint: failure.next })
    return report({ severity: 'ERROR', code: 'XX000', message: 'the statement could not be carried out' })
  }
}

const asRefusal = (reason: unknown): Refusal =>
  reason instanceof Refusal ? reason : new Refusal('GRANT_ENDED', 'The session was ended.')
