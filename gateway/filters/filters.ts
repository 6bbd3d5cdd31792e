/** Front door: the judges. They see text and names, never bytes or sockets. */
export { openSqlFilter, type SqlContext, type SqlFilter } from './sql/filter.ts'
export type { SqlJudge } from './sql/judge.ts'
export type { SqlJudgement } from './sql/verdicts.ts'
