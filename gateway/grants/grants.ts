/** Front door: keeps requests and grants, says which is live, ends them, and knows who is in. */
import type { Audit } from '../model/event.ts'
import type { Identity } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import type { AccessDesk, GrantBook, HoldDesk, SessionBook } from '../session/session.ts'
import type { State } from '../state/state.ts'
import { Changes } from './changes.ts'
import { createDesk } from './desk.ts'
import { type EndSignIns, Endings } from './endings.ts'
import { Holds } from './holds.ts'
import { Ledger } from './ledger.ts'
import { Listings } from './listings.ts'
import { type Lock, lockOn, rememberSubject } from './locks.ts'
import { eventOf, idOf, Outbox } from './outbox.ts'
import type { Policy } from './policy.ts'
import { Requests } from './requests.ts'
import { Sessions } from './session-book.ts'
import { Tenures } from './tenures.ts'

export type { Lock } from './locks.ts'
export type { Policy } from './policy.ts'
export { type RoleIntent, RoleIntents } from './role-intents.ts'

export type GrantsParts = {
  readonly state: State
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
  /** Asked each time, so that a reload of the config counts at once. */
  readonly policy: () => Policy
  /** For a lock. */
  readonly endSignIns: EndSignIns
}

export type GrantsLimits = {
  /** Live grants end when the state store has not answered for this long. */
  readonly staleAfterMs: number
  /** A request that nobody decided lapses. */
  readonly lapseAfterMs: number
  /** Requests that one person may have waiting. */
  readonly waiting: number
  /** Live grants that one person may hold. */
  readonly held: number
}

export type Grants = GrantBook &
  SessionBook &
  AccessDesk &
  HoldDesk & {
    /** Whether this person is locked out. For identity/: nobody who is locked signs in. */
    lockOf(identity: Pick<Identity, 'subject' | 'username'>): Promise<Lock | undefined>
    /** For the supervisor, every few seconds: ends what is over, sends events that a crash left behind, forgets sessions of dead workers. Never throws. */
    sweep(): Promise<void>
    /** Sends what is on its way, ends all tenures, stops all timers. The state stays open. */
    close(): Promise<void>
  }

const USUAL: GrantsLimits = { staleAfterMs: 30_000, lapseAfterMs: 24 * 3_600_000, waiting: 20, held: 20 }

export function createGrants(parts: GrantsParts, limits: Partial<GrantsLimits> = {}): Grants {
  const { state, clock, log, audit, policy, endSignIns } = parts
  const { staleAfterMs, lapseAfterMs, waiting, held } = { ...USUAL, ...limits }
  const outbox = new Outbox({ state, clock, log, audit })
  const ledger = new Ledger({ state, clock, outbox })
  const changes = new Changes({ state, log })
  const store = { state, ledger, changes }
  const endings = new Endings({ ledger, policy, endSignIns, lapseAfterMs })
  const lapse = () => endings.lapse(clock.now())
  const lapseSoon = (now: Moment) =>
    void endings
      .lapse(now)
      .catch((error: unknown) =>
        log({ level: 'warn', room: 'grants', message: 'An ended grant is not written down yet.', error }),
      )
  const requests = new Requests({ ledger, policy, limits: { waiting, held } })
  const holds = new Holds({ ledger, policy, log })
  const listings = new Listings({ ledger, changes, policy, lapse })
  const sessions = new Sessions({ store, clock, log, audit, policy })
  const tenures = new Tenures({
    store,
    clock,
    log,
    staleAfterMs,
    told: {
      expired: lapseSoon,
      warned: ({ grant }, minutes) =>
        audit(
          eventOf(
            {
              id: idOf('warned', grant.id, grant.expiresAt, minutes),
              kind: 'grant.warned',
              actor: '',
              grant: grant.id,
              target: grant.target,
              details: { minutes, expiresAt: grant.expiresAt },
              text: `${grant.username} was told that grant ${grant.id} ends in ${minutes} min.`,
            },
            clock,
          ),
        ),
    },
  })
  const desk = createDesk({
    clock,
    audit,
    policy,
    store: { state, changes },
    rooms: { requests, endings, listings, sessions },
  })
  return {
    ...desk,
    live: (subject, target, endpoint, under) => tenures.live(subject, target, endpoint, under),
    enter: (start) => sessions.enter(start),
    park: (under, held) => holds.park(under, held),
    use: (id, digest) => holds.use(id, digest),
    leave: (id, why) => holds.leave(id, why),
    ran: (id, outcome) => holds.ran(id, outcome),
    lockOf: async (identity) => {
      const lock = await lockOn(state, identity)
      if (lock?.username === identity.username) await rememberSubject(state, identity)
      return lock
    },
    sweep: async () => {
      for (const step of [lapse, () => outbox.resend(), () => sessions.sweep(), () => holds.sweep()]) {
        try {
          await step()
        } catch (error) {
          log({ level: 'warn', room: 'grants', message: 'The sweep of grants left something for next time.', error })
        }
      }
    },
    close: async () => {
      tenures.close()
      await sessions.close()
      changes.close()
      await outbox.close()
    },
  }
}
