/** Verdicts by text, of all sessions of a worker, bounded by bytes. */
import { LRUCache } from 'lru-cache'
import type { HeldKind } from '../../model/hold.ts'
import type { Verdict } from '../../model/statement.ts'
import type { Effect } from './statements.ts'

/** What a judge says; the recording gets the rest. */
export type SqlJudgement = {
  readonly verdict: Verdict
  readonly fingerprint?: string
  readonly tables?: readonly string[]
  /** With a verdict `hold`: what it is, and its text without comments. */
  readonly held?: { readonly kind: HeldKind; readonly normalised: string }
}

export type Found = {
  readonly judgement: SqlJudgement
  /** What becomes of the session when it is allowed. */
  readonly effects: readonly Effect[]
}

const MAX_BYTES = 16 * 1024 * 1024
const MAX_TEXT = 64 * 1024

export class VerdictCache {
  readonly #found = new LRUCache<string, Found>({
    maxSize: MAX_BYTES,
    sizeCalculation: ({ judgement, effects }, key) =>
      key.length * 2 + JSON.stringify([judgement, effects]).length * 2 + 256,
  })

  get(key: string): Found | undefined {
    return this.#found.get(key)
  }

  put(key: string, found: Found): void {
    if (key.length <= MAX_TEXT) this.#found.set(key, found)
  }
}

const FOLDABLE = /^\s*(?:select|insert|update|delete|values|with)\b(?:[A-Za-z0-9_ \t\r\n(),=<>;.*+]|-(?!-))*$/i
const MAX_FOLDED = 1024

/**
 * Whole numbers decide about no query: texts that differ in them only share a verdict.
 * Only for texts without quotes, comments or anything else in which a digit could mean more.
 */
export const foldNumbers = (text: string): string =>
  text.length <= MAX_FOLDED && FOLDABLE.test(text)
    ? text.replaceAll(/(?<![A-Za-z0-9_.])\d+(?![A-Za-z0-9_.])/g, '0')
    : text
