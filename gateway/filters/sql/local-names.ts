/** Names that a statement brings itself: WITH queries, and what each alias stands for. */
import { child, list, relationWords, type Tree, text } from './tree.ts'

/** What an alias can mean: a relation by its name, columns that are known, or something else. */
export type Meaning =
  | { readonly kind: 'relation'; readonly words: readonly string[] }
  | { readonly kind: 'columns'; readonly names: readonly string[] }
  | { readonly kind: 'unknown' }

export type LocalNames = {
  /** WITH queries by name, and the columns of each. */
  readonly queries: ReadonlyMap<string, readonly Meaning[]>
  readonly aliases: ReadonlyMap<string, readonly Meaning[]>
}

const MAX_MEANINGS = 64
const OTHER_SOURCES = new Set(['RangeFunction', 'JoinExpr', 'RangeTableFunc', 'JsonTable'])

/** Without regard to where in the statement a name holds: an alias means all that it means anywhere. */
export function localNames(tree: Tree): LocalNames {
  const queries = new Map<string, Meaning[]>()
  const aliases = new Map<string, Meaning[]>()
  const note = (to: Map<string, Meaning[]>, name: string | undefined, meaning: Meaning): void => {
    if (name === undefined) return
    const known = to.get(name)
    if (known === undefined) to.set(name, [meaning])
    else if (known.length < MAX_MEANINGS) known.push(meaning)
    else known[0] = { kind: 'unknown' }
  }
  const stack: Tree[] = [tree]
  while (stack.length > 0) {
    const node = stack.pop()
    if (typeof node !== 'object' || node === null) continue
    for (const [key, value] of Object.entries(node)) {
      if (typeof value !== 'object' || value === null) continue
      const alias = text(child(value, 'alias', 'aliasname'))
      if (key === 'CommonTableExpr') {
        const name = text(child(value, 'ctename'))
        const meaning = columns(child(value, 'ctequery', 'SelectStmt'), list(child(value, 'aliascolnames')))
        note(queries, name, meaning)
      } else if (key === 'RangeVar') {
        const name = relationWords(value)
        const renamed = list(child(value, 'alias', 'colnames'))
        note(
          aliases,
          alias ?? name.at(-1),
          renamed.length > 0 ? { kind: 'unknown' } : { kind: 'relation', words: name },
        )
      } else if (key === 'RangeSubselect')
        note(aliases, alias, columns(child(value, 'subquery', 'SelectStmt'), list(child(value, 'alias', 'colnames'))))
      else if (OTHER_SOURCES.has(key)) note(aliases, alias, { kind: 'unknown' })
      stack.push(value)
    }
  }
  return { queries, aliases }
}

/** The columns of a query whose list names each of them. */
function columns(query: Tree, renamed: readonly Tree[]): Meaning {
  if (renamed.length > 0) return { kind: 'unknown' }
  let at = query
  while (child(at, 'larg') !== undefined) at = child(at, 'larg')
  const names: string[] = []
  for (const target of list(child(at, 'targetList'))) {
    const name = columnName(child(target, 'ResTarget'))
    if (name !== undefined) names.push(name)
  }
  return { kind: 'columns', names }
}

/** Only names that are surely those of columns. */
function columnName(target: Tree): string | undefined {
  const given = text(child(target, 'name'))
  if (given !== undefined) return given
  return text(child(list(child(target, 'val', 'ColumnRef', 'fields')).at(-1), 'String', 'sval'))
}
