/** Rows of the catalog statements become a catalog: what reading a relation may run is followed through types, casts, operators and children. */
import { createHash } from 'node:crypto'
import type {
  Catalog,
  Relation,
  RelationTexts,
  StartPath,
  SystemFunction,
  UserFunction,
  UserOperator,
  UserType,
} from './catalog.ts'

export type Rows = readonly (readonly (string | null)[])[]

const list = (text: string | null | undefined): readonly string[] =>
  text === null || text === undefined || text === '' ? [] : text.split(',')
const names = (json: string | null | undefined): readonly string[] =>
  json === null || json === undefined || json === '' ? [] : (JSON.parse(json) as readonly string[])
const isTrue = (text: string | null | undefined): boolean => text === 't'

function grouped<T extends { readonly name: string }>(items: Iterable<T>): Map<string, readonly T[]> {
  const byName = new Map<string, T[]>()
  for (const item of items) {
    const same = byName.get(item.name)
    if (same === undefined) byName.set(item.name, [item])
    else same.push(item)
  }
  return byName
}

/** The same for the same rows: cheap to tell whether a catalog has to be read at all. */
export const versionOf = (rows: readonly Rows[]): string => {
  const hash = createHash('sha256')
  for (const part of rows) hash.update(JSON.stringify(part))
  return hash.digest('base64url')
}

/** @param rows of `catalogSql`, in its order. */
export function readCatalog(rows: readonly Rows[], version: string): Catalog {
  const [system = [], functionRows = [], typeRows = [], operatorRows = [], relationRows = []] = rows
  const [inherits = [], needs = [], checkRows = []] = rows.slice(5)
  const functions = new Map<string, UserFunction>()
  for (const [oid, schema, name, extension, one, shadowed, native] of functionRows)
    functions.set(oid ?? '', {
      oid: oid ?? '',
      schema: schema ?? '',
      name: name ?? '',
      extension: extension ?? undefined,
      takesOne: isTrue(one),
      isShadowed: isTrue(shadowed),
      isNative: isTrue(native),
    })
  const operators = new Map<string, UserOperator & { readonly runs: string }>()
  for (const [schema, name, extension, runs, shadowed, oid] of operatorRows)
    operators.set(oid ?? '', {
      schema: schema ?? '',
      name: name ?? '',
      extension: extension ?? undefined,
      isShadowed: isTrue(shadowed),
      runs: runs ?? '',
    })
  const types = new Map<string, UserType>()
  for (const [oid, schema, name, extension, kind] of typeRows)
    types.set(oid ?? '', {
      schema: schema ?? '',
      name: name ?? '',
      extension: extension ?? undefined,
      isRow: kind === 'c',
    })
  const reach = reachOf({ functions, operators, typeRows, relationRows, inherits, needs, checkRows })
  return {
    version,
    ...readSystem(system),
    functions: grouped(functions.values()),
    types: grouped(types.values()),
    typesByNumber: types,
    operators: grouped([...operators.values()]),
    relations: grouped(relationRows.map((row) => relation(row, reach))),
  }
}

function readSystem(rows: Rows) {
  const systemFunctions = new Map<string, SystemFunction>()
  const systemTypes = new Set<string>()
  const systemOperators = new Set<string>()
  const systemRelations = new Map<string, readonly string[]>()
  for (const [kind, schema, name, more] of rows) {
    if (name === null || name === undefined) continue
    if (kind === 'f')
      systemFunctions.set(`${schema}.${name}`, {
        isVolatile: more?.includes('v') ?? true,
        isPlumbing: more?.includes('i') ?? true,
      })
    else if (kind === 't') systemTypes.add(name)
    else if (kind === 'o') systemOperators.add(name)
    else systemRelations.set(name, names(more))
  }
  return { systemFunctions, systemTypes, systemOperators, systemRelations }
}

type Raw = {
  readonly functions: ReadonlyMap<string, UserFunction>
  readonly operators: ReadonlyMap<string, { readonly runs: string }>
  readonly typeRows: Rows
  readonly relationRows: Rows
  readonly inherits: Rows
  readonly needs: Rows
  readonly checkRows: Rows
}

/** From a relation's number to what reading it may come to. */
type Reach = (relation: string) => Pick<Relation, 'runs' | 'checks' | 'reachesElsewhere'>

/** Stands for a condition that is too long to be looked at: no SQL, so it is refused. */
const TOO_LONG = ')'

/** Nodes are `r<oid>` (relation), `t<oid>` (type), `o<oid>` (operator), `f<oid>` (function). */
function reachOf({ functions, operators, typeRows, relationRows, inherits, needs, checkRows }: Raw): Reach {
  const edges = new Map<string, string[]>()
  const edge = (from: string, to: string) => {
    const known = edges.get(from)
    if (known === undefined) edges.set(from, [to])
    else known.push(to)
  }
  for (const [what, oid, needed, ref] of needs) edge(`${what}${oid}`, `${needed}${ref}`)
  for (const [oid, operator] of operators) edge(`o${oid}`, `f${operator.runs}`)
  for (const [oid, , , , , parts] of typeRows) for (const part of list(parts)) edge(`t${oid}`, `t${part}`)
  const foreign = new Set<string>()
  for (const [oid, , , kind, rowType, , columnTypes] of relationRows) {
    if (kind === 'f') foreign.add(`r${oid}`)
    for (const type of [rowType, ...list(columnTypes)]) edge(`r${oid}`, `t${type}`)
  }
  for (const [parent, child] of inherits) edge(`r${parent}`, `r${child}`)
  const checks = new Map<string, string[]>()
  for (const [domain, text] of checkRows) {
    const known = checks.get(`t${domain}`)
    const check = text ?? TOO_LONG
    if (known === undefined) checks.set(`t${domain}`, [check])
    else known.push(check)
  }
  const reached = (from: string): ReadonlySet<string> => {
    const seen = new Set([from])
    for (const node of seen) for (const next of edges.get(node) ?? []) seen.add(next)
    return seen
  }
  return (oid) => {
    const nodes = [...reached(`r${oid}`)]
    return {
      runs: nodes.flatMap((node) => (node.startsWith('f') ? (functions.get(node.slice(1)) ?? []) : [])),
      checks: [...new Set(nodes.flatMap((node) => checks.get(node) ?? []))],
      reachesElsewhere: nodes.some((node) => foreign.has(node)),
    }
  }
}

function relation([oid, schema, name, kind, , columns, , version]: Rows[number], reach: Reach): Relation {
  const id = oid ?? ''
  return {
    oid: id,
    schema: schema ?? '',
    name: name ?? '',
    kind: kind ?? '',
    columns: names(columns),
    ...reach(id),
    textVersion: version === null || version === undefined || version === '' ? undefined : version,
  }
}

/** @param rows of `PATH_SQL`. The account's own name counts as a schema, for it may become one. */
export function readPath(rows: Rows): StartPath {
  const [schemas, , user] = rows[0] ?? []
  const all = names(schemas).filter((schema) => !schema.startsWith('pg_temp'))
  const others = all.filter((schema) => schema !== 'pg_catalog')
  return {
    schemas: typeof user === 'string' ? [...others, user] : others,
    isCatalogFirst: all[0] === 'pg_catalog',
  }
}

/** @param rows of `textsSql`. */
export function readTexts(rows: Rows): ReadonlyMap<string, RelationTexts> {
  const texts = new Map<string, { query: string | undefined; expressions: string[]; isComplete: boolean }>()
  for (const [oid, kind, body] of rows) {
    if (oid === null || oid === undefined) continue
    const found = texts.get(oid) ?? { query: undefined, expressions: [], isComplete: true }
    texts.set(oid, found)
    if (body === null || body === undefined) found.isComplete = false
    else if (kind === 'q') found.query = body
    else found.expressions.push(body)
  }
  return texts
}
