/** Memory for bulk packets that is used again: V8 answers some tens of megabytes of fresh buffers with a full collection on all cores. */

export class Blocks {
  readonly #size: number
  readonly #most: number
  readonly #free: Buffer[] = []

  /** @param most so many are kept while nobody needs them. */
  constructor(size: number, most: number) {
    this.#size = size
    this.#most = most
  }

  /** A whole block, not zeroed. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size)
  }

  /** Each block that was taken, at most once, when nobody will look at it any more. */
  release(block: Buffer): void {
    if (this.#free.length < this.#most) this.#free.push(block)
  }
}
