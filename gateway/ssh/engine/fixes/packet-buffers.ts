/**
 * ssh2 1.17.0 asks the system for random padding and for fresh memory for every packet; together an eighth of the time of a bulk transfer.
 * Padding is taken from a block of random bytes, each used once. The ciphers that are not compiled share one buffer, since a packet
 * is filled and encrypted without anything in between. Must run before kex.js is loaded.
 */
import { randomFillSync } from 'node:crypto'
import type { CryptoModule } from '../ssh2-types.ts'

type Shape = { readonly total: number; readonly length: number; readonly padding: number }
type Allocate = (payloadLength: number) => Buffer

const RANDOM = 16 * 1024
const LARGEST = 40 * 1024
/** Bulk packets have few lengths; the others are left to ssh2. */
const SHAPES = 64

export class Padding {
  readonly #random = Buffer.allocUnsafeSlow(RANDOM)
  #used = RANDOM

  /** At most 255 bytes. */
  fill(packet: Buffer, at: number, length: number): void {
    if (this.#used + length > RANDOM) {
      randomFillSync(this.#random)
      this.#used = 0
    }
    this.#random.copy(packet, at, this.#used, this.#used + length)
    this.#used += length
  }
}

export function usePacketBuffers(crypto: CryptoModule, padding: Padding): void {
  const { createCipher } = crypto
  const shared = Buffer.allocUnsafeSlow(LARGEST)

  crypto.createCipher = (config) => {
    const cipher = createCipher(config)
    const allocate: unknown = Reflect.get(cipher, 'allocPacket')
    // The compiled ones that are left hand their packet itself on to be written.
    if (typeof allocate === 'function' && !Reflect.has(cipher, '_instance'))
      Reflect.set(
        cipher,
        'allocPacket',
        allocator((length) => Reflect.apply(allocate, cipher, [length]) as Buffer),
      )
    return cipher
  }

  function allocator(allocate: Allocate): Allocate {
    const shapes = new Map<number, Shape>()
    return (payloadLength) => {
      const shape = shapes.get(payloadLength)
      if (shape === undefined) {
        const packet = allocate(payloadLength)
        if (shapes.size < SHAPES && packet.length <= LARGEST)
          shapes.set(payloadLength, { total: packet.length, length: packet.readUInt32BE(), padding: packet[4] ?? 0 })
        return packet
      }
      const packet = shared.subarray(0, shape.total)
      packet.writeUInt32BE(shape.length)
      packet[4] = shape.padding
      padding.fill(packet, 5 + payloadLength, shape.padding)
      return packet
    }
  }
}
