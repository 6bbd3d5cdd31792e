/** The words of the API about sessions. */
import { z } from 'zod'
import { count, grantId, line, name, protocol, time } from './wire.ts'

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
  /** Lines of a full shell that raised an alarm. */
  alerts: count,
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
  until: z.iso.datetime({ offset: true }).optional(),
  live: z.enum(['true', 'false']).optional(),
  /** Only those in which something was refused. */
  denied: z.literal('true').optional(),
  limit: z.coerce.number().int().min(1).max(500).optional(),
})

/** What was typed, shown or judged; `text` in this order and spelling, upper and lower case are the same. */
export const searchQuery = z.strictObject({
  text: line(200).min(2),
  person: name.optional(),
  target: name.optional(),
  since: z.iso.datetime({ offset: true }).optional(),
})
export const searchHits = z.strictObject({
  hits: z.array(
    z.strictObject({
      session,
      /** Where a replay should begin, in seconds of the session. */
      seconds: z.number(),
      source: z.enum(['shown', 'typed', 'statement']),
      /** The line. Hostile: never put into HTML. */
      text: z.string(),
    }),
  ),
})

export type SearchHits = z.infer<typeof searchHits>
export type SessionView = z.infer<typeof session>
export type SessionEndView = z.infer<typeof sessionEnd>
export type SessionQuery = z.input<typeof sessionQuery>
