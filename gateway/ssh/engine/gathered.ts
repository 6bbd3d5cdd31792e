/** Bytes that wait, put together: many tiny packets take no more memory than they are long. */

/** `length` bytes of it are filled. */
type Block = { readonly bytes: Buffer; length: number }

export class Gathered {
  readonly #take: (length: number) => Buffer
  readonly #blocks: Block[] = []

  /** @param take memory for at least so many bytes. */
  constructor(take: (length: number) => Buffer) {
    this.#take = take
  }

  get isEmpty(): boolean {
    return this.#blocks.length === 0
  }

  /** Copies them. */
  add(bytes: Buffer): void {
    let last = this.#blocks.at(-1)
    if (last === undefined || last.bytes.length - last.length < bytes.length) {
      last = { bytes: this.#take(bytes.length), length: 0 }
      this.#blocks.push(last)
    }
    last.bytes.set(bytes, last.length)
    last.length += bytes.length
  }

  /** What came first. */
  next(): Readonly<Block> | undefined {
    return this.#blocks.shift()
  }
}
