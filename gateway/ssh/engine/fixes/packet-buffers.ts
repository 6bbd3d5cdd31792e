/**
 * ssh2 1.17.0 asks the system for random padding and for fresh memory for every packet; together an eighth of the time of a bulk transfer.
 * Padding is taken from a block of random bytes, each used once; ciphers that do not encrypt in place share one buffer, since a packet
 * is filled and encrypted without anything in between; the others go to the socket themselves, in memory that comes back when it has them. Must run before kex.js is loaded.
 */
import { randomFillSync } from 'node:crypto'
import type { Blocks } from '../blocks.ts'
import type { CryptoModule } from '../ssh2-types.ts'

type Shape = { readonly total: number; readonly length: number; readonly padding: number }
type Allocate = (payloadLength: number) => Buffer

const RANDOM = 16 * 1024
const LARGEST = 40 * 1024
/** Bulk packets have few lengths; the others are left to ssh2. */
const SHAPES = 64

/** Packets of ciphers that encrypt in place are to be given back to `blocks` once they are written. */
export function usePacketBuffers(crypto: CryptoModule, blocks: Blocks): void {
  const { createCipher } = crypto
  const shared = Buffer.allocUnsafeSlow(LARGEST)
  const random = Buffer.allocUnsafeSlow(RANDOM)
  let used = RANDOM

  crypto.createCipher = (config) => {
    const cipher = createCipher(config)
    const allocate: unknown = Reflect.get(cipher, 'allocPacket')
    if (typeof allocate === 'function')
      Reflect.set(
        cipher,
        'allocPacket',
        allocator(cipher, (length) => Reflect.apply(allocate, cipher, [length]) as Buffer),
      )
    return cipher
  }

  function allocator(cipher: object, allocate: Allocate): Allocate {
    // The compiled ciphers encrypt in place, and the packet itself goes to the socket.
    const isInPlace = Reflect.has(cipher, '_instance')
    const shapes = new Map<number, Shape>()
    return (payloadLength) => {
      const shape = shapes.get(payloadLength)
      if (shape === undefined) {
        const packet = allocate(payloadLength)
        if (shapes.size < SHAPES && packet.length <= LARGEST)
          shapes.set(payloadLength, { total: packet.length, length: packet.readUInt32BE(), padding: packet[4] ?? 0 })
        return packet
      }
      const packet = isInPlace ? blocks.take(shape.total) : shared.subarray(0, shape.total)
      packet.writeUInt32BE(shape.length)
      packet[4] = shape.padding
      pad(packet, 5 + payloadLength, shape.padding)
      return packet
    }
  }

  function pad(packet: Buffer, at: number, length: number): void {
    if (used + length > RANDOM) {
      randomFillSync(random)
      used = 0
    }
    random.copy(packet, at, used, used + length)
    used += length
  }
}
