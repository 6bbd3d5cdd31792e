/** Bytes for the target, in order; those behind a gate wait until it is opened, that is, until their statement is in the journal. */
import type { Writable } from 'node:stream'

type Item = { readonly gate: number; readonly bytes: Buffer }

/** Small neighbours are joined rather than written one by one. */
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

  /** Bytes that wait for a gate of their own. @returns the gate. */
  hold(bytes: Buffer): number {
    this.#last += 1
    this.append(bytes)
    return this.#last
  }

  /** The last gate so far. */
  gate(): number {
    return this.#last
  }

  /** Bytes that go as soon as the last gate before them is open. */
  add(bytes: Buffer): void {
    this.append(bytes)
    if (this.#last <= this.#opened) this.#schedule()
  }

  /** The same, for bytes that the server does not answer before more has come: they go with what follows. */
  append(bytes: Buffer): void {
    this.#items.push({ gate: this.#last, bytes })
    this.#bytes += bytes.length
    if (this.#bytes > JOINED_BYTES && this.#last <= this.#opened) this.#schedule()
  }

  /** Opens this gate and all before it. */
  open(gate: number): void {
    if (gate > this.#opened) this.#opened = gate
    this.#schedule()
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
    let count = 0
    let size = 0
    for (const item of this.#items) {
      if (item.gate > this.#opened) break
      count += 1
      size += item.bytes.length
    }
    if (count === 0) return
    const ready = this.#items.slice(0, count)
    this.#items = this.#items.slice(count)
    this.#bytes -= size
    if (this.#to.destroyed || this.#to.writableEnded) return
    if (!this.#write(ready, size)) this.#onFull()
  }

  #write(ready: readonly Item[], size: number): boolean {
    const [first, ...more] = ready
    if (first !== undefined && more.length === 0) return this.#to.write(first.bytes)
    if (first !== undefined && areNeighbours(ready))
      return this.#to.write(Buffer.from(first.bytes.buffer, first.bytes.byteOffset, size))
    if (size <= JOINED_BYTES)
      return this.#to.write(
        Buffer.concat(
          ready.map(({ bytes }) => bytes),
          size,
        ),
      )
    let room = true
    this.#to.cork()
    for (const { bytes } of ready) room = this.#to.write(bytes)
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

/** Messages of one chunk lie side by side in memory: together they are the chunk again. */
function areNeighbours(items: readonly Item[]): boolean {
  let end = -1
  let memory: unknown
  for (const { bytes } of items) {
    if (end >= 0 && (bytes.buffer !== memory || bytes.byteOffset !== end)) return false
    memory = bytes.buffer
    end = bytes.byteOffset + bytes.length
  }
  return true
}
