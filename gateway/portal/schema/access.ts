/** The words of the API about targets, roles, requests and grants. */
import { z } from 'zod'
import { held } from './held.ts'
import { count, line, minutes, name, protocol, sentence, time } from './wire.ts'

export const grantState = z.enum(['requested', 'approved', 'live', 'ended'])
export const endReason = z.enum(['expired', 'revoked', 'released', 'denied', 'withdrawn', 'failed'])

export const grant = z.strictObject({
  id: z.string(),
  state: grantState,
  username: z.string(),
  target: z.string(),
  role: z.string(),
  endpoints: z.array(protocol),
  minutes: z.int(),
  reason: z.string(),
  /** Empty: none was named. */
  ticket: z.string(),
  /** An approver cut the role down to looking. */
  readOnly: z.boolean(),
  /** This is a request for more time on that grant. */
  extends: z.string().nullable(),
  /** This is a request to let one statement run, once; null: for access. */
  held: held.nullable(),
  requestedAt: time,
  /** 0: by rule. */
  approvalsNeeded: count,
  approvals: z.array(z.strictObject({ by: z.string(), at: time })),
  approvedAt: time.nullable(),
  liveAt: time.nullable(),
  expiresAt: time.nullable(),
  endedAt: time.nullable(),
  endReason: endReason.nullable(),
  /** Null when the clock did it. */
  endedBy: z.string().nullable(),
  endNote: z.string(),
  isMine: z.boolean(),
  /** What to offer this person; the gateway judges each call again. */
  may: z.strictObject({
    approve: z.boolean(),
    withdraw: z.boolean(),
    extend: z.boolean(),
    release: z.boolean(),
    revoke: z.boolean(),
  }),
})

const scope = z.strictObject({
  endpoint: protocol,
  /** What the role lets a person do there, one sentence each, in plain words. */
  allows: z.array(z.string()),
})

export const role = z.strictObject({
  name: z.string(),
  /** From the config. */
  description: z.string(),
  /** One for each endpoint. */
  scopes: z.array(scope),
  /** The same after an approver cut it down to looking; null where that would change nothing. */
  narrowed: z.array(scope).nullable(),
  /** `By rule, at once.` or `2 people of leads or security.` */
  approval: z.string(),
  needsApproval: z.boolean(),
  defaultMinutes: z.int(),
  maxMinutes: z.int(),
  /** How old the sign-in may be when a session opens. */
  mfaWithinMinutes: z.int(),
  /** Each session asks for a touch of a passkey. */
  asksPasskey: z.boolean(),
})

export const target = z.strictObject({
  name: z.string(),
  description: z.string(),
  labels: z.record(z.string(), z.string()),
  endpoints: z.array(protocol),
  /** Those this person may ask for or holds. */
  roles: z.array(role),
  /** This person's live and waiting ones. */
  grants: z.array(grant),
  /** The exact lines to type, for the endpoints that have a door here; with a grant: under that one, where this person holds several. */
  commands: z.array(z.strictObject({ endpoint: protocol, grant: z.string().nullable(), command: z.string() })),
  /** Where its web application is; null: it has none here. */
  url: z.string().nullable(),
})

export const targetList = z.strictObject({ targets: z.array(target) })

export const askBody = z.strictObject({
  target: name,
  /** May be left out when only one role is possible. */
  role: name.optional(),
  minutes: minutes.optional(),
  reason: sentence,
  ticket: line(100).optional(),
})

/** A waiting request, with what an approver wants to know. */
export const waitingRequest = z.strictObject({
  grant,
  /** Null when the role has left the config. */
  role: role.nullable(),
})
export const requestList = z.strictObject({ requests: z.array(waitingRequest) })

export const grantList = z.strictObject({ grants: z.array(grant) })
export const grantQuery = z.strictObject({
  state: grantState.optional(),
  person: name.optional(),
  target: name.optional(),
  limit: z.coerce.number().int().min(1).max(500).optional(),
})

/** What is left out stays as it was asked for; nothing here can add. */
export const approveBody = z.strictObject({
  minutes: minutes.optional(),
  /** Only these of the request's. */
  endpoints: z.array(protocol).min(1).max(3).optional(),
  readOnly: z.boolean().optional(),
})
/** What somebody did before on the target of a request, newest first: enough to decide, not what was done. */
export const pastList = z.strictObject({
  sessions: z.array(
    z.strictObject({
      id: z.string(),
      role: z.string(),
      protocol,
      channel: z.string(),
      startedAt: time,
      /** Null while it runs. */
      endedAt: time.nullable(),
      statements: count,
      denials: count,
    }),
  ),
})
export const denyBody = z.strictObject({ reason: sentence })
export const extendBody = z.strictObject({ minutes: minutes.optional(), reason: sentence.optional() })

export type GrantView = z.infer<typeof grant>
export type RoleView = z.infer<typeof role>
export type TargetView = z.infer<typeof target>
export type WaitingRequest = z.infer<typeof waitingRequest>
export type AskBody = z.input<typeof askBody>
export type PastList = z.infer<typeof pastList>
export type GrantQuery = z.input<typeof grantQuery>
