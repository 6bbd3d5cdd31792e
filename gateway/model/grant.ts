/**
 * A grant: one person may use one role on one target for one stretch of time.
 *
 *   requested ──approve──▶ approved ──provision──▶ live ──┐
 *       │                     │                           ├──▶ ended (expired | revoked | released | denied | withdrawn | failed)
 *       └─────────────────────┴───────────────────────────┘
 *
 * Pure: a step takes a grant and the moment and returns the next grant, or the name of why not. grants/ keeps them.
 */
import type { Brand } from './brand.ts'
import type { HeldStatement } from './hold.ts'
import type { Proof, Subject, Username } from './identity.ts'
import { after, minutesToMs, type Moment } from './moment.ts'
import type { Protocol } from './target.ts'

/** A small decimal number that a person can type: `approve 17`. */
export type GrantId = Brand<string, 'GrantId'>

export type EndReason = 'expired' | 'revoked' | 'released' | 'denied' | 'withdrawn' | 'failed'

export type Approval = { readonly by: Username; readonly subject: Subject; readonly at: Moment }

type Asked = {
  readonly id: GrantId
  readonly subject: Subject
  readonly username: Username
  readonly target: string
  readonly role: string
  readonly endpoints: readonly Protocol[]
  readonly minutes: number
  readonly reason: string
  /** Where more can be read: `INC-42`. Absent: none was named. */
  readonly ticket?: string
  /** An approver cut the role down to looking: see `readOnly` in role.ts. */
  readonly readOnly?: true
  readonly requestedAt: Moment
  /** The sign-in that stood behind the request. */
  readonly proof: Proof
  /** How many approvals make it approved; 0: by rule. */
  readonly approvalsNeeded: number
  readonly approvals: readonly Approval[]
  /** A request for more time on this live grant: once approved it lengthens that one, and it ends with it. It opens nothing itself. */
  readonly extends?: GrantId
  /** A request to let one statement run, once. It is never live: used up, it has ended as `released`. */
  readonly held?: HeldStatement
}

export type RequestedGrant = Asked & { readonly state: 'requested' }
export type ApprovedGrant = Asked & { readonly state: 'approved'; readonly approvedAt: Moment }
/** The clock runs from `liveAt`; at `expiresAt` the grant is over. */
export type LiveGrant = Asked & {
  readonly state: 'live'
  readonly approvedAt: Moment
  readonly liveAt: Moment
  readonly expiresAt: Moment
}
export type EndedGrant = Asked & {
  readonly state: 'ended'
  readonly liveAt: Moment | undefined
  readonly expiresAt: Moment | undefined
  readonly endedAt: Moment
  readonly endReason: EndReason
  /** Undefined when the clock did it. */
  readonly endedBy: Username | undefined
  readonly endNote: string
}
export type Grant = RequestedGrant | ApprovedGrant | LiveGrant | EndedGrant

export type Approver = { readonly subject: Subject; readonly username: Username }

/** What an approver may take away. Several approvers: whatever any of them took is gone. */
export type Cut = {
  readonly minutes?: number | undefined
  /** Those that stay, out of the grant's. */
  readonly endpoints?: readonly Protocol[] | undefined
  readonly readOnly?: boolean | undefined
}

/** An approver may shorten the time and narrow the role; nothing here can lengthen or widen. */
export function approve(
  grant: RequestedGrant,
  approver: Approver,
  now: Moment,
  cut: Cut = {},
): RequestedGrant | ApprovedGrant | 'self-approval' | 'approved-before' {
  if (approver.subject === grant.subject) return 'self-approval'
  // One person may come by two providers.
  const { subject, username } = approver
  if (grant.approvals.some((one) => one.subject === subject || one.by === username)) return 'approved-before'
  const approvals = [...grant.approvals, { by: approver.username, subject: approver.subject, at: now }]
  const next = {
    ...grant,
    approvals,
    minutes: Math.min(cut.minutes ?? grant.minutes, grant.minutes),
    endpoints: grant.endpoints.filter((endpoint) => cut.endpoints?.includes(endpoint) ?? true),
    ...(cut.readOnly === true ? { readOnly: true as const } : {}),
  }
  return approvals.length < grant.approvalsNeeded ? next : { ...next, state: 'approved', approvedAt: now }
}

/** A role whose rule is `auto` needs nobody. */
export function approveByRule(grant: RequestedGrant, now: Moment): ApprovedGrant | 'needs-people' {
  return grant.approvalsNeeded === 0 ? { ...grant, state: 'approved', approvedAt: now } : 'needs-people'
}

/** The clock starts when access begins, not when it was asked for. */
export function provision(grant: ApprovedGrant, now: Moment): LiveGrant {
  return { ...grant, state: 'live', liveAt: now, expiresAt: after(now, minutesToMs(grant.minutes)) }
}

/** The end is exclusive: at `expiresAt` the grant is over. */
export function isLive(grant: Grant, now: Moment): grant is LiveGrant {
  return grant.state === 'live' && now < grant.expiresAt
}

export function end(
  grant: Exclude<Grant, EndedGrant>,
  endReason: EndReason,
  now: Moment,
  by: { readonly username: Username | undefined; readonly note: string } = { username: undefined, note: '' },
): EndedGrant {
  return {
    id: grant.id,
    subject: grant.subject,
    username: grant.username,
    target: grant.target,
    role: grant.role,
    endpoints: grant.endpoints,
    minutes: grant.minutes,
    reason: grant.reason,
    ...(grant.ticket === undefined ? {} : { ticket: grant.ticket }),
    ...(grant.readOnly === undefined ? {} : { readOnly: grant.readOnly }),
    requestedAt: grant.requestedAt,
    proof: grant.proof,
    approvalsNeeded: grant.approvalsNeeded,
    approvals: grant.approvals,
    ...(grant.extends === undefined ? {} : { extends: grant.extends }),
    ...(grant.held === undefined ? {} : { held: grant.held }),
    state: 'ended',
    liveAt: grant.state === 'live' ? grant.liveAt : undefined,
    expiresAt: grant.state === 'live' ? grant.expiresAt : undefined,
    endedAt: now,
    endReason,
    endedBy: by.username,
    endNote: by.note,
  }
}
