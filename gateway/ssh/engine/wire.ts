/** Reading and writing the data types of RFC 4251 §5. */
import { MalformedMessage } from '../../model/refusal.ts'

export class Reader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  byte(): number {
    return this.#take(1)[0] ?? 0
  }

  boolean(): boolean {
    return this.byte() !== 0
  }

  uint32(): number {
    return this.#take(4).readUInt32BE()
  }

  /** The uint32 that comes next. */
  peek(): number {
    return new Reader(this.#bytes, this.#at).uint32()
  }

  uint64(): bigint {
    return this.#take(8).readBigUInt64BE()
  }

  /** A view, not a copy. */
  string(limit = 64 * 1024): Buffer {
    const length = this.uint32()
    if (length > limit) throw new MalformedMessage(`A string of ${length} bytes where at most ${limit} may stand.`)
    return this.#take(length)
  }

  /** Throws on bytes that are not UTF-8. */
  text(limit = 64 * 1024): string {
    const bytes = this.string(limit)
    const text = bytes.toString('utf8')
    if (text.includes('\ufffd') && !Buffer.from(text).equals(bytes))
      throw new MalformedMessage('Text that is not UTF-8.')
    return text
  }

  rest(): Buffer {
    return this.#take(this.left)
  }

  end(): void {
    if (this.left !== 0) throw new MalformedMessage(`${this.left} bytes too many.`)
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new MalformedMessage('A message that ends too early.')
    const view = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return view
  }
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

export function uint64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

export const byte = (value: number): Buffer => Buffer.from([value])

export function string(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([uint32(bytes.length), bytes])
}

export const message = (type: number, ...fields: readonly Uint8Array[]): Buffer =>
  Buffer.concat([byte(type), ...fields])
