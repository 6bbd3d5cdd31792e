/** One call of PostgreSQL's own grammar. What it leaves behind when its stack overflows is not fit for another call. */
import { fingerprintSync, hasSqlDetails, parseSync } from 'libpg-query'
import type { Tree } from './tree.ts'

export type Parsed =
  | {
      readonly statements: readonly Tree[]
      /** The text of each statement. */
      readonly texts: readonly string[]
      /** Of the whole text; empty where there is none. */
      readonly fingerprint: string
    }
  /** The text cannot be parsed: a sentence. `isCostly`: finding that out held up the thread that all sessions share. */
  | { readonly failure: string; readonly isCostly?: boolean }

export const TOO_MUCH = 'this statement is too large or too deep to be judged'
/** Fingerprints of longer texts cost more than they tell. */
const MAX_FINGERPRINTED = 16 * 1024

type Raw = { readonly stmt?: Tree; readonly stmt_location?: number; readonly stmt_len?: number }

/** `isSound` is false when the instance must not be used again. */
export function parseNow(text: string): { readonly parsed: Parsed; readonly isSound: boolean } {
  try {
    const answer: object = parseSync(text)
    const { stmts = [] } = answer as { readonly stmts?: readonly Raw[] }
    const fingerprint = stmts.length === 0 || text.length > MAX_FINGERPRINTED ? '' : fingerprintSync(text)
    return {
      parsed: { statements: stmts.map(({ stmt }) => stmt), texts: textsOf(text, stmts), fingerprint },
      isSound: true,
    }
  } catch (error) {
    if (hasSqlDetails(error)) return { parsed: { failure: error.message }, isSound: true }
    return { parsed: { failure: TOO_MUCH, isCostly: true }, isSound: false }
  }
}

/** Locations count bytes; no length means up to the end. */
function textsOf(text: string, stmts: readonly Raw[]): readonly string[] {
  if (stmts.length <= 1) return stmts.map(() => text)
  const bytes = Buffer.from(text)
  return stmts.map(({ stmt_location: from = 0, stmt_len: length }) =>
    bytes.toString('utf8', from, length === undefined ? bytes.length : from + length),
  )
}
