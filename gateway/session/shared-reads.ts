/**
 * Node gives each read of a socket fresh memory, which somebody has to collect, and a stream's whole ceremony. Here the reads of many sockets land
 * in one piece of memory: what `onread` of `net.connect` does, which accepted sockets and TLS do not offer.
 */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Up to here a copy into pooled memory is cheaper than memory of one's own. */
const SMALL = 4096

/** After so many reads that left something behind, other sockets have their turn: libuv would read on. */
const MOST_FULL = 4
/** Pieces of memory that wait for a read of their socket; more is left to V8. */
const MOST_FREE = 4

export class SharedReads {
  readonly #memory: Buffer
  readonly #lends: boolean
  readonly #most: (() => number) | undefined

  /**
   * @param bytes what one read brings at most; as much of a turn of the event loop is one busy socket's.
   * @param lends whether what arrives is a view, which holds something else once the event loop goes on. Else it may be kept: small
   * reads are copied, and a socket that reads much gets other memory for each.
   * @param most how much of that it is now, asked after each read; only for what is lent.
   */
  constructor({
    bytes,
    lends,
    most,
  }: { readonly bytes: number; readonly lends: boolean; readonly most?: () => number }) {
    this.#memory = Buffer.allocUnsafeSlow(bytes)
    this.#lends = lends
    this.#most = most
  }

  /**
   * From now on `onRead` gets what arrives. What was read before still comes as `data`.
   * `done`, where there is one, may be called when nobody looks at the bytes any more: they hold another read of the same socket from then on,
   * never one of another. Else V8 has to collect them.
   * Returns false, and changes nothing, where this stream or this Node cannot do that.
   */
  take(stream: Duplex, onRead: (bytes: Buffer, done: (() => void) | undefined) => void): boolean {
    if (!(stream instanceof Socket)) return false
    const handle: unknown = Reflect.get(stream, '_handle')
    const symbols = Object.getOwnPropertySymbols(stream)
    const [memory, next, callback] = ['kBuffer', 'kBufferGen', 'kBufferCb'].map((name) =>
      symbols.find((symbol) => symbol.description === name),
    )
    if (typeof handle !== 'object' || handle === null) return false
    if (memory === undefined || next === undefined || callback === undefined) return false
    const use: unknown = Reflect.get(handle, 'useUserBuffer')
    if (typeof use !== 'function') return false
    const shared = this.#memory
    const own = new OwnMemory(shared.length)
    let now = shared
    let full = 0
    const goOn = () => {
      if (!stream.isPaused() && !stream.destroyed) stream.resume()
    }
    Reflect.set(stream, memory, now)
    const most = this.#most
    if (!this.#lends || most !== undefined) Reflect.set(stream, next, () => now)
    Reflect.set(stream, callback, (length: number) => {
      if (this.#lends) {
        onRead(now.subarray(0, length), undefined)
        const size = most?.() ?? now.length
        if (size !== now.length) now = shared.subarray(0, size)
      } else if (length > SMALL) {
        // Memory of its own is handed over, and the next read needs other.
        let filled = now
        if (filled === shared) {
          filled = own.next()
          shared.copy(filled, 0, 0, length)
        }
        onRead(filled.subarray(0, length), own.lend(filled))
        now = own.next()
      } else {
        const bytes = Buffer.from(now.subarray(0, length))
        own.forget()
        now = shared
        onRead(bytes, undefined)
      }
      full = length < shared.length ? 0 : full + 1
      if (this.#lends || full < MOST_FULL) return true
      full = 0
      setImmediate(goOn)
      return false
    })
    Reflect.apply(use, handle, [now])
    return true
  }
}

/** What one socket's large reads land in, again and again. */
class OwnMemory {
  readonly #bytes: number
  /** Was read into, and nobody looks at it any more. */
  #free: Buffer[] = []

  constructor(bytes: number) {
    this.#bytes = bytes
  }

  next(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#bytes)
  }

  /** What gives it back, once: whoever says it twice must not take what holds another read by then. */
  lend(memory: Buffer): () => void {
    let isHeld = true
    return () => {
      if (isHeld && this.#free.length < MOST_FREE) this.#free.push(memory)
      isHeld = false
    }
  }

  /** A socket that reads little keeps nothing. */
  forget(): void {
    if (this.#free.length > 0) this.#free = []
  }
}
