/** The last output of a shell, by position: what a browser that comes back has not seen yet, and some of what it has. */

export class KeptOutput {
  readonly #ring: Buffer
  #end = 0

  constructor(size: number) {
    // Not from the pool: it lives as long as the shell, and the system gives memory only to what is written.
    this.#ring = Buffer.allocUnsafeSlow(size)
  }

  /** The first position that is still here. */
  get start(): number {
    return Math.max(0, this.#end - this.#ring.length)
  }

  /** One behind the last. */
  get end(): number {
    return this.#end
  }

  /** Takes a copy. The oldest goes when there is no room. */
  write(bytes: Buffer): void {
    const { length } = this.#ring
    const last = bytes.length > length ? bytes.subarray(bytes.length - length) : bytes
    const at = (this.#end + bytes.length - last.length) % length
    const first = Math.min(last.length, length - at)
    last.copy(this.#ring, at, 0, first)
    last.copy(this.#ring, 0, first)
    this.#end += bytes.length
  }

  /** A copy of everything from there on. */
  since(from: number): Buffer {
    const { length } = this.#ring
    const begin = Math.max(from, this.start)
    const count = this.#end - begin
    const at = begin % length
    const first = this.#ring.subarray(at, Math.min(at + count, length))
    return Buffer.concat([first, this.#ring.subarray(0, count - first.length)])
  }
}
