/** The words of the API about sessions. */
import { z } from 'zod'
import { count, grantId, name, protocol, time } from './wire.ts'

export const sessionEnd = z.strictObject({
  endedAt: time,
  cause: z.enum(['closed', 'exited', 'cut', 'failed', 'crashed']),
  /** The sentence that the person was shown, when it was cut. */
  detail: z.string(),
  exitCode: z.int().nullable(),
})

export const session = z.strictObject({
  id: z.string(),
  grant: z.string(),
  username: z.string(),
  target: z.string(),
  role: z.string(),
  protocol,
  account: z.string(),
  /** `shell`, `exec`, `sftp`, `forward`, `query`, `request`… */
  channel: z.string(),
  command: z.string(),
  clientAddress: z.string(),
  clientVersion: z.string(),
  reason: z.string(),
  startedAt: time,
  terminal: z.strictObject({ columns: z.int(), rows: z.int(), type: z.string() }).nullable(),
  /** Null while it runs. */
  end: sessionEnd.nullable(),
  events: count,
  bytesIn: count,
  bytesOut: count,
  statements: count,
  denials: count,
  /** What to offer this person. */
  may: z.strictObject({ replay: z.boolean(), watch: z.boolean(), kill: z.boolean() }),
})

export const sessionList = z.strictObject({ sessions: z.array(session) })
export const sessionQuery = z.strictObject({
  person: name.optional(),
  target: name.optional(),
  protocol: protocol.optional(),
  grant: grantId.optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  live: z.enum(['true', 'false']).optional(),
  limit: z.coerce.number().int().min(1).max(500).optional(),
})

export type SessionView = z.infer<typeof session>
export type SessionEndView = z.infer<typeof sessionEnd>
export type SessionQuery = z.input<typeof sessionQuery>
