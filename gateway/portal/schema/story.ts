/** The words of the API about the whole story of a grant. */
import { z } from 'zod'
import { grant, role } from './access.ts'
import { session } from './sessions.ts'
import { name, time } from './wire.ts'

export const auditEvent = z.strictObject({
  id: z.string(),
  at: time,
  kind: z.string(),
  /** Empty for the clock and the gateway itself. */
  actor: z.string(),
  grant: z.string().nullable(),
  session: z.string().nullable(),
  target: z.string(),
  text: z.string(),
  details: z.record(z.string(), z.unknown()),
})
/** The log itself: for auditors and administrators. */
export const auditQuery = z.strictObject({
  about: z.enum(['grant', 'session', 'identity', 'target', 'agent', 'gateway']).optional(),
  person: name.optional(),
  target: name.optional(),
  /** Before this moment. */
  until: z.iso.datetime({ offset: true }).optional(),
  limit: z.coerce.number().int().min(1).max(500).optional(),
})
export const auditPage = z.strictObject({
  /** Newest first. */
  events: z.array(auditEvent),
  /** Value for `until` of the next page; null: that was all. */
  next: time.nullable(),
})

export const grantStory = z.strictObject({
  grant,
  role: role.nullable(),
  /** Oldest first. */
  events: z.array(auditEvent),
  sessions: z.array(session),
  /** Whether this person may take the evidence, which holds all recordings. */
  mayTakeEvidence: z.boolean(),
})

export type AuditEventView = z.infer<typeof auditEvent>
export type GrantStory = z.infer<typeof grantStory>
