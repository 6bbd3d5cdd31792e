/** Statements and verdicts: what is judged, and what came of it. */

/** One judged unit. `text` is what an auditor reads: SQL, a command line, `GET /path`, `read /var/log/x`. */
export type Statement = {
  readonly kind: 'sql' | 'command' | 'http' | 'file' | 'forward'
  readonly text: string
}

/** `reason` is a sentence for the person. `code`: NOT_ALLOWED where the role's mode is not what says no. `hold`: a second person must allow it. */
export type Verdict =
  | { readonly decision: 'allow' }
  | { readonly decision: 'deny'; readonly reason: string; readonly next?: string; readonly code?: 'NOT_ALLOWED' }
  | { readonly decision: 'hold'; readonly reason: string }

export const ALLOW: Verdict = { decision: 'allow' }
