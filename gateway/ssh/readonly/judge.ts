/** What the read-only shell asks of a judge. filters/ fits. */
import type { FileRecord } from '../../model/event.ts'
import type { SshScope } from '../../model/role.ts'
import type { Verdict } from '../../model/statement.ts'

/** What a fresh shell on the target does not know. */
export type LineContext = {
  /** Absolute. */
  readonly directory?: string
  readonly previousDirectory?: string
  /** Exit status of the line before. */
  readonly lastStatus?: number
  readonly hasGawk?: boolean
}

/** `join`: how it hangs on the step before it. */
export type LineStep =
  | {
      readonly kind: 'pipeline'
      readonly join: ';' | '&&' | '||'
      /** For a POSIX `sh -c`, quoted anew from what was judged. */
      readonly text: (context: LineContext) => string
    }
  /** `text` goes there; where that is, only the target knows. `isBack`: `cd -`. */
  | {
      readonly kind: 'cd'
      readonly join: ';' | '&&' | '||'
      readonly isBack: boolean
      readonly text: (context: LineContext) => string
    }
  | { readonly kind: 'exit'; readonly join: ';' | '&&' | '||'; readonly status: number | undefined }

export type JudgedLine = {
  readonly steps: readonly LineStep[]
  /** All steps as one. */
  readonly text: (context: LineContext) => string
  /** Its program is worth a terminal of its own (`less`, `top`). */
  readonly wantsTerminal: boolean
  readonly usesAwk: boolean
}

/** What waits for a second person: its words, and how they read. */
export type HeldLine = { readonly argv: readonly string[]; readonly text: string }

/** `held`: with the verdict `hold`. */
export type LineJudgement = {
  readonly verdict: Verdict
  readonly line: JudgedLine | undefined
  readonly held?: HeldLine
}

export type CommandJudgement =
  | ({ readonly kind: 'line' } & LineJudgement)
  /** One end of scp -O or rsync. `needsHome`: refused only because a relative path was asked for without {@link FileContext}. */
  | {
      readonly kind: 'copy'
      readonly verdict: Verdict
      readonly text: string | undefined
      readonly needsHome: boolean
    }
  /** An sftp server: to be served as the subsystem. */
  | { readonly kind: 'sftp'; readonly verdict: Verdict }

/** Home directory of the account, from which relative paths start. */
export type FileContext = { readonly home?: string }

/** Pure and synchronous. */
export type ShellJudge = {
  /** Names of the programs that the role has. */
  readonly programs: readonly string[]
  /** How what waits for a second person begins. */
  readonly heldCommands: readonly string[]
  line(line: string, directory?: string): LineJudgement
  command(command: string, context?: FileContext): CommandJudgement
  file(operation: FileRecord['operation'], path: string, context?: FileContext): Verdict
  /** One word that any POSIX shell reads as exactly this text. */
  quote(text: string): string
}

export type JudgeOf = (scope: SshScope, heldCommands?: readonly (readonly string[])[]) => ShellJudge
