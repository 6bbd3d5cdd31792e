/** One live grant in this process, shared by all who look at it. Its signal fires once. */
import { setMaxListeners } from 'node:events'
import type { LiveGrant } from '../model/grant.ts'
import type { Log } from '../model/log.ts'
import { after, minutesToMs, type Moment } from '../model/moment.ts'
import type { Refusal } from '../model/refusal.ts'
import type { GrantNotice, Tenure } from '../session/session.ts'

const THRESHOLDS = [5, 1] as const
type Threshold = (typeof THRESHOLDS)[number]

export class Holding {
  readonly #controller = new AbortController()
  readonly #listeners = new Set<(notice: GrantNotice) => void>()
  readonly #log: Log
  #grant: LiveGrant
  #ahead: readonly Threshold[]
  readonly tenure: Tenure

  constructor(grant: LiveGrant, now: Moment, log: Log) {
    this.#grant = grant
    this.#log = log
    this.#ahead = thresholdsAhead(grant, now)
    // A thousand sessions under one grant are no leak.
    setMaxListeners(0, this.#controller.signal)
    this.tenure = {
      grant: () => this.#grant,
      ended: this.#controller.signal,
      onNotice: (listener) => {
        const own = (notice: GrantNotice) => listener(notice)
        this.#listeners.add(own)
        return () => void this.#listeners.delete(own)
      },
    }
  }

  get grant(): LiveGrant {
    return this.#grant
  }

  /** When something has to be said or done next. */
  get dueAt(): Moment {
    const [next] = this.#ahead
    return next === undefined ? this.#grant.expiresAt : noticeAt(this.#grant, next)
  }

  /** The grant as the store has it. Its end only ever moves away: an earlier one is an old answer. */
  renew(grant: LiveGrant, now: Moment): void {
    if (grant.expiresAt <= this.#grant.expiresAt) return
    this.#grant = grant
    this.#ahead = thresholdsAhead(grant, now)
    this.#tell({ kind: 'extended', minutes: minutesLeft(grant, now), grant })
  }

  /** Says what is due. Of several thresholds that passed at once (the clock jumped) only the last is news. */
  warn(now: Moment): Threshold | undefined {
    const passed = this.#ahead.filter((minutes) => noticeAt(this.#grant, minutes) <= now)
    const last = passed.at(-1)
    if (last === undefined) return undefined
    this.#ahead = this.#ahead.slice(passed.length)
    this.#tell({ kind: 'ending', minutes: last, grant: this.#grant })
    return last
  }

  end(why: Refusal): void {
    this.#listeners.clear()
    this.#controller.abort(why)
  }

  #tell(notice: GrantNotice): void {
    for (const listener of this.#listeners) {
      try {
        listener(notice)
      } catch (error) {
        this.#log({ level: 'error', room: 'grants', message: 'A notice could not be shown.', error })
      }
    }
  }
}

const noticeAt = (grant: LiveGrant, minutes: Threshold): Moment => after(grant.expiresAt, -minutesToMs(minutes))

/** A grant of three minutes is not told that five are left. */
const thresholdsAhead = (grant: LiveGrant, now: Moment): readonly Threshold[] =>
  THRESHOLDS.filter((minutes) => noticeAt(grant, minutes) > now)

const minutesLeft = (grant: LiveGrant, now: Moment): number => Math.round((grant.expiresAt - now) / 6000) / 10
