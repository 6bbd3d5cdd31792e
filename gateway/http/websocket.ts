/** One WebSocket on its way: the handshake made anew towards the target, then frames both ways, counted and, where the role says so, kept. */
import { createHash } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import type { HttpScope } from '../model/role.ts'
import { type Asked, valueOf, valuesOf } from './asked.ts'
import { flat, type TargetFields, towardsBrowser } from './fields.ts'
import { headOf } from './http1-call.ts'
import { closeFrame, FrameReader, OPCODES } from './frames.ts'
import type { LiveSession, UnderWay } from './live-session.ts'
import type { HttpSettings } from './parts.ts'
import type { Place } from './place.ts'
import { isBroken, tooSlow } from './upstream.ts'

const HEADERS_MS = 60_000
/** RFC 6455 §1.3. */
const SALT = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const LAST_WORDS_MS = 300

export type WebSocketParts = {
  readonly session: LiveSession
  readonly place: Place
  readonly asked: Asked
  readonly scope: HttpScope
  readonly client: Duplex
  /** What the client sent along with its handshake. */
  readonly early: Buffer
  readonly settings: Pick<HttpSettings, 'headersMs'>
  /** Says no, before there is an answer. */
  readonly deny: (why: unknown) => void
}

type Side = { readonly name: 'client' | 'target'; readonly reader: FrameReader; frames: number; bytes: number }

/** @throws {MalformedMessage} for an upgrade to anything but a WebSocket. */
export function checkHandshake({ method, fields, body }: Asked): void {
  const isWebSocket =
    method === 'GET' &&
    body.kind === 'none' &&
    valueOf(fields, 'upgrade')?.toLowerCase() === 'websocket' &&
    valueOf(fields, 'sec-websocket-version') === '13' &&
    /^[A-Za-z0-9+/]{22}==$/.test(valueOf(fields, 'sec-websocket-key') ?? '')
  if (!isWebSocket) throw new MalformedMessage('This door knows no upgrade but to a WebSocket.')
}

export class WebSocketRelay implements UnderWay, Dispatcher.DispatchHandler {
  readonly #parts: WebSocketParts
  readonly #startedAt = performance.now()
  readonly #fromClient: Side
  readonly #fromTarget: Side
  #n = 0
  #status = 0
  #controller: Dispatcher.DispatchController | undefined
  #target: Duplex | undefined
  #askedAt = 0
  /** As long as it may be asked once more. */
  #asking: Dispatcher.DispatchOptions | undefined
  #isOver = false

  constructor(parts: WebSocketParts) {
    this.#parts = parts
    const keeps = parts.scope.record.frames
    const side = (name: Side['name']): Side => ({
      name,
      // Where frames are kept, no extension was agreed on.
      reader: new FrameReader({ from: name, keeps, mayCompress: !keeps }),
      frames: 0,
      bytes: 0,
    })
    this.#fromClient = side('client')
    this.#fromTarget = side('target')
  }

  /** Called by the road, after the statement is in the journal and the grant was looked at again. */
  start(n: number, fields: readonly string[]): void {
    const { client, session, asked } = this.#parts
    this.#n = n
    client.once('close', () => this.#settle('the client left'))
    client.once('error', () => client.destroy())
    if (client.destroyed) return this.#end('the client left')
    this.#askedAt = session.beat
    this.#asking = { method: 'GET', path: asked.url, headers: [...fields, ...this.#handshake()], upgrade: 'websocket' }
    session.upstream.pool.dispatch(this.#asking, this)
  }

  cut(why: Refusal): void {
    if (this.#isOver) return
    const { client, deny } = this.#parts
    const isOpen = this.#status === 101
    const mayClose = isOpen && this.#fromTarget.reader.isAtBoundary && client.writable
    if (this.#n > 0) this.#end(`cut: ${why.message}`, mayClose)
    else this.#isOver = true
    if (mayClose) {
      client.end(closeFrame(1008, why.message))
      setTimeout(() => client.destroy(), LAST_WORDS_MS).unref()
    } else if (this.#status === 0) deny(why)
    else client.destroy()
  }

  look(): void {
    const { session, settings } = this.#parts
    if (this.#status !== 0 || this.#isOver || this.#n === 0) return
    if (session.isLongerThan(settings.headersMs ?? HEADERS_MS, this.#askedAt)) this.#fail(tooSlow())
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    this.#askedAt = this.#parts.session.beat
    if (this.#isOver) controller.abort(new Error('over'))
  }

  #handshake(): string[] {
    const { asked, scope } = this.#parts
    const names = ['sec-websocket-version', 'sec-websocket-key', 'sec-websocket-protocol']
    if (!scope.record.frames) names.push('sec-websocket-extensions')
    return names.flatMap((name) => valuesOf(asked.fields, name).flatMap((value) => [name, value]))
  }

  /** The target does not want to: its answer is the answer. */
  onResponseStart(_: Dispatcher.DispatchController, status: number, said: TargetFields): void {
    const { client, session, place } = this.#parts
    if (this.#isOver || status < 200) return
    this.#status = status
    client.write(headOf(status, [...flat(towardsBrowser(said, session.endpoint, place)), 'connection', 'close']))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { client, session } = this.#parts
    if (this.#isOver) return
    const over = session.over()
    if (over !== undefined) return this.cut(over)
    this.#fromTarget.bytes += chunk.length
    if (client.write(chunk) || controller.paused) return
    controller.pause()
    client.once('drain', () => controller.resume())
  }

  onResponseEnd(): void {
    this.#parts.client.end()
    this.#end(undefined)
  }

  onResponseError(_: Dispatcher.DispatchController, failure: Error): void {
    const asking = this.#asking
    this.#asking = undefined
    if (asking === undefined || this.#status !== 0 || this.#isOver || !isBroken(failure)) return this.#fail(failure)
    // The target was perhaps closing a connection that it had kept: nothing was answered, and a handshake changes nothing (RFC 9110 §9.2.2).
    const { session } = this.#parts
    const over = session.over()
    if (over === undefined) session.upstream.fresh.dispatch(asking, this)
    else this.cut(over)
  }

  onRequestUpgrade(_: Dispatcher.DispatchController, status: number, said: TargetFields, target: Duplex): void {
    const { client, session, place, asked, early } = this.#parts
    target.on('error', () => target.destroy())
    this.#asking = undefined
    if (this.#isOver) {
      target.destroy()
      return
    }
    const key = valueOf(asked.fields, 'sec-websocket-key') ?? ''
    const proof = createHash('sha1').update(`${key}${SALT}`).digest('base64')
    const [accepted, agreed] = [said['sec-websocket-accept'], said['upgrade']]
    if (status !== 101 || accepted !== proof || typeof agreed !== 'string' || agreed.toLowerCase() !== 'websocket') {
      target.destroy()
      this.#fail(new Refusal('TARGET_UNREACHABLE', 'The application agreed to something that is no WebSocket.'))
      return
    }
    target.once('close', () => this.#settle('the target closed'))
    this.#status = 101
    this.#target = target
    const fields = flat(towardsBrowser(said, session.endpoint, place))
    client.write(headOf(101, [...fields, 'connection', 'Upgrade', 'upgrade', 'websocket']))
    this.#relay(this.#fromClient, client, target, early)
    this.#relay(this.#fromTarget, target, client)
  }

  #relay(side: Side, from: Duplex, to: Duplex, first?: Buffer): void {
    const pass = (chunk: Buffer) => {
      if (to.destroyed || this.#isOver || to.write(chunk) || from.isPaused()) return
      from.pause()
      to.once('drain', () => from.resume())
    }
    const take = (chunk: Buffer) => {
      const { session, scope } = this.#parts
      if (this.#isOver) return
      const over = session.over()
      if (over !== undefined) {
        this.cut(over)
        return
      }
      try {
        this.#note(side, chunk)
      } catch (failure) {
        this.#broken(failure)
        return
      }
      if (scope.record.frames) session.pass(() => pass(chunk))
      else pass(chunk)
    }
    if (first !== undefined && first.length > 0) take(first)
    from.on('data', take)
    from.once('end', () => this.#afterRecorded(() => to.end()))
  }

  /** Kept frames are on their way through the journal; nothing may overtake them. */
  #afterRecorded(then: () => void): void {
    if (this.#parts.scope.record.frames && this.#status === 101) this.#parts.session.pass(then)
    else then()
  }

  #settle(what: string): void {
    this.#afterRecorded(() => this.#end(this.#status === 101 ? undefined : what))
  }

  #note(side: Side, chunk: Buffer): void {
    side.bytes += chunk.length
    const { session, scope } = this.#parts
    for (const { opcode, fin, last, payload } of side.reader.push(chunk)) {
      if (last) side.frames += 1
      if (!scope.record.frames) continue
      const words = {
        n: this.#n,
        frame: OPCODES[opcode],
        ...contentOf(payload),
        ...(fin && last ? {} : { more: true }),
      }
      session.record(side.name === 'client' ? 'i' : 'o', `${JSON.stringify(words)}\n`)
    }
  }

  /** A peer that breaks the protocol cannot be read any further. */
  #broken(failure: unknown): void {
    const { client } = this.#parts
    this.#end(failure instanceof Error ? failure.message : 'the protocol was broken')
    client.destroy()
  }

  #fail(failure: unknown): void {
    if (this.#isOver) return
    const { deny, session, client } = this.#parts
    const isOpen = this.#status !== 0
    this.#end(failure instanceof Refusal ? failure.message : 'the target broke off')
    const why = session.over() ?? (failure instanceof Refusal ? failure : brokeOff(failure))
    if (isOpen) client.destroy()
    else deny(why)
  }

  #end(error: string | undefined, keepClient = false): void {
    if (this.#isOver) return
    this.#isOver = true
    const { session, client } = this.#parts
    const wasOpen = this.#status === 101
    const target = this.#target
    if (wasOpen && error === undefined && target !== undefined) {
      // What was written last still goes.
      target.end()
      setTimeout(() => target.destroy(), LAST_WORDS_MS).unref()
    } else {
      if (target === undefined) this.#controller?.abort(new Error('over'))
      target?.destroy()
    }
    session.outcome({
      n: this.#n,
      result: wasOpen || error === undefined ? 'done' : 'error',
      ms: Math.round(performance.now() - this.#startedAt),
      status: this.#status,
      bytes: this.#fromTarget.bytes,
      bytesIn: this.#fromClient.bytes,
      frames: { in: this.#fromClient.frames, out: this.#fromTarget.frames },
      ...(error === undefined ? {} : { error }),
    })
    session.leave(this)
    if (wasOpen && !keepClient) client.end()
  }
}

const brokeOff = (cause: unknown): Refusal =>
  new Refusal('TARGET_UNREACHABLE', 'The application broke off before it answered.', { cause, next: 'Try again.' })

function contentOf(bytes: Buffer): object {
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? { text } : { base64: bytes.toString('base64') }
}
