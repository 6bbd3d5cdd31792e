/** A grant as a row of the table `grants`, and back. */
import type { EndReason, Grant, GrantId } from '../model/grant.ts'
import type { HeldStatement } from '../model/hold.ts'
import type { Proof, Subject, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { Fault } from '../model/refusal.ts'
import type { Protocol } from '../model/target.ts'
import type { Value } from '../state/state.ts'

/** `version` counts the steps: each one is a compare-and-set on it. */
export type Kept<G extends Grant = Grant> = { readonly grant: G; readonly version: number }

export type GrantRow = {
  readonly id: GrantId
  readonly version: number
  readonly state: Grant['state']
  readonly subject: Subject
  readonly username: Username
  readonly target: string
  readonly role: string
  readonly endpoints: string
  readonly minutes: number
  readonly reason: string
  readonly ticket: string
  readonly read_only: number
  readonly requested_at: Moment
  readonly proof: string
  readonly approvals_needed: number
  readonly approvals: string
  readonly extends: GrantId | null
  readonly under: GrantId | null
  readonly statement: string | null
  readonly approved_at: Moment | null
  readonly live_at: Moment | null
  readonly expires_at: Moment | null
  readonly ended_at: Moment | null
  readonly end_reason: EndReason | null
  readonly ended_by: Username | null
  readonly end_note: string | null
}

/** Columns that change after the request, in the order of {@link changing}. */
export const CHANGING = [
  'state',
  'endpoints',
  'read_only',
  'minutes',
  'approvals_needed',
  'approvals',
  'approved_at',
  'live_at',
  'expires_at',
  'ended_at',
  'end_reason',
  'ended_by',
  'end_note',
] as const

/** Columns that the request fixed, in the order of {@link fixed}. */
export const FIXED = [
  'id',
  'number',
  'subject',
  'username',
  'target',
  'role',
  'reason',
  'ticket',
  'requested_at',
  'proof',
  'extends',
  'under',
  'statement',
] as const

export const fixed = (grant: Grant): readonly Value[] => [
  grant.id,
  Number(grant.id),
  grant.subject,
  grant.username,
  grant.target,
  grant.role,
  grant.reason,
  grant.ticket ?? '',
  grant.requestedAt,
  JSON.stringify(grant.proof),
  grant.extends ?? null,
  grant.held?.under ?? null,
  grant.held === undefined ? null : JSON.stringify(grant.held),
]

export function changing(grant: Grant): readonly Value[] {
  const ended = grant.state === 'ended'
  return [
    grant.state,
    JSON.stringify(grant.endpoints),
    grant.readOnly === true ? 1 : 0,
    grant.minutes,
    grant.approvalsNeeded,
    JSON.stringify(grant.approvals),
    grant.state === 'approved' || grant.state === 'live' ? grant.approvedAt : null,
    grant.state === 'live' || ended ? (grant.liveAt ?? null) : null,
    grant.state === 'live' || ended ? (grant.expiresAt ?? null) : null,
    ...(ended ? [grant.endedAt, grant.endReason, grant.endedBy ?? null, grant.endNote] : [null, null, null, null]),
  ]
}

export function kept(row: GrantRow): Kept {
  return { grant: grantOf(row), version: row.version }
}

function grantOf(row: GrantRow): Grant {
  const proof = JSON.parse(row.proof) as Proof
  const asked = {
    id: row.id,
    subject: row.subject,
    username: row.username,
    target: row.target,
    role: row.role,
    endpoints: JSON.parse(row.endpoints) as readonly Protocol[],
    minutes: row.minutes,
    reason: row.reason,
    ...(row.ticket === '' ? {} : { ticket: row.ticket }),
    ...(row.read_only === 0 ? {} : { readOnly: true as const }),
    requestedAt: row.requested_at,
    proof: { acr: proof.acr, amr: proof.amr, authTime: proof.authTime },
    approvalsNeeded: row.approvals_needed,
    approvals: JSON.parse(row.approvals),
    ...(row.extends === null ? {} : { extends: row.extends }),
    ...(row.statement === null ? {} : { held: JSON.parse(row.statement) as HeldStatement }),
  }
  if (row.state === 'requested') return { ...asked, state: 'requested' }
  if (row.state === 'approved') return { ...asked, state: 'approved', approvedAt: present(row.approved_at, row) }
  if (row.state === 'live' && row.under !== null) throw new Fault(`Request ${row.id} for one statement cannot be live.`)
  if (row.state === 'live')
    return {
      ...asked,
      state: 'live',
      approvedAt: present(row.approved_at, row),
      liveAt: present(row.live_at, row),
      expiresAt: present(row.expires_at, row),
    }
  return {
    ...asked,
    state: 'ended',
    liveAt: row.live_at ?? undefined,
    expiresAt: row.expires_at ?? undefined,
    endedAt: present(row.ended_at, row),
    endReason: present(row.end_reason, row),
    endedBy: row.ended_by ?? undefined,
    endNote: row.end_note ?? '',
  }
}

function present<T>(value: T | null, row: GrantRow): T {
  if (value === null) throw new Fault(`Grant ${row.id} is ${row.state} but lacks what belongs to it.`)
  return value
}
