/** explain-role: what a role lets you do, in plain words. */
import { maskWords } from '../../model/mask.ts'
import { Refusal } from '../../model/refusal.ts'
import { type CommandList, READ_ONLY_DEFAULTS, type Role } from '../../model/role.ts'
import { commandsOf, usageOf } from '../command-grants.ts'
import { plain } from '../screen/text.ts'
import { type Command, printJson } from './command.ts'
import { roleJson } from './json.ts'
import { approvers } from './listings.ts'
import { spanOf } from './spans.ts'

export const explainRole: Command = {
  name: 'explain-role',
  usage: 'ROLE [--json]',
  summary: 'what a role lets you do, in plain words',
  options: { json: 'flag' },
  words: [1, 1],
  async run(context, given) {
    const role = (await context.desk.roles(context.identity)).find(({ name }) => name === given.word(0))
    if (role === undefined)
      throw new Refusal('NO_GRANT', `There is no role ${plain(given.word(0), 64)} that you may ask for.`, {
        next: 'Type `roles` to see yours.',
      })
    if (given.flag('json')) return printJson(context, roleJson(role))
    await context.console.print(
      explain(role)
        .map((line) => `${plain(line)}\n`)
        .join(''),
    )
    return 0
  },
}

export function explain(role: Role): readonly string[] {
  return [
    `${role.name}: ${role.description}`,
    ...(role.endpoints.includes('ssh') ? sshWords(role) : []),
    ...(role.endpoints.includes('postgres') ? postgresWords(role) : []),
    ...(role.endpoints.includes('http')
      ? ['- Opens the web application of the target. Each request is recorded.']
      : []),
    `- It lasts ${spanOf(role.defaultMinutes * 60_000)} unless you ask for less or more; ${spanOf(role.maxMinutes * 60_000)} at most.`,
    role.approval.kind === 'auto'
      ? '- It is granted at once, by rule.'
      : `- Somebody else must say yes: ${approvers(role)}.`,
    `- Your second factor must not be older than ${spanOf(role.mfaWithinMinutes * 60_000)} when a session opens.`,
  ]
}

function sshWords(role: Role): readonly string[] {
  const shell = {
    full: '- A shell and any command on the host. Everything you type and see is recorded.',
    'read-only': '- A shell for looking only: commands that would change something are refused.',
    none: `- No shell${commandsOf(role).length === 0 ? ' and no commands' : ''} on the host.`,
  }[role.ssh.shell]
  const commands = commandsOf(role).map((command) => `- The command ${usageOf(command)}: ${command.template}`)
  const files = role.ssh.shell === 'read-only' ? fileWords(role) : []
  const forward =
    role.ssh.forward.length === 0 ? '- No port forwarding.' : `- Port forwarding to ${role.ssh.forward.join(', ')}.`
  return [
    shell,
    ...files,
    ...commands,
    forward,
    ...(role.account === undefined ? [] : [`- You are ${role.account} there.`]),
  ]
}

const names = (list: CommandList): readonly string[] =>
  list.flatMap((entry) => (typeof entry === 'string' ? [entry] : Object.keys(entry)))
const some = (globs: readonly string[]): string => (globs.length === 0 ? 'none' : globs.join(', '))

/** What the shell has beside its sentence: the role's own list of programs, and the files for sftp, scp and rsync. */
function fileWords({ ssh }: Role): readonly string[] {
  const { commands, deny, files } = ssh.readOnly ?? READ_ONLY_DEFAULTS
  return [
    ...(commands === undefined ? [] : [`- Its commands: ${names(commands).join(', ')}.`]),
    ...(deny.length === 0 ? [] : [`- Not, or not all of: ${names(deny).join(', ')}.`]),
    `- Files to copy from there: ${some(files.read)}; to there: ${some(files.write)}${files.deny.length === 0 ? '' : `; never ${files.deny.join(', ')}`}.`,
  ]
}

function postgresWords({ postgres }: Role): readonly string[] {
  const mode = {
    'read-only': '- Reading in the database; statements that would change something are refused.',
    'read-write': '- Reading and writing in the database.',
  }[postgres.mode]
  return [
    mode,
    ...(postgres.schemas.length === 0 ? [] : [`- Only in the schemas ${postgres.schemas.join(', ')}.`]),
    ...(postgres.databases.length === 0 ? [] : [`- Only in the databases ${postgres.databases.join(', ')}.`]),
    ...(postgres.denyFunctions.length === 0 ? [] : [`- Without the functions ${postgres.denyFunctions.join(', ')}.`]),
    ...(postgres.mask === undefined
      ? []
      : [`- Masked columns, which nothing can be computed with: ${maskWords(postgres.mask)}.`]),
  ]
}
