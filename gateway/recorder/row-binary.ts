/** Rows in ClickHouse's RowBinary format: values one after the other, little endian, strings with a LEB128 length. */
import type { EventKind } from '../model/event.ts'

const KINDS: Readonly<Record<EventKind, number>> = { o: 1, i: 2, r: 3, m: 4, x: 5, e: 6, k: 7, s: 8, d: 9, f: 10 }

export const isEventKind = (kind: string): kind is EventKind => Object.hasOwn(KINDS, kind)

export class Rows {
  #bytes: Buffer = Buffer.allocUnsafe(64 * 1024)
  #length = 0
  count = 0

  /** Begins anew in the same memory: what {@link bytes} gave before is no longer valid. */
  clear(): void {
    this.#length = 0
    this.count = 0
  }

  /** What was written so far; valid until the next row. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** id · seq · ms: how every table of ours begins. */
  begin(id: Buffer, seq: number, at: number, more: number): void {
    this.#room(28 + more)
    const bytes = this.#bytes
    const start = this.#length
    // A UUID is two numbers of 64 bits.
    for (let i = 0; i < 8; i++) {
      bytes[start + i] = id[7 - i] ?? 0
      bytes[start + 8 + i] = id[15 - i] ?? 0
    }
    bytes.writeUInt32LE(seq, start + 16)
    bytes.writeUIntLE(at, start + 20, 6)
    bytes.writeUInt16LE(0, start + 26)
    this.#length = start + 28
    this.count += 1
  }

  kind(kind: EventKind): void {
    this.#bytes[this.#length] = KINDS[kind]
    this.#length += 1
  }

  /** UInt16 and Int8. */
  small(first: number, second: number): void {
    this.#bytes.writeUInt16LE(first, this.#length)
    this.#bytes.writeInt8(second, this.#length + 2)
    this.#length += 3
  }

  string(data: Buffer): void {
    let left = data.length
    while (left > 0x7f) {
      this.#bytes[this.#length++] = (left & 0x7f) | 0x80
      left >>>= 7
    }
    this.#bytes[this.#length++] = left
    this.fixed(data)
  }

  fixed(data: Buffer): void {
    this.#length += data.copy(this.#bytes, this.#length)
  }

  #room(more: number): void {
    const need = this.#length + more
    if (need <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(need, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
