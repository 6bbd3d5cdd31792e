/**
 * Node gives each read of a socket fresh memory, which somebody has to collect, and a stream's whole ceremony. Here the reads of many sockets land
 * in one piece of memory: what `onread` of `net.connect` does, which accepted sockets and TLS do not offer.
 */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** Up to here a copy into pooled memory is cheaper than memory of one's own. */
const SMALL = 4096

export class SharedReads {
  readonly #memory: Buffer
  readonly #lends: boolean

  /**
   * @param bytes what one read brings at most; as much of a turn of the event loop is one busy socket's.
   * @param lends whether what arrives is a view, which holds something else once the event loop goes on. Else it may be kept: small
   * reads are copied, and a socket that reads much gets fresh memory for each.
   */
  constructor({ bytes, lends }: { readonly bytes: number; readonly lends: boolean }) {
    this.#memory = Buffer.allocUnsafeSlow(bytes)
    this.#lends = lends
  }

  /**
   * From now on `onRead` gets what arrives. What was read before still comes as `data`.
   * Returns false, and changes nothing, where this stream or this Node cannot do that.
   */
  take(stream: Duplex, onRead: (bytes: Buffer) => void): boolean {
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
    let now = shared
    Reflect.set(stream, memory, now)
    if (!this.#lends) Reflect.set(stream, next, () => now)
    Reflect.set(stream, callback, (length: number) => {
      const bytes = now.subarray(0, length)
      if (this.#lends) onRead(bytes)
      else {
        // Memory of its own is handed over, and the next read needs other.
        const isOwn = now !== shared
        now = length <= SMALL ? shared : Buffer.allocUnsafeSlow(shared.length)
        onRead(isOwn && length > SMALL ? bytes : Buffer.from(bytes))
      }
      return true
    })
    Reflect.apply(use, handle, [now])
    return true
  }
}
