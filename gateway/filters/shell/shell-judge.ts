/** The judge of one role's read-only shell, as a terminator takes it: lines, commands, files. */
import { READ_ONLY_DEFAULTS, type SshScope } from '../../model/role.ts'
import type { Verdict } from '../../model/statement.ts'
import { judgeExec } from './exec.ts'
import { type FileContext, type FileOperation, judgeFile } from './files.ts'
import { heldCommand, heldLine, heldText } from './held.ts'
import { judgeCommandLine, wantsTerminal } from './judge.ts'
import { quote, type QuoteContext, quoteText } from './quoting.ts'
import { shellRules, Use } from './rules.ts'
import type { Plan, Step } from './words.ts'

/** With sentences about names in the role that no judge knows; such a name allows nothing. */
export const shellRulesOf = (scope: SshScope): ReturnType<typeof shellRules> => {
  const { commands, deny } = scope.readOnly ?? READ_ONLY_DEFAULTS
  return shellRules({ commands, deny })
}

/** @param commands what waits for a second person, by the words that it begins with. */
export function shellJudge(scope: SshScope, commands: readonly (readonly string[])[] = []) {
  const { rules: shell } = shellRulesOf(scope)
  const { files } = scope.readOnly ?? READ_ONLY_DEFAULTS
  const held = (line: string) => {
    const argv = heldCommand(line, commands)
    if (argv === undefined) return undefined
    const text = (context: QuoteContext) => heldLine(argv, context)
    return {
      verdict: { decision: 'hold', reason: `${heldText(argv)} needs a second person.` } as const,
      line: {
        steps: [{ kind: 'pipeline', join: ';', text } as const],
        text,
        wantsTerminal: false,
        usesAwk: false,
      },
      held: { argv, text: heldText(argv) },
    }
  }
  return {
    heldCommands: commands.map((words) => words.join(' ')),
    programs: [...shell.commands.keys()].filter((name) => new Use(shell, name).isAllowed),
    line: (line: string, directory?: string) => {
      const { plan, verdict } = judgeCommandLine(line, shell, directory === undefined ? {} : { directory })
      const waits = verdict.decision === 'deny' ? held(line) : undefined
      return waits ?? { verdict, line: plan && judgedLine(plan) }
    },
    command: (command: string, context: FileContext = {}) => {
      const judged = judgeExec(command, { shell, files }, context)
      if (judged.kind === 'shell') {
        const { plan, verdict } = judged
        const waits = verdict.decision === 'deny' ? held(command) : undefined
        return { kind: 'line' as const, ...(waits ?? { verdict, line: plan && judgedLine(plan) }) }
      }
      if (judged.kind === 'sftp') return judged
      const { line, verdict } = judged
      const needsHome = context.home === undefined && verdict.decision === 'deny' && isAboutHome(verdict.reason)
      return { kind: 'copy' as const, verdict, text: line, needsHome }
    },
    file: (operation: FileOperation, path: string, context: FileContext = {}): Verdict => {
      // The target follows links, so that what stands before `..` may be elsewhere than its name says.
      if (path.split('/').includes('..')) return { decision: 'deny', reason: 'Write the path without `..`.' }
      // A shell's `~` is no more than a name here.
      return judgeFile(operation, path.startsWith('~') ? `./${path}` : path, files, context).verdict
    },
    quote: quoteText,
  }
}

/** What {@link judgeFile} says to a relative path without a home directory. */
const isAboutHome = (reason: string): boolean => reason.startsWith('Write the whole path')

function judgedLine(plan: Plan) {
  return {
    steps: plan.steps.map(stepOf),
    text: (context: QuoteContext) => quote(plan, context),
    wantsTerminal: wantsTerminal(plan),
    usesAwk: plan.steps.some((step) => step.kind === 'pipeline' && step.commands.some(({ name }) => name === 'awk')),
  }
}

function stepOf(step: Step) {
  const { join, kind } = step
  if (kind === 'exit') return { kind, join, status: step.status } as const
  const text = (context: QuoteContext) => quote({ steps: [{ ...step, join: ';' }] }, context)
  return kind === 'cd'
    ? ({ kind, join, text, isBack: step.to === 'previous' } as const)
    : ({ kind, join, text } as const)
}
