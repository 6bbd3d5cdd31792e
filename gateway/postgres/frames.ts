/** Messages of a server, whole, one after the other. Where bytes only pass, backend.ts is faster. */
import { MalformedMessage } from '../model/refusal.ts'

export type Frame = { readonly type: string; readonly bytes: Buffer }

/** PostgreSQL's own limit of a field. */
const MAX_LENGTH = 0x3fff_ffff

export class Frames {
  #parts: Buffer[] = []
  #held = 0
  #wanted = 5;

  /** @throws {MalformedMessage} */
  *push(chunk: Buffer): Generator<Frame, void, void> {
    this.#parts.push(chunk)
    this.#held += chunk.length
    if (this.#held < this.#wanted) return
    const [only] = this.#parts
    const bytes = this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts, this.#held)
    let at = 0
    this.#wanted = 5
    while (bytes.length - at >= 5) {
      const length = bytes.readInt32BE(at + 1)
      if (length < 4 || length > MAX_LENGTH) throw new MalformedMessage(`message length ${length}`)
      this.#wanted = length + 1
      if (bytes.length - at < this.#wanted) break
      const end = at + this.#wanted
      this.#wanted = 5
      const whole = bytes.subarray(at, end)
      at = end
      yield { type: String.fromCharCode(whole[0] ?? 0), bytes: whole }
    }
    this.#parts = at === bytes.length ? [] : [bytes.subarray(at)]
    this.#held = bytes.length - at
  }
}
