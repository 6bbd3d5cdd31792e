/** Front door: the judges. They see text and names, never bytes or sockets. */
export type { Catalog, Owned, Relation, UserFunction } from './sql/catalog.ts'
export {
  createReadOnlyJudge,
  type ReadOnlySession,
  type SqlJudge,
  type SqlJudgement,
  VerdictCache,
} from './sql/judge.ts'
export { openParser, type Parser } from './sql/parser.ts'
export type { ScopeRules } from './sql/scope.ts'
