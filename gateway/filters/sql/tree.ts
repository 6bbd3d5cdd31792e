/** Reading libpg-query's JSON: `{ SelectStmt: {…} }`, a bare struct, a list, or a leaf. Zero, false and empty words are left out of it. */

export type Tree = { readonly [key: string]: Tree } | readonly Tree[] | string | number | boolean | null | undefined

export const child = (tree: Tree, ...keys: readonly string[]): Tree => {
  let at = tree
  for (const key of keys)
    at = typeof at === 'object' && at !== null && !Array.isArray(at) ? (at as Record<string, Tree>)[key] : undefined
  return at
}

export const list = (tree: Tree): readonly Tree[] => (Array.isArray(tree) ? (tree as readonly Tree[]) : [])

export const text = (tree: Tree): string | undefined => (typeof tree === 'string' ? tree : undefined)

/** The words of a name: `[{String: {sval}}…]`. */
export const words = (tree: Tree): readonly string[] =>
  list(tree).map((word) => text(child(word, 'String', 'sval')) ?? '')

/** A name of a RangeVar: database, schema, relation, as far as they are there. */
export const relationWords = (tree: Tree): readonly string[] =>
  ['catalogname', 'schemaname', 'relname'].flatMap((key) => text(child(tree, key)) ?? [])

/** A literal as text; zero arrives as a number without a value. */
export function literal(tree: Tree): string | undefined {
  const value = child(tree, 'A_Const')
  if (child(value, 'sval') !== undefined) return text(child(value, 'sval', 'sval')) ?? ''
  if (child(value, 'ival') !== undefined) {
    const number = child(value, 'ival', 'ival') ?? 0
    return typeof number === 'number' ? `${number}` : undefined
  }
  if (child(value, 'fval') !== undefined) return text(child(value, 'fval', 'fval'))
  if (child(value, 'boolval') !== undefined) return child(value, 'boolval', 'boolval') === true ? 'on' : 'off'
  return undefined
}
