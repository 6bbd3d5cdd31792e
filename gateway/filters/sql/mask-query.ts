/**
 * Proves of a query that each masked column either is not touched or comes out as it is, so that the server still names its origin:
 * then the wire can mask it. Whatever would compute with a masked value, compare it or order by it is refused.
 */
import { PENDING } from './behind.ts'
import type { Mask } from './mask-facts.ts'
import { Level, masksOf, type Meaning, type Output, type Shape, type Source } from './mask-level.ts'
import { fromSources, type FromParts } from './mask-sources.ts'
import { missing, type Path, type Scope } from './scope.ts'
import { child, list, type Tree, text, words } from './tree.ts'

export type QueryShape = Shape
export type MaskContext = { readonly scope: Scope; readonly path: Path }
/** WITH queries by name. */
export type Queries = ReadonlyMap<string, Shape & { readonly isOpen: boolean }>

const FIELDS = new Set(
  `distinctClause targetList fromClause whereClause groupClause groupDistinct havingClause windowClause valuesLists sortClause
  limitOffset limitCount limitOption withClause op all larg rarg groupByAll`.split(/\s+/),
)
/** Queries in queries. */
const MAX_DEPTH = 200
/** The server's own limit (MaxTupleAttributeNumber); `*` of `*, *` of `*, *` is soon more than memory holds. */
const MAX_OUTPUTS = 1664
/** They show statistics, statements of others or large objects, and with them values. */
const LOOKS = new Set([
  'pg_stat_get_activity',
  'pg_stat_get_backend_activity',
  'pg_mcv_list_items',
  'pg_stats_ext_mcvlist_items',
  'lo_get',
])
const EMPTY: Shape = { outputs: [], isExact: true }

/** @param tree a tagged SelectStmt. */
export function shapeOf(tree: Tree, context: MaskContext): Shape | { readonly reason: string } {
  const walk = new QueryWalk(context)
  const shape = walk.tagged(tree, undefined, new Map())
  return walk.reason === undefined ? shape : { reason: walk.reason }
}

/** Why an expression that stands alone (the argument of an EXECUTE) may not be computed. */
export function expressionReason(tree: Tree, context: MaskContext): string | undefined {
  const walk = new QueryWalk(context)
  walk.expression(tree, new Level(undefined), new Map(), 'an expression')
  return walk.reason
}

class QueryWalk implements FromParts {
  readonly context: MaskContext
  #reason: string | undefined
  #isPending = false

  constructor(context: MaskContext) {
    this.context = context
  }

  /** The first that was found; texts that are still to be fetched come before all else. */
  get reason(): string | undefined {
    return this.#isPending ? PENDING : this.#reason
  }

  refuse(reason: string): void {
    if (reason === PENDING) this.#isPending = true
    else this.#reason ??= reason
  }

  #refuseMask({ shown }: Mask, where: string): void {
    this.refuse(`${shown} is masked for this role, and ${where} would tell about its values`)
  }

  tagged(tree: Tree, outer: Level | undefined, queries: Queries): Shape {
    const select = child(tree, 'SelectStmt')
    if (select === undefined) {
      this.refuse('only a plain query can be read under masks')
      return EMPTY
    }
    return this.#select(select, outer, queries)
  }

  #select(select: Tree, outer: Level | undefined, queries: Queries): Shape {
    const level = new Level(outer)
    if (level.depth > MAX_DEPTH || this.#reason !== undefined) {
      this.refuse('queries are nested too deep to be judged under masks')
      return EMPTY
    }
    for (const [field, value] of Object.entries(select ?? {}))
      if (!FIELDS.has(field) && typeof value === 'object' && value !== null)
        this.refuse(`${field} is not known under masks`)
    const known = this.#with(child(select, 'withClause'), outer, queries)
    const op = text(child(select, 'op')) ?? 'SETOP_NONE'
    if (op !== 'SETOP_NONE' || child(select, 'larg') !== undefined) return this.#union(select, level, known)
    for (const item of list(child(select, 'fromClause'))) fromSources(item, level, known, this)
    const shape = this.#targets(list(child(select, 'targetList')), level, known)
    const values = list(child(select, 'valuesLists'))
    for (const row of values) this.expression(row, level, known, 'VALUES')
    this.#clauses(select, level, known, shape)
    if (values.length === 0) return shape
    const width = list(child(values[0], 'List', 'items')).length
    return {
      outputs: Array.from({ length: width }, (_, at) => ({ name: `column${at + 1}`, mask: undefined })),
      isExact: false,
    }
  }

  /** The server forgets where the columns of a set operation came from. */
  #union(select: Tree, level: Level, queries: Queries): Shape {
    const shapes = [child(select, 'larg'), child(select, 'rarg')].map((side) =>
      this.#select(side, level.outer, queries),
    )
    const [mask] = shapes.flatMap(masksOf)
    if (mask !== undefined) this.#refuseMask(mask, 'UNION, INTERSECT or EXCEPT')
    level.open()
    const [left = EMPTY] = shapes
    this.#clauses(select, level, queries, left)
    return left
  }

  #with(clause: Tree, outer: Level | undefined, queries: Queries): Queries {
    if (clause === undefined) return queries
    const known = new Map(queries)
    const all = list(child(clause, 'ctes')).map((cte) => child(cte, 'CommonTableExpr'))
    const isRecursive = child(clause, 'recursive') === true
    // Each may name each: that is only sound where none hands on a masked column.
    if (isRecursive) for (const cte of all) known.set(nameOf(cte), { outputs: [], isExact: false, isOpen: true })
    for (const cte of all) {
      const shape = this.tagged(child(cte, 'ctequery'), outer, known)
      const [mask] = masksOf(shape)
      if (isRecursive && mask !== undefined) this.#refuseMask(mask, 'WITH RECURSIVE')
      const renamed = this.renamed(shape, list(child(cte, 'aliascolnames')))
      known.set(nameOf(cte), { ...renamed, isOpen: isRecursive || !renamed.isExact })
    }
    return known
  }

  /** Columns renamed by an alias, the first ones first. */
  renamed(shape: Shape, names: readonly Tree[]): Shape {
    if (names.length === 0) return shape
    const [mask] = masksOf(shape)
    if (!shape.isExact) {
      if (mask !== undefined) this.#refuseMask(mask, 'a list of new column names')
      return { outputs: [], isExact: false }
    }
    const outputs = shape.outputs.map(({ name, mask: m }, at) => ({
      name: text(child(names[at], 'String', 'sval')) ?? name,
      mask: m,
    }))
    return { outputs, isExact: true }
  }

  #targets(targets: readonly Tree[], level: Level, queries: Queries): Shape {
    const outputs: Output[] = []
    let isExact = true
    for (const target of targets) {
      const body = child(target, 'ResTarget')
      const value = child(body, 'val')
      const fields = list(child(value, 'ColumnRef', 'fields'))
      if (fields.length === 0) {
        this.expression(value, level, queries, 'an expression')
        // `(row).*` is as many columns as the row has.
        if (list(child(value, 'A_Indirection', 'indirection')).some((step) => child(step, 'A_Star') !== undefined))
          isExact = false
        outputs.push({ name: text(child(body, 'name')), mask: undefined })
      } else if (child(fields.at(-1), 'A_Star') !== undefined) {
        const sources = fields.length === 1 ? level.sources : level.aliased(word(fields.at(-2)))
        if (sources.length === 0) this.#starElsewhere(fields, level)
        // `a.t.*` is one of two tables of that name.
        const isOne = fields.length === 1 ? !level.isMerged : sources.length === 1
        isExact &&= isOne && sources.every((source) => source.isExact)
        const width = sources.reduce((sum, source) => sum + source.outputs.length, outputs.length)
        if (width > MAX_OUTPUTS) {
          this.refuse(`a list of more than ${MAX_OUTPUTS} columns`)
          return { outputs, isExact: false }
        }
        for (const source of sources) outputs.push(...source.outputs)
      } else outputs.push(this.#target(fields, text(child(body, 'name')), level))
    }
    return { outputs, isExact }
  }

  #starElsewhere(fields: readonly Tree[], level: Level): void {
    const mask = level.row(fields.length === 1 ? undefined : word(fields.at(-2)))
    if (mask !== undefined) this.#refuseMask(mask, 'a row of the query around')
  }

  /** A column by itself; only of this query's own FROM it keeps its origin for certain. */
  #target(fields: readonly Tree[], name: string | undefined, level: Level): Output {
    const column = word(fields.at(-1))
    const output = { name: name ?? column, mask: undefined }
    const alias = fields.length === 1 ? undefined : word(fields.at(-2))
    if (alias === undefined) {
      const meaning = level.own(column)
      if (meaning.kind === 'masked') return { ...output, mask: meaning.mask }
      if (meaning.kind === 'plain' && level.isSureOf(column)) return output
      this.#meant(level.anywhere(column), fields, 'an expression')
      return output
    }
    const own = level.aliased(alias)
    const masks = own.flatMap(({ outputs }) => outputs.flatMap((o) => (o.name === column ? (o.mask ?? []) : [])))
    if (own.length === 1 && masks[0] !== undefined) return { ...output, mask: masks[0] }
    this.#meant(level.qualified(alias, column), fields, 'an expression')
    return output
  }

  #meant(meaning: Meaning, fields: readonly Tree[], where: string): void {
    if (meaning.kind === 'masked') this.#refuseMask(meaning.mask, where)
    else if (meaning.kind === 'row') this.#refuseMask(meaning.mask, 'the whole row as one value')
    else if (meaning.kind === 'missing') this.refuse(missing('column', fields.map(word)))
  }

  #clauses(select: Tree, level: Level, queries: Queries, shape: Shape): void {
    const distinct = list(child(select, 'distinctClause'))
    const [mask] = masksOf(shape)
    if (
      child(select, 'distinctClause') !== undefined &&
      mask !== undefined &&
      distinct.every((d) => Object.keys(d ?? {}).length === 0)
    )
      this.#refuseMask(mask, 'DISTINCT')
    for (const key of distinct) this.#key(key, level, queries, shape, 'DISTINCT ON')
    if (child(select, 'groupByAll') === true && mask !== undefined) this.#refuseMask(mask, 'GROUP BY')
    for (const key of list(child(select, 'groupClause'))) this.#grouping(key, level, queries, shape)
    for (const sort of list(child(select, 'sortClause')))
      this.#key(child(sort, 'SortBy', 'node'), level, queries, shape, 'ORDER BY')
    this.expression(child(select, 'whereClause'), level, queries, 'WHERE')
    this.expression(child(select, 'havingClause'), level, queries, 'HAVING')
    this.expression(child(select, 'windowClause'), level, queries, 'WINDOW')
    this.expression(child(select, 'limitOffset'), level, queries, 'OFFSET')
    this.expression(child(select, 'limitCount'), level, queries, 'LIMIT')
  }

  #grouping(key: Tree, level: Level, queries: Queries, shape: Shape): void {
    const set = child(key, 'GroupingSet', 'content') ?? child(key, 'List', 'items') ?? child(key, 'RowExpr', 'args')
    if (set !== undefined) for (const item of list(set)) this.#grouping(item, level, queries, shape)
    else {
      // Unlike ORDER BY, a column of FROM comes before a name of the list.
      this.#key(key, level, queries, shape, 'GROUP BY')
      const fields = list(child(key, 'ColumnRef', 'fields'))
      if (fields.length === 1 && level.own(word(fields[0])).kind === 'masked')
        this.expression(key, level, queries, 'GROUP BY')
    }
  }

  /** A key can name what it means by its place in the list, by its name there, or be an expression. */
  #key(key: Tree, level: Level, queries: Queries, shape: Shape, where: string): void {
    const place = child(key, 'A_Const', 'ival')
    const fields = list(child(key, 'ColumnRef', 'fields'))
    const named = fields.length === 1 ? shape.outputs.filter(({ name }) => name === word(fields[0])) : []
    if (place !== undefined) {
      const number = child(place, 'ival')
      const meant =
        shape.isExact && typeof number === 'number' ? shape.outputs.slice(number - 1, number) : shape.outputs
      const [mask] = masksOf({ outputs: meant, isExact: true })
      if (mask !== undefined) this.#refuseMask(mask, where)
    } else if (named.length === 0) this.expression(key, level, queries, where)
    else {
      const [mask] = masksOf({ outputs: named, isExact: true })
      if (mask !== undefined) this.#refuseMask(mask, where)
    }
  }

  /** Nothing masked may be in it. */
  expression(tree: Tree, level: Level, queries: Queries, where: string): void {
    const stack: Tree[] = [tree]
    while (stack.length > 0 && this.#reason === undefined) {
      const node = stack.pop()
      if (typeof node !== 'object' || node === null) continue
      if (Array.isArray(node)) {
        for (const item of node as readonly Tree[]) stack.push(item)
        continue
      }
      for (const [key, value] of Object.entries(node)) {
        if (typeof value !== 'object' || value === null) continue
        if (key === 'ColumnRef') this.#mentioned(list(child(value, 'fields')), level, where)
        else if (key === 'SelectStmt') this.#valueOf(node, level, queries, where)
        else if (key === 'SubLink') {
          stack.push(child(value, 'testexpr'))
          if (text(child(value, 'subLinkType')) === 'EXISTS_SUBLINK')
            this.tagged(child(value, 'subselect'), level, queries)
          else this.#valueOf(child(value, 'subselect'), level, queries, where)
        } else {
          const called = key === 'FuncCall' ? (words(child(value, 'funcname')).at(-1) ?? '') : ''
          if (LOOKS.has(called)) this.refuse(`${called}() could show values of masked columns`)
          stack.push(value)
        }
      }
    }
  }

  /** A query whose rows become values: they have no origin any more. */
  #valueOf(tree: Tree, level: Level, queries: Queries, where: string): void {
    const [mask] = masksOf(this.tagged(tree, level, queries))
    if (mask !== undefined) this.#refuseMask(mask, where === 'an expression' ? 'a subquery as a value' : where)
  }

  #mentioned(fields: readonly Tree[], level: Level, where: string): void {
    if (child(fields.at(-1), 'A_Star') !== undefined) {
      const mask = level.row(fields.length === 1 ? undefined : word(fields.at(-2)))
      if (mask !== undefined) this.#refuseMask(mask, 'the whole row as one value')
    } else if (fields.length === 1) this.#meant(level.anywhere(word(fields[0])), fields, where)
    else this.#meant(level.qualified(word(fields.at(-2)), word(fields.at(-1))), fields, where)
  }

  joined(columns: ReadonlySet<string> | undefined, sides: readonly (readonly Source[])[]): void {
    for (const [at, side] of sides.entries())
      for (const source of side)
        for (const { name, mask } of source.outputs) {
          if (mask === undefined || name === undefined) continue
          const others = sides[1 - at] ?? []
          const isShared =
            columns?.has(name) ?? others.some((o) => o.isOpen || o.outputs.some((output) => output.name === name))
          if (isShared) this.#refuseMask(mask, columns === undefined ? 'NATURAL JOIN' : 'USING')
        }
  }

  joinAlias(masked: readonly Mask[]): void {
    const [mask] = masked
    if (mask !== undefined) this.#refuseMask(mask, 'a join with a name of its own')
  }
}

const nameOf = (cte: Tree): string => text(child(cte, 'ctename')) ?? ''
const word = (field: Tree): string => text(child(field, 'String', 'sval')) ?? ''
