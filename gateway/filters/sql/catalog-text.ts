/** Judges a view's query, or an expression as a query, the way the server printed it: under an empty search path. */
import { PENDING } from './behind.ts'
import { treeReason } from './expressions.ts'
import type { Parsed } from './parser.ts'
import type { Path, Scope } from './scope.ts'
import { child } from './tree.ts'

const NOWHERE: Path = { schemas: new Set(), isCatalogFirst: true }

export function catalogTextReason(parsed: Parsed, scope: Scope): string | undefined {
  if ('failure' in parsed) return `its definition cannot be judged (${parsed.failure})`
  if (parsed.statements.length !== 1) return 'its definition is not one query'
  let isPending = false
  for (const statement of parsed.statements) {
    if (child(statement, 'SelectStmt') === undefined) return 'its definition is not a query'
    const why = treeReason(statement, { scope, path: NOWHERE, tables: new Set(), sets: undefined })
    if (why === PENDING) isPending = true
    else if (why !== undefined) return why
  }
  return isPending ? PENDING : undefined
}
