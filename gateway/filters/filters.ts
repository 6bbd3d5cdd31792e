/** Front door: the judges. They see text and names, never bytes or sockets. */
export { type AlertFinder, alertFinder } from './alerts.ts'
export { openSqlFilter, type SqlContext, type SqlFilter } from './sql/filter.ts'
export type { SqlJudge } from './sql/judge.ts'
export type { SqlJudgement } from './sql/verdicts.ts'
export { type ExecJudgement, type ExecRules, judgeExec } from './shell/exec.ts'
export { type FileContext, type FileJudgement, type FileOperation, judgeFile } from './shell/files.ts'
export { judgeCommandLine, type JudgeContext, type Judgement, wantsTerminal } from './shell/judge.ts'
export { forAnyShell, quote, type QuoteContext, quoteText } from './shell/quoting.ts'
export {
  type CommandList,
  type FileRules,
  type ShellConfig,
  type ShellRules,
  shellRules,
  UNIX_READ_ONLY,
} from './shell/rules.ts'
export { shellJudge, shellRulesOf } from './shell/shell-judge.ts'
export type { Command, Part, Plan, Step, Word } from './shell/words.ts'
