/** Texts that begin or end a transaction, in the few spellings that leave no doubt: alone, without comments. */

/** `inner`: savepoints of the client's own. */
export type TransactionStep = 'begin' | 'commit' | 'rollback' | 'inner'

const END = String.raw`(?:\s+(?:work|transaction))?(?:\s+and\s+no\s+chain)?`
const NAME = String.raw`(?:[a-z_][a-z0-9_$]*|"[^"]+")`
const STEPS: readonly (readonly [RegExp, TransactionStep])[] = (
  [
    [String.raw`begin(?:\s+(?:work|transaction))?(?:\s+[a-z ,]+)?`, 'begin'],
    [String.raw`start\s+transaction(?:\s+[a-z ,]+)?`, 'begin'],
    [String.raw`(?:commit|end)${END}`, 'commit'],
    [String.raw`(?:rollback|abort)${END}`, 'rollback'],
    [String.raw`savepoint\s+${NAME}`, 'inner'],
    [String.raw`release\s+(?:savepoint\s+)?${NAME}`, 'inner'],
    [String.raw`rollback(?:\s+(?:work|transaction))?\s+to\s+(?:savepoint\s+)?${NAME}`, 'inner'],
  ] as const
).map(([text, step]) => [new RegExp(String.raw`^\s*${text}\s*(?:;\s*)*$`, 'i'), step])

/** Undefined for any other text, and for a step in a spelling that is not one of these. */
export const transactionStep = (text: string): TransactionStep | undefined =>
  text.length > 500 ? undefined : STEPS.find(([pattern]) => pattern.test(text))?.[1]
