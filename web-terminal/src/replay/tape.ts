/** Everything that is known of one session, in order, on two clocks: as it was, and with long pauses squeezed. */
import type { Mark, Size } from './cast.ts'

export class Tape {
  #size: Size
  #marks: Mark[] = []
  /** Squeezed seconds of each mark. */
  #times: number[] = []
  /** Longest pause in seconds; 0: as they were. */
  #idle: number
  #listeners = new Set<() => void>()

  constructor(size: Size, idle: number) {
    this.#size = size
    this.#idle = idle
  }

  /** Of the screen at the start. */
  get size(): Size {
    return this.#size
  }

  get idle(): number {
    return this.#idle
  }

  get marks(): readonly Mark[] {
    return this.#marks
  }

  get length(): number {
    return this.#times.at(-1) ?? 0
  }

  /** The recording itself knows the size better than its session. */
  begin(size: Size): void {
    this.#size = size
  }

  /** Marks in any order among themselves; they come after what is there. */
  add(marks: readonly Mark[]): void {
    if (marks.length === 0) return
    const from = this.#marks.length
    this.#marks = [...this.#marks, ...marks.toSorted((a, b) => a.seconds - b.seconds)]
    this.#time(from)
  }

  squeeze(idle: number): void {
    this.#idle = idle
    this.#time(0)
  }

  /** Squeezed time of a moment of the session. */
  timeOf(seconds: number): number {
    const index = this.#lastUntil(seconds)
    const mark = this.#marks[index]
    if (mark === undefined) return 0
    return (this.#times[index] ?? 0) + this.#pause(seconds - mark.seconds)
  }

  /** Squeezed time of the mark with that number. */
  timeAt(index: number): number {
    return this.#times[index] ?? this.length
  }

  /** Called after the tape has grown or its times have changed. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Number of the last mark that is not after that moment; -1: none. Marks are in order, and there may be a million. */
  #lastUntil(seconds: number): number {
    let low = 0
    let high = this.#marks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#marks[middle]?.seconds ?? 0) <= seconds) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #pause(seconds: number): number {
    return this.#idle === 0 ? seconds : Math.min(seconds, this.#idle)
  }

  #time(from: number): void {
    this.#times.length = from
    let before = from === 0 ? 0 : (this.#marks[from - 1]?.seconds ?? 0)
    let time = this.#times.at(-1) ?? 0
    for (let index = from; index < this.#marks.length; index += 1) {
      const { seconds } = this.#marks[index] ?? { seconds: before }
      time += this.#pause(Math.max(0, seconds - before))
      before = Math.max(before, seconds)
      this.#times.push(time)
    }
    for (const listener of this.#listeners) listener()
  }
}
