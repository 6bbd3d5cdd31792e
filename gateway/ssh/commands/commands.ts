/** All commands of the ssh command line, by name, and how one is run. */
import type { Log } from '../../model/log.ts'
import { nearest } from '../../model/nearest.ts'
import { BROKEN, DONE, denial, denialText, WRONG_USAGE } from '../deny.ts'
import { table } from '../screen/table.ts'
import { pad, plain, width } from '../screen/text.ts'
import { agentRevoke, agents, agentToken } from './agents.ts'
import { apply, changes, discard } from './apply.ts'
import { argumentsOf, type Command, type Context, typed, WrongUsage } from './command.ts'
import { kill, lock, revoke, unlock } from './ends.ts'
import { evidence } from './evidence.ts'
import { explainRole } from './explain-role.ts'
import { grants, roles, targets } from './listings.ts'
import { replay, watch } from './replay.ts'
import { requests } from './requests.ts'
import { sessions } from './sessions.ts'
import { approve, deny, extend, release, request, withdraw } from './steps.ts'
import { token } from './token.ts'
import { logout, sshConfig, whoami } from './who.ts'
import { words } from './words.ts'

const groups: readonly (readonly [heading: string, commands: readonly Command[]])[] = [
  ['You', [whoami, token, logout, sshConfig]],
  ['Access', [targets, roles, explainRole, request, requests, grants, extend, release, withdraw]],
  ['Deciding', [approve, deny, revoke, lock, unlock, changes, apply, discard]],
  ['Sessions', [sessions, replay, watch, kill, evidence]],
  ['Agents', [agents, agentToken, agentRevoke]],
]

const help: Command = {
  name: 'help',
  usage: '[COMMAND]',
  summary: 'this list, or more about one command',
  example: 'help request',
  options: {},
  words: [0, 1],
  async run(context, given) {
    const [name] = given.words
    const command = name === undefined ? undefined : commands.get(name)
    if (name !== undefined && command === undefined) throw noCommand(name)
    await context.console.print(command === undefined ? overview(context) : helpFor(context, command))
    return DONE
  },
}

const commands: ReadonlyMap<string, Command> = new Map(
  [help, ...groups.flatMap(([, those]) => those)].map((command) => [command.name, command]),
)

/** First words that are ours: a target of such a name could never be reached. */
export const reservedWords: readonly string[] = [...commands.keys()]

export const isCommand = (word: string): boolean => commands.has(word)

function noCommand(name: string): WrongUsage {
  const meant = nearest(name, commands.keys())
  return new WrongUsage(
    `There is no command ${plain(name, 40)}.${meant === undefined ? '' : ` Did you mean ${meant}?`} Type \`help\` for all.`,
  )
}

/** Runs one command line to its exit code; never throws. */
export async function runCommand(context: Context, line: string, log: Log): Promise<number> {
  const [name = 'help', ...rest] = words(line)
  const command = commands.get(name)
  try {
    if (command === undefined) throw noCommand(name)
    if (rest.includes('--help') || rest[0] === '-h') {
      await context.console.print(helpFor(context, command))
      return DONE
    }
    return await command.run(context, argumentsOf(command, rest))
  } catch (failure) {
    if (failure instanceof WrongUsage) {
      const usage = command === undefined ? '' : `usage: ${usageOf(command)}\n`
      await context.console.note(`${failure.message}\n${usage}`)
      return WRONG_USAGE
    }
    // Nobody is there to read it: what broke is that they left.
    if (context.console.closed.aborted) return BROKEN
    const denied = denial(failure, log)
    await context.console.note(denialText(denied))
    return denied.exitCode
  }
}

const usageOf = (command: Command): string => `${command.name} ${command.usage}`.trimEnd()

function helpFor(context: Context, command: Command): string {
  const details = command.details === undefined ? '' : `\n${command.details}\n`
  const [option, rest] = command.example.startsWith('-t ') ? [' -t', command.example.slice(3)] : ['', command.example]
  return `${usageOf(command)}\n\n${command.summary}\n${details}\nExample:\n  ${typed(context, rest, option)}\n`
}

const INDENT = '  '

function overview(context: Context): string {
  const ways = [
    [typed(context, ''), 'a menu'],
    [typed(context, 'TARGET', ' -t'), 'a shell'],
    [typed(context, 'TARGET COMMAND'), 'one command'],
    [typed(context, 'help COMMAND'), 'more about one of these:'],
  ] as const
  // One column of names for all groups.
  const names = ' '.repeat(Math.max(...[...commands.keys()].map(width)))
  const parts = groups.map(
    ([heading, those]) =>
      `\n${context.console.paint('bold', heading)}\n${table(
        [names, ''],
        those.map((command) => [command.name, command.summary]),
        context.console.width - INDENT.length,
      )
        .split('\n')
        .slice(1)
        .map((line) => (line === '' ? '' : `${INDENT}${line}`))
        .join('\n')}`,
  )
  return [
    'Sallyport: temporary access to production, through ssh.\n\n',
    ...waysText(ways, context.console.width),
    ...parts,
  ].join('')
}

/** What is typed stays on one line, so that it can be pasted; what it does stands beside it, or below where there is no room. */
function waysText(ways: readonly (readonly [typed: string, does: string])[], columns: number): readonly string[] {
  const widest = Math.max(...ways.map(([line]) => width(line)))
  const fits = ways.every(([, does]) => INDENT.length * 2 + widest + width(does) <= columns)
  return ways.map(([line, does]) =>
    fits ? `${INDENT}${pad(line, widest)}${INDENT}${does}\n` : `${INDENT}${line}\n${INDENT}${INDENT}${does}\n`,
  )
}
