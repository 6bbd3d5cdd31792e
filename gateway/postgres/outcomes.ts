/**
 * What became of statements, on its way to the recording: it goes with the session's next statement, or a moment later by itself,
 * so that a busy session costs the journal one write per statement and not two.
 */
import type { OutcomeRecord } from '../model/event.ts'

const LATEST_MS = 5
const MOST = 100

export class Outcomes {
  readonly #note: (outcome: OutcomeRecord) => void
  #waiting: OutcomeRecord[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(note: (outcome: OutcomeRecord) => void) {
    this.#note = note
  }

  add(outcome: OutcomeRecord): void {
    this.#waiting.push(outcome)
    if (this.#waiting.length >= MOST) this.flush()
    // Left to run when all was taken earlier: a busy session would set one for every statement.
    else
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.flush()
      }, LATEST_MS)
  }

  /** Before anything else of the session is recorded, and at its end. */
  flush(): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const outcome of waiting) this.#note(outcome)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.flush()
  }
}
