/** Judges whole statements for a read-only role: a list of what may run. Everything that is not on it is refused. */
import { child, list, type Tree, text, treeReason, type WalkContext, words } from './expressions.ts'
import { settingReason } from './settings.ts'

/** What a session has done so far, as far as a verdict depends on it. */
export type SessionFacts = {
  /** Names of prepared statements: Parse and SQL PREPARE share them. Each was judged when it was made. */
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
const DUMP_SETTINGS = new Set([
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'transaction_timeout',
  'row_security',
])
const ACCESS_SHARE = 1
const NEVER_RESET = new Set(['role', 'session_authorization', 'session_replication_role'])

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
      return refused(`EXPLAIN of anything but a query`)
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
    case 'VariableShowStmt':
    case 'FetchStmt':
    case 'ClosePortalStmt':
    case 'DiscardStmt': // what the start-up packet set, the guard among it, stays
      return allowed
    case 'LockStmt':
      if (child(body, 'mode') !== ACCESS_SHARE) return refused('LOCK in any mode but ACCESS SHARE')
      return because(treeReason(child(body, 'relations'), context))
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
    case 'VAR_SET_DEFAULT': {
      if (NEVER_RESET.has(name)) return refused(`${name} may not be changed`)
      const isKnown =
        name === 'default_transaction_read_only' ||
        name === 'search_path' ||
        settingReason(name, ['1ms']) === undefined ||
        settingReason(name, ['on']) === undefined
      return isKnown ? allowed : refused(`setting ${name} may not be changed`)
    }
    case 'VAR_SET_MULTI':
      if (name !== 'transaction' && name !== 'session characteristics') return refused(`SET ${name}`)
      return because(transactionReason(list(child(body, 'args'))))
    case 'VAR_SET_VALUE': {
      const values = list(child(body, 'args')).map(constant)
      if (values.includes(undefined)) return refused(`SET ${name} takes only a literal here`)
      const literal = values.filter((value) => value !== undefined)
      if (facts.isDump && DUMP_SETTINGS.has(name) && ['0', 'off'].includes(literal[0] ?? '')) return allowed
      const why = settingReason(name, literal)
      if (why !== undefined) return refused(why)
      return name === 'search_path' ? { reason: undefined, effects: [{ kind: 'path', schemas: literal }] } : allowed
    }
    default:
      return refused(`SET ${name} FROM CURRENT`)
  }
}

/** A literal as text; `SET x = 0` arrives as an ival without a number. */
function constant(tree: Tree): string | undefined {
  const value = child(tree, 'A_Const') ?? child(tree, 'TypeCast', 'arg', 'A_Const')
  if (
    child(tree, 'TypeCast') !== undefined &&
    words(child(tree, 'TypeCast', 'typeName', 'names')).at(-1) !== 'interval'
  )
    return undefined
  if (child(value, 'sval') !== undefined) return text(child(value, 'sval', 'sval')) ?? ''
  if (child(value, 'ival') !== undefined) return JSON.stringify(child(value, 'ival', 'ival') ?? 0)
  if (child(value, 'fval') !== undefined) return text(child(value, 'fval', 'fval'))
  if (child(value, 'boolval') !== undefined) return child(value, 'boolval', 'boolval') === true ? 'on' : 'off'
  return undefined
}

/** `CreateTableAsStmt` → `CREATE TABLE AS`. */
const sqlName = (kind: string): string =>
  kind
    .replace(/Stmt$/, '')
    .replaceAll(/([a-z])([A-Z])/g, '$1 $2')
    .toUpperCase()
