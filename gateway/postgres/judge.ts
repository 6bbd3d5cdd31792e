/** What this room asks of a judge of SQL. filters/ fits; the judge sees text and names, never bytes or sockets. */
import type { MaskKind } from '../model/mask.ts'
import type { HeldKind } from '../model/hold.ts'
import type { Role } from '../model/role.ts'
import type { Verdict } from '../model/statement.ts'

/** A verdict, and what the recording should know about the text besides. */
export type Judgement = {
  readonly verdict: Verdict
  /** Normalised, so that texts that differ in their literals only are one. */
  readonly fingerprint?: string
  /** As `schema.table`. */
  readonly tables?: readonly string[]
  /** With a verdict `hold`: what it is, and its text without comments. */
  readonly held?: { readonly kind: HeldKind; readonly normalised: string }
}

/** `isText`: a text in its place is a value of the column's type. */
export type ColumnMask = { readonly kind: MaskKind; readonly isText: boolean }

/** As in ReadyForQuery: idle, in a transaction, in a failed transaction. */
export type TransactionStatus = 'I' | 'T' | 'E'

/** What is known of a session before its first statement. */
export type JudgeContext = {
  readonly target: string
  /** The database on the target. */
  readonly database: string
  /** The login on the target; `$user` of a search path. */
  readonly account?: string
  /** The start-up parameters as they were sent to the target, names in lower case. */
  readonly parameters: ReadonlyMap<string, string>
  /** `server_version` as the target reported it. */
  readonly serverVersion: string
  /**
   * Runs the gateway's own statements (what is in the catalog?) in the session's database, on a connection of their own,
   * as the session's account and read-only. One list of rows for each statement.
   */
  ask(statements: readonly string[]): Promise<readonly (readonly (readonly (string | null)[])[])[]>
}

/**
 * One judge per session. All of a message is judged before a byte of it is forwarded. A promise holds this session's
 * later messages back, nobody else's. A throw or a rejection refuses the message.
 * The caller has made sure that no text holds a NUL; under a read-only role the text is valid UTF-8.
 */
export type SqlJudge = {
  /** The text of one Query message, with as many statements as it has. */
  query(text: string): Judgement | Promise<Judgement>
  /** The text of one Parse message. `name` (empty: the unnamed statement) is one namespace with SQL PREPARE. `types`: the parameter types it declares, by number. */
  parse(name: string, text: string, types?: readonly number[]): Judgement | Promise<Judgement>
  /** The same text again, each time a portal made of it is executed. */
  execute(name: string, text: string): Judgement | Promise<Judgement>
  /**
   * How the values of a column are masked, by the numbers that a RowDescription has for its table and for it.
   * `unknown`: they may not be shown. Absent: this judge knows of no masks.
   */
  maskOf?(table: number, column: number): ColumnMask | 'plain' | 'unknown'
  /** After each ReadyForQuery. */
  ready?(status: TransactionStatus): void
  /** The session is over. */
  close?(): void
}

/** A judge that cannot be made refuses the session. */
export type CreateJudge = (role: Role, context: JudgeContext) => SqlJudge | Promise<SqlJudge>
