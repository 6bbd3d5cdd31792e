/** One request on its way: body up, answer down, both with back-pressure, and one outcome whatever happens. */
import { Transform } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { OutcomeRecord } from '../model/event.ts'
import type { HttpScope } from '../model/role.ts'
import { Refusal } from '../model/refusal.ts'
import { type Asked, type Field, valueOf, valuesOf } from './asked.ts'
import { type BodyTape, tapeFor } from './body-tape.ts'
import type { Answer, Body } from './call.ts'
import { fieldsOf, flat, isTrailer, type TargetFields, towardsBrowser } from './fields.ts'
import type { Carried, KeptLine } from './kept-line.ts'
import { recordedFields } from './masking.ts'
import type { HttpSettings } from './parts.ts'
import type { Place } from './place.ts'
import type { LiveSession, UnderWay } from './live-session.ts'
import { tooLarge } from './scope.ts'
import { isBroken, tooSlow } from './upstream.ts'

const IDLE_MS = 5 * 60_000
const HEADERS_MS = 60_000
/** An answer up to this many bytes that came in one piece leaves in one piece, with its headers. */
const MOST_AT_ONCE = 16 * 1024
const LARGE_READ = 16 * 1024
/** They change nothing (RFC 9110 §9.2.1), so that a target may be asked twice. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

export type ExchangeParts = {
  readonly session: LiveSession
  readonly place: Place
  readonly asked: Asked
  readonly scope: HttpScope
  readonly body: Body
  readonly answer: Answer
  readonly settings: Pick<HttpSettings, 'headersMs' | 'idleMs'>
  /** Says no, unless an answer is already under way. */
  readonly deny: (why: unknown) => void
}

/** It hears of the answer itself: five functions less for each request. */
export class Exchange implements UnderWay, Carried {
  line: KeptLine | undefined = undefined
  readonly #parts: ExchangeParts
  readonly #startedAt = performance.now()
  #n = 0
  #controller: Dispatcher.DispatchController | undefined
  /** The beat of the session when something moved last. */
  #movedAt = 0
  /** The target has the whole question. */
  #isSent = false
  #maySleep = false
  #tape: BodyTape | undefined
  #status = 0
  #bytesIn = 0
  #bytesOut = 0
  #fields: readonly Field[] = []
  /** What the target says its answer has. */
  #length = Number.NaN
  /** All of the answer, kept until the target has ended it. */
  #whole: Buffer | undefined
  /** The browser reads more slowly than the target writes. */
  #isWaiting = false
  #isOver = false
  /** As long as it may be asked a second time. */
  #question: Dispatcher.DispatchOptions | undefined
  /** What the line had heard when it was asked; undefined: it was a fresh one. */
  #heard: number | undefined
  #isResent = false

  constructor(parts: ExchangeParts) {
    this.#parts = parts
  }

  /** Called by the road, after the statement is in the journal and the grant was looked at again: the only place that sends. */
  start(n: number, fields: string[]): void {
    const { session, asked, answer } = this.#parts
    this.#n = n
    if (answer.isGone) return this.#end('not-sent', 'the client left')
    this.#tape = tapeFor(session, n, this.#parts.scope.record.bodyBytes)
    answer.onGone(() => this.#abandon('the client left'))
    this.#awake()
    const { method, url, body } = asked
    this.#isSent = body.kind === 'none'
    const question: Dispatcher.DispatchOptions = {
      method,
      path: url,
      headers: body.kind === 'length' ? [...fields, 'content-length', String(body.bytes)] : fields,
      body: body.kind === 'none' ? null : this.#upload(this.#parts.body),
    }
    if (body.kind === 'none' && SAFE.has(method)) this.#question = question
    session.upstream.pool.dispatch(question, this)
  }

  /** The grant is over, the session was killed, or the door closes. */
  cut(why: Refusal): void {
    const { answer, deny } = this.#parts
    // A road that was cut says so itself where nothing was sent.
    if (this.#n > 0) this.#end('error', `cut: ${why.message}`)
    else this.#isOver = true
    this.#controller?.abort(why)
    if (answer.hasBegun) answer.breakOff()
    else deny(why)
  }

  #upload(asked: Body): Transform {
    const { scope, session, answer } = this.#parts
    const { stream } = asked
    const body = new Transform({
      transform: (chunk: Buffer, _, done) => {
        this.#bytesIn += chunk.length
        this.#awake()
        if (this.#bytesIn > scope.maxRequestBytes) {
          done(tooLarge(scope))
          return
        }
        const over = session.over()
        if (over !== undefined) done(over)
        else if (this.#tape?.('request', chunk) === true) session.pass(() => done(null, chunk))
        else done(null, chunk)
      },
    })
    // Whoever sends it listens as long as it is being sent; after that nobody has to know.
    body.on('error', () => undefined)
    body.once('close', () => {
      stream.unpipe(body)
      this.#isSent = true
      this.#awake()
      if (!body.readableEnded && answer.hasBegun) stream.resume()
    })
    stream.once('error', (failure) => body.destroy(failure))
    asked.onLost(() => body.destroy(new Error('the client left')))
    asked.proceed()
    return stream.pipe(body)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#heard = this.#isResent ? undefined : this.line?.use()
    this.#awake()
    if (this.#isOver) controller.abort(new Error('over'))
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, said: TargetFields): void {
    if (this.#isOver) return
    this.#question = undefined
    const { answer, session, place } = this.#parts
    this.#awake()
    const all = towardsBrowser(said, session.endpoint, place)
    if (status < 200) {
      const link = valuesOf(all, 'link')
      if (status === 103 && link.length > 0) answer.hint(link)
      return
    }
    // RFC 9110 §8.6: nothing has no length, and HTTP/2 takes one for a broken promise.
    const fields = status === 204 ? all.filter(([name]) => name !== 'content-length') : all
    this.#status = status
    this.#fields = fields
    this.#maySleep = /^text\/event-stream/i.test(valueOf(fields, 'content-type') ?? '')
    this.#length = Number(valueOf(fields, 'content-length') ?? Number.NaN)
    // RFC 9112 §7.1.2: they need chunks.
    answer.begin(status, flat(fields), { mayHaveTrailers: Number.isNaN(this.#length) })
    // An event stream that has nothing to say yet is open all the same.
    if (this.#maySleep) answer.flush()
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isOver) return
    const { answer, session } = this.#parts
    const isWhole = chunk.length === this.#length && chunk.length <= MOST_AT_ONCE
    // The grant is looked at again before a whole answer leaves.
    const over = isWhole ? undefined : session.over()
    if (over !== undefined) return this.cut(over)
    this.#bytesOut += chunk.length
    this.#awake()
    this.#tape?.('answer', chunk)
    if (isWhole) {
      this.#whole = session.upstream.ownsReads ? chunk : Buffer.from(chunk)
      return
    }
    if (answer.write(chunk, session.upstream.ownsReads ? () => giveBack(chunk) : undefined) || this.#isWaiting) return
    this.#isWaiting = true
    controller.pause()
    answer.drained(() => {
      this.#isWaiting = false
      this.#awake()
      controller.resume()
    })
  }

  /** The last bytes leave after the outcome is in the journal, those of all requests of a turn together: so a peer is woken once. */
  onResponseEnd(_: Dispatcher.DispatchController, trailers: TargetFields): void {
    if (this.#isOver) return
    const { answer, session } = this.#parts
    this.#note('done')
    session.pass(() => {
      answer.end(this.#whole, fieldsOf(trailers).filter(isTrailer))
      session.leave(this)
    })
  }

  onResponseError(_: Dispatcher.DispatchController, failure: Error): void {
    if (!this.#isOver && this.#asksAgain(failure)) return
    this.#fail(failure)
  }

  /** A target may close a connection that it has kept while the next question is on its way: then, once, over a fresh one. */
  #asksAgain(failure: Error): boolean {
    const { session } = this.#parts
    const question = this.#question
    this.#question = undefined
    const isSilent = this.#heard !== undefined && this.line?.hasHeard(this.#heard) === false
    if (question === undefined || !isSilent || !isBroken(failure) || session.over() !== undefined) return false
    this.#isResent = true
    this.#awake()
    session.upstream.fresh.dispatch(question, this)
    return true
  }

  #fail(failure: Error): void {
    if (this.#isOver) return
    const { answer, deny, session } = this.#parts
    this.#end('error', wordsFor(failure))
    const why = session.over() ?? asRefusal(failure)
    if (answer.hasBegun) answer.breakOff()
    else deny(why)
  }

  #abandon(why: string): void {
    if (this.#isOver) return
    this.#end('error', why)
    this.#controller?.abort(new Error(why))
  }

  #awake(): void {
    this.#movedAt = this.#parts.session.beat
  }

  look(): void {
    const { answer, deny, session, settings } = this.#parts
    // What is not in the journal yet is nobody's but the journal's.
    if (this.#isOver || this.#maySleep || this.#n === 0) return
    const { headersMs = HEADERS_MS, idleMs = IDLE_MS } = settings
    const isAsked = this.#isSent && this.#status === 0
    if (!session.isLongerThan(isAsked ? Math.min(headersMs, idleMs) : idleMs, this.#movedAt)) return
    this.#end('error', 'nothing moved for too long')
    this.#controller?.abort(new Error('idle'))
    if (answer.hasBegun) answer.breakOff()
    else deny(tooSlow())
  }

  #end(result: OutcomeRecord['result'], error: string): void {
    this.#note(result, error)
    this.#parts.session.leave(this)
  }

  #note(result: OutcomeRecord['result'], error?: string): void {
    if (this.#isOver) return
    this.#isOver = true
    const { session } = this.#parts
    session.outcome({
      n: this.#n,
      result,
      ms: Math.round(performance.now() - this.#startedAt),
      status: this.#status,
      bytes: this.#bytesOut,
      bytesIn: this.#bytesIn,
      headers: recordedFields(this.#fields),
      ...(this.#isResent && { resent: true }),
      ...(error === undefined ? {} : { error }),
    })
  }
}

/**
 * Each read from a socket has memory of its own. Freed as soon as it was written, for left to the garbage collector
 * large answers make it search the whole heap many times a second. Whoever shares the memory keeps it.
 */
function giveBack({ buffer, byteLength }: Buffer): void {
  if (byteLength >= LARGE_READ && byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

function asRefusal(failure: Error): Refusal {
  if (failure instanceof Refusal) return failure
  return new Refusal('TARGET_UNREACHABLE', 'The application broke off before it answered.', {
    cause: failure,
    next: 'Try again.',
  })
}

const wordsFor = (failure: Error): string =>
  failure instanceof Refusal ? failure.message : codeOf(failure) === '' ? 'the target broke off' : codeOf(failure)

const codeOf = (failure: Error): string => ('code' in failure && typeof failure.code === 'string' ? failure.code : '')
