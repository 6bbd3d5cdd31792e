/**
 * The judge of the read-only shell: reads a line with a closed grammar, twice, then judges each command by what is known of its program.
 * Pure and synchronous. It gives intent and clear refusals; where a kernel can refuse writes as well (a workspace), that is the barrier.
 */
import { ALLOW, type Verdict } from '../../model/statement.ts'
import { checkCharacters } from './characters.ts'
import { checkDevices, normalised } from './devices.ts'
import { exitStatus } from './programs/plain.ts'
import { PROGRAMS } from './programs/programs.ts'
import type { SimpleCommand } from './reading.ts'
import { type ShellRules, Use } from './rules.ts'
import { readTwice } from './second-reading.ts'
import { asText, type Command, hasGlob, headOf, type Plan, Refused, type Step, textOf, type Word } from './words.ts'

export type Judgement = {
  readonly verdict: Verdict
  /** Undefined unless the line is allowed. */
  readonly plan: Plan | undefined
}

export type JudgeContext = {
  /** Absolute path where the line starts, when the caller knows it. */
  readonly directory?: string
}

const DIRECTORIES = /^\/(?:usr\/)?s?bin\/([^/]+)$/
const PREFIXES = new Set(
  'env command exec time nice nohup xargs timeout sudo su doas setsid stdbuf ionice chrt taskset watch builtin eval'.split(
    ' ',
  ),
)

export function judgeCommandLine(line: string, rules: ShellRules, context: JudgeContext = {}): Judgement {
  try {
    return { verdict: ALLOW, plan: planOf(line, rules, context) }
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    const { message, next } = error
    return { verdict: { decision: 'deny', reason: message, ...(next === undefined ? {} : { next }) }, plan: undefined }
  }
}

/** @throws {Refused} */
export function planOf(line: string, rules: ShellRules, context: JudgeContext): Plan {
  checkCharacters(line)
  const steps: Step[] = []
  let directory = context.directory
  for (const { join, commands } of readTwice(line)) {
    const judged = commands.map((command) => judge(command, rules, directory))
    const [only] = judged
    const special = judged.find(({ name }) => name === 'cd' || name === 'exit')
    if (special === undefined || only === undefined) steps.push({ kind: 'pipeline', join, commands: judged })
    else if (judged.length > 1) throw new Refused(`${special.name} must stand alone, not in a pipe.`)
    else if (only.name === 'exit') steps.push({ kind: 'exit', join, status: exitStatus(only.argv) })
    else {
      const to = destination(only.argv)
      steps.push({ kind: 'cd', join, to, redirections: only.redirections })
      directory = after(to, directory)
    }
  }
  return { steps }
}

/** Programs that may get a terminal of their own, when this is the only pipeline of the line and ends in one of them. */
export function wantsTerminal(plan: Plan): boolean {
  const [step, other] = plan.steps
  if (other !== undefined || step?.kind !== 'pipeline') return false
  return PROGRAMS.get(step.commands.at(-1)?.name ?? '')?.wantsTerminal === true
}

function judge(
  { plainName, words, redirections }: SimpleCommand,
  rules: ShellRules,
  directory: string | undefined,
): Command {
  const [command, ...written] = words
  if (command === undefined || plainName === undefined)
    throw new Refused(
      'The name of a command must be written plainly, without quotes, patterns or variables.',
      'For example: ls -l /var/log',
    )
  const name = DIRECTORIES.exec(plainName)?.[1] ?? plainName
  const program = PROGRAMS.get(name)
  const use = new Use(rules, name)
  if (program === undefined || !use.isAllowed || (program.isBuiltin && name !== 'pwd' && plainName !== name))
    throw notListed(plainName, rules)
  const argv = program.takesPatternsAsText ? written.map(asText) : name === 'grep' ? withTextPattern(written) : written
  for (const word of argv)
    if (hasGlob(word) && headOf(word).startsWith('-') && !headOf(word).includes('='))
      throw new Refused(
        'A pattern in an option might become other options.',
        'Put the option into quotes, or write it out.',
      )
  try {
    program.judge(argv, use)
    if (program.reads !== false) checkDevices(withoutSought(name, argv), directory)
  } catch (error) {
    if (error instanceof Refused && !error.message.includes(name))
      throw new Refused(`${name}: ${error.message}`, error.next)
    throw error
  }
  return { name, written: plainName, argv, redirections }
}

/** The word that grep looks for; -1 when it comes with an option. */
const soughtBy = (argv: readonly Word[]): number =>
  argv.some((word) => /^-(?:-regexp|-file|[A-Za-z]*[ef])/.test(headOf(word)))
    ? -1
    : argv.findIndex((word) => !headOf(word).startsWith('-'))

/** What grep looks for may be the name of a device. */
const withoutSought = (name: string, argv: readonly Word[]): readonly Word[] =>
  name === 'grep' ? argv.filter((_, n) => n !== soughtBy(argv)) : argv

/** `grep [n]ginx` does not mean files. */
const withTextPattern = (argv: readonly Word[]): readonly Word[] =>
  argv.map((word, n) => (n === soughtBy(argv) ? asText(word) : word))

function notListed(name: string, rules: ShellRules): Refused {
  if (name.includes('/'))
    return new Refused(
      `\`${name}\` is not allowed: programs are named plainly or under /bin, /usr/bin, /sbin, /usr/sbin.`,
      `Allowed: ${listed(rules)}.`,
    )
  if (PREFIXES.has(name))
    return new Refused(`\`${name}\` starts other programs; that is not allowed.`, 'Write the command itself.')
  return new Refused(`\`${name}\` is not on the list of this read-only shell.`, `Allowed: ${listed(rules)}.`)
}

const listed = (rules: ShellRules): string =>
  [...rules.commands.keys()].filter((name) => new Use(rules, name).isAllowed).join(' ')

function destination(argv: readonly Word[]): Word | 'home' | 'previous' {
  const words = argv[0] !== undefined && ['--', '-L', '-P'].includes(textOf(argv[0]) ?? '') ? argv.slice(1) : argv
  const [to, other] = words
  if (to === undefined) return 'home'
  if (other !== undefined) throw new Refused('cd takes one directory.')
  if (textOf(to) === '-') return 'previous'
  if (headOf(to).startsWith('-')) throw new Refused('cd takes a directory and no options.')
  if (textOf(to) === '') throw new Refused('cd takes a directory.')
  return to
}

/** Unknown as soon as the target has a say in it. */
function after(to: Word | 'home' | 'previous', directory: string | undefined): string | undefined {
  const text = typeof to === 'string' ? undefined : textOf(to)
  if (text === undefined) return undefined
  return text.startsWith('/') ? normalised(text) : directory === undefined ? undefined : normalised(text, directory)
}
