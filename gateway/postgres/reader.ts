/** Reads exact counts of bytes from a stream during start-up and login: nothing that was read before a switch to TLS can survive it. */
import type { Duplex } from 'node:stream'
import { MalformedMessage } from '../model/refusal.ts'

/** Nobody has a reason to send this much ahead of a login. */
const MAX_AHEAD = 1024 * 1024

/** The peer closed the connection. */
export class Closed extends Error {
  override readonly name = 'Closed'
}

export class ByteReader {
  readonly #stream: Duplex
  #bytes: Buffer = Buffer.alloc(0)
  #failure: Error | undefined
  #wake: (() => void) | undefined

  constructor(stream: Duplex) {
    this.#stream = stream
    stream.on('data', this.#onData)
    stream.on('end', this.#onEnd)
    stream.on('close', this.#onEnd)
    stream.on('error', this.#onEnd)
  }

  /** Bytes that have come and were not asked for. */
  get ahead(): number {
    return this.#bytes.length
  }

  /** @throws {Closed}, {MalformedMessage} for a flood. */
  async take(count: number): Promise<Buffer> {
    while (this.#bytes.length < count) {
      if (this.#failure !== undefined) throw this.#failure
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const taken = this.#bytes.subarray(0, count)
    this.#bytes = this.#bytes.subarray(count)
    return taken
  }

  /** The next byte, which stays to be read. */
  async peek(): Promise<number> {
    const taken = await this.take(1)
    this.#bytes = this.#bytes.length === 0 ? taken : Buffer.concat([taken, this.#bytes])
    return taken[0] ?? 0
  }

  /** A message with a type byte. @throws {Closed}, {MalformedMessage} */
  async message(limit: number): Promise<{ readonly type: string; readonly body: Buffer }> {
    const header = await this.take(5)
    const length = header.readInt32BE(1)
    if (length < 4 || length > limit) throw new MalformedMessage(`message length ${length}`)
    const type = String.fromCharCode(header[0] ?? 0)
    return { type, body: Buffer.from(await this.take(length - 4)) }
  }

  /** Stops reading and pauses the stream. @returns what came ahead. */
  release(): Buffer {
    this.#stream.off('data', this.#onData)
    this.#stream.off('end', this.#onEnd)
    this.#stream.off('close', this.#onEnd)
    this.#stream.off('error', this.#onEnd)
    this.#stream.pause()
    const ahead = this.#bytes
    this.#bytes = Buffer.alloc(0)
    return ahead
  }

  #onData = (chunk: Buffer): void => {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    if (this.#bytes.length > MAX_AHEAD) {
      this.#failure = new MalformedMessage('too much before the login was done')
      this.#stream.pause()
    }
    this.#wake?.()
  }

  #onEnd = (): void => {
    this.#failure ??= new Closed('the peer closed the connection')
    this.#wake?.()
  }
}
