/** Sessions and their events: what the recorder writes and auditors replay. */
import type { Brand } from './brand.ts'
import type { GrantId } from './grant.ts'
import type { Subject, Username } from './identity.ts'
import type { Moment } from './moment.ts'
import type { Verdict } from './statement.ts'
import type { Protocol } from './target.ts'

/** A UUID (version 7, so that a list of sessions sorts by time where that matters). */
export type SessionId = Brand<string, 'SessionId'>

/** What is known when a session opens. Becomes a row of `audit.sessions`. */
export type SessionStart = {
  readonly id: SessionId
  readonly grant: GrantId
  readonly subject: Subject
  readonly username: Username
  readonly target: string
  readonly role: string
  readonly protocol: Protocol
  readonly account: string
  /** `shell`, `exec`, `sftp`, `forward`, `query`, `request`… */
  readonly channel: string
  /** The command of an exec, the database of a postgres session; else empty. */
  readonly command: string
  readonly clientAddress: string
  readonly clientVersion: string
  readonly reason: string
  readonly startedAt: Moment
  /** Terminal size; undefined without one. */
  readonly terminal: { readonly columns: number; readonly rows: number; readonly type: string } | undefined
}

/** How a session ended. */
export type SessionEnd = {
  readonly endedAt: Moment
  /** `closed` by the client, `exited` by the target, or why the gateway cut it. */
  readonly cause: 'closed' | 'exited' | 'cut' | 'failed' | 'crashed'
  /** The sentence that the person was shown, when it was cut. */
  readonly detail: string
  readonly exitCode: number | undefined
}

/**
 * One-letter kinds of session events; the first five are asciicast's own.
 * `o` output · `i` input · `r` resize (`80x24`) · `m` marker (a notice shown to the person, or an alert) · `x` exit status ·
 * `e` standard error output · `k` input that was not echoed (data: decimal count of bytes, never the bytes) ·
 * `s` a judged statement (JSON {@link StatementRecord}) · `d` what became of a statement (JSON {@link OutcomeRecord}) · `f` a file operation (JSON {@link FileRecord}).
 */
export type EventKind = 'o' | 'i' | 'r' | 'm' | 'x' | 'e' | 'k' | 's' | 'd' | 'f'

export type StatementRecord = {
  /** Number of the statement within its session, from 1. */
  readonly n: number
  readonly kind: 'sql' | 'command' | 'http' | 'file' | 'forward'
  readonly text: string
  readonly verdict: Verdict
  /** True where `text` was cut at the recorder's limit. */
  readonly truncated: boolean
  /** SQL: normalised fingerprint, tables as `schema.table`, parameter values by policy. */
  readonly fingerprint?: string
  readonly tables?: readonly string[]
  readonly parameters?: readonly (string | null)[]
  /** HTTP: selected request headers, secrets masked. */
  readonly headers?: readonly (readonly [string, string])[]
  /** The request by which a second person let it through, and who that was. */
  readonly approved?: { readonly request: GrantId; readonly by: readonly Username[] }
}

export type OutcomeRecord = {
  readonly n: number
  /** `done`, `error`, or `not-sent` when the grant ended between recording and forwarding. */
  readonly result: 'done' | 'error' | 'not-sent'
  readonly ms: number
  readonly tag?: string
  readonly rows?: number
  readonly bytes?: number
  readonly error?: string
  readonly sha256?: string
  /** Masked sample of the result, by policy. */
  readonly sample?: readonly (readonly (string | null)[])[]
  /** HTTP: what the person was answered, bytes of the request's body (`bytes` are the answer's), frames each way, selected headers. */
  readonly status?: number
  /** HTTP: asked twice, for the target had just closed the connection that it was sent over first. */
  readonly resent?: true
  readonly bytesIn?: number
  readonly frames?: { readonly in: number; readonly out: number }
  readonly headers?: readonly (readonly [string, string])[]
}

export type FileRecord = {
  readonly operation:
    | 'read'
    | 'write'
    | 'list'
    | 'stat'
    | 'remove'
    | 'rename'
    | 'mkdir'
    | 'rmdir'
    | 'setstat'
    | 'link'
    | 'other'
    /** What a workspace's layer held at the end. */
    | 'added'
    | 'changed'
    | 'deleted'
  readonly path: string
  readonly to?: string
  readonly bytes?: number
  /** Of the bytes that passed, when they passed in order from the start; else absent. */
  readonly sha256?: string
  readonly result: 'done' | 'denied' | 'failed'
  readonly detail?: string
  /** Unified, of the text before and after. */
  readonly diff?: string
}

/** What happens outside sessions: every step of a grant, sign-ins, admin deeds. Kept in the same tamper-evident log. */
export type AuditEvent = {
  /** A UUID, so that an event delivered twice is kept once. */
  readonly id: string
  readonly at: Moment
  readonly kind:
    | `grant.${'requested' | 'approved' | 'live' | 'extended' | 'ended' | 'warned' | 'refused' | 'exported' | 'ran'}`
    | `session.${'opened' | 'ended' | 'refused' | 'alert' | 'killed' | 'watched' | 'replayed' | 'exported' | 'searched'}`
    | `identity.${'signed-in' | 'refused' | 'signed-out' | 'locked' | 'unlocked' | 'key-bound' | 'key-unbound' | 'token-issued' | 'name-released' | 'passkey-registered' | 'passkey-removed' | 'passkey-used'}`
    | `target.${'provisioned' | 'deprovisioned' | 'orphan-dropped' | 'mask-unfitting'}`
    | `workspace.${'shown' | 'applying' | 'applied' | 'refused' | 'discarded'}`
    | `agent.${'token-issued' | 'enrolled' | 'refused' | 'revoked'}`
    | `gateway.${'started' | 'stopped' | 'reloaded' | 'worker-killed'}`
  /** Who did it; empty for the clock and the gateway itself. */
  readonly actor: string
  readonly grant: GrantId | undefined
  readonly session: SessionId | undefined
  readonly target: string
  /** A sentence, and whatever else belongs to it. Never a secret. */
  readonly text: string
  readonly details: Readonly<Record<string, unknown>>
}

/** Called after the fact; must not throw (what cannot be kept at once is kept later). */
export type Audit = (event: AuditEvent) => void
