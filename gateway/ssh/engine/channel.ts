/** One SSH channel (RFC 4254 §5) in either role, with its windows. Nothing is taken that was not allowed, nothing is given back that was not delivered. */
import { MalformedMessage } from '../../model/refusal.ts'
import type { Transport } from './transport.ts'
import { byte, message, type Reader, string, uint32 } from './wire.ts'

export const WINDOW = 2 * 1024 * 1024
export const MAX_PACKET = 32 * 1024
/** A little more is taken from peers who count otherwise. */
export const MAX_MESSAGE = MAX_PACKET + 1024
/** A peer whose packets hold less could make us send one byte each, or none for ever. */
export const MIN_PACKET = 256
/** Window is given back in steps of this size. */
const STEP = 256 * 1024
const MAX_WINDOW = 0xffff_ffff

/** 0: data, 1: what the manual calls extended data of type SSH_EXTENDED_DATA_STDERR. */
export type Stream = 0 | 1

export type ChannelEvents = {
  /** Give the bytes back with {@link Channel.credit} once they are delivered. */
  data(bytes: Buffer, stream: Stream): void
  /** Data is lent: it holds until the call returns. Left out, each is a copy already. */
  readonly borrows?: true
  /** The peer sends no more. */
  eof(): void
  /** True: success, when the peer wanted an answer. */
  request(type: string, body: Reader): boolean
  /** Once; nothing arrives afterwards. */
  closed(): void
}

type Waiting =
  | { readonly bytes: Buffer; readonly stream: Stream; at: number; readonly sent: (() => void) | undefined }
  | (() => void)

export class Channel {
  readonly #transport: Transport
  readonly #forget: () => void
  readonly #remoteId: number
  readonly #packet: number
  readonly #waiting: Waiting[] = []
  readonly #answers: ((success: boolean) => void)[] = []
  #events: ChannelEvents
  #sendWindow: number
  #receiveWindow = WINDOW
  #credit = 0
  #sentEof = false
  #sentClose = false
  #receivedEof = false
  #receivedClose = false
  #over = false
  #told = false

  constructor(parts: {
    readonly transport: Transport
    readonly remote: { readonly id: number; readonly window: number; readonly packet: number }
    readonly events: ChannelEvents
    /** Both sides have closed. */
    readonly forget: () => void
  }) {
    this.#transport = parts.transport
    this.#forget = parts.forget
    this.#remoteId = parts.remote.id
    this.#packet = Math.min(parts.remote.packet, MAX_PACKET)
    this.#sendWindow = parts.remote.window
    this.#events = parts.events
  }

  /** Who listens from now on. */
  listen(events: ChannelEvents): void {
    this.#events = events
  }

  get isOpen(): boolean {
    return !this.#over && !this.#sentClose
  }

  get receivedEof(): boolean {
    return this.#receivedEof
  }

  /** Whether so many bytes would leave at once. */
  takes(length: number): boolean {
    return this.#waiting.length === 0 && length <= this.#sendWindow && this.#transport.hasRoom
  }

  /** Bytes queue in order; `sent` runs when the last of them has left for the peer: until then they must hold. */
  send(bytes: Buffer, stream: Stream, sent?: () => void): void {
    if (!this.isOpen || this.#sentEof) return
    const isNext = this.#waiting.length === 0
    if (isNext && bytes.length <= this.#sendWindow && bytes.length <= this.#packet && this.#transport.hasRoom) {
      if (bytes.length > 0) this.#sendPiece(bytes, stream)
      sent?.()
      return
    }
    this.#waiting.push({ bytes, stream, at: 0, sent })
    this.pump()
  }

  /** Runs once everything before it has left. */
  after(run: () => void): void {
    if (this.#over) return
    this.#waiting.push(run)
    this.pump()
  }

  /** Sends what windows and socket have room for. */
  pump(): void {
    while (this.#waiting.length > 0 && !this.#over) {
      const next = this.#waiting[0]
      if (next === undefined) return
      if (typeof next === 'function') {
        this.#waiting.shift()
        next()
        continue
      }
      const length = Math.min(next.bytes.length - next.at, this.#sendWindow, this.#packet)
      const isEmpty = next.bytes.length === next.at
      if (!isEmpty && (length === 0 || !this.#transport.hasRoom)) return
      if (!isEmpty) this.#sendPiece(next.bytes.subarray(next.at, next.at + length), next.stream)
      next.at += length
      if (next.at < next.bytes.length) continue
      this.#waiting.shift()
      next.sent?.()
    }
  }

  /** Forgets what has not left yet. */
  drop(): void {
    this.#waiting.length = 0
  }

  /** These bytes from the peer are delivered: it may send as many again. */
  credit(length: number): void {
    this.#credit += length
    if (this.#credit < STEP || !this.isOpen || this.#receivedEof) return
    this.#transport.send(message(93, uint32(this.#remoteId), uint32(this.#credit)))
    this.#receiveWindow += this.#credit
    this.#credit = 0
  }

  /** No more from us, after what is queued. */
  eof(): void {
    this.after(() => {
      if (this.#sentEof || !this.isOpen) return
      this.#sentEof = true
      this.#transport.send(message(96, uint32(this.#remoteId)))
    })
  }

  /** Closes after what is queued. */
  close(): void {
    this.after(() => this.closeNow())
  }

  closeNow(): void {
    if (this.#sentClose || this.#over) return
    this.#sentClose = true
    this.#waiting.length = 0
    this.#transport.send(message(97, uint32(this.#remoteId)))
    if (this.#receivedClose) this.#finish()
  }

  /** Closes, and drops the whole connection when its peer does not even read. */
  abandon(): void {
    this.closeNow()
    if (!this.#transport.hasRoom) this.#transport.destroy()
  }

  /** A request without an answer. At once, not queued; ignored by peers once the channel is closed. */
  tell(type: string, ...body: readonly Uint8Array[]): void {
    if (this.isOpen) this.#transport.send(message(98, uint32(this.#remoteId), string(type), byte(0), ...body))
  }

  /** A request with an answer; false also when the channel is gone. */
  ask(type: string, ...body: readonly Uint8Array[]): Promise<boolean> {
    if (!this.isOpen) return Promise.resolve(false)
    this.#transport.send(message(98, uint32(this.#remoteId), string(type), byte(1), ...body))
    return new Promise((resolve) => this.#answers.push(resolve))
  }

  receiveData(bytes: Buffer, stream: Stream): void {
    if (this.#receivedEof || this.#receivedClose) throw new MalformedMessage('Data after the end of data.')
    if (bytes.length > MAX_MESSAGE) throw new MalformedMessage('A data message that is too long.')
    this.#receiveWindow -= bytes.length
    if (this.#receiveWindow < 0) throw new MalformedMessage('More data than the window allowed.')
    // Nothing is nothing: no window would stop a peer who sends it without end.
    if (bytes.length === 0 || this.#over || this.#sentClose) return
    this.#events.data(this.#events.borrows === true ? bytes : Buffer.from(bytes), stream)
  }

  receiveWindow(length: number): void {
    this.#sendWindow = Math.min(this.#sendWindow + length, MAX_WINDOW)
    this.pump()
  }

  receiveEof(): void {
    if (this.#receivedEof) return
    this.#receivedEof = true
    this.#events.eof()
  }

  receiveRequest(type: string, wantsReply: boolean, body: Reader): void {
    const success = this.#events.request(type, body)
    if (wantsReply && this.isOpen) this.#transport.send(message(success ? 99 : 100, uint32(this.#remoteId)))
  }

  receiveAnswer(success: boolean): void {
    this.#answers.shift()?.(success)
  }

  receiveClose(): void {
    this.#receivedClose = true
    if (this.#sentClose) this.#finish()
    else this.#tell()
  }

  /** The connection is gone. */
  lose(): void {
    if (!this.#over) this.#finish()
  }

  #finish(): void {
    this.#over = true
    this.#waiting.length = 0
    for (const answer of this.#answers.splice(0)) answer(false)
    this.#forget()
    this.#tell()
  }

  #tell(): void {
    if (this.#told) return
    this.#told = true
    this.#events.closed()
  }

  #sendPiece(bytes: Buffer, stream: Stream): void {
    this.#sendWindow -= bytes.length
    const head = Buffer.allocUnsafe(stream === 0 ? 9 : 13)
    head[0] = stream === 0 ? 94 : 95
    head.writeUInt32BE(this.#remoteId, 1)
    if (stream === 1) head.writeUInt32BE(1, 5)
    head.writeUInt32BE(bytes.length, head.length - 4)
    this.#transport.sendData(head, bytes)
  }
}
