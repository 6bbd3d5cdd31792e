/** Whether there is room for another session: what the journals hold, and what the disk has left. Looked at at most once a second. */
import { readdirSync, statfsSync, statSync } from 'node:fs'
import path from 'node:path'
import type { Clock } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'

export type JournalLimits = {
  /** New sessions are refused while all journals together hold more than this. */
  readonly maxJournalBytes: number
  /** New sessions are refused while the disk has less than this left. */
  readonly minFreeBytes: number
}

const LOOK_MS = 1_000

export class Space {
  readonly #dir: string
  readonly #limits: JournalLimits
  readonly #clock: Clock
  #lookedAt = Number.NEGATIVE_INFINITY
  #refusal: Refusal | undefined

  constructor(parts: { readonly dir: string; readonly limits: JournalLimits; readonly clock: Clock }) {
    this.#dir = parts.dir
    this.#limits = parts.limits
    this.#clock = parts.clock
  }

  /** Why no session may begin now, if so. */
  refusal(): Refusal | undefined {
    const now = this.#clock.now()
    if (Math.abs(now - this.#lookedAt) >= LOOK_MS) {
      this.#lookedAt = now
      this.#refusal = this.#look()
    }
    return this.#refusal
  }

  /** The disk was found full: the last look is worth nothing. */
  forget(): void {
    this.#lookedAt = Number.NEGATIVE_INFINITY
  }

  #look(): Refusal | undefined {
    const { maxJournalBytes, minFreeBytes } = this.#limits
    try {
      const { bavail, bsize } = statfsSync(this.#dir)
      if (bavail * bsize < minFreeBytes)
        return new Refusal('NOT_RECORDED', 'No new sessions now: the disk for recordings is nearly full.', {
          next: 'Tell an operator; try again later.',
        })
      if (journalBytes(this.#dir) > maxJournalBytes)
        return new Refusal('NOT_RECORDED', 'No new sessions now: too many recordings wait for the audit store.', {
          next: 'Tell an operator; try again later.',
        })
    } catch (cause) {
      return new Refusal('NOT_RECORDED', 'No new sessions now: the place for recordings cannot be read.', { cause })
    }
    return undefined
  }
}

/** Of all segments below the journals' root, those that are free with them. */
function journalBytes(root: string): number {
  let sum = 0
  for (const file of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    if (file.endsWith('.seg') || file.endsWith('.free'))
      sum += statSync(path.join(root, file), { throwIfNoEntry: false })?.size ?? 0
  }
  return sum
}
