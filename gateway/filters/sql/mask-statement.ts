/** Whole statements under masks: which may be sent, because the wire can mask what comes of them. */
import type { Mask } from './mask-facts.ts'
import { masksOf } from './mask-level.ts'
import { expressionReason, type MaskContext, shapeOf } from './mask-query.ts'
import { missing } from './scope.ts'
import { child, list, relationWords, type Tree, text } from './tree.ts'

export const MASK_NEXT =
  'A masked column may be selected by itself (SELECT email FROM …) and arrives masked; compute, filter, join and sort by other columns.'

/** They hand on no values of tables by themselves; what FETCH hands on was judged with its cursor. */
const WITHOUT_VALUES = new Set(
  `FetchStmt ClosePortalStmt VariableShowStmt VariableSetStmt DiscardStmt DeallocateStmt LockStmt TransactionStmt
  ListenStmt UnlistenStmt`.split(/\s+/),
)

/** Why this statement may not run, or undefined. @param tree one tagged statement that may run otherwise. */
export function maskReason(tree: Tree, context: MaskContext): string | undefined {
  const [entry] = typeof tree === 'object' && tree !== null ? Object.entries(tree) : []
  const [kind, body] = entry ?? ['', undefined]
  if (WITHOUT_VALUES.has(kind)) return undefined
  switch (kind) {
    case 'SelectStmt':
      return queryReason(tree, context)
    case 'ExplainStmt':
    case 'PrepareStmt':
    case 'DeclareCursorStmt': {
      const query = child(body, 'query')
      const executed = child(query, 'ExecuteStmt')
      return executed === undefined ? queryReason(query, context) : expressionReason(child(executed, 'params'), context)
    }
    case 'ExecuteStmt':
      return expressionReason(child(body, 'params'), context)
    case 'CopyStmt':
      return copyReason(body, context)
    default:
      return 'this statement is not known under masks'
  }
}

function queryReason(query: Tree, context: MaskContext): string | undefined {
  const shape = shapeOf(query, context)
  if ('reason' in shape) return shape.reason
  const odd = masksOf(shape).find(({ kind, isText }) => !isText && (kind === 'partial' || kind === 'hash'))
  return odd === undefined
    ? undefined
    : `${odd.shown} holds no text and cannot be shown as ${odd.kind}; the role has to mask it as full or null`
}

const inCopy = ({ shown }: Mask): string =>
  `${shown} is masked for this role, and COPY does not say which column a value is of`

function copyReason(body: Tree, context: MaskContext): string | undefined {
  const query = child(body, 'query')
  if (query !== undefined) {
    const shape = shapeOf(query, context)
    if ('reason' in shape) return shape.reason
    const [mask] = masksOf(shape)
    return mask === undefined ? undefined : inCopy(mask)
  }
  const asked = list(child(body, 'attlist')).map((name) => text(child(name, 'String', 'sval')) ?? '')
  const star = {
    SelectStmt: { op: 'SETOP_NONE', fromClause: [{ RangeVar: child(body, 'relation') }], targetList: STAR },
  }
  const shape = shapeOf(star, context)
  if ('reason' in shape) return shape.reason
  for (const name of asked)
    if (shape.isExact && !shape.outputs.some((output) => output.name === name))
      return missing('column', [...relationWords(child(body, 'relation')), name])
  const copied = asked.length === 0 ? shape.outputs : shape.outputs.filter(({ name }) => asked.includes(name ?? ''))
  const [mask] = masksOf({ outputs: copied, isExact: true })
  return mask === undefined ? undefined : inCopy(mask)
}

const STAR: Tree = [{ ResTarget: { val: { ColumnRef: { fields: [{ A_Star: {} }] } } } }]
