/** Rate limits: a bucket of tries per key that fills up again over time. Per process: an aid against guessing, the tries of a code are counted elsewhere. */
import type { Clock, Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'

/** More keys than this at a time: the oldest are forgotten. */
const MOST_KEYS = 20_000

export class Limiter {
  readonly #clock: Clock
  readonly #tries: number
  readonly #perMs: number
  readonly #buckets = new Map<string, { left: number; at: Moment }>()

  constructor(options: { readonly clock: Clock; readonly tries: number; readonly perMinutes: number }) {
    this.#clock = options.clock
    this.#tries = options.tries
    this.#perMs = options.tries / (options.perMinutes * 60_000)
  }

  /** @throws {Refusal} TOO_MANY. */
  take(key: string): void {
    const now = this.#clock.now()
    const before = this.#buckets.get(key) ?? { left: this.#tries, at: now }
    const left = Math.min(this.#tries, before.left + Math.max(0, now - before.at) * this.#perMs)
    this.#buckets.delete(key)
    this.#buckets.set(key, { left: left < 1 ? left : left - 1, at: now })
    if (this.#buckets.size > MOST_KEYS) this.#forgetOldest()
    if (left < 1) throw new Refusal('TOO_MANY', 'Too many tries from here.', { next: 'Wait a minute, then try again.' })
  }

  #forgetOldest(): void {
    const { value } = this.#buckets.keys().next()
    if (value !== undefined) this.#buckets.delete(value)
  }
}
