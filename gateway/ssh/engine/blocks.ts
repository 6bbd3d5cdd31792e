/** Memory for bulk packets that is used again: V8 answers some tens of megabytes of fresh buffers with a full collection on all cores. */

const SIZE = 40 * 1024
/** Less than this comes from where small buffers come from. */
const SMALLEST = 4 * 1024
const MOST = 64

export class Blocks {
  readonly #free: Buffer[] = []
  readonly #lent = new WeakSet<ArrayBufferLike>()

  /** Not zeroed. */
  take(length: number): Buffer {
    if (length < SMALLEST || length > SIZE) return Buffer.allocUnsafe(length)
    const block = this.#free.pop() ?? Buffer.allocUnsafeSlow(SIZE)
    this.#lent.add(block.buffer)
    return block.subarray(0, length)
  }

  /** Only when nobody will look at these bytes any more. Bytes that are not from here are left alone; what is never given back is collected. */
  release(bytes: Uint8Array): void {
    if (this.#lent.delete(bytes.buffer) && this.#free.length < MOST) this.#free.push(Buffer.from(bytes.buffer))
  }

  /** The same bytes in memory that may be kept for as long as anybody likes. */
  keep(bytes: Buffer): Buffer {
    if (!this.#lent.has(bytes.buffer)) return bytes
    const copy = Buffer.from(bytes)
    this.release(bytes)
    return copy
  }
}
