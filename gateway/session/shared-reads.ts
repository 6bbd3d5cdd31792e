/**
 * Node gives each read of a socket fresh memory of 64 KiB and a stream's whole ceremony. Here a socket's reads land in memory that is used again
 * (what `onread` of `net.connect` does, which accepted sockets and TLS do not offer), and small ones are copied out of it.
 */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

const READ = 64 * 1024
/** Up to here a copy into pooled memory is cheaper than memory of one's own. */
const SMALL = 4096

/** One piece of memory for the small reads of all sockets that share it; a socket that reads much gets fresh memory for each read. */
export class SharedReads {
  readonly #memory = Buffer.allocUnsafeSlow(READ)

  /**
   * From now on `onRead` gets what arrives, to keep. What was read before still comes as `data`.
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
    let now = this.#memory
    Reflect.set(stream, memory, now)
    Reflect.set(stream, next, () => now)
    Reflect.set(stream, callback, (length: number) => {
      const bytes = now.subarray(0, length)
      if (length <= SMALL) {
        now = this.#memory
        onRead(Buffer.from(bytes))
      } else if (now === this.#memory) {
        now = Buffer.allocUnsafeSlow(READ)
        onRead(Buffer.from(bytes))
      } else {
        now = Buffer.allocUnsafeSlow(READ)
        onRead(bytes)
      }
      return true
    })
    Reflect.apply(use, handle, [now])
    return true
  }
}
