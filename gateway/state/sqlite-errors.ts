/** SQLite's result codes (sqlite.org/rescode.html) in our three kinds of "no". */
import { Fault, Refusal } from '../model/refusal.ts'

const BUSY = 5
const LOCKED = 6
/** Read-only, interrupted, input/output error, corrupt, full, cannot open, locking protocol, not a database. */
const OUT_OF_REACH: ReadonlySet<number> = new Set([BUSY, LOCKED, 8, 9, 10, 11, 13, 14, 15, 26])

/** The primary result code; extended ones carry more in the higher bits. */
function codeOf(error: unknown): number | undefined {
  const code = error instanceof Error && 'errcode' in error ? error.errcode : undefined
  return typeof code === 'number' ? code & 0xff : undefined
}

export const isBusy = (error: unknown): boolean => {
  const code = codeOf(error)
  return code === BUSY || code === LOCKED
}

/** Errors that are not SQLite's own pass as they are. */
export function explain(error: unknown): unknown {
  const code = codeOf(error)
  if (code === undefined) return error
  return OUT_OF_REACH.has(code)
    ? outOfReach(error)
    : new Fault('The state store refused a statement.', { cause: error })
}

export const outOfReach = (cause?: unknown): Refusal =>
  new Refusal('UNAVAILABLE', 'The state store cannot be reached just now.', { cause, next: 'Try again in a moment.' })
