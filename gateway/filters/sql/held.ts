/** Statements that a read-only role does not allow, but lets wait for a second person: one alone, and nothing in it that a query could not have. */
import { scanSync } from 'libpg-query'
import type { HeldKind } from '../../model/hold.ts'
import { treeReason, type WalkContext } from './expressions.ts'
import type { Tree } from './tree.ts'

const KINDS: Readonly<Record<string, HeldKind>> = {
  InsertStmt: 'insert',
  UpdateStmt: 'update',
  DeleteStmt: 'delete',
  MergeStmt: 'merge',
  TruncateStmt: 'truncate',
}
/** Nodes that only a change has. */
const CHANGES = new Set(['IndexElem', 'MergeWhenClause', 'MultiAssignRef', 'SetToDefault'])
/** A second person reads all of it. */
const MAX_CHARACTERS = 64 * 1024

export type Held = {
  readonly kind: HeldKind
  /** Why it may not wait either, or undefined. */
  readonly reason: string | undefined
}

/** Undefined where the statement is none of these kinds. */
export function heldStatement(
  tree: Tree,
  kinds: readonly HeldKind[],
  context: WalkContext,
  rest: { readonly statements: number; readonly characters: number },
): Held | undefined {
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) return undefined
  const [entry] = Object.entries(tree)
  const kind = entry === undefined ? undefined : KINDS[entry[0]]
  if (entry === undefined || kind === undefined || !kinds.includes(kind)) return undefined
  const word = kind.toUpperCase()
  if (rest.statements > 1)
    return { kind, reason: `${word} among other statements; one that waits for a second person comes alone` }
  if (rest.characters > MAX_CHARACTERS) return { kind, reason: `${word} of more than ${MAX_CHARACTERS} characters` }
  // The table comes without its tag in the tree, so that nobody would look at it.
  const { relation, ...body } = entry[1] as Readonly<Record<string, Tree>>
  const whole = relation === undefined ? [body] : [{ RangeVar: relation }, body]
  return { kind, reason: treeReason(whole, { ...context, changes: CHANGES }) }
}

/** The scanner's own JSON breaks at other control characters. As long as the text, so that places stay what they are. */
const scannable = (text: string): string =>
  text
    .replaceAll(/[\v\f]/g, ' ')
    .replaceAll(/(?![\t\n\r])\p{Cc}/gu, (control) => 'x'.repeat(Buffer.byteLength(control)))

/** Without comments, with one space between words: what a reader sees is what the server reads. */
export function normalised(text: string): string {
  const bytes = Buffer.from(text)
  const words: string[] = []
  let end = -1
  for (const token of scanSync(scannable(text)).tokens) {
    if (token.tokenName.endsWith('COMMENT')) continue
    const word = bytes.toString('utf8', token.start, token.end)
    // What stood together stays together: `a.b`, `count(*)`.
    if (token.start === end && words.length > 0) words.push(`${words.pop() ?? ''}${word}`)
    else words.push(word)
    end = token.end
  }
  return words.join(' ')
}
