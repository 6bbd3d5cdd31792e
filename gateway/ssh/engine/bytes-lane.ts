/** Keys and output of a full shell as they are: recorded, then passed on. What one read of a socket brought in bulk is one event. */
import type { Session } from '../../session/session.ts'
import type { Blocks } from './blocks.ts'
import type { Stream } from './channel.ts'
import type { Ends, Lane } from './relay.ts'
import type { Typing } from './typing.ts'

/** Less than this is somebody who types, or an answer: it goes on at once. */
const BULK = 4 * 1024

type Direction = 'i' | 'o' | 'e'

/** @param typing where the client has a terminal: is told of each key. */
export const bytesLane =
  (session: Session, blocks: Blocks, typing?: Typing) =>
  (ends: Ends): Lane =>
    new BytesLane({ session, blocks, ends, typing })

class BytesLane implements Lane {
  readonly #session: Session
  readonly #blocks: Blocks
  readonly #ends: Ends
  readonly #typing: Typing | undefined
  #block: Buffer | undefined
  #length = 0
  #direction: Direction = 'o'

  constructor(parts: {
    readonly session: Session
    readonly blocks: Blocks
    readonly ends: Ends
    readonly typing: Typing | undefined
  }) {
    this.#session = parts.session
    this.#blocks = parts.blocks
    this.#ends = parts.ends
    this.#typing = parts.typing
  }

  fromClient(bytes: Buffer): void {
    if (bytes.length < BULK) this.#typing?.seen()
    this.#take('i', bytes)
  }

  fromTarget(bytes: Buffer, stream: Stream): void {
    this.#take(stream === 1 ? 'e' : 'o', bytes)
  }

  readonly flush = (): void => {
    const block = this.#block
    const length = this.#length
    if (block === undefined) return
    this.#block = undefined
    this.#length = 0
    // What waits for a slow side must not hold much more memory than it is long.
    if (length > block.length / 4) this.#pass(this.#direction, block.subarray(0, length), block)
    else {
      this.#pass(this.#direction, Buffer.from(block.subarray(0, length)))
      this.#blocks.release(block)
    }
  }

  end(): void {
    this.flush()
  }

  #take(direction: Direction, bytes: Buffer): void {
    const isFull = this.#length + bytes.length > (this.#block?.length ?? 0)
    if (this.#block !== undefined && (isFull || direction !== this.#direction)) this.flush()
    if (this.#block === undefined && bytes.length < BULK) {
      this.#pass(direction, Buffer.from(bytes))
      return
    }
    if (this.#block === undefined) {
      this.#block = this.#blocks.take()
      this.#direction = direction
      process.nextTick(this.flush)
    }
    this.#block.set(bytes, this.#length)
    this.#length += bytes.length
  }

  #pass(direction: Direction, bytes: Buffer, block?: Buffer): void {
    const { length } = bytes
    const delivered = block === undefined ? undefined : () => this.#blocks.release(block)
    this.#session.road.bytes(direction, bytes, () => {
      if (direction === 'i') this.#ends.toTarget(bytes, length, delivered)
      else this.#ends.toClient(bytes, direction === 'e' ? 1 : 0, length, delivered)
    })
  }
}
