/** A channel as a stream: the inner SSH of -J, and what an agent brings. */
import { Duplex } from 'node:stream'
import type { Channel, ChannelEvents } from './channel.ts'

export class ChannelStream extends Duplex {
  #channel: Channel | undefined
  #onRead: ((bytes: Buffer) => void) | undefined
  readonly #held: (() => void)[] = []
  #isFull = false
  #hasEnded = false

  constructor() {
    super({ allowHalfOpen: true, readableHighWaterMark: 256 * 1024 })
  }

  readonly events: ChannelEvents = {
    borrows: true,
    data: (bytes, stream) => {
      const { length } = bytes
      const give = () => this.#channel?.credit(length)
      if (stream === 1) {
        give()
        return
      }
      // What came before is read first.
      if (this.#onRead !== undefined && this.readableLength === 0) {
        this.#onRead(bytes)
        give()
        return
      }
      const hasRoom = this.push(Buffer.from(bytes))
      if (hasRoom && !this.#isFull) give()
      else {
        this.#isFull = true
        this.#held.push(give)
      }
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

  #endOfData(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
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
    for (const give of this.#held.splice(0)) give()
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
