/** A channel as a stream, for the inner SSH of -J. */
import { Duplex } from 'node:stream'
import type { Channel, ChannelEvents } from './channel.ts'

export class ChannelStream extends Duplex {
  #channel: Channel | undefined
  readonly #held: (() => void)[] = []
  #isFull = false

  constructor() {
    super({ allowHalfOpen: true, readableHighWaterMark: 256 * 1024 })
  }

  readonly events: ChannelEvents = {
    data: (bytes, stream) => {
      const give = () => this.#channel?.credit(bytes.length)
      if (stream === 1) {
        give()
        return
      }
      const hasRoom = this.push(bytes)
      if (hasRoom && !this.#isFull) give()
      else {
        this.#isFull = true
        this.#held.push(give)
      }
    },
    eof: () => this.push(null),
    request: () => false,
    closed: () => {
      this.#channel?.closeNow()
      this.destroy()
    },
  }

  attach(channel: Channel): void {
    this.#channel = channel
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
