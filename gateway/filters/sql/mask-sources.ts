/** What stands in FROM, with the columns that each thing there has, as far as masking needs to know them. */
import { ATTRIBUTE, type Mask, MISSING_VALUE } from './mask-facts.ts'
import { type Level, masksOf, type Shape, type Source } from './mask-level.ts'
import type { MaskContext, Queries } from './mask-query.ts'
import { missing } from './scope.ts'
import { child, list, relationWords, type Tree, text } from './tree.ts'

/** What this asks of the walk through the query. */
export type FromParts = {
  readonly context: MaskContext
  refuse(reason: string): void
  tagged(tree: Tree, outer: Level | undefined, queries: Queries): Shape
  expression(tree: Tree, level: Level, queries: Queries, where: string): void
  renamed(shape: Shape, names: readonly Tree[]): Shape
  /** Two sides are compared by these columns; undefined: by all that have the same name. */
  joined(columns: ReadonlySet<string> | undefined, sides: readonly (readonly Source[])[]): void
  /** A join got a name: what is masked in it would lose its origin. */
  joinAlias(masked: readonly Mask[]): void
}

/** Statistics hold samples of values, lists of sessions hold what others asked, pg_toast and large objects the long values themselves. */
const CLOSED = new Set(
  `pg_statistic pg_stats pg_statistic_ext_data pg_stats_ext pg_stats_ext_exprs pg_stat_activity pg_stat_statements
  pg_largeobject`.split(/\s+/),
)
const open = (alias: string): Source => ({ alias, outputs: [], isExact: false, isOpen: true })

/** Adds to the level what an item of FROM brings. @returns that, for a join around it. */
export function fromSources(item: Tree, level: Level, queries: Queries, walk: FromParts): readonly Source[] {
  const add = (source: Source): readonly Source[] => {
    level.add(source)
    return [source]
  }
  const [entry] = typeof item === 'object' && item !== null ? Object.entries(item) : []
  const [kind, body] = entry ?? ['', undefined]
  const alias = text(child(body, 'alias', 'aliasname'))
  const names = list(child(body, 'alias', 'colnames'))
  switch (kind) {
    case 'RangeVar': {
      const source = relationSource(relationWords(body), alias, queries, walk)
      return add({ ...source, ...walk.renamed(source, names), isOpen: source.isOpen })
    }
    case 'RangeSubselect': {
      const shape = walk.renamed(walk.tagged(child(body, 'subquery'), level, queries), names)
      return add({ ...shape, alias: alias ?? '', isOpen: !shape.isExact })
    }
    case 'RangeTableSample': {
      walk.expression([child(body, 'args'), child(body, 'repeatable')], level, queries, 'TABLESAMPLE')
      return fromSources(child(body, 'relation'), level, queries, walk)
    }
    case 'RangeFunction':
    case 'RangeTableFunc':
    case 'JsonTable':
      walk.expression({ [kind]: body ?? null }, level, queries, 'a function')
      return add(open(alias ?? ''))
    case 'JoinExpr':
      return joinSources(body, alias, level, queries, walk)
    default:
      walk.refuse(`${kind} in FROM is not known under masks`)
      return []
  }
}

function joinSources(
  body: Tree,
  alias: string | undefined,
  level: Level,
  queries: Queries,
  walk: FromParts,
): readonly Source[] {
  const left = fromSources(child(body, 'larg'), level, queries, walk)
  const right = fromSources(child(body, 'rarg'), level, queries, walk)
  const using = list(child(body, 'usingClause')).map((name) => text(child(name, 'String', 'sval')) ?? '')
  const merges = using.length > 0 || child(body, 'isNatural') === true
  if (merges) {
    walk.joined(using.length > 0 ? new Set(using) : undefined, [left, right])
    level.merge()
  }
  walk.expression(child(body, 'quals'), level, queries, 'ON')
  const both = [...left, ...right]
  const names = [alias, text(child(body, 'join_using_alias', 'aliasname'))].filter((name) => name !== undefined)
  if (names.length > 0) walk.joinAlias(both.flatMap(masksOf))
  for (const name of names) level.add(open(name))
  return both
}

function relationSource(
  words: readonly string[],
  alias: string | undefined,
  queries: Queries,
  walk: FromParts,
): Source {
  const { scope, path } = walk.context
  const bare = words.at(-1) ?? ''
  const named = alias ?? bare
  const query = words.length === 1 ? queries.get(bare) : undefined
  if (query !== undefined) return { ...query, alias: named }
  if (CLOSED.has(bare) || words.at(-2) === 'pg_toast') {
    walk.refuse(`${words.join('.')} could show values of masked columns`)
    return open(named)
  }
  const system = scope.systemColumns(words)
  const isSystem = system !== undefined && (words.length > 1 || path.isCatalogFirst)
  const relations = isSystem ? [] : scope.relations(words, path)
  if (relations.length === 0 && system === undefined && words.at(-2) !== 'information_schema')
    walk.refuse(missing('relation', words))
  const isAttribute = system !== undefined && bare === ATTRIBUTE.table
  const outputs = (system ?? []).map((name) => ({
    name,
    mask: isAttribute && name === ATTRIBUTE.column ? MISSING_VALUE : undefined,
  }))
  if (relations.length === 0) return { alias: named, outputs, isExact: false, isOpen: true }
  const found = relations.map((relation) => scope.maskedColumns(relation))
  for (const one of found) if ('reason' in one) walk.refuse(one.reason)
  const columns = found.flatMap((one) => ('reason' in one ? [] : one.columns))
  const isCertain = relations.length === 1 && system === undefined
  return {
    alias: named,
    outputs: [...outputs, ...columns],
    isExact: isCertain,
    isOpen: !isCertain || relations.some(({ kind }) => kind === 'S'),
  }
}
