/** Says which grant is live, and tells those who use it the moment it is not. */
import { type GrantId, isLive } from '../model/grant.ts'
import type { Subject, Username } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Protocol } from '../model/target.ts'
import { choiceText, type GrantChoice } from '../model/target-name.ts'
import type { Tenure } from '../session/session.ts'
import type { State } from '../state/state.ts'
import type { Changes } from './changes.ts'
import { type Ledger, list } from './ledger.ts'
import { lockOn, refuseLocked } from './locks.ts'
import { endedRefusal, expiredRefusal, lockedRefusal } from './sentences.ts'
import { Holding } from './tenure.ts'

export type TenuresParts = {
  readonly store: { readonly state: State; readonly ledger: Ledger; readonly changes: Changes }
  readonly clock: Clock
  readonly log: Log
  readonly staleAfterMs: number
  readonly told: {
    /** A warning became due. Every worker with sessions under the grant says so. */
    readonly warned: (holding: Holding, minutes: number) => void
    /** The clock ended a grant: it is to be written down, whatever the clock says next. */
    readonly expired: (now: Moment) => void
  }
}

/** The wall clock can jump, and timers do not know: nobody sleeps longer than this. */
const LONGEST_SLEEP_MS = 500
const STALE_TICKS = 3
/** Everything that is held is looked at again at least this often. */
const LOOK_AGAIN_MS = 5000
const MOST_PER_QUERY = 500

export class Tenures {
  readonly #parts: TenuresParts
  /** One per grant, not per session, and gone when the grant ends: it grows no further than what is live. */
  readonly #held = new Map<GrantId, Holding>()
  readonly #stop: () => void
  #timer: NodeJS.Timeout | undefined
  #wakeAt = Number.POSITIVE_INFINITY
  #outOfDate = false
  /** When all that is held was last seen in the store. */
  #readAt: number = Number.NEGATIVE_INFINITY
  /** Said once, not twice a second. */
  #blind = false
  #refreshing: Promise<void> | undefined
  #staleTicks = 0
  #closed = false

  constructor(parts: TenuresParts) {
    this.#parts = parts
    this.#stop = parts.store.changes.on('grants-changed', () => void this.#refresh())
  }

  async live(subject: Subject, target: string, endpoint: Protocol, under?: GrantChoice): Promise<Tenure | undefined> {
    const { state, ledger } = this.#parts.store
    const chosen = under === undefined ? '' : ` and ${under.kind === 'role' ? 'role' : 'id'} = $4`
    const found = await ledger.select(
      `subject = $1 and state = 'live' and target = $2 and expires_at > $3${chosen}`,
      [subject, target, this.#parts.clock.now(), ...(under === undefined ? [] : [choiceText(under)])],
      50,
    )
    if (this.#closed || this.#isStale()) throw outOfReach()
    await refuseLocked(state, { subject, username: found[0]?.grant.username ?? ('' as Username) })
    const live = found
      .map(({ grant }) => grant)
      .filter((grant) => isLive(grant, this.#parts.clock.now()))
      .filter(({ endpoints }) => endpoints.includes(endpoint))
      .toSorted((a, b) => b.liveAt - a.liveAt || Number(b.id) - Number(a.id))
    const [newest] = live
    if (newest === undefined) return undefined
    const holding = this.#held.get(newest.id)
    if (holding !== undefined) {
      holding.renew(newest, this.#parts.clock.now())
      return holding.tenure
    }
    const fresh = new Holding(newest, this.#parts.clock.now(), this.#parts.log)
    this.#held.set(newest.id, fresh)
    this.#arm()
    // A revocation between our look and our listening would be missed otherwise.
    await this.#refresh()
    return fresh.tenure.ended.aborted ? undefined : fresh.tenure
  }

  close(): void {
    this.#closed = true
    this.#stop()
    clearTimeout(this.#timer)
    for (const id of Array.from(this.#held.keys())) this.#end(id, new Refusal('UNAVAILABLE', 'The gateway is closing.'))
  }

  #end(id: GrantId, why: Refusal): void {
    const holding = this.#held.get(id)
    this.#held.delete(id)
    holding?.end(why)
  }

  /** Never throws: what could not be read now is read at the next tick. */
  async #refresh(): Promise<void> {
    this.#outOfDate = true
    while (this.#outOfDate && !this.#closed) {
      this.#refreshing ??= this.#readAll().finally(() => {
        this.#refreshing = undefined
      })
      if (!(await this.#refreshing.then(() => true, this.#complain))) return
    }
  }

  readonly #complain = (error: unknown): false => {
    this.#outOfDate = true
    if (this.#blind) return false
    this.#blind = true
    this.#parts.log({ level: 'warn', room: 'grants', message: 'Live grants could not be looked at.', error })
    return false
  }

  async #readAll(): Promise<void> {
    this.#outOfDate = false
    const ids = [...this.#held.keys()]
    for (let start = 0; start < ids.length; start += MOST_PER_QUERY)
      await this.#read(ids.slice(start, start + MOST_PER_QUERY))
    this.#blind = false
    this.#readAt = this.#parts.clock.now()
    this.#arm()
  }

  async #read(ids: readonly GrantId[]): Promise<void> {
    const { state, ledger } = this.#parts.store
    const rows = await ledger.select(`id in (${list(ids.length)})`, ids, ids.length)
    const known = new Map(rows.map(({ grant }) => [grant.id, grant]))
    for (const id of ids) {
      const grant = known.get(id)
      if (grant?.state === 'live') this.#held.get(id)?.renew(grant, this.#parts.clock.now())
      else if (grant?.state === 'ended') {
        const lock = grant.endReason === 'revoked' ? await lockOn(state, grant) : undefined
        this.#end(id, lock === undefined ? endedRefusal(grant) : lockedRefusal(lock))
      } else this.#end(id, new Refusal('GRANT_ENDED', `Grant ${id} is gone.`))
    }
  }

  #arm(): void {
    if (this.#closed || this.#held.size === 0) return
    const now = this.#parts.clock.now()
    let due = now + LONGEST_SLEEP_MS
    for (const holding of this.#held.values()) due = Math.min(due, holding.dueAt)
    if (this.#timer !== undefined && this.#wakeAt <= due && this.#wakeAt >= now) return
    clearTimeout(this.#timer)
    this.#wakeAt = due
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, Math.ceil(due - now)))
  }

  #tick(): void {
    this.#timer = undefined
    const now = this.#parts.clock.now()
    let expired = false
    for (const [id, holding] of this.#held) {
      if (isLive(holding.grant, now)) {
        const minutes = holding.warn(now)
        if (minutes !== undefined) this.#parts.told.warned(holding, minutes)
        continue
      }
      expired = true
      this.#end(id, expiredRefusal(holding.grant))
    }
    if (expired) this.#parts.told.expired(now)
    this.#watchStore()
    // News can be lost; looking costs little.
    if (this.#outOfDate || this.#isOlder(this.#readAt, LOOK_AGAIN_MS)) void this.#refresh()
    this.#arm()
  }

  /** Once may be the clock that jumped, which the store's next answer puts right; again and again is the store. */
  #watchStore(): void {
    const isBlind = this.#isStale() || this.#isOlder(this.#readAt, this.#parts.staleAfterMs)
    this.#staleTicks = isBlind ? this.#staleTicks + 1 : 0
    if (this.#staleTicks < STALE_TICKS) return
    for (const id of Array.from(this.#held.keys())) this.#end(id, outOfReach())
  }

  #isStale(): boolean {
    return this.#isOlder(this.#parts.store.state.health(), this.#parts.staleAfterMs)
  }

  /** A moment in the future is one of a clock that jumped back. */
  #isOlder(moment: number, ms: number): boolean {
    return Math.abs(this.#parts.clock.now() - moment) > ms
  }
}

const outOfReach = (): Refusal =>
  new Refusal('UNAVAILABLE', 'The gateway cannot ask whether your grant still stands, so it stops here.', {
    next: 'Try again in a moment.',
  })
