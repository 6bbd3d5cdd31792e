/** The line that is really sent: written anew from the plan, so that nothing of what was typed is left for a shell to read in its own way. */
import { PROGRAMS } from './programs/programs.ts'
import { type Command, hasGlob, headOf, type Part, type Plan, type Step, type Word } from './words.ts'

/** What the caller knows that a fresh shell on the target does not. */
export type QuoteContext = {
  /** Where the person is; absent: where a login starts. */
  readonly directory?: string
  /** Where they were before, for `cd -`. */
  readonly previousDirectory?: string
  /** Exit status of the line before, for `$?`. */
  readonly lastStatus?: number
  /** gawk is there (asked once per session): it can be told to keep to itself. */
  readonly hasGawk?: boolean
}

const PLAIN = /^[A-Za-z0-9_./,:@%+=-]+$/

/** One word that any POSIX shell reads as exactly this text. */
export const quoteText = (text: string): string =>
  PLAIN.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`

/** For a login shell that may not be a POSIX one: the line is handed to /bin/sh, and no settings of the account are read. */
export const forAnyShell = (line: string): string => `exec /bin/sh -c ${quoteText(line)}`

/** A line for a POSIX `sh -c`. Only the plan's own words are in it, each quoted. */
export function quote(plan: Plan, context: QuoteContext = {}): string {
  const start = context.directory === undefined ? [] : [`cd -- ${quotePath(context.directory)} || exit`]
  if (asksForHost(plan)) start.push('HOSTNAME=$(uname -n)')
  const lines: string[] = []
  plan.steps.forEach((step, n) => {
    const hasMoved = plan.steps.slice(0, n).some(({ kind }) => kind === 'cd')
    const text = quoteStep(step, n === 0, hasMoved, context)
    const before = lines.pop()
    if (before === undefined) lines.push(text)
    else if (step.join === ';') lines.push(before, text)
    else lines.push(`${before} ${step.join} ${text}`)
  })
  return [...start, ...lines].join('; ')
}

/** Only bash sets it by itself. */
const asksForHost = (plan: Plan): boolean =>
  plan.steps
    .flatMap(wordsIn)
    .some(({ parts }) => parts.some((part) => 'variable' in part && part.variable === 'HOSTNAME'))

function wordsIn(step: Step): readonly Word[] {
  if (step.kind === 'pipeline') return step.commands.flatMap(({ argv }) => argv)
  return step.kind === 'cd' && typeof step.to !== 'string' ? [step.to] : []
}

function quoteStep(step: Step, isFirst: boolean, hasMoved: boolean, context: QuoteContext): string {
  const status = isFirst ? (context.lastStatus ?? 0) : undefined
  if (step.kind === 'exit') return step.status === undefined ? 'exit' : `exit ${step.status}`
  if (step.kind === 'pipeline')
    return step.commands.map((command) => quoteCommand(command, status, context)).join(' | ')
  const redirections = step.redirections.map((text) => ` ${text}`).join('')
  if (step.to === 'previous') return `${back(hasMoved, context)}${redirections}`
  return `CDPATH= cd -- ${step.to === 'home' ? '"$HOME"' : quoteWord(step.to, status)}${redirections}`
}

/** A fresh shell does not know where the person was before; what this line does itself, it knows. */
function back(hasMoved: boolean, { previousDirectory }: QuoteContext): string {
  if (hasMoved) return 'cd -'
  return previousDirectory === undefined
    ? "{ echo 'cd: OLDPWD not set' >&2; false; }"
    : `{ CDPATH= cd -- ${quotePath(previousDirectory)} && pwd; }`
}

function quoteCommand(command: Command, status: number | undefined, context: QuoteContext): string {
  const program = PROGRAMS.get(command.name)
  if (command.name === 'type' && command.argv.some((word) => headOf(word).startsWith('-')))
    return quoteType(command, status)
  const isSandboxed = command.name === 'awk' && context.hasGawk === true
  const name = isSandboxed ? 'gawk --sandbox' : quoteText(command.written)
  const environment = program?.environment ?? (isReplaced(command.name) ? [] : undefined)
  return [
    ...(environment === undefined ? [] : ['/usr/bin/env', ...environment.map(quoteText)]),
    name,
    ...(program?.first ?? []).map(quoteText),
    ...command.argv.map((word) => quoteWord(word, status)),
    ...command.redirections,
  ].join(' ')
}

/** Only bash knows options for it. The script is ours and fixed; what was typed are its arguments. */
const quoteType = ({ argv, redirections }: Command, status: number | undefined): string =>
  [
    `/usr/bin/env -u BASH_ENV bash -c 'type "$@"' bash`,
    ...argv.map((word) => quoteWord(word, status)),
    ...redirections,
  ].join(' ')

/** Builtins of sh that differ from shell to shell; their namesakes in /bin are the same everywhere. */
const isReplaced = (name: string): boolean => name === 'echo' || name === 'printf'

/** Only pattern characters stay unquoted; a word that begins with one gets `./`, so that no file's name becomes an option. */
export function quoteWord(word: Word, status?: number): string {
  if (word.parts.length === 0) return "''"
  const [first] = word.parts
  const start = first !== undefined && 'glob' in first ? './' : ''
  const isPattern = hasGlob(word)
  return start + word.parts.map((part) => quotePart(part, isPattern, status)).join('')
}

function quotePart(part: Part, isPattern: boolean, status: number | undefined): string {
  if ('glob' in part) return part.glob.replaceAll(/[^\w*?[\]!^.,:=/+@%-]/g, (sign) => `\\${sign}`)
  if ('tilde' in part) return '"$HOME"'
  if ('literal' in part)
    return isPattern && !/^[\w./]+$/.test(part.literal) ? strictly(part.literal) : quoteText(part.literal)
  return part.variable === '?' && status !== undefined ? String(status) : `"$${part.variable}"`
}

const strictly = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

/** A directory may begin with a dash, and `cd -- -` would go back. */
export const quotePath = (path: string): string => quoteText(path.startsWith('-') ? `./${path}` : path)
