/** What the ssh command line and the portal ask of grants/: requests, approvals, ends. */
import type { SessionId, SessionStart } from '../model/event.ts'
import type { Cut, EndReason, Grant, GrantId } from '../model/grant.ts'
import type { Identity, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import type { Role } from '../model/role.ts'
import type { Protocol, Target } from '../model/target.ts'

/** One target as one person sees it: only roles that this person may ask for or holds. */
export type TargetView = {
  readonly target: Target
  readonly roles: readonly Role[]
  /** Live and waiting ones of this person on this target. */
  readonly grants: readonly Grant[]
}

export type Ask = {
  readonly target: string
  /** May be left out when only one role is possible. */
  readonly role?: string | undefined
  readonly minutes?: number | undefined
  readonly reason: string
  readonly ticket?: string | undefined
  readonly endpoints?: readonly Protocol[] | undefined
  /** One's own live grant for the same is as good: for programs, of which several ask at once, on any worker. */
  readonly orLive?: boolean
}

export type GrantFilter = {
  readonly state?: Grant['state'] | undefined
  readonly username?: string | undefined
  readonly target?: string | undefined
  readonly endReason?: EndReason | undefined
  readonly limit?: number | undefined
}

export type RevokeScope = { readonly grant: GrantId } | { readonly person: string } | { readonly target: string }

/** Every function asks whether this identity may; the answer is one of the Refusals of model/refusal.ts. */
export type AccessDesk = {
  /** Each with its roles; those with the least power come first, here and in {@link roles}. */
  targets(identity: Identity): Promise<readonly TargetView[]>
  roles(identity: Identity): Promise<readonly Role[]>
  /** Live at once when the role's rule is `auto`. @throws {Refusal} NO_GRANT for an unknown or forbidden target or role, BAD_INPUT, TOO_MANY. */
  request(identity: Identity, ask: Ask): Promise<Grant>
  /** May shorten and narrow. @throws {Refusal} SELF_APPROVAL, NOT_ALLOWED, NOT_FOUND, CONFLICT, BAD_INPUT for what is not a cut. */
  approve(identity: Identity, id: GrantId, cut: Cut): Promise<Grant>
  deny(identity: Identity, id: GrantId, why: string): Promise<Grant>
  withdraw(identity: Identity, id: GrantId): Promise<Grant>
  /** Asks for more time under the rule of the role: at once for `auto`, else a request that approvers see. Never beyond the role's most per step. */
  extend(
    identity: Identity,
    id: GrantId,
    how: { readonly minutes?: number | undefined; readonly reason?: string | undefined },
  ): Promise<Grant>
  release(identity: Identity, id: GrantId): Promise<Grant>
  /** Approvers of the role, admins, and the owner (who should rather release). Returns what was ended. */
  revoke(identity: Identity, scope: RevokeScope, note: string): Promise<readonly Grant[]>
  lock(identity: Identity, username: string, note: string): Promise<void>
  unlock(identity: Identity, username: string): Promise<void>
  /** Everybody who is locked out. @throws {Refusal} NOT_ALLOWED. */
  locks(
    identity: Identity,
  ): Promise<
    readonly { readonly username: Username; readonly at: Moment; readonly by: Username; readonly note: string }[]
  >
  /** Waiting ones that this person asked for or may approve. */
  requests(identity: Identity): Promise<readonly { readonly grant: Grant; readonly mayApprove: boolean }[]>
  /** One's own; approvers, admins and auditors see more. Newest first. */
  grants(identity: Identity, filter: GrantFilter): Promise<readonly Grant[]>
  grant(identity: Identity, id: GrantId): Promise<Grant>
  /** Resolves with the grant once it has left `requested`. */
  decided(id: GrantId, signal: AbortSignal): Promise<Grant>
  /** Live sessions of all workers that this person may see. */
  liveSessions(identity: Identity): Promise<readonly SessionStart[]>
  /** Ends one session; the grant stays. */
  kill(identity: Identity, id: SessionId, note: string): Promise<void>
  /** Calls back (coalesced, at most every 100 ms) after anything about grants changed, on any worker. Returns how to stop. */
  onChange(listener: () => void): () => void
  isAuditor(identity: Identity): boolean
  isAdmin(identity: Identity): boolean
  /** Auditors and admins see all; a person sees their own. */
  maySeeSession(identity: Identity, owner: Username): boolean
}
