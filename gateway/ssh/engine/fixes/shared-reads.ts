/**
 * Node gives each read of a socket fresh memory, and ssh2 1.17.0 each packet as well: a third of the time of a bulk transfer went into collecting them.
 * All sockets read into one piece of memory instead (what `onread` of `net.connect` does, which accepted sockets do not offer), and the
 * compiled ciphers decrypt in blocks that are given back. Must run before kex.js is loaded.
 */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Blocks } from '../blocks.ts'
import type { CryptoModule } from '../ssh2-types.ts'

const READ = 64 * 1024
const OWNS_INPUT = Symbol('keeps nothing of what it is given')

/** Deciphers that are compiled take what they are given into blocks of their own. */
export function useOwnPackets(crypto: CryptoModule, blocks: Blocks): void {
  const { createDecipher } = crypto
  crypto.createDecipher = (config) => {
    const decipher = createDecipher(config)
    return Reflect.has(decipher, '_instance') && Reflect.has(decipher, '_packet') ? own(decipher, blocks) : decipher
  }
}

/** Whether what was given to this decipher may change after it has returned. */
export const ownsInput = (decipher: object): boolean => Reflect.has(decipher, OWNS_INPUT)

function own(decipher: object, blocks: Blocks): object {
  let packet: Buffer | undefined
  Object.defineProperty(decipher, OWNS_INPUT, { value: true })
  Object.defineProperty(decipher, '_packet', {
    // Asked for while there is none: the first piece of a packet has come.
    get: () => (packet ??= blocks.take(Reflect.get(decipher, '_len') as number)),
    set: (whole: Uint8Array | null) => {
      packet = undefined
      if (whole === null) return
      packet = blocks.take(whole.length)
      packet.set(whole)
    },
  })
  return decipher
}

/** One piece of memory for the reads of all sockets. */
export class SharedReads {
  readonly #memory = Buffer.allocUnsafeSlow(READ)

  /**
   * From now on `onRead` gets what arrives: a view that holds something else once it has returned. What was read before still comes as `data`.
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
