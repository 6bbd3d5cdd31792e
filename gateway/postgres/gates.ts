/** Bytes for the target, in order; those behind a gate wait until it is opened, that is, until their statement is in the journal. */
import type { Writable } from 'node:stream'
import type { Whole } from './frontend.ts'

/** Neighbours in memory behind one gate are one item. */
type Item = { readonly gate: number; readonly memory: Buffer; readonly start: number; end: number }

/** Small pieces are joined rather than written one by one. */
const JOINED_BYTES = 64 * 1024

export class Gates {
  readonly #to: Writable
  readonly #onFull: () => void
  #items: Item[] = []
  #last = 0
  #opened = 0
  #bytes = 0
  #scheduled = false

  /** @param onFull called when the writable wants a pause. */
  constructor(to: Writable, onFull: () => void) {
    this.#to = to
    this.#onFull = onFull
  }

  get waitingBytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#items.length === 0
  }

  /** A message that waits for a gate of its own. @returns the gate. */
  hold(message: Whole): number {
    this.#last += 1
    this.append(message)
    return this.#last
  }

  /** The last gate so far. */
  gate(): number {
    return this.#last
  }

  /** A message that goes as soon as the last gate before it is open. */
  add(message: Whole): void {
    this.append(message)
    if (this.#last <= this.#opened) this.#schedule()
  }

  /** The same, for one that the server does not answer before more has come: it goes with what follows. */
  append({ memory, start, end }: Whole): void {
    const before = this.#items.at(-1)
    if (before !== undefined && before.memory === memory && before.end === start && before.gate === this.#last)
      before.end = end
    else this.#items.push({ gate: this.#last, memory, start, end })
    this.#bytes += end - start
    if (this.#bytes > JOINED_BYTES && this.#last <= this.#opened) this.#schedule()
  }

  /** Opens this gate and all before it. */
  open(gate: number): void {
    if (gate > this.#opened) this.#opened = gate
    if (this.#opened >= this.#last) this.flush()
    else this.#schedule()
  }

  /** Once per turn: what several statements of one chunk opened goes out in one write. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  flush(): void {
    const pieces = this.#take()
    if (pieces.length === 0 || this.#to.destroyed || this.#to.writableEnded) return
    if (!this.#write(pieces)) this.#onFull()
  }

  /** All whose gate is open; neighbours become one piece. */
  #take(): readonly Buffer[] {
    const items = this.#items
    const pieces: Buffer[] = []
    let count = 0
    for (let item = items[0]; item !== undefined && item.gate <= this.#opened; item = items[count]) {
      const { memory, start } = item
      let to = item.end
      count += 1
      for (let next = items[count]; next !== undefined; next = items[count]) {
        if (next.gate > this.#opened || next.memory !== memory || next.start !== to) break
        to = next.end
        count += 1
      }
      this.#bytes -= to - start
      pieces.push(start === 0 && to === memory.length ? memory : memory.subarray(start, to))
    }
    if (count === items.length) this.#items = []
    else if (count > 0) this.#items = items.slice(count)
    return pieces
  }

  #write(pieces: readonly Buffer[]): boolean {
    const [first] = pieces
    if (first !== undefined && pieces.length === 1) return this.#to.write(first)
    const size = pieces.reduce((sum, { length }) => sum + length, 0)
    if (size <= JOINED_BYTES) return this.#to.write(Buffer.concat(pieces, size))
    let room = true
    this.#to.cork()
    for (const piece of pieces) room = this.#to.write(piece)
    this.#to.uncork()
    return room
  }

  /** Nothing that waits will go. */
  drop(): void {
    this.#items = []
    this.#bytes = 0
    this.#last += 1
  }
}
