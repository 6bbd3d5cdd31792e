/**
 * A browser in the place of an SSH client: output has a window that what was drawn opens again, and stays while the line is lost,
 * so that nothing is thrown away that no screen has shown. While the window is shut, the target waits.
 */
import type { ClientLeg } from '../engine/client-leg.ts'
import { KeptOutput } from './kept-output.ts'

/** Output on its way to the screen. */
export const WINDOW = 512 * 1024
/** What was drawn already, for a page that was loaded anew. */
const TAIL = 256 * 1024

type Waiting = { readonly bytes: Buffer; at: number; readonly sent: (() => void) | undefined } | (() => void)

export class BrowserLeg implements ClientLeg {
  readonly receivedEof = false
  readonly #kept = new KeptOutput(WINDOW + TAIL)
  readonly #waiting: Waiting[] = []
  readonly #credited: (length: number) => void
  readonly #closed: () => void
  #line: ((bytes: Buffer) => void) | undefined
  #drawn = 0
  #isOpen = true
  #sentEof = false

  constructor(parts: {
    /** So many bytes of input were passed on. */
    readonly credited: (length: number) => void
    /** Once; nothing more comes from the target. */
    readonly closed: () => void
  }) {
    this.#credited = parts.credited
    this.#closed = parts.closed
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  get drawn(): number {
    return this.#drawn
  }

  /** Everything from `from` on; where that is not known, everything that is kept. */
  missed(from: number | undefined): { readonly at: number; readonly bytes: Buffer } {
    const { start, end } = this.#kept
    const at = from !== undefined && from >= start && from <= end ? from : start
    return { at, bytes: this.#kept.since(at) }
  }

  /** Where output goes from now on; undefined: it is only kept. */
  follow(line: ((bytes: Buffer) => void) | undefined): void {
    this.#line = line
  }

  /** Positions count from the first byte of output. What cannot be true is ignored. */
  noteDrawn(position: number): void {
    if (position <= this.#drawn || position > this.#kept.end) return
    this.#drawn = position
    this.#pump()
  }

  send(bytes: Buffer, _stream: 0 | 1, sent?: () => void): void {
    if (!this.#isOpen || this.#sentEof) return
    this.#waiting.push({ bytes, at: 0, sent })
    this.#pump()
  }

  after(run: () => void): void {
    if (!this.#isOpen) return
    this.#waiting.push(run)
    this.#pump()
  }

  drop(): void {
    this.#waiting.length = 0
  }

  credit(length: number): void {
    this.#credited(length)
  }

  eof(): void {
    this.after(() => {
      this.#sentEof = true
    })
  }

  close(): void {
    this.after(() => this.closeNow())
  }

  closeNow(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#waiting.length = 0
    // As on a wire: nobody hears of it while they still speak.
    queueMicrotask(this.#closed)
  }

  abandon(): void {
    this.closeNow()
  }

  /** Exit status and the like: a browser is told of the end by what is known then. */
  tell(): void {
    return undefined
  }

  #pump(): void {
    while (this.#isOpen) {
      const next = this.#waiting[0]
      if (next === undefined) return
      if (typeof next === 'function') {
        this.#waiting.shift()
        next()
        continue
      }
      const room = WINDOW - (this.#kept.end - this.#drawn)
      const piece = next.bytes.subarray(next.at, next.at + room)
      if (piece.length === 0 && next.at < next.bytes.length) return
      this.#kept.write(piece)
      // A copy: its memory is given back once it is sent, and the line may hold it for longer.
      if (piece.length > 0) this.#line?.(Buffer.from(piece))
      next.at += piece.length
      if (next.at < next.bytes.length) continue
      this.#waiting.shift()
      next.sent?.()
    }
  }
}
