/**
 * Input that was not echoed is a password: its length is kept, its bytes are not. Sans-IO.
 * An aid against secrets in recordings, not a boundary: a program that echoes a secret has shown it, and then it is recorded.
 *
 * Printable input waits until the output shows it; what follows it waits too, so that the recording keeps the order of the keys.
 * Where a line editor (bracketed paste) or a full-screen program (alternate screen) draws for itself, input is recorded at once,
 * unless the last line shown looks like a question for a secret.
 */
import type { Moment } from '../model/moment.ts'
import { asksForSecret, Screen, visibleLines } from './screen.ts'

export type Emit = (kind: 'i' | 'k', data: Buffer | string, at: Moment) => void

/** What a crash may still reveal: bytes (`i`), or only how many they were (`k`). */
export type Held = { readonly kind: 'i' | 'k'; readonly at: Moment; readonly data: Buffer }

type Item = {
  readonly text: boolean
  readonly bytes: Buffer
  readonly at: Moment
  /** Typed after a question for a secret. */
  readonly secret: boolean
}

const ECHO_MS = 5_000
/** After the line was sent its echo has had its time. */
const LINE_ECHO_MS = 1_000
/** Younger input than this may be revealed after a crash. */
export const REVEAL_MS = 500
/** Lines at each edge of a chunk that are compared with what is held; a flood of tiny ones would cost more than it says. */
const MAX_LINES = 128
export const MAX_HELD_BYTES = 2_048
export const MAX_HELD_ITEMS = 512

export class EchoGate {
  readonly #emit: Emit
  readonly #screen = new Screen()
  #queue: Item[] = []
  #bytes = 0

  constructor(emit: Emit) {
    this.#emit = emit
  }

  get holding(): boolean {
    return this.#queue.length > 0
  }

  input(bytes: Buffer, at: Moment): void {
    const secret = asksForSecret(this.#screen)
    const free = this.#screen.drawsItself && !secret
    if (free && this.#queue.length === 0) {
      this.#emit('i', bytes, at)
      return
    }
    for (const piece of free ? [{ text: false, bytes }] : pieces(bytes)) {
      if (!piece.text && this.#queue.length === 0) {
        this.#emit('i', piece.bytes, at)
        continue
      }
      this.#queue.push({ text: piece.text, bytes: Buffer.from(piece.bytes), at, secret })
      this.#bytes += piece.bytes.length
    }
    if (this.#bytes > MAX_HELD_BYTES || this.#queue.length > MAX_HELD_ITEMS) this.end()
  }

  /** Call before the output itself is recorded. */
  output(bytes: Buffer, at: Moment): void {
    const newline = this.#screen.show(bytes)
    const [first, second] = this.#queue
    if (first === undefined) return
    // One key and its echo: what follows would find the same, later, and somebody waits.
    if (second === undefined && !first.secret && first.bytes.equals(bytes)) {
      this.#reveal(bytes.length)
      return
    }
    const { lines, redrawn } = visibleLines(bytes)
    const isFlood = lines.length > 2 * MAX_LINES
    const edges = isFlood ? [...lines.slice(0, MAX_LINES), ...lines.slice(-MAX_LINES)] : lines
    for (const line of edges) if (line.length > 0) this.#match(line, redrawn)
    if (newline) while (this.#queue[0]?.secret === true) this.#drop(this.#runLength())
    this.tick(at)
  }

  /** Gives up on what had its time. */
  tick(now: Moment): void {
    for (;;) {
      const run = this.#runLength()
      if (run === 0) return
      const last = this.#queue[run - 1]
      const next = this.#queue[run]
      const sent = next !== undefined && isLineEnd(next.bytes) && now - next.at >= LINE_ECHO_MS
      if (!sent && (last === undefined || now - last.at < ECHO_MS)) return
      this.#drop(run)
    }
  }

  /** Nothing more will be echoed. */
  end(): void {
    while (this.#queue.length > 0) this.#drop(this.#runLength())
  }

  held(now: Moment): readonly Held[] {
    return this.#queue.map((item) =>
      item.text && (item.secret || now - item.at > REVEAL_MS)
        ? { kind: 'k', at: item.at, data: Buffer.from(String(item.bytes.length)) }
        : { kind: 'i', at: item.at, data: item.bytes },
    )
  }

  /** Number of items of printable text from there on that are all secret or all not. The queue always begins with text. */
  #runLength(from = 0): number {
    const secret = this.#queue[from]?.secret
    let n = 0
    for (let item = this.#queue[from]; item?.text === true && item.secret === secret; item = this.#queue[from + n])
      n += 1
    return n
  }

  /** One visible line of output against each run of held text. A later run that was shown means that the earlier ones were not. */
  #match(line: Buffer, redrawn: boolean): void {
    let from = 0
    while (from < this.#queue.length) {
      const length = this.#runLength(from)
      if (length > 0) {
        const run = this.#queue.slice(from, from + length)
        const shown = shownBytes(run, line, redrawn)
        if (shown > 0) {
          while (from > 0) from -= this.#dropOrPass()
          this.#reveal(shown)
          return
        }
      }
      from += Math.max(length, 1)
    }
  }

  /** Takes one step at the head of the queue; returns how many items went. */
  #dropOrPass(): number {
    const before = this.#queue.length
    this.#drop(this.#runLength())
    return before - this.#queue.length
  }

  #reveal(count: number): void {
    let left = count
    while (left > 0) {
      const item = this.#queue.shift()
      if (item === undefined) break
      const part = item.bytes.subarray(0, left)
      this.#emit('i', part, item.at)
      this.#bytes -= part.length
      if (part.length < item.bytes.length) this.#queue.unshift({ ...item, bytes: item.bytes.subarray(part.length) })
      left -= part.length
    }
    this.#pass()
  }

  /** The first `length` items were not echoed; whatever waited behind them goes out. */
  #drop(length: number): void {
    const run = this.#queue.splice(0, length)
    const count = run.reduce((sum, item) => sum + item.bytes.length, 0)
    const first = run[0]
    if (first !== undefined) this.#emit('k', String(count), first.at)
    for (const item of run) item.bytes.fill(0)
    this.#bytes -= count
    this.#pass()
  }

  #pass(): void {
    while (this.#queue[0]?.text === false) {
      const item = this.#queue.shift()
      if (item === undefined) return
      this.#emit('i', item.bytes, item.at)
      this.#bytes -= item.bytes.length
    }
  }
}

/** How many bytes of the run this line shows. */
function shownBytes(run: readonly Item[], line: Buffer, redrawn: boolean): number {
  const [first, second] = run
  if (first === undefined) return 0
  const typed = second === undefined ? first.bytes : Buffer.concat(run.map((item) => item.bytes))
  const { secret } = first
  if (typed.equals(line)) return secret && typed.every((byte) => byte === 0x2a) ? 0 : typed.length
  if (secret) return 0
  if (typed.length >= 3 || redrawn) {
    if (line.length > typed.length) {
      const starts = line.subarray(0, typed.length).equals(typed)
      return starts || line.subarray(line.length - typed.length).equals(typed) ? typed.length : 0
    }
  }
  return line.length < typed.length && typed.subarray(0, line.length).equals(line) ? line.length : 0
}

const isLineEnd = (bytes: Buffer): boolean => bytes.includes(0x0d) || bytes.includes(0x0a)

const isPrintable = (byte: number): boolean => byte >= 0x20 && byte !== 0x7f

/** Cuts input into printable text and everything else; an escape sequence stays whole. */
function* pieces(bytes: Buffer): Generator<{ readonly text: boolean; readonly bytes: Buffer }> {
  let start = 0
  let text = false
  let i = 0
  while (i < bytes.length) {
    const length = bytes[i] === 0x1b ? escapeLength(bytes, i) : 1
    const printable = isPrintable(bytes[i] ?? 0)
    if (printable !== text && i > start) {
      yield { text, bytes: bytes.subarray(start, i) }
      start = i
    }
    text = printable
    i += length
  }
  if (start < bytes.length) yield { text, bytes: bytes.subarray(start) }
}

/** Length of the key's escape sequence (CSI, SS3, or ESC and one byte) that begins at `from`. */
function escapeLength(bytes: Buffer, from: number): number {
  const second = bytes[from + 1]
  if (second === undefined) return 1
  if (second === 0x4f) return Math.min(3, bytes.length - from)
  if (second !== 0x5b) return 2
  let end = from + 2
  while (end < bytes.length && ((bytes[end] ?? 0) < 0x40 || (bytes[end] ?? 0) > 0x7e)) end += 1
  return Math.min(end + 1, bytes.length) - from
}
