/**
 * Node gives each read of a socket fresh memory, which somebody has to collect. All sockets read into one piece of memory instead: what `onread`
 * of `net.connect` does, which accepted sockets do not offer.
 */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** What one read brings at most; as much of a turn of the event loop is one busy socket's. */
export const READ: number = 256 * 1024

/** One piece of memory for the reads of all sockets. */
export class SharedReads {
  readonly #memory = Buffer.allocUnsafeSlow(READ)

  /**
   * From now on `onRead` gets what arrives: a view that holds something else once the event loop goes on. What was read before still comes as `data`.
   * Returns false, and changes nothing, where this stream or this Node cannot do that.
   */
  take(stream: Duplex, onRead: (bytes: Buffer) => void): boolean {
    if (!(stream instanceof Socket)) return false
    const handle: unknown = Reflect.get(stream, '_handle')
    const symbols = Object.getOwnPropertySymbols(stream)
    const memory = symbols.find((symbol) => symbol.description === 'kBuffer')
    const callback = symbols.find((symbol) => symbol.description === 'kBufferCb')
    if (typeof handle !== 'object' || handle === null || memory === undefined || callback === undefined) return false
    const use: unknown = Reflect.get(handle, 'useUserBuffer')
    if (typeof use !== 'function') return false
    Reflect.set(stream, memory, this.#memory)
    Reflect.set(stream, callback, (length: number) => {
      onRead(this.#memory.subarray(0, length))
      return true
    })
    Reflect.apply(use, handle, [this.#memory])
    return true
  }
}
