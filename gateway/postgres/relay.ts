/**
 * One session between a client and a target's backend: messages of the client through {@link Statements},
 * bytes of the target by their headers, back-pressure both ways, and the cut.
 */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SessionEnd } from '../model/event.ts'
import type { Clock } from '../model/moment.ts'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import type { Session, SharedReads } from '../session/session.ts'
import { BackendScanner } from './backend.ts'
import { fatal } from './deny.ts'
import { FrontendSplitter } from './frontend.ts'
import { Gates } from './gates.ts'
import { noticeText } from './notice.ts'
import { Inbox } from './inbox.ts'
import type { SqlJudge, TransactionStatus } from './judge.ts'
import { HeldStatements } from './held.ts'
import { type Masking, maskingOf } from './mask.ts'
import { readParameterStatus, readReport, report, TERMINATE } from './message.ts'
import { Outcomes } from './outcomes.ts'
import { Pipeline } from './pipeline.ts'
import { Settling, SYNC } from './settling.ts'
import { Statements } from './statements.ts'
import { isBound, Tripwire } from './tripwire.ts'
import type { Upstream } from './upstream.ts'
import type { Runner } from './writer.ts'

export type RelayParts = {
  readonly session: Session
  readonly judge: SqlJudge
  readonly client: Duplex
  readonly upstream: Upstream
  readonly clock: Clock
  readonly reads: SharedReads
  /** Asks the target to cancel what it is doing for this session. */
  readonly cancel: () => void
  /** For what a second person lets through; undefined: nothing waits for one. */
  readonly writer?: Runner | undefined
}

export type RelayEnd = Omit<SessionEnd, 'endedAt'>

/** Messages that wait for their turn, before the client is paused. */
const MAX_WAITING_BYTES = 1024 * 1024
const MAX_WAITING = 5_000
/** The last frame under way gets this long to be read by the client. */
const FAREWELL_MS = 2_000
/** A backend whose client has left may finish this long. */
const LEFT_BEHIND_MS = 5_000

export class Relay {
  readonly #parts: RelayParts
  readonly #isOneByOne: boolean
  readonly #splitter = new FrontendSplitter()
  readonly #scanner: BackendScanner
  readonly #pipeline: Pipeline
  readonly #outcomes: Outcomes
  readonly #gates: Gates
  readonly #statements: Statements
  readonly #parked: HeldStatements | undefined
  readonly #settling: Settling
  readonly #tripwire: Tripwire
  readonly #masking: Masking | undefined
  readonly #inbox = new Inbox()
  /** To be called when the chunk that is passing has been written: it holds something else then. */
  #giveBack: (() => void) | undefined
  #judging = false
  #holding = false
  #clientLeft = false
  #targetSaidFatal = false
  #tripped: Refusal | undefined
  /** What to say to the client at the next boundary. */
  #say: Buffer[] = []
  /** The session is being cut: why, and its last message. */
  #cutting: { readonly end: RelayEnd; readonly farewell: Buffer } | undefined
  #end: RelayEnd | undefined
  readonly #done = Promise.withResolvers<RelayEnd>()

  constructor(parts: RelayParts) {
    const { session, judge, upstream, clock } = parts
    this.#parts = parts
    const { role } = session.admission
    const { sampleRows } = role.postgres
    this.#isOneByOne = isBound(role)
    this.#tripwire = new Tripwire(upstream.parameters, role)
    this.#outcomes = new Outcomes((outcome) => session.road.outcome(outcome))
    this.#pipeline = new Pipeline(clock, (outcome) => this.#outcomes.add(outcome), sampleRows)
    this.#gates = new Gates(upstream.stream, () => parts.client.pause())
    const { road, admission } = session
    this.#masking = maskingOf(admission.role, judge)
    const masking = this.#masking
    const [pipeline, gates, outcomes] = [this.#pipeline, this.#gates, this.#outcomes]
    const { writer } = parts
    const client = { tell: (text: string) => this.#tell(text), say: (bytes: Buffer) => this.#saySoon(bytes) }
    const settle = () => {
      const settled = this.#settling.begin()
      void this.#statements.accept(SYNC)
      return settled
    }
    const held = writer && new HeldStatements({ session, judge, writer, client, settle })
    this.#parked = held
    this.#statements = new Statements({ judge, road, role: admission.role, pipeline, gates, outcomes, masking, held })
    this.#statements.onPill = () => {
      this.#holding = true
      this.#scanner.holdErrors(true)
    }
    this.#scanner = new BackendScanner({
      message: (type, body) => this.#passed(type, body),
      held: (type, bytes) => this.#held(type, bytes),
      rows: (count, size, bytes) => {
        this.#scanner.watchRows = this.#pipeline.rows(count, size, this.#giveBack && bytes ? Buffer.from(bytes) : bytes)
      },
    })
    this.#scanner.watchRows = true
    if (sampleRows > 0) this.#scanner.describeRows()
    this.#settling = new Settling(this.#scanner)
  }

  /**
   * Runs until one side closes or the session is cut. Both legs are closed, or about to be, when it resolves.
   * @param ahead what the client sent before it was told that it may.
   */
  run(ahead: Buffer): Promise<RelayEnd> {
    const { client, upstream, session } = this.#parts
    const target = upstream.stream
    const fromClient = (chunk: Buffer) => this.#fromClient(chunk)
    client.on('data', fromClient)
    target.on('data', (chunk: Buffer) => this.#fromTarget(chunk))
    this.#parts.reads.take(client, fromClient)
    // Who is no socket takes a write and still holds its bytes, and masks keep what is not whole yet.
    const isReused = client instanceof Socket && this.#masking === undefined
    this.#parts.reads.take(target, (chunk, done) => this.#fromTarget(chunk, isReused ? done : undefined))
    client.on('drain', () => target.resume())
    target.on('drain', () => this.#resumeClient())
    for (const event of ['close', 'error'] as const) {
      client.on(event, () => this.#clientClosed())
      target.on(event, () => this.#targetClosed())
    }
    target.on('end', () => this.#targetClosed())
    const stopNotices = session.admission.onNotice((notice) => this.#tell(noticeText(notice)))
    const over = () => this.cut(session.ended.reason)
    session.ended.addEventListener('abort', over, { once: true })
    void this.#done.promise.finally(() => {
      stopNotices()
      session.ended.removeEventListener('abort', over)
    })
    if (upstream.ahead.length > 0) this.#fromTarget(upstream.ahead)
    if (ahead.length > 0) this.#fromClient(ahead)
    client.resume()
    target.resume()
    if (client.destroyed) this.#clientClosed()
    if (target.destroyed) this.#targetClosed()
    if (session.ended.aborted) over()
    return this.#done.promise.then(async (end) => {
      await this.#parked?.over()
      return end
    })
  }

  /** A CancelRequest: for what waits for a second person, or for the target. */
  interrupt(): void {
    if (this.#parked?.interrupt() !== true) this.#parts.cancel()
  }

  /** Stops everything at once, tells the client why between two messages, and closes both legs. */
  cut(reason: unknown): void {
    if (this.#cutting !== undefined || this.#end !== undefined) return
    const why = reason instanceof Error ? reason : new Refusal('GRANT_ENDED', 'The session was ended.')
    const cause = why instanceof Refusal ? 'cut' : 'failed'
    const end: RelayEnd = { cause, detail: why.message, exitCode: undefined }
    this.#cutting = { end, farewell: fatal(why) }
    this.#parts.session.road.close()
    this.#parts.client.pause()
    this.#gates.drop()
    this.#parked?.close()
    if (!this.#pipeline.idle) this.#parts.cancel()
    const { client } = this.#parts
    const destroy = setTimeout(() => {
      client.destroy()
      this.#finish(end)
    }, FAREWELL_MS)
    void this.#done.promise.finally(() => clearTimeout(destroy))
    this.#parts.upstream.stream.resume()
    if (this.#scanner.left === 0) this.#sayFarewell()
  }

  #sayFarewell(): void {
    const cutting = this.#cutting
    if (cutting === undefined || this.#end !== undefined) return
    this.#parts.client.end(cutting.farewell)
    this.#finish(cutting.end)
  }

  #fromClient(chunk: Buffer): void {
    if (this.#end !== undefined || this.#cutting !== undefined) return
    try {
      this.#inbox.add(this.#splitter.push(chunk))
    } catch (failure) {
      this.cut(failure)
      return
    }
    this.#pump()
  }

  /** In a read-only session nothing follows before the last group is answered: its answer may say that a setting was changed. */
  #pump(): void {
    while (!this.#judging && this.#cutting === undefined && this.#end === undefined) {
      if (this.#isOneByOne && this.#pipeline.groups > 0) break
      const message = this.#inbox.take()
      if (message === undefined) break
      if (message.type === 'terminate') this.#clientLeft = true
      try {
        const later = this.#statements.accept(message)
        if (later !== undefined) this.#wait(later)
      } catch (failure) {
        this.cut(failure)
      }
    }
    if (this.#isFull()) this.#parts.client.pause()
    else this.#resumeClient()
  }

  #wait(later: Promise<void>): void {
    this.#judging = true
    const go = () => {
      this.#judging = false
      this.#pump()
    }
    later.then(go, (failure: unknown) => this.cut(failure))
  }

  #isFull(): boolean {
    if (this.#inbox.length + this.#pipeline.length > MAX_WAITING) return true
    return this.#inbox.bytes + this.#gates.waitingBytes > MAX_WAITING_BYTES
  }

  #resumeClient(): void {
    const { client, upstream } = this.#parts
    if (this.#cutting !== undefined || this.#end !== undefined) return
    if (client.isPaused() && !this.#isFull() && !upstream.stream.writableNeedDrain) client.resume()
  }

  #fromTarget(sent: Buffer, done?: () => void): void {
    if (this.#end !== undefined) return
    const chunk = this.#masking === undefined ? sent : this.#masked(this.#masking, sent)
    this.#giveBack = done
    const { left } = this.#scanner
    const interrupts = this.#cutting !== undefined || this.#say.length > 0
    try {
      if (!interrupts || left > chunk.length) this.#hand(this.#scanner.push(chunk), this.#giveBack)
      else {
        if (left > 0) this.#hand(this.#scanner.push(chunk.subarray(0, left)))
        if (this.#cutting !== undefined) {
          this.#sayFarewell()
          return
        }
        this.#hand(this.#say.splice(0))
        if (left < chunk.length) this.#hand(this.#scanner.push(chunk.subarray(left)))
      }
    } catch (failure) {
      const text = failure instanceof Error ? failure.message : 'no message'
      this.cut(new Refusal('TARGET_UNREACHABLE', `The target broke the protocol: ${text}.`, { cause: failure }))
      return
    }
    if (this.#tripped !== undefined) {
      this.cut(this.#tripped)
      return
    }
    this.#pump()
  }

  /** Nothing of what could not be masked goes on. */
  #masked(masking: Masking, bytes: Buffer): Buffer {
    try {
      return masking.push(bytes)
    } catch (failure) {
      this.cut(failure)
      return Buffer.alloc(0)
    }
  }

  #hand(pieces: readonly Buffer[], done?: () => void): void {
    const { client, upstream } = this.#parts
    if (client.destroyed || client.writableEnded) return
    let room = true
    const last = pieces.length - 1
    if (last > 0) client.cork()
    // The last one is written when all are.
    for (let i = 0; i <= last; i++) room = client.write(pieces[i], i === last ? done : undefined)
    if (last > 0) client.uncork()
    if (!room && this.#cutting === undefined) upstream.stream.pause()
  }

  #passed(type: number, body: Buffer): void {
    if (type === 0x53 && this.#isOneByOne) {
      const [name, value] = readParameterStatus(body)
      this.#parts.upstream.parameters.set(name, value)
      const why = this.#tripwire.changed(name, value)
      if (why !== undefined) this.#tripped = new Refusal('GRANT_ENDED', `This session was ended: ${why}.`)
    }
    if (type === 0x45) {
      this.#settling.failed()
      if (readReport(body).get('V') === 'FATAL') this.#targetSaidFatal = true
    }
    this.#pipeline.received(type, body)
    this.#scanner.watchRows = true
    if (type === 0x5a) this.#ready(String.fromCharCode(body[0] ?? 0))
  }

  #ready(status: string): void {
    if (status !== 'I' && status !== 'T' && status !== 'E') throw new MalformedMessage('transaction status')
    const transaction: TransactionStatus = status
    this.#parts.judge.ready?.(transaction)
    this.#parked?.ready(transaction)
    if (transaction === 'I' && this.#pipeline.idle) this.#statements.rest()
    if (this.#holding && !this.#pipeline.hasPills) {
      this.#holding = false
      this.#scanner.holdErrors(false)
    }
  }

  /** An error while a refusal is on its way: the target's syntax error becomes the sentence of the verdict. */
  #held(type: number, bytes: Buffer): Buffer {
    const body = bytes.subarray(5)
    if (type === 0x5a) {
      this.#pipeline.received(type, body)
      this.#ready(String.fromCharCode(body[0] ?? 0))
      return this.#settling.end()
    }
    this.#settling.failed()
    const fields = readReport(body)
    const { pill } = this.#pipeline
    if (fields.get('V') === 'FATAL') this.#targetSaidFatal = true
    this.#pipeline.received(type, body)
    return pill !== undefined && fields.get('M')?.includes(pill.word) === true ? pill.answer : bytes
  }

  #tell(text: string): void {
    if (this.#end !== undefined || this.#cutting !== undefined) return
    const notice = report({ severity: 'NOTICE', code: '00000', message: text })
    this.#outcomes.flush()
    this.#parts.session.recording.take('m', text)
    this.#saySoon(notice)
  }

  /** Between two messages of the target. */
  #saySoon(bytes: Buffer): void {
    if (this.#end !== undefined || this.#cutting !== undefined) return
    if (this.#scanner.left === 0) this.#hand([bytes])
    else this.#say.push(bytes)
  }

  #clientClosed(): void {
    if (this.#end !== undefined) return
    const { upstream, cancel } = this.#parts
    const busy = !this.#pipeline.idle
    this.#gates.flush()
    this.#finish({ cause: 'closed', detail: '', exitCode: undefined }, busy ? LEFT_BEHIND_MS : FAREWELL_MS)
    if (!busy) return
    const stop = setTimeout(cancel, LEFT_BEHIND_MS - 1000)
    upstream.stream.once('close', () => clearTimeout(stop))
  }

  #targetClosed(): void {
    if (this.#end !== undefined) return
    const { client } = this.#parts
    if (this.#cutting !== undefined) {
      if (this.#scanner.left === 0) this.#sayFarewell()
      return
    }
    const expected = this.#clientLeft || this.#targetSaidFatal
    if (this.#scanner.left > 0) client.destroy()
    else if (expected) client.end()
    else client.end(fatal(new Refusal('TARGET_UNREACHABLE', 'The target closed the connection.')))
    const detail = expected ? '' : 'The target closed the connection.'
    this.#finish({ cause: this.#clientLeft ? 'closed' : 'exited', detail, exitCode: undefined })
  }

  #finish(end: RelayEnd, patience = FAREWELL_MS): void {
    if (this.#end !== undefined) return
    this.#end = end
    const { client, upstream, judge } = this.#parts
    this.#parked?.close()
    this.#settling.end(true)
    this.#pipeline.close(end.cause === 'cut' ? `cut: ${end.detail}` : 'the connection ended first')
    this.#outcomes.close()
    judge.close?.()
    for (const leg of [client, upstream.stream]) {
      leg.resume()
      const destroy = setTimeout(() => leg.destroy(), leg === client ? FAREWELL_MS : patience)
      leg.once('close', () => clearTimeout(destroy))
      if (leg.destroyed) clearTimeout(destroy)
    }
    if (!client.writableEnded && !client.destroyed) client.end()
    const target = upstream.stream
    if (!target.writableEnded && !target.destroyed) target.end(this.#clientLeft ? undefined : TERMINATE)
    this.#done.resolve(end)
  }
}
