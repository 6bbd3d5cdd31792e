/** Walks a query tree: only nodes that are known to be harmless, only names that the scope lets through. Iterative, because trees are hostile. */
import { type LocalNames, localNames, type Meaning } from './local-names.ts'
import { PENDING } from './behind.ts'
import type { Path, Scope } from './scope.ts'
import { settingReason, splitPath } from './settings.ts'
import { child, list, literal, relationWords, type Tree, text, words } from './tree.ts'

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
/** How the server spells out what has no operator of its own in the tree; each is looked up by the search path. */
const BETWEEN_OPERATORS = ['>=', '<=', '<', '>']
const EXPRESSION_KINDS = new Set(
  ['OP', 'OP_ANY', 'OP_ALL', 'DISTINCT', 'NOT_DISTINCT', 'NULLIF', 'IN', 'LIKE', 'ILIKE', 'SIMILAR'].map(
    (kind) => `AEXPR_${kind}`,
  ),
)
/** Walking more would hold up everybody. */
const MAX_NODES = 400_000
const MAX_PATH = 1000

export type WalkContext = {
  readonly scope: Scope
  readonly path: Path
  /** `schema.table`, collected for the recording. */
  readonly tables: Set<string>
  /** Schemas that a `set_config('search_path', …)` puts on the path. Undefined: a text of the catalog, which may not set anything. */
  readonly sets: Set<string> | undefined
  /** Further nodes, in a statement that waits for a second person. */
  readonly changes?: ReadonlySet<string>
}

/** Why the tree may not run, or undefined. `tree` is a tagged node or a list of them. */
export function treeReason(tree: Tree, context: WalkContext): string | undefined {
  const local = localNames(tree)
  const stack: Tree[] = [tree]
  let isPending = false
  let nodes = 0
  while (stack.length > 0) {
    const node = stack.pop()
    if (typeof node !== 'object' || node === null) continue
    nodes += 1
    if (nodes > MAX_NODES) return 'the statement is too large to be judged'
    if (Array.isArray(node)) {
      for (const item of node as readonly Tree[]) stack.push(item)
      continue
    }
    for (const [key, value] of Object.entries(node)) {
      if (typeof value !== 'object' || value === null) continue
      const why = /^[A-Z]/.test(key) ? nodeReason(key, value, context, local) : fieldReason(key, value, context)
      if (why === PENDING) isPending = true
      else if (why !== undefined) return why
      stack.push(value)
    }
  }
  return isPending ? PENDING : undefined
}

function nodeReason(kind: string, node: Tree, context: WalkContext, local: LocalNames): string | undefined {
  const write = WRITES[kind]
  if (write !== undefined) return `${write} inside a query`
  if (!KNOWN.has(kind) && context.changes?.has(kind) !== true) return `${kind} is not known to be harmless`
  const { scope, path } = context
  switch (kind) {
    case 'FuncCall':
      return callReason(node, context)
    case 'A_Expr':
      return expressionReason(node, context)
    case 'CaseExpr':
      return child(node, 'arg') === undefined ? undefined : scope.operatorReason(['='], path)
    case 'SubLink':
      return text(child(node, 'subLinkType')) === 'ANY_SUBLINK' && child(node, 'operName') === undefined
        ? scope.operatorReason(['='], path)
        : undefined
    case 'JoinExpr':
      return child(node, 'usingClause') === undefined && child(node, 'isNatural') !== true
        ? undefined
        : scope.operatorReason(['='], path)
    case 'RangeVar':
      return rangeReason(node, context, local)
    case 'RangeTableSample': {
      const method = words(child(node, 'method'))
      const isOurs = method.length === 1 || (method.length === 2 && method[0] === 'pg_catalog')
      return isOurs && SAMPLERS.has(method.at(-1) ?? '') ? undefined : `TABLESAMPLE ${method.join('.')}`
    }
    case 'ColumnRef':
      return columnReason(list(child(node, 'fields')), context, local)
    case 'A_Indirection':
      for (const step of list(child(node, 'indirection'))) {
        const field = child(step, 'String') === undefined ? undefined : (text(child(step, 'String', 'sval')) ?? '')
        const why = field === undefined ? undefined : scope.attributeReason(field, path)
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

function callReason(node: Tree, context: WalkContext): string | undefined {
  const name = words(child(node, 'funcname'))
  const args = list(child(node, 'args'))
  if (name.at(-1) === 'set_config') return setConfigReason(name, args, context)
  const areNamed = args.some((arg) => child(arg, 'NamedArgExpr') !== undefined)
  return context.scope.functionReason(name, context.path, { arguments: args.length, areNamed })
}

/** A literal name on the list, with a literal value that is valid for it; nothing computed. */
function setConfigReason(
  called: readonly string[],
  args: readonly Tree[],
  { sets, scope, path }: WalkContext,
): string | undefined {
  const isOurs = called.length === 1 || (called.length === 2 && called[0] === 'pg_catalog')
  if (sets === undefined || !isOurs) return `function ${called.join('.')}() is not on the list of harmless functions`
  // Resolved as every function of pg_catalog is: one with other argument types could be meant where the schema is not written.
  if (called.length === 1 && scope.isPlanted('set_config', path))
    return 'set_config() could be another one; write pg_catalog.set_config()'
  const [name, value] = args.map((arg) => (child(arg, 'A_Const', 'sval') === undefined ? undefined : literal(arg)))
  if (args.length !== 3 || name === undefined || value === undefined)
    return 'set_config() takes only a literal name and a literal value here'
  if (name.toLowerCase() !== 'search_path') return settingReason(name, [value])
  const schemas = value.length > MAX_PATH ? [] : splitPath(value)
  const why = value.length > MAX_PATH ? 'the value of search_path is too long' : settingReason(name, schemas)
  if (why === undefined) for (const schema of schemas) sets.add(schema)
  return why
}

function expressionReason(node: Tree, { scope, path }: WalkContext): string | undefined {
  const how = text(child(node, 'kind')) ?? ''
  if (how.includes('BETWEEN')) {
    for (const operator of BETWEEN_OPERATORS) {
      const why = scope.operatorReason([operator], path)
      if (why !== undefined) return why
    }
    return undefined
  }
  if (!EXPRESSION_KINDS.has(how)) return `${how} is not known to be harmless`
  return scope.operatorReason(words(child(node, 'name')), path)
}

function rangeReason(node: Tree, { scope, path, tables }: WalkContext, local: LocalNames): string | undefined {
  const name = relationWords(node)
  const isLocal = name.length === 1 && local.queries.has(name[0] ?? '')
  if (!isLocal) {
    const [only, ...others] = name.length === 1 ? scope.relations(name, path) : []
    tables.add(only !== undefined && others.length === 0 ? `${only.schema}.${only.name}` : name.slice(-2).join('.'))
  }
  return scope.relationReason(name, path, isLocal)
}

/** `alias.name` is a call where the alias has no such column. */
function columnReason(fields: readonly Tree[], { scope, path }: WalkContext, local: LocalNames): string | undefined {
  if (fields.length < 2) return undefined
  const last = fields.at(-1)
  if (child(last, 'A_Star') !== undefined) return undefined
  const column = text(child(last, 'String', 'sval')) ?? ''
  const owner = text(child(fields.at(-2), 'String', 'sval')) ?? ''
  const meanings = local.aliases.get(owner) ?? []
  const has = (meaning: Meaning): boolean => {
    if (meaning.kind === 'unknown') return false
    if (meaning.kind === 'columns') return meaning.names.includes(column)
    const queries = meaning.words.length === 1 ? (local.queries.get(meaning.words[0] ?? '') ?? []) : []
    const sets = scope.columnSets(meaning.words, path)
    return queries.length + sets.length > 0 && queries.every(has) && sets.every((names) => names.includes(column))
  }
  return meanings.length > 0 && meanings.every(has) ? undefined : scope.attributeReason(column, path)
}

function typeReason(node: Tree, { scope, path }: WalkContext): string | undefined {
  if (child(node, 'pct_type') !== undefined) return '%TYPE cannot be resolved'
  return scope.typeReason(words(child(node, 'names')), path)
}
