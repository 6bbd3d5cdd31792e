/**
 * A line to a target on which all of a session runs in one transaction that is rolled back at the end.
 * The client believes in transactions of its own: they are savepoints, and each statement outside of one has a savepoint, too,
 * so that an error undoes what it would have undone. It trusts its judge that no other text ends a transaction.
 */
import { randomBytes } from 'node:crypto'
import { Duplex } from 'node:stream'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import { transactionStep, type TransactionStep } from '../model/transaction.ts'
import { Frames } from './frames.ts'
import { bytesOf, type FrontendMessage, FrontendSplitter } from './frontend.ts'
import { cstring, int16, int32, message, readParameterStatus, readyForQuery, report, TERMINATE } from './message.ts'
import { since, type Touched, TOUCHED, touchedOf } from './touched.ts'
import { misread } from './tripwire.ts'
import type { Upstream } from './upstream.ts'
import { keepAnswer, type Own, type Status, statusOf } from './workspace-answers.ts'
import { WorkspaceTexts } from './workspace-texts.ts'

/** Savepoints of the client's own go their way. */
type Step = Exclude<TransactionStep, 'inner'>

const IDLE = '15min'
const PARSED = message('1')
const BOUND = message('2')
const CLOSED = message('3')
const NO_DATA = message('n')
const NO_PARAMETERS = Buffer.concat([message('t', int16(0)), NO_DATA])
const KEPT = 'Nothing of this session stays: it is rolled back at its end.'
const TAGS = { begin: 'BEGIN', commit: 'COMMIT', rollback: 'ROLLBACK' } as const

export class Workspace extends Duplex {
  readonly #target: Duplex
  readonly #splitter = new FrontendSplitter()
  readonly #frames = new Frames()
  readonly #mark = `sallyport_${randomBytes(8).toString('hex')}`
  /** Names whose text is a step of a transaction. The target never hears of them: who finds one there could run it. */
  readonly #statements = new Map<string, Step>()
  readonly #portals = new Map<string, Step>()
  readonly #over = Promise.withResolvers<Touched | undefined>()
  #queue: Promise<void> = Promise.resolve()
  /** What the client believes. */
  #client: Status = 'I'
  readonly #texts: WorkspaceTexts
  #kept: Touched = []
  #hasMark = false
  #own: Own | undefined
  /** Waits for the target's next ReadyForQuery. */
  #ready: ((status: Status) => void) | undefined
  #inQuery = false
  /** Something of this group is not answered yet, as far as we know. */
  #isOwed = false
  #hasFailed = false
  #skips = false
  /** Why no text may follow: the target would read it otherwise than its judge did. */
  #misread: string | undefined

  private constructor(target: Duplex, showsValues: boolean) {
    super()
    this.#target = target
    this.#texts = new WorkspaceTexts(showsValues)
    target.on('data', (chunk: Buffer) => this.#fromTarget(chunk))
    target.on('end', () => this.push(null))
    for (const event of ['close', 'error'] as const) target.on(event, () => this.destroy())
  }

  /** In place of the line that it takes. @param showsValues to whoever may let a COMMIT through. @throws {Refusal} TARGET_UNREACHABLE */
  static async open(
    upstream: Upstream,
    showsValues: boolean,
  ): Promise<{ readonly upstream: Upstream; readonly workspace: Workspace }> {
    const workspace = new Workspace(upstream.stream, showsValues)
    workspace.#fromTarget(upstream.ahead)
    upstream.stream.resume()
    try {
      await workspace.#run('BEGIN')
      await workspace.#run(`SET LOCAL idle_in_transaction_session_timeout = '${IDLE}'`)
    } catch (cause) {
      workspace.destroy()
      throw new Refusal('TARGET_UNREACHABLE', 'The target did not begin a transaction.', { cause })
    }
    workspace.push(notice(KEPT))
    return { upstream: { ...upstream, stream: workspace, ahead: Buffer.alloc(0) }, workspace }
  }

  /** After the end: what was touched, and is not there any more; undefined when the target could not be asked. */
  get over(): Promise<Touched | undefined> {
    return this.#over.promise
  }

  /** What the session has run: also before something was kept, since what was prepared or made then can run again. */
  get texts(): readonly string[] | undefined {
    return this.#texts.lines
  }

  /** The client's transaction is over for the client; what it did is in the workspace. Nothing else may be under way. */
  async endStep(): Promise<void> {
    await this.#queue
    await this.#endMark(this.#client === 'E')
    this.#client = 'I'
  }

  /** Since the beginning, or since something was kept: the target's counters go on over both. */
  async touched(): Promise<Touched> {
    return since(this.#kept, touchedOf(await this.#run(TOUCHED)))
  }

  /**
   * Keeps all that was done so far, and begins anew.
   * @param look asked right before, with all that was touched, deferred triggers included; nothing is kept when it throws.
   * @throws {Error} in the target's words; nothing is kept then.
   */
  async keep(look: (touched: Touched) => void): Promise<void> {
    await this.#cover()
    try {
      await this.#run('SET CONSTRAINTS ALL IMMEDIATE')
    } catch (failure) {
      await this.#endMark(true)
      throw failure
    }
    await this.#endMark(false)
    const all = touchedOf(await this.#run(TOUCHED))
    look(since(this.#kept, all))
    await this.#run('COMMIT AND CHAIN')
    this.#kept = all
    await this.#run(`SET LOCAL idle_in_transaction_session_timeout = '${IDLE}'`)
  }

  override _read(): void {
    this.#target.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (failure?: Error | null) => void): void {
    try {
      for (const next of this.#splitter.push(chunk)) this.#take(next)
    } catch (failure) {
      return done(failure instanceof Error ? failure : new MalformedMessage('unreadable'))
    }
    if (this.#target.writableNeedDrain) this.#target.once('drain', () => done())
    else done()
  }

  override _final(done: () => void): void {
    void this.#finish().finally(done)
  }

  async #finish(): Promise<void> {
    await this.#queue
    try {
      if (this.#client === 'E') await this.#endMark(true)
      this.#over.resolve(await this.touched())
      await this.#run('ROLLBACK')
    } catch {
      // The connection is away, and its transaction with it.
      this.#over.resolve(undefined)
    }
    this.#target.end(TERMINATE)
  }

  override _destroy(failure: Error | null, done: (failure: Error | null) => void): void {
    this.#over.resolve(undefined)
    this.#target.destroy()
    done(failure)
  }

  /** Data of a COPY belongs to the statement that waits for it; all else has its turn. */
  #take(next: FrontendMessage): void {
    if (this.#inQuery && next.type.startsWith('copy-')) {
      this.#target.write(bytesOf(next))
      return
    }
    this.#queue = this.#inTurn(this.#queue, next)
  }

  async #inTurn(before: Promise<void>, next: FrontendMessage): Promise<void> {
    await before
    try {
      await this.#handle(next)
    } catch {
      // The target is gone, or has done what it should not: nothing stays either way.
      this.destroy()
    }
  }

  async #handle(next: FrontendMessage): Promise<void> {
    if (this.#skips && next.type !== 'sync' && next.type !== 'terminate') return
    switch (next.type) {
      case 'terminate':
        return
      case 'query': {
        const step = stepOf(next.text)
        if (step === undefined) this.#texts.add(next.text)
        if (step === undefined || (step === 'begin' && this.#client !== 'I')) return this.#query(bytesOf(next))
        await this.#step(step)
        return this.#sayReady()
      }
      case 'function-call':
        this.#texts.add(`a call of function ${next.oid}, with arguments that are not recorded`)
        return this.#query(bytesOf(next))
      case 'parse': {
        const step = stepOf(next.text)
        this.#statements.delete(next.name)
        if (step === undefined) {
          this.#texts.parsed(next.name, next.text)
          return this.#forward(bytesOf(next))
        }
        this.#statements.set(next.name, step)
        return this.#answer(PARSED)
      }
      case 'bind': {
        const step = this.#statements.get(next.statement)
        this.#portals.delete(next.portal)
        if (step === undefined) {
          this.#texts.bound(next.portal, next.statement, next)
          return this.#forward(bytesOf(next))
        }
        this.#portals.set(next.portal, step)
        return this.#answer(BOUND)
      }
      case 'execute': {
        const step = this.#portals.get(next.portal)
        if (step === undefined) {
          this.#texts.executed(next.portal)
          return this.#forward(bytesOf(next))
        }
        if (await this.#drained()) await this.#step(step)
        return
      }
      case 'describe':
        if (!this.#named(next.what).has(next.name)) return this.#forward(bytesOf(next))
        return this.#answer(next.what === 'S' ? NO_PARAMETERS : NO_DATA)
      case 'close':
        return this.#named(next.what).delete(next.name) ? this.#answer(CLOSED) : this.#forward(bytesOf(next))
      case 'sync':
        return this.#sync(bytesOf(next))
      case 'copy-data':
      case 'copy-done':
      case 'copy-fail':
        this.#target.write(bytesOf(next))
        return
      case 'flush':
        return this.#forward(bytesOf(next))
    }
  }

  #named = (what: 'S' | 'P'): Map<string, Step> => (what === 'S' ? this.#statements : this.#portals)

  /** What came before it in the same group may have changed how texts are read; the target says so where a group ends. */
  async #query(bytes: Buffer): Promise<void> {
    if (!(await this.#drained())) return
    if (this.#misread !== undefined) throw new MalformedMessage(this.#misread)
    await this.#cover()
    this.#inQuery = true
    const status = await this.#answered(() => void this.#target.write(bytes))
    this.#inQuery = false
    await this.#settle(status)
    this.#sayReady()
  }

  /** A message of the extended protocol. */
  async #forward(bytes: Buffer): Promise<void> {
    await this.#cover()
    this.#isOwed = true
    this.#target.write(bytes)
  }

  /** Ours, after all that the target owes. */
  async #answer(bytes: Buffer): Promise<void> {
    if (await this.#drained()) this.push(bytes)
  }

  /** False after an error: then the rest of the group does not count. */
  async #drained(): Promise<boolean> {
    if (!this.#isOwed) return true
    await this.#answered(() => void this.#target.write(message('S')))
    this.#isOwed = false
    this.#skips = this.#hasFailed
    return !this.#skips
  }

  async #sync(bytes: Buffer): Promise<void> {
    this.#skips = false
    const status = await this.#answered(() => void this.#target.write(bytes))
    this.#isOwed = false
    await this.#settle(status)
    this.#sayReady()
  }

  /** What runs outside of a transaction of the client's gets a savepoint, in place of the transaction it would have had. */
  async #cover(): Promise<void> {
    if (this.#client !== 'I' || this.#hasMark) return
    await this.#run(`SAVEPOINT ${this.#mark}`)
    this.#hasMark = true
  }

  /** After a group: in the client's transaction its state is the target's; outside of one it is over, either way. */
  async #settle(status: Status): Promise<void> {
    this.#hasFailed = false
    if (this.#client !== 'I') this.#client = status
    else await this.#endMark(status === 'E')
  }

  async #endMark(isUndone: boolean): Promise<void> {
    if (!this.#hasMark) return
    if (isUndone) await this.#run(`ROLLBACK TO SAVEPOINT ${this.#mark}`)
    await this.#run(`RELEASE SAVEPOINT ${this.#mark}`)
    this.#hasMark = false
  }

  async #step(step: Step): Promise<void> {
    let tag: string = TAGS[step]
    if (step === 'begin') {
      await this.#cover()
      if (this.#client === 'I') this.#client = 'T'
    } else {
      const isUndone = step === 'rollback' || this.#client === 'E'
      if (isUndone) tag = TAGS.rollback
      else this.push(notice(KEPT))
      await this.#endMark(isUndone && this.#client !== 'I')
      this.#client = 'I'
    }
    this.push(message('C', cstring(tag)))
  }

  #sayReady(): void {
    this.push(readyForQuery(this.#client))
  }

  /** A statement of our own, under a name of its own: the client's unnamed ones stay. @throws when the target refuses it. */
  async #run(sql: string): Promise<readonly (readonly (string | null)[])[]> {
    const own: Own = { rows: [], failure: undefined }
    this.#own = own
    const name = cstring(`${this.#mark}_own`)
    const close = (what: 'S' | 'P') => message('C', Buffer.from(what), name)
    await this.#answered(
      () =>
        void this.#target.write(
          Buffer.concat([
            message('P', name, cstring(sql), int16(0)),
            message('B', name, name, int16(0), int16(0), int16(0)),
            message('E', name, int32(0)),
            close('P'),
            close('S'),
            message('S'),
          ]),
        ),
    )
    this.#own = undefined
    if (own.failure !== undefined) throw new Error(own.failure)
    return own.rows
  }

  #answered(ask: () => void): Promise<Status> {
    return new Promise((resolve, reject) => {
      const gone = () => reject(new Error('the target closed the connection'))
      if (this.destroyed || this.#target.destroyed) return gone()
      this.#target.once('close', gone)
      this.#ready = (status) => {
        this.#target.off('close', gone)
        this.#ready = undefined
        resolve(status)
      }
      ask()
    })
  }

  #fromTarget(chunk: Buffer): void {
    const passing: Buffer[] = []
    try {
      for (const { type, bytes } of this.#frames.push(chunk)) {
        if (type === 'Z') this.#ready?.(statusOf(bytes))
        else if (this.#own !== undefined && !'SA'.includes(type)) keepAnswer(this.#own, type, bytes)
        else {
          if (type === 'E') this.#hasFailed = true
          if (type === 'S') this.#misread ??= misread(...readParameterStatus(bytes.subarray(5)))
          passing.push(bytes)
        }
      }
    } catch (failure) {
      this.destroy(failure instanceof Error ? failure : undefined)
      return
    }
    if (passing.length > 0 && !this.push(passing.length === 1 ? passing[0] : Buffer.concat(passing)))
      this.#target.pause()
  }
}

function stepOf(text: string): Step | undefined {
  const step = transactionStep(text)
  return step === 'inner' ? undefined : step
}

const notice = (text: string): Buffer => report({ severity: 'NOTICE', code: '00000', message: text })
