/** Judges whole statements for a read-only role: a list of what may run. Everything that is not on it is refused. */
import { treeReason, type WalkContext } from './expressions.ts'
import { resetReason, settingReason, splitPath } from './settings.ts'
import { child, list, literal, relationWords, type Tree, text, words } from './tree.ts'

/** What a session has done so far, as far as a verdict depends on it. */
export type SessionFacts = {
  /** Names of prepared statements that may run now: Parse and SQL PREPARE share them. */
  readonly prepared: ReadonlySet<string>
  /** pg_dump says so in its start-up packet; it cannot work without settings that we refuse others. */
  readonly isDump: boolean
}

/** What happens to the session's state when the statement runs. */
export type Effect =
  | { readonly kind: 'path'; readonly schemas: readonly string[] }
  | { readonly kind: 'prepare'; readonly name: string }
  | { readonly kind: 'deallocate'; readonly name: string | undefined }

export type StatementJudgement = { readonly reason: string | undefined; readonly effects: readonly Effect[] }

const allowed: StatementJudgement = { reason: undefined, effects: [] }
const refused = (reason: string): StatementJudgement => ({ reason, effects: [] })
const because = (reason: string | undefined): StatementJudgement => (reason === undefined ? allowed : refused(reason))

const TRANSACTION_STEPS = new Set(
  ['BEGIN', 'START', 'COMMIT', 'ROLLBACK', 'SAVEPOINT', 'RELEASE', 'ROLLBACK_TO'].map((step) => `TRANS_STMT_${step}`),
)
const TRANSACTION_OPTIONS = new Set(['transaction_isolation', 'transaction_read_only', 'transaction_deferrable'])
/** What pg_dump sets, and the values it sets it to; harmless, but no person's business. */
const DUMP_SETTINGS: Readonly<Record<string, readonly string[]>> = {
  statement_timeout: ['0'],
  lock_timeout: ['0'],
  idle_in_transaction_session_timeout: ['0'],
  transaction_timeout: ['0'],
  row_security: ['off', 'on'],
  synchronize_seqscans: ['off'],
  quote_all_identifiers: ['on', 'true'],
}
const ACCESS_SHARE = 1

/** @param tree one tagged statement. */
export function judgeStatement(tree: Tree, facts: SessionFacts, context: WalkContext): StatementJudgement {
  if (typeof tree !== 'object' || tree === null || Array.isArray(tree)) return refused('this statement cannot be read')
  const [entry, ...more] = Object.entries(tree)
  if (entry === undefined || more.length > 0) return refused('this statement cannot be read')
  const [kind, body] = entry
  switch (kind) {
    case 'SelectStmt':
      return because(treeReason(tree, context))
    case 'ExplainStmt': {
      const query = child(body, 'query')
      if (child(query, 'SelectStmt') !== undefined) return because(treeReason(query, context))
      if (child(query, 'ExecuteStmt') !== undefined) return judgeExecute(child(query, 'ExecuteStmt'), facts, context)
      return refused('EXPLAIN of anything but a query')
    }
    case 'PrepareStmt': {
      const query = child(body, 'query')
      if (child(query, 'SelectStmt') === undefined) return refused('PREPARE of anything but a query')
      const why = treeReason([query, ...list(child(body, 'argtypes'))], context)
      return why === undefined
        ? { reason: undefined, effects: [{ kind: 'prepare', name: text(child(body, 'name')) ?? '' }] }
        : refused(why)
    }
    case 'ExecuteStmt':
      return judgeExecute(body, facts, context)
    case 'DeclareCursorStmt': {
      const query = child(body, 'query')
      return child(query, 'SelectStmt') === undefined
        ? refused('DECLARE of anything but a query')
        : because(treeReason(query, context))
    }
    case 'DeallocateStmt':
      return { reason: undefined, effects: [{ kind: 'deallocate', name: text(child(body, 'name')) }] }
    case 'DiscardStmt': // what the start-up packet set, the guard among it, stays
      return { reason: undefined, effects: [{ kind: 'deallocate', name: undefined }] }
    case 'VariableShowStmt':
    case 'FetchStmt':
    case 'ClosePortalStmt':
      return allowed
    case 'LockStmt':
      if (child(body, 'mode') !== ACCESS_SHARE) return refused('LOCK in any mode but ACCESS SHARE')
      return because(lockReason(list(child(body, 'relations')), context))
    case 'CopyStmt':
      return judgeCopy(body, context)
    case 'TransactionStmt':
      return judgeTransaction(body)
    case 'VariableSetStmt':
      return judgeSet(body, facts)
    default:
      return refused(`${sqlName(kind)} is not a read`)
  }
}

/** The weakest lock runs nothing that stands behind a relation; pg_dump takes it on all of them before it looks. */
function lockReason(relations: readonly Tree[], { scope, path }: WalkContext): string | undefined {
  for (const relation of relations) {
    const why = scope.schemaReason(relationWords(child(relation, 'RangeVar')), path)
    if (why !== undefined) return why
  }
  return undefined
}

function judgeExecute(body: Tree, facts: SessionFacts, context: WalkContext): StatementJudgement {
  const name = text(child(body, 'name')) ?? ''
  if (!facts.prepared.has(name)) return refused(`no prepared statement "${name}" was allowed in this session`)
  return because(treeReason(child(body, 'params'), context))
}

function judgeCopy(body: Tree, context: WalkContext): StatementJudgement {
  if (child(body, 'is_from') === true) return refused('COPY FROM writes')
  if (child(body, 'is_program') === true) return refused('COPY TO PROGRAM runs a program on the server')
  if (child(body, 'filename') !== undefined)
    return refused('COPY TO a file writes on the server; COPY … TO STDOUT is allowed')
  const query = child(body, 'query')
  if (query !== undefined)
    return child(query, 'SelectStmt') === undefined
      ? refused('COPY of anything but a query')
      : because(treeReason(query, context))
  const relation = child(body, 'relation')
  return relation === undefined ? refused('COPY without a table') : because(treeReason({ RangeVar: relation }, context))
}

function judgeTransaction(body: Tree): StatementJudgement {
  const step = text(child(body, 'kind')) ?? ''
  if (!TRANSACTION_STEPS.has(step)) return refused('two-phase commit')
  return because(transactionReason(list(child(body, 'options'))))
}

/** READ WRITE anywhere refuses, whatever stands beside it. */
function transactionReason(options: readonly Tree[]): string | undefined {
  for (const option of options) {
    const name = text(child(option, 'DefElem', 'defname')) ?? ''
    if (!TRANSACTION_OPTIONS.has(name)) return `transaction option ${name}`
    // Zero is left out of the JSON: only a one that is there means READ ONLY.
    if (name === 'transaction_read_only' && child(option, 'DefElem', 'arg', 'A_Const', 'ival', 'ival') !== 1)
      return 'a READ WRITE transaction'
  }
  return undefined
}

function judgeSet(body: Tree, facts: SessionFacts): StatementJudgement {
  const name = (text(child(body, 'name')) ?? '').toLowerCase()
  switch (text(child(body, 'kind')) ?? '') {
    case 'VAR_RESET_ALL':
      return allowed // back to the start-up packet, which holds the guard
    case 'VAR_RESET':
    case 'VAR_SET_DEFAULT':
      return because(resetReason(name))
    case 'VAR_SET_MULTI':
      if (name !== 'transaction' && name !== 'session characteristics') return refused(`SET ${name}`)
      return because(transactionReason(list(child(body, 'args'))))
    case 'VAR_SET_VALUE': {
      const values = list(child(body, 'args')).map(settingValue)
      const literals = values.filter((value) => value !== undefined)
      if (literals.length < values.length || literals.length === 0)
        return refused(`SET ${name} takes only a literal here`)
      const isOfDump = literals.length === 1 && (DUMP_SETTINGS[name] ?? []).includes(literals[0] ?? '')
      if (facts.isDump && isOfDump) return allowed
      const why = settingReason(name, literals)
      if (why !== undefined || name !== 'search_path') return because(why)
      const schemas = [...literals, ...literals.flatMap(splitPath)]
      return { reason: settingReason(name, splitPath(literals.join())), effects: [{ kind: 'path', schemas }] }
    }
    default:
      return refused(`SET ${name} FROM CURRENT`)
  }
}

/** A literal, or the interval that SET TIME ZONE takes. */
function settingValue(tree: Tree): string | undefined {
  const cast = child(tree, 'TypeCast')
  if (cast === undefined) return literal(tree)
  const type = words(child(cast, 'typeName', 'names')).join('.')
  return type === 'pg_catalog.interval' ? literal(child(cast, 'arg')) : undefined
}

/** `CreateTableAsStmt` → `CREATE TABLE AS`. */
const sqlName = (kind: string): string =>
  kind
    .replace(/Stmt$/, '')
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toUpperCase()
