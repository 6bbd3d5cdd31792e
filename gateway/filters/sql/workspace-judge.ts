/** The judge of a session whose work is rolled back: nothing may end its transaction but the steps that the gateway answers itself. */
import { transactionStep, type TransactionStep } from '../../model/transaction.ts'
import type { SqlJudge } from './judge.ts'
import type { Parsed, Parser } from './parser.ts'
import { child, text as textOf, type Tree } from './tree.ts'
import type { SqlJudgement } from './verdicts.ts'

const KINDS: Readonly<Record<string, TransactionStep>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'inner',
  TRANS_STMT_RELEASE: 'inner',
  TRANS_STMT_ROLLBACK_TO: 'inner',
}
const NEXT = 'This session runs in one transaction that is rolled back at its end.'

const COMMIT: SqlJudgement = {
  verdict: { decision: 'hold', reason: 'COMMIT needs a second person' },
  held: { kind: 'commit', normalised: 'COMMIT' },
}

/**
 * @param open the judge of a session that may write.
 * @param holdsCommit a second person may let a COMMIT through.
 */
export function createWorkspaceJudge(parser: Parser, open: SqlJudge, holdsCommit: boolean): SqlJudge {
  const judge = (text: string, then: () => SqlJudgement | Promise<SqlJudgement>) => {
    const decide = (parsed: Parsed): SqlJudgement | Promise<SqlJudgement> => {
      const reason = reasonOf(text, parsed)
      if (reason === undefined && holdsCommit && transactionStep(text) === 'commit') return COMMIT
      return reason === undefined ? then() : { verdict: { decision: 'deny', reason, next: NEXT } }
    }
    const parsed = parser.parse(text)
    return parsed instanceof Promise ? parsed.then(decide) : decide(parsed)
  }
  return {
    query: (text) => judge(text, () => open.query(text)),
    parse: (name, text, types) => judge(text, () => open.parse(name, text, types)),
    execute: (name, text) => judge(text, () => open.execute(name, text)),
    close: () => open.close(),
  }
}

/** The two readings of a text, by its spelling and by the grammar, must agree on whether it is a step of a transaction. */
function reasonOf(text: string, parsed: Parsed): string | undefined {
  if ('failure' in parsed) return `this cannot be read as SQL (${parsed.failure})`
  const steps = parsed.statements.map(stepOf)
  if (steps.every((step) => step === undefined))
    return transactionStep(text) === undefined ? undefined : 'this text can be read in more than one way'
  if (steps.length > 1) return 'BEGIN, COMMIT, ROLLBACK and savepoints come alone in their message here'
  if (steps[0] === 'other') return 'two-phase commit and AND CHAIN are not for a session that is rolled back'
  return transactionStep(text) === steps[0]
    ? undefined
    : 'steps of a transaction are written plainly here, without comments: BEGIN, COMMIT, ROLLBACK, SAVEPOINT name'
}

function stepOf(statement: Tree): TransactionStep | 'other' | undefined {
  const body = child(statement, 'TransactionStmt')
  if (body === undefined) return undefined
  return child(body, 'chain') === true ? 'other' : (KINDS[textOf(child(body, 'kind')) ?? ''] ?? 'other')
}
