/**
 * The words of the API under `/api/v1`: every body, query and answer as a zod schema with its type.
 * The browser application shares this file and nothing else with the gateway, so it imports nothing but zod.
 *
 * Times are ISO 8601 strings in UTC, ids are strings, absent things are `null` in answers and left out in questions.
 * Unsafe methods carry the header {@link CSRF_HEADER} with the token of `GET /me`. A refused call answers {@link ApiError}.
 */
import { z } from 'zod'

export const API_BASE = '/api/v1'
export const CSRF_HEADER = 'x-sallyport-csrf'
/** Set to `1` on calls that no person asked for (refreshing what is on the screen): they keep nobody signed in. */
export const BACKGROUND_HEADER = 'x-sallyport-background'
/** `/sign-in?returnTo=/path` comes back to that path. */
export const SIGN_IN_PATH = '/sign-in'

const time = z.iso.datetime({ precision: 3 })
const count = z.int().min(0)
/** One line for people: no control characters, so that it is harmless on every screen. */
const line = (most: number) =>
  z
    .string()
    .trim()
    .max(most)
    .regex(/^\P{Cc}*$/u, 'has control characters')
const sentence = line(500).min(3)
const minutes = z
  .int()
  .min(1)
  .max(7 * 24 * 60)
const name = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@+-]*$/)
export const protocol = z.enum(['ssh', 'postgres', 'http'])

// ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const apiError = z.strictObject({
  error: z.strictObject({
    /** A code of the gateway's refusals (`NOT_SIGNED_IN`, `NO_GRANT`, `BAD_INPUT`…), or `FAULT` when the gateway broke. */
    code: z.string(),
    /** A sentence for the person. */
    message: z.string(),
    /** What the person can do now. */
    next: z.string().nullable(),
    /** To be told to an operator; the log knows more under it. */
    reference: z.string(),
  }),
})

// ── who I am ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const me = z.strictObject({
  username: z.string(),
  groups: z.array(z.string()),
  provider: z.string(),
  /** When and how the second factor was given. */
  authTime: time,
  amr: z.array(z.string()),
  isAuditor: z.boolean(),
  isAdmin: z.boolean(),
  csrfToken: z.string(),
  session: z.strictObject({
    /** The end whatever happens. */
    expiresAt: time,
    /** Ends earlier when nothing is asked for so long. */
    idleMinutes: z.int(),
  }),
})

export const signedOut = z.strictObject({
  /** Where to go next: the provider's own sign-out page, or ours. Always safe to navigate to. */
  location: z.string(),
})

// ── targets, requests, grants ─────────────────────────────────────────────────────────────────────────────────────

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

export const role = z.strictObject({
  name: z.string(),
  /** From the config. */
  description: z.string(),
  /** What it lets a person do, one sentence each, in plain words. */
  allows: z.array(z.string()),
  endpoints: z.array(protocol),
  /** `By rule, at once.` or `2 people of leads or security.` */
  approval: z.string(),
  needsApproval: z.boolean(),
  defaultMinutes: z.int(),
  maxMinutes: z.int(),
  /** How old the sign-in may be when a session opens. */
  mfaWithinMinutes: z.int(),
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
  /** The exact lines to type, for the endpoints that have a door here. */
  commands: z.array(z.strictObject({ endpoint: protocol, command: z.string() })),
})

export const targetList = z.strictObject({ targets: z.array(target) })

export const askBody = z.strictObject({
  target: name,
  /** May be left out when only one role is possible. */
  role: name.optional(),
  minutes: minutes.optional(),
  reason: sentence,
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

export const approveBody = z.strictObject({ minutes: minutes.optional() })
export const denyBody = z.strictObject({ reason: sentence })
export const extendBody = z.strictObject({ minutes: minutes.optional(), reason: sentence.optional() })
export const noteBody = z.strictObject({ note: line(500) })
/** Steps that need nothing. No body at all counts as an empty object, here and wherever nothing is required. */
export const emptyBody = z.strictObject({})
export const done = z.strictObject({ done: z.literal(true) })

// ── sessions and their recordings ─────────────────────────────────────────────────────────────────────────────────

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
  grant: z
    .string()
    .regex(/^\d{1,15}$/)
    .optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  live: z.enum(['true', 'false']).optional(),
  limit: z.coerce.number().int().min(1).max(500).optional(),
})

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
  sample: z.array(z.array(cell)).optional(),
})

export const fileOperation = z.object({
  /** `read`, `write`, `list`, `stat`, `remove`, `rename`, `mkdir`, `rmdir`, `setstat`, `link` or `other`. */
  operation: z.string(),
  path: z.string(),
  to: z.string().optional(),
  bytes: z.number().optional(),
  sha256: z.string().optional(),
  result: z.enum(['done', 'denied', 'failed']),
  detail: z.string().optional(),
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

// ── a grant's whole story ─────────────────────────────────────────────────────────────────────────────────────────

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
})

// ── sign-ins of ssh and psql that wait for a browser ──────────────────────────────────────────────────────────────

export const signInQuestion = z.strictObject({
  id: z.string(),
  kind: z.enum(['ssh', 'postgres']),
  /** `type`: the person types the code that the terminal shows. `show`: this page shows it, the person types it into the terminal. */
  direction: z.enum(['type', 'show']),
  username: z.string(),
  sourceAddress: z.string(),
  /** Of this browser, for comparison. */
  browserAddress: z.string(),
  clientVersion: z.string(),
  keyFingerprint: z.string().nullable(),
  target: z.string().nullable(),
  askedAt: time,
  expiresAt: time,
  /** Whether this browser is where the terminal is. */
  sameAddress: z.boolean(),
  /** This browser's sign-in is too old to approve: go to `/sign-in?returnTo=<this page>` first. */
  signInAgain: z.boolean(),
  /** How many connections this one approval lets in. */
  connections: count,
})
export const answerBody = z.strictObject({ code: z.string().trim().min(1).max(32) })
export const answerResult = z.strictObject({
  result: z.enum(['signed-in', 'wrong-code']),
  /** After a wrong code; null when it was right. */
  triesLeft: count.nullable(),
})
export const revealed = z.strictObject({ code: z.string(), expiresAt: time })

export const boundKey = z.strictObject({ fingerprint: z.string(), boundAt: time, expiresAt: time })
export const keyList = z.strictObject({ keys: z.array(boundKey) })
export const tokenBody = z.strictObject({ hours: z.number().min(0.1).max(12) })
/** A password for databases; `token` is null when it was asked for again: it is shown once. */
export const databaseToken = z.strictObject({ token: z.string().nullable(), expiresAt: time.nullable() })

// ── `GET /changes`: server-sent events `change` (ask again for what is on the screen) and `signed-out` (go to /sign-in) ──

export type ApiError = z.infer<typeof apiError>
export type Me = z.infer<typeof me>
export type SignedOut = z.infer<typeof signedOut>
export type GrantView = z.infer<typeof grant>
export type RoleView = z.infer<typeof role>
export type TargetView = z.infer<typeof target>
export type WaitingRequest = z.infer<typeof waitingRequest>
export type AskBody = z.input<typeof askBody>
export type GrantQuery = z.input<typeof grantQuery>
export type SessionView = z.infer<typeof session>
export type SessionEndView = z.infer<typeof sessionEnd>
export type SessionQuery = z.input<typeof sessionQuery>
export type SessionEventView = z.infer<typeof sessionEvent>
export type EventPage = z.infer<typeof eventPage>
export type EventQuery = z.input<typeof eventQuery>
export type AuditEventView = z.infer<typeof auditEvent>
export type GrantStory = z.infer<typeof grantStory>
export type SignInQuestionView = z.infer<typeof signInQuestion>
export type AnswerResult = z.infer<typeof answerResult>
export type Revealed = z.infer<typeof revealed>
export type BoundKey = z.infer<typeof boundKey>
export type DatabaseToken = z.infer<typeof databaseToken>
