/** Front door: keeps requests and grants, says which is live, ends them, and knows who is in. */
import type { Audit } from '../model/event.ts'
import type { Identity, Username } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import type { Role } from '../model/role.ts'
import type { Target } from '../model/target.ts'
import type { AccessDesk, GrantBook, SessionBook } from '../session/session.ts'
import type { State } from '../state/state.ts'

/** Who may have what, as the config says now. */
export type Policy = {
  readonly targets: readonly Target[]
  readonly roles: readonly Role[]
  /** Groups that may do everything but approve; groups that may see everything. */
  readonly admins: readonly string[]
  readonly auditors: readonly string[]
}

export type GrantsParts = {
  readonly state: State
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
  /** Asked each time, so that a reload of the config counts at once. */
  readonly policy: () => Policy
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

export type Lock = { readonly username: Username; readonly at: Moment; readonly by: Username; readonly note: string }

export type Grants = GrantBook &
  SessionBook &
  AccessDesk & {
    /** Whether this person is locked out. For identity/: nobody who is locked signs in. */
    lockOf(identity: Pick<Identity, 'subject' | 'username'>): Promise<Lock | undefined>
    /** For the supervisor, every few seconds: ends what is over, sends events that a crash left behind, forgets sessions of dead workers. */
    sweep(): Promise<void>
    /** Sends what is on its way, ends all tenures, stops all timers. The state stays open. */
    close(): Promise<void>
  }
