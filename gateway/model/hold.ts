/** A statement that waits for a second person: what they decide about, and the digest of exactly what would run. */
import type { SessionId } from './event.ts'
import type { GrantId } from './grant.ts'

/** Statements of SQL that a role can have held. `commit`: what a workspace that is rolled back would then keep. */
export type HeldKind = 'insert' | 'update' | 'delete' | 'merge' | 'truncate' | 'commit'

/** What a role does not allow, but lets wait for a second person. */
export type HoldScope = {
  readonly postgres: readonly HeldKind[]
  /** Command lines, by the words that they begin with: `['systemctl', 'restart']`. */
  readonly commands: readonly (readonly string[])[]
  /** Groups whose members decide. */
  readonly approvers: readonly string[]
  /** How many of them must agree. */
  readonly people: number
  /** A statement that touches more is rolled back. */
  readonly rows: number
  /** The role on the target that may write: the login of the one transaction is a member of it. Undefined: the endpoint's fixed login. */
  readonly template: string | undefined
}

export type HeldStatement = {
  readonly kind: 'sql' | 'command'
  /** `UPDATE`, `COMMIT`, `systemctl`: what it is, in a word. */
  readonly verb: string
  /** The live grant under which it would run; it ends with that. */
  readonly under: GrantId
  /** The session that waits for it. Nobody else can use the approval. */
  readonly session: SessionId
  /** As it was written. Untrusted: it is shown escaped. */
  readonly text: string
  /** SQL without comments, in one spelling. */
  readonly normalised?: string
  readonly tables?: readonly string[]
  /** As far as the role lets parameter values be seen; the digest covers them either way. */
  readonly parameters?: readonly (string | null)[]
  /** The database, or the directory. */
  readonly place: string
  /** EXPLAIN of it, or why there is none. */
  readonly plan?: string
  readonly estimatedRows?: number
  /** The limit; undefined where rows cannot be counted. */
  readonly mostRows?: number
  /** SHA-256 over the bytes that would run, in hexadecimal. */
  readonly digest: string
}
