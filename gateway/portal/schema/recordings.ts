/** The words of the API about what was recorded in a session. */
import { z } from 'zod'
import { count, time } from './wire.ts'

const verdict = z.discriminatedUnion('decision', [
  z.strictObject({ decision: z.literal('allow') }),
  z.strictObject({ decision: z.literal('deny'), reason: z.string(), next: z.string().optional() }),
  z.strictObject({ decision: z.literal('hold'), reason: z.string() }),
])
const cell = z.string().nullable()

export const statement = z.object({
  n: z.int(),
  kind: z.enum(['sql', 'command', 'http', 'file', 'forward']),
  text: z.string(),
  verdict,
  truncated: z.boolean(),
  fingerprint: z.string().optional(),
  tables: z.array(z.string()).optional(),
  parameters: z.array(cell).optional(),
  /** A second person let it through. */
  approved: z.object({ request: z.string(), by: z.array(z.string()) }).optional(),
})

export const outcome = z.object({
  /** The statement's number. */
  n: z.int(),
  result: z.enum(['done', 'error', 'not-sent']),
  ms: z.number(),
  tag: z.string().optional(),
  rows: z.number().optional(),
  bytes: z.number().optional(),
  error: z.string().optional(),
  sha256: z.string().optional(),
  /** HTTP: what the person was answered, bytes of the request's body, messages each way. */
  status: z.number().optional(),
  /** HTTP: the target had just closed the connection, and was asked once more over a fresh one. */
  resent: z.literal(true).optional(),
  bytesIn: z.number().optional(),
  frames: z.object({ in: z.number(), out: z.number() }).optional(),
  sample: z.array(z.array(cell)).optional(),
})

export const fileOperation = z.object({
  /** `read`, `write`, `list`, `stat`, `remove`, `rename`, `mkdir`, `rmdir`, `setstat`, `link` or `other`; of a workspace's layer `added`, `changed`, `deleted`. */
  operation: z.string(),
  path: z.string(),
  to: z.string().optional(),
  bytes: z.number().optional(),
  sha256: z.string().optional(),
  result: z.enum(['done', 'denied', 'failed']),
  detail: z.string().optional(),
  /** Unified; of a workspace's changes. */
  diff: z.string().optional(),
})

/**
 * `o` output · `e` standard error · `i` input · `k` input that was not echoed (its length) · `r` resize (`80x24`) ·
 * `m` a notice shown to the person · `x` exit status · `s` a judged statement · `d` what became of it · `f` a file operation.
 */
export const eventKind = z.enum(['o', 'i', 'r', 'm', 'x', 'e', 'k', 's', 'd', 'f'])

export const sessionEvent = z.strictObject({
  seq: count,
  at: time,
  /** Since the session began, pauses as they were. */
  seconds: z.number(),
  kind: eventKind,
  /** The bytes as UTF-8 (hostile: never put into HTML); empty where one of the three below is set. */
  text: z.string(),
  statement: statement.optional(),
  outcome: outcome.optional(),
  file: fileOperation.optional(),
})

export const eventQuery = z.strictObject({
  /** Events after this number. */
  after: z.coerce.number().int().min(0).optional(),
  /** Letters of the wanted kinds, `sdfmxr`; left out: all but output (`o`, `e`) and input (`i`). */
  kinds: z
    .string()
    .regex(/^[oirmxeksdf]{1,10}$/)
    .optional(),
  limit: z.coerce.number().int().min(1).max(1000).optional(),
})
export const eventPage = z.strictObject({
  events: z.array(sessionEvent),
  /** Value for `after` of the next page; null: that was all. */
  next: count.nullable(),
})

export const castQuery = z.strictObject({
  /** Longer pauses are squeezed to so many seconds. */
  idle: z.coerce.number().min(0.1).max(3600).optional(),
  /** `1`: as a file to keep; the audit log says `exported` instead of `replayed`. */
  download: z.literal('1').optional(),
})

/**
 * `GET /sessions/:id/live` is a stream of server-sent events: `event` ({@link SessionEvent}, its id is `seq`, so that a browser
 * goes on where it was), then once `end` ({@link SessionEnd} or `null`). Comments keep it alive.
 */
export const liveQuery = z.strictObject({ after: z.coerce.number().int().min(0).optional() })

export type SessionEventView = z.infer<typeof sessionEvent>
export type EventPage = z.infer<typeof eventPage>
export type EventQuery = z.input<typeof eventQuery>
