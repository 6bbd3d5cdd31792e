/** A channel as a stream: the inner SSH of -J, and what an agent brings. */
import { Duplex } from 'node:stream'
import { type Channel, type ChannelEvents, MAX_MESSAGE } from './channel.ts'
import { Gathered } from './gathered.ts'

export class ChannelStream extends Duplex {
  #channel: Channel | undefined
  #onRead: ((bytes: Buffer) => void) | undefined
  /** What came after there was no room. */
  readonly #late = new Gathered((length) => Buffer.allocUnsafeSlow(Math.max(length, MAX_MESSAGE)))
  /** Bytes that are given back once there is room. */
  #owed = 0
  #isFull = false
  #hasEnded = false

  constructor() {
    super({ allowHalfOpen: true, readableHighWaterMark: 256 * 1024 })
  }

  readonly events: ChannelEvents = {
    borrows: true,
    data: (bytes, stream) => {
      // What came before is read first.
      const isLent = this.#onRead !== undefined && this.readableLength === 0 && this.#late.isEmpty
      if (stream === 1 || isLent) {
        if (stream === 0) this.#onRead?.(bytes)
        this.#channel?.credit(bytes.length)
      } else if (this.#isFull) this.#late.add(bytes)
      else this.#take(Buffer.from(bytes))
    },
    eof: () => this.#endOfData(),
    request: () => false,
    closed: () => {
      this.#channel?.closeNow()
      this.#endOfData()
      // What has arrived is still read.
      if (this.readableEnded) this.destroy()
      else this.once('end', () => this.destroy())
    },
  }

  #take(bytes: Buffer): void {
    if (this.push(bytes)) this.#channel?.credit(bytes.length)
    else {
      this.#isFull = true
      this.#owed += bytes.length
    }
  }

  #endOfData(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    for (let late = this.#late.next(); late !== undefined; late = this.#late.next())
      this.push(late.bytes.subarray(0, late.length))
    this.push(null)
  }

  attach(channel: Channel): void {
    this.#channel = channel
  }

  /** From now on `onRead` gets what arrives, lent until it returns; what had arrived before still comes as `data`. For who takes all at once: nothing pauses it. */
  lend(onRead: (bytes: Buffer) => void): void {
    this.#onRead = onRead
  }

  override _read(): void {
    this.#isFull = false
    this.#channel?.credit(this.#owed)
    this.#owed = 0
    for (let late = this.#late.next(); late !== undefined; late = this.#isFull ? undefined : this.#late.next())
      this.#take(late.bytes.subarray(0, late.length))
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#channel?.isOpen === true) this.#channel.send(bytes, 0, done)
    else done()
  }

  override _final(done: () => void): void {
    this.#channel?.eof()
    done()
  }

  override _destroy(failure: Error | null, done: (failure: Error | null) => void): void {
    this.#channel?.closeNow()
    done(failure)
  }
}
