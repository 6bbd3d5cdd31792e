/** The words of the API about the whole story of a grant. */
import { z } from 'zod'
import { grant, role } from './access.ts'
import { session } from './sessions.ts'
import { time } from './wire.ts'

export const auditEvent = z.strictObject({
  id: z.string(),
  at: time,
  kind: z.string(),
  /** Empty for the clock and the gateway itself. */
  actor: z.string(),
  session: z.string().nullable(),
  target: z.string(),
  text: z.string(),
  details: z.record(z.string(), z.unknown()),
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
