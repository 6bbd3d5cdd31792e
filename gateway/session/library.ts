/** What the ssh command line and the portal ask of the recorder's reading side. Who may see what is judged before these are called. */
import type { AuditEvent, EventKind, SessionEnd, SessionId, SessionStart } from '../model/event.ts'
import type { Grant } from '../model/grant.ts'
import type { Moment } from '../model/moment.ts'
import type { Role } from '../model/role.ts'

/** A row of the list of sessions; `end` is undefined while it runs. */
export type SessionRow = SessionStart & {
  readonly end: SessionEnd | undefined
  readonly events: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly statements: number
  readonly denials: number
  /** Lines that raised an alarm. */
  readonly alerts?: number
}

export type SessionFilter = {
  /** A user name, a target's name, a protocol. */
  readonly username?: string | undefined
  readonly target?: string | undefined
  readonly protocol?: string | undefined
  readonly grant?: string | undefined
  readonly since?: Moment | undefined
  readonly until?: Moment | undefined
  readonly live?: boolean | undefined
  /** Only those in which something was refused. */
  readonly denied?: boolean | undefined
  readonly limit?: number | undefined
}

export type RecordedEvent = {
  readonly seq: number
  readonly at: Moment
  readonly kind: EventKind
  readonly data: Buffer
}

/** What was typed, shown, or judged, in lines. */
export type SearchQuery = {
  /** Whole words, in this order and spelling; upper and lower case are the same. */
  readonly text: string
  readonly username?: string | undefined
  readonly target?: string | undefined
  readonly since?: Moment | undefined
  readonly limit?: number | undefined
}

/** `seq` is the event in which the line ended: where a replay should begin. */
export type SearchHit = {
  readonly session: SessionId
  readonly seq: number
  readonly at: Moment
  readonly source: 'shown' | 'typed' | 'statement'
  readonly text: string
}

export type Library = {
  /** Newest first. Knows sessions that are not shipped yet as far as the store does. */
  sessions(filter: SessionFilter): Promise<readonly SessionRow[]>
  session(id: SessionId): Promise<SessionRow | undefined>
  /** In order, each once. With `follow` it goes on until the session ends or the signal aborts. */
  events(
    id: SessionId,
    options: { readonly after?: number; readonly follow?: boolean; readonly signal?: AbortSignal },
  ): AsyncIterable<RecordedEvent>
  /** Lines of asciicast v3, each ending in a newline. `idleSeconds` squeezes longer pauses. */
  asciicast(
    id: SessionId,
    options: { readonly idleSeconds?: number; readonly signal?: AbortSignal },
  ): AsyncIterable<string>
  /** Pieces of one JSON document, HAR 1.2: the requests of a web session. @throws {Refusal} NOT_FOUND for a session of another kind. */
  har(id: SessionId, options: { readonly signal?: AbortSignal }): AsyncIterable<string>
  /** Newest first. */
  search(query: SearchQuery): Promise<readonly SearchHit[]>
  /** Lines of the signed file about a grant that `npm run verify` checks. */
  evidence(ask: {
    readonly grant: Grant
    readonly role: Role | undefined
    readonly by: string
    readonly at: Moment
  }): AsyncIterable<string>
  /** Newest first. `about`: the first word of the kinds, like `grant`. */
  audit(filter: {
    readonly grant?: string
    readonly about?: string
    readonly actor?: string
    readonly target?: string
    readonly since?: Moment
    /** Before this moment. */
    readonly until?: Moment
    readonly limit?: number
  }): Promise<readonly AuditEvent[]>
}
