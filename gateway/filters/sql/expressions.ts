/** Walks a query tree: only nodes that are known to be harmless, only names that the scope lets through. Iterative, because trees are hostile. */
import type { Scope } from './scope.ts'
import { settingReason, splitPath } from './settings.ts'

/** A node of libpg-query's JSON: `{ SelectStmt: {…} }`, a bare struct, a list, or a leaf. Zero and false are left out of it. */
export type Tree = { readonly [key: string]: Tree } | readonly Tree[] | string | number | boolean | null | undefined

export const child = (tree: Tree, ...keys: readonly string[]): Tree => {
  let at = tree
  for (const key of keys)
    at = typeof at === 'object' && at !== null && !Array.isArray(at) ? (at as Record<string, Tree>)[key] : undefined
  return at
}
export const list = (tree: Tree): readonly Tree[] => (Array.isArray(tree) ? (tree as readonly Tree[]) : [])
export const text = (tree: Tree): string | undefined => (typeof tree === 'string' ? tree : undefined)
/** The words of a name: `[{String: {sval}}…]`. An empty word is left out of the JSON. */
export const words = (tree: Tree): readonly string[] =>
  list(tree).map((word) => text(child(word, 'String', 'sval')) ?? '')

const KNOWN = new Set(
  `SelectStmt ResTarget ColumnRef String A_Star A_Const Integer Float Boolean BitString List A_Expr BoolExpr NullTest BooleanTest
  FuncCall TypeCast CollateClause SubLink CaseExpr CaseWhen CoalesceExpr MinMaxExpr SQLValueFunction RowExpr A_ArrayExpr
  A_Indirection A_Indices ParamRef NamedArgExpr GroupingFunc GroupingSet WindowDef SortBy RangeVar RangeSubselect RangeFunction
  RangeTableSample RangeTableFunc RangeTableFuncCol JoinExpr CommonTableExpr XmlExpr XmlSerialize Alias ColumnDef TypeName
  JsonObjectConstructor JsonArrayConstructor JsonArrayQueryConstructor JsonObjectAgg JsonArrayAgg JsonAggConstructor JsonKeyValue
  JsonValueExpr JsonFormat JsonOutput JsonReturning JsonIsPredicate JsonParseExpr JsonScalarExpr JsonSerializeExpr JsonFuncExpr
  JsonArgument JsonBehavior JsonTable JsonTableColumn JsonTablePathSpec CTESearchClause CTECycleClause`.split(/\s+/),
)
const WRITES: Readonly<Record<string, string>> = {
  InsertStmt: 'INSERT',
  UpdateStmt: 'UPDATE',
  DeleteStmt: 'DELETE',
  MergeStmt: 'MERGE',
}
const SAMPLERS = new Set(['bernoulli', 'system'])

export type WalkContext = {
  readonly scope: Scope
  /** Every schema that a search path of the session ever held. */
  readonly path: ReadonlySet<string>
  /** `schema.table`, collected for the recording. */
  readonly tables: Set<string>
}

/** Why the tree may not run, or undefined. `tree` is a tagged node or a list of them. */
export function treeReason(tree: Tree, context: WalkContext): string | undefined {
  const local = localNames(tree)
  const stack: Tree[] = [tree]
  while (stack.length > 0) {
    const node = stack.pop()
    if (typeof node !== 'object' || node === null) continue
    if (Array.isArray(node)) {
      for (const item of node as readonly Tree[]) stack.push(item)
      continue
    }
    for (const [key, value] of Object.entries(node)) {
      if (typeof value !== 'object' || value === null) continue
      const why = /^[A-Z]/.test(key) ? nodeReason(key, value, context, local) : fieldReason(key, value, context)
      if (why !== undefined) return why
      stack.push(value)
    }
  }
  return undefined
}

type Local = {
  readonly queries: ReadonlySet<string>
  readonly aliases: ReadonlyMap<string, readonly (readonly [string | undefined, string] | undefined)[]>
}

/** Names that the statement itself brings: WITH queries, and what each alias stands for (undefined: not a plain relation). */
function localNames(tree: Tree): Local {
  const queries = new Set<string>()
  const aliases = new Map<string, (readonly [string | undefined, string] | undefined)[]>()
  const stack: Tree[] = [tree]
  const note = (name: string | undefined, relation: readonly [string | undefined, string] | undefined): void => {
    if (name !== undefined) aliases.set(name, [...(aliases.get(name) ?? []), relation])
  }
  while (stack.length > 0) {
    const node = stack.pop()
    if (typeof node !== 'object' || node === null) continue
    for (const [key, value] of Object.entries(node)) {
      if (typeof value !== 'object' || value === null) continue
      if (key === 'CommonTableExpr') {
        const name = text(child(value, 'ctename'))
        if (name !== undefined) queries.add(name)
      } else if (key === 'RangeVar') {
        const name = text(child(value, 'relname')) ?? ''
        note(text(child(value, 'alias', 'aliasname')) ?? name, [text(child(value, 'schemaname')), name])
      } else if (
        key === 'RangeSubselect' ||
        key === 'RangeFunction' ||
        key === 'JoinExpr' ||
        key === 'RangeTableFunc' ||
        key === 'JsonTable'
      )
        note(text(child(value, 'alias', 'aliasname')), undefined)
      stack.push(value)
    }
  }
  return { queries, aliases }
}

function nodeReason(kind: string, node: Tree, context: WalkContext, local: Local): string | undefined {
  const write = WRITES[kind]
  if (write !== undefined) return `${write} inside a query`
  if (!KNOWN.has(kind)) return `${kind} is not known to be harmless`
  const { scope, path } = context
  switch (kind) {
    case 'FuncCall': {
      const name = words(child(node, 'funcname'))
      return name.at(-1) === 'set_config' && (name.length === 1 || name[0] === 'pg_catalog')
        ? setConfigReason(list(child(node, 'args')))
        : scope.functionReason(name, path)
    }
    case 'A_Expr': {
      const how = text(child(node, 'kind')) ?? ''
      if (how.includes('BETWEEN')) return undefined
      return scope.operatorReason(words(child(node, 'name')), path)
    }
    case 'RangeVar': {
      const schema = text(child(node, 'schemaname'))
      const name = text(child(node, 'relname')) ?? ''
      if (child(node, 'catalogname') !== undefined) return `${name} is named with a database`
      const isLocal = schema === undefined && local.queries.has(name)
      if (!isLocal) context.tables.add(schema === undefined ? name : `${schema}.${name}`)
      return scope.relationReason(schema, name, path, isLocal)
    }
    case 'RangeTableSample': {
      const method = words(child(node, 'method'))
      const isOurs = method.length === 1 || (method.length === 2 && method[0] === 'pg_catalog')
      return isOurs && SAMPLERS.has(method.at(-1) ?? '') ? undefined : `TABLESAMPLE ${method.join('.')}`
    }
    case 'ColumnRef': {
      const fields = list(child(node, 'fields'))
      if (fields.length < 2) return undefined
      const last = text(child(fields.at(-1), 'String', 'sval'))
      if (last === undefined) return undefined // alias.*
      const owner = text(child(fields.at(-2), 'String', 'sval')) ?? ''
      const meanings = local.aliases.get(owner) ?? []
      const isColumn =
        meanings.length > 0 &&
        meanings.every((relation) => {
          const columns = relation === undefined ? [] : scope.columnsOf(relation[0], relation[1], path)
          return columns.length > 0 && columns.every((names) => names.includes(last))
        })
      return scope.attributeReason(last, path, isColumn)
    }
    case 'A_Indirection':
      for (const step of list(child(node, 'indirection'))) {
        const field = text(child(step, 'String', 'sval'))
        const why = field === undefined ? undefined : scope.attributeReason(field, path, false)
        if (why !== undefined) return why
      }
      return undefined
    case 'ColumnDef':
      return child(node, 'constraints') === undefined && child(node, 'raw_default') === undefined
        ? undefined
        : 'a column definition with a constraint'
    case 'TypeName':
      return typeReason(node, context)
    default:
      return undefined
  }
}

/** Fields that hold a struct without its tag. */
function fieldReason(key: string, value: Tree, context: WalkContext): string | undefined {
  switch (key) {
    case 'intoClause':
      return 'SELECT INTO makes a table'
    case 'lockingClause':
      return 'FOR UPDATE and FOR SHARE lock rows'
    case 'typeName':
      return child(value, 'TypeName') === undefined ? typeReason(value, context) : undefined
    case 'operName':
    case 'useOp':
      return list(value).length === 0 ? undefined : context.scope.operatorReason(words(value), context.path)
    default:
      return undefined
  }
}

function typeReason(node: Tree, { scope, path }: WalkContext): string | undefined {
  if (child(node, 'pct_type') !== undefined) return '%TYPE cannot be resolved'
  return scope.typeReason(words(child(node, 'names')), path)
}

/** A literal name on the list, with a literal value that is valid for it; nothing computed. */
function setConfigReason(args: readonly Tree[]): string | undefined {
  const [name, value] = args.map((arg) =>
    child(arg, 'A_Const', 'sval') === undefined ? undefined : (text(child(arg, 'A_Const', 'sval', 'sval')) ?? ''),
  )
  if (args.length !== 3 || name === undefined || value === undefined)
    return 'set_config() takes only a literal name and a literal value here'
  return settingReason(name, name.toLowerCase() === 'search_path' ? splitPath(value) : [value])
}
