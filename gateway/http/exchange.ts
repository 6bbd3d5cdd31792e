/** One request on its way: body up, answer down, both with back-pressure, and one outcome whatever happens. */
import { Transform } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { OutcomeRecord } from '../model/event.ts'
import type { HttpScope } from '../model/role.ts'
import { Refusal } from '../model/refusal.ts'
import { type Asked, type Field, valueOf } from './asked.ts'
import { type BodyTape, tapeFor } from './body-tape.ts'
import type { Answer, Body } from './call.ts'
import { isTrailer, towardsBrowser } from './fields.ts'
import { recordedFields } from './masking.ts'
import type { Place } from './place.ts'
import type { LiveSession } from './live-session.ts'
import { tooLarge } from './scope.ts'
import { tooSlow } from './upstream.ts'

const IDLE_MS = 5 * 60_000
/** An answer up to this many bytes that came in one piece leaves in one piece, with its headers. */
const MOST_AT_ONCE = 16 * 1024
const LARGE_READ = 16 * 1024

export type ExchangeParts = {
  readonly session: LiveSession
  readonly place: Place
  readonly asked: Asked
  readonly scope: HttpScope
  readonly body: Body
  readonly answer: Answer
  readonly idleMs: number | undefined
  /** Says no, unless an answer is already under way. */
  readonly deny: (why: unknown) => void
}

export class Exchange {
  readonly #parts: ExchangeParts
  readonly #startedAt = performance.now()
  #n = 0
  #controller: Dispatcher.DispatchController | undefined
  #idle: NodeJS.Timeout | undefined
  #maySleep = false
  #tape: BodyTape | undefined
  #status = 0
  #bytesIn = 0
  #bytesOut = 0
  #fields: readonly Field[] = []
  /** What the target says its answer has. */
  #length = Number.NaN
  /** All of the answer. It waits for the end of the message, which the parser reports within the same turn. */
  #whole: Buffer | undefined
  /** The browser reads more slowly than the target writes. */
  #isWaiting = false
  #isOver = false

  constructor(parts: ExchangeParts) {
    this.#parts = parts
  }

  /** Called by the road, after the statement is in the journal and the grant was looked at again: the only place that sends. */
  start(n: number, fields: readonly string[]): void {
    const { session, asked, answer } = this.#parts
    this.#n = n
    if (answer.isGone) return this.#end('not-sent', 'the client left')
    this.#tape = tapeFor(session, n, this.#parts.scope.record.bodyBytes)
    answer.onGone(() => this.#abandon('the client left'))
    this.#awake()
    const { method, url, body } = asked
    session.upstream.pool.dispatch(
      {
        method,
        path: url,
        headers: body.kind === 'length' ? [...fields, 'content-length', String(body.bytes)] : [...fields],
        body: body.kind === 'none' ? null : this.#upload(this.#parts.body),
      },
      {
        onRequestStart: (controller) => {
          this.#controller = controller
          if (this.#isOver) controller.abort(new Error('over'))
        },
        onResponseStart: (controller, status) => this.#begin(controller, status),
        onResponseData: (controller, chunk) => this.#down(controller, chunk),
        onResponseEnd: (controller) => this.#finish(controller),
        onResponseError: (_, failure) => this.#fail(failure),
      },
    )
  }

  /** The grant is over, the session was killed, or the door closes. */
  cut(why: Refusal): void {
    if (this.#isOver) return
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
      if (!body.readableEnded && answer.hasBegun) stream.resume()
    })
    stream.once('error', (failure) => body.destroy(failure))
    asked.onLost(() => body.destroy(new Error('the client left')))
    asked.proceed()
    return stream.pipe(body)
  }

  #begin(controller: Dispatcher.DispatchController, status: number): void {
    if (this.#isOver) return
    const { answer, session, place } = this.#parts
    const all = towardsBrowser(textsOf(controller.rawHeaders), session.endpoint, place)
    // RFC 9110 §8.6: nothing has no length, and HTTP/2 takes one for a broken promise.
    const fields =
      status === 204
        ? pairsOf(all)
            .filter(([name]) => name !== 'content-length')
            .flat()
        : all
    if (status < 200) {
      const link = pairsOf(fields).flatMap(([name, value]) => (name === 'link' ? [value] : []))
      if (status === 103 && link.length > 0) answer.hint(link)
      return
    }
    this.#status = status
    this.#fields = pairsOf(fields)
    this.#maySleep = /^text\/event-stream/i.test(valueOf(this.#fields, 'content-type') ?? '')
    this.#length = Number(valueOf(this.#fields, 'content-length') ?? Number.NaN)
    this.#awake()
    // RFC 9112 §7.1.2: they need chunks.
    answer.begin(status, fields, { mayHaveTrailers: Number.isNaN(this.#length) })
    // An event stream that has nothing to say yet is open all the same.
    if (this.#maySleep) answer.flush()
  }

  #down(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isOver) return
    const { answer, session } = this.#parts
    const over = session.over()
    if (over !== undefined) return this.cut(over)
    this.#bytesOut += chunk.length
    this.#awake()
    this.#tape?.('answer', chunk)
    if (chunk.length === this.#length && chunk.length <= MOST_AT_ONCE) {
      this.#whole = chunk
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

  #finish(controller: Dispatcher.DispatchController): void {
    const raw = textsOf(controller.rawTrailers)
    const trailers = raw.length === 0 ? [] : pairsOf(raw).filter(isTrailer)
    this.#parts.answer.end(this.#whole, trailers)
    this.#end('done')
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
    if (this.#maySleep || this.#isOver) clearTimeout(this.#idle)
    else if (this.#idle === undefined) this.#idle = setTimeout(() => this.#late(), this.#parts.idleMs ?? IDLE_MS)
    else this.#idle.refresh()
  }

  #late(): void {
    const { answer, deny } = this.#parts
    if (this.#isOver) return
    this.#end('error', 'nothing moved for too long')
    this.#controller?.abort(new Error('idle'))
    if (answer.hasBegun) answer.breakOff()
    else deny(tooSlow())
  }

  #end(result: OutcomeRecord['result'], error?: string): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#idle)
    const { session } = this.#parts
    session.outcome({
      n: this.#n,
      result,
      ms: Math.round(performance.now() - this.#startedAt),
      status: this.#status,
      bytes: this.#bytesOut,
      bytesIn: this.#bytesIn,
      headers: recordedFields(this.#fields),
      ...(error === undefined ? {} : { error }),
    })
    session.leave(this)
  }
}

/**
 * Each read from a socket has memory of its own. Freed as soon as it was written, for left to the garbage collector
 * large answers make it search the whole heap many times a second. Whoever shares the memory keeps it.
 */
function giveBack({ buffer, byteLength }: Buffer): void {
  if (byteLength >= LARGE_READ && byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0)
}

type Raw = Dispatcher.DispatchController['rawHeaders']

/** As bytes came, in latin1. */
const textsOf = (raw: Raw): string[] =>
  Array.isArray(raw) ? raw.map((item) => (typeof item === 'string' ? item : item.toString('latin1'))) : []

function pairsOf(flat: readonly string[]): readonly Field[] {
  const fields: Field[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) fields.push([(flat[i] ?? '').toLowerCase(), flat[i + 1] ?? ''])
  return fields
}

function asRefusal(failure: Error): Refusal {
  if (failure instanceof Refusal) return failure
  if (/TIMEOUT/.test(codeOf(failure))) return tooSlow()
  return new Refusal('TARGET_UNREACHABLE', 'The application broke off before it answered.', {
    cause: failure,
    next: 'Try again.',
  })
}

const wordsFor = (failure: Error): string =>
  failure instanceof Refusal ? failure.message : codeOf(failure) === '' ? 'the target broke off' : codeOf(failure)

const codeOf = (failure: Error): string => ('code' in failure && typeof failure.code === 'string' ? failure.code : '')
