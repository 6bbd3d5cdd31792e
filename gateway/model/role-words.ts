/** What a role allows, in plain words: the one text that the command line, the pages and the check of a configuration show. */
import { maskWords } from './mask.ts'
import { type ApprovalRule, type CommandGrant, type CommandList, READ_ONLY_DEFAULTS, type Role } from './role.ts'
import type { Protocol } from './target.ts'

/** Sentences about one endpoint. */
export const allowsOf = (role: Role, endpoint: Protocol): readonly string[] => allows[endpoint](role)

/** Sentences about how one gets it: how long, who agrees, what has to be proven. */
export function termsOf(role: Role): readonly string[] {
  return [
    `It lasts ${span(role.defaultMinutes)} unless asked otherwise, ${span(role.maxMinutes)} at most.`,
    role.approval.kind === 'auto'
      ? 'It is granted at once, by rule.'
      : `Somebody else agrees: ${agrees(role.approval)}.`,
    `The second factor is at most ${span(role.mfaWithinMinutes)} old when a session opens.`,
    ...(role.stepUp === 'passkey' ? ['Each session asks for a touch of a passkey.'] : []),
  ]
}

/** `one person of leads`, `2 people of leads or security`; undefined where nobody is asked. */
export const approversOf = ({ approval }: Pick<Role, 'approval'>): string | undefined =>
  approval.kind === 'auto' ? undefined : agrees(approval)

const agrees = ({ count, groups }: Extract<ApprovalRule, { kind: 'people' }>): string =>
  `${count === 1 ? 'one person' : `${count} people`} of ${list(groups, 'or')}`

const allows: Readonly<Record<Protocol, (role: Role) => readonly string[]>> = {
  ssh: (role) => [
    ...shell(role),
    ...workspace(role),
    ...alerts(role),
    ...held(role, 'commands'),
    ...files(role),
    ...forward(role),
  ],
  postgres: (role) => {
    const { postgres } = role
    const { databases, schemas, mode, allowFunctions, denyFunctions, mask = [], workspace } = postgres
    const where = databases.length === 0 ? 'the database' : `the databases ${list(databases, 'and')}`
    const only = schemas.length === 0 ? '' : `, schemas ${list(schemas, 'and')} only`
    const deed = mode === 'read-only' ? 'Read' : 'Read and change'
    const no = mode === 'read-only' ? ' Statements that change something are refused.' : ''
    return [
      `${deed} ${where}${only}${workspace === undefined ? '' : '; all of it is rolled back at the end of the session'}.${no}`,
      ...held(role, 'postgres'),
      ...(allowFunctions.length === 0
        ? []
        : [`Beside PostgreSQL's own harmless functions: ${list(allowFunctions, 'and')}.`]),
      ...(denyFunctions.length === 0 ? [] : [`Never the functions ${list(denyFunctions, 'or')}.`]),
      ...(mask.length === 0 ? [] : [`Masked, and nothing may be computed with them: ${maskWords(mask)}.`]),
    ]
  },
  http: ({ http }) => {
    if (http === undefined) return []
    const { mode, methods, paths, denyPaths, websocket } = http
    const deed = mode === 'read-only' ? 'Look at' : 'Use'
    const by = methods.length === 0 ? '' : `, by ${list(methods, 'and')}`
    const where = paths.length === 0 ? '' : `, paths ${list(paths, 'and')} only`
    const not = denyPaths.length === 0 ? '' : `, not ${list(denyPaths, 'and')}`
    return [`${deed} the web application${by}${where}${not}${websocket ? '' : ', without WebSockets'}.`]
  },
}

/** What waits for a second person. */
function held({ hold }: Role, kind: 'postgres' | 'commands'): readonly string[] {
  if (hold === undefined || hold[kind].length === 0) return []
  const who = agrees({ kind: 'people', count: hold.people, groups: hold.approvers })
  if (kind === 'commands') {
    const commands = hold.commands.map((words) => words.join(' '))
    return [`Commands that begin with ${list(commands, 'or')} wait until ${who} lets them through; each runs once.`]
  }
  if (hold.postgres.includes('commit'))
    return [`COMMIT waits until ${who} lets it through; what the session has done stays then, up to ${hold.rows} rows.`]
  const as = hold.template === undefined ? '' : ` as a member of ${hold.template}`
  const kinds = hold.postgres.map((word) => word.toUpperCase())
  return [
    `${list(kinds, 'and')} wait until ${who} lets them through; each runs once, in a transaction of its own${as}, and is rolled back above ${hold.rows} rows.`,
  ]
}

/** Pages show the first sentence alone. */
const APART = { 'read-only': ', where nothing can be written', overlay: ', and its changes set apart' } as const

function shell({ ssh, account }: Role): readonly string[] {
  const as = account === undefined ? '' : ` as ${account}`
  const commands = ssh.commands ?? []
  const shells = {
    full: `A shell${as}, with every command that account may run${ssh.workspace === undefined ? '' : APART[ssh.workspace.mode]}.`,
    'read-only': `A shell${as} for looking: commands that change something are refused.`,
    none: commands.length === 0 ? 'No shell and no commands.' : `No shell${as}, but these commands:`,
  }
  return [shells[ssh.shell], ...commands.map(({ name, template }: CommandGrant) => `${name}: ${template}`)]
}

function workspace({ ssh }: Role): readonly string[] {
  const where = ssh.workspace
  if (where === undefined)
    return ssh.shell === 'read-only'
      ? ['Without a workspace: only the judge of the gateway stands between people and the host.']
      : []
  const { changesMegabytes, cpus, isImplied, keep, memoryMegabytes, mode, network, tasks } = where
  const what =
    mode === 'overlay'
      ? `In a workspace of its own: what is changed is recorded with its diff, and then ${keep === undefined ? 'thrown away' : `kept for ${span(keep.minutes)} until one person of ${list(keep.approvers, 'or')} applies it`}`
      : `${isImplied ? 'On hosts with an agent in' : 'In'} a workspace where the kernel refuses every write`
  return [
    `${what}; ${network === 'none' ? 'no network' : "the host's network"}; at most ${memoryMegabytes} MB of memory, ${tasks} tasks, ${cpus} processors and ${changesMegabytes} MB written.`,
  ]
}

const alerts = ({ ssh }: Role): readonly string[] =>
  (ssh.alerts ?? []).map(
    ({ name, pattern, shown, end }) =>
      `An alarm, not a boundary: ${name}, when a line that was typed${shown ? ' or shown' : ''} fits ${pattern}${end ? '; it ends the session' : ''}.`,
  )

/** What a read-only shell has beside its sentence: the role's own list of programs, and the files for sftp, scp and rsync. */
function files({ ssh }: Role): readonly string[] {
  if (ssh.shell !== 'read-only') return []
  const { commands, deny, files: globs } = ssh.readOnly ?? READ_ONLY_DEFAULTS
  return [
    ...(commands === undefined ? [] : [`Its commands: ${commands.map(entry).join(', ')}.`]),
    ...(deny.length === 0 ? [] : [`Not: ${deny.map(entry).join(', ')}.`]),
    `Files to copy from there: ${some(globs.read)}; to there: ${some(globs.write)}${globs.deny.length === 0 ? '' : `; never ${globs.deny.join(', ')}`}.`,
  ]
}

const forward = ({ ssh }: Role): readonly string[] =>
  ssh.forward.length === 0 ? [] : [`Port forwarding to ${list(ssh.forward, 'and')}.`]

const entry = (command: CommandList[number]): string =>
  typeof command === 'string'
    ? command
    : Object.entries(command)
        .map(([name, only]) => `${name} (${only.join(' ')})`)
        .join(', ')

const some = (globs: readonly string[]): string => (globs.length === 0 ? 'none' : globs.join(', '))

/** Minutes as people say them: `2 h`, `30 min`, `90 s`. */
export const span = (minutes: number): string =>
  minutes >= 60 && minutes % 60 === 0
    ? `${minutes / 60} h`
    : minutes >= 1
      ? `${Math.round(minutes * 10) / 10} min`
      : `${Math.round(minutes * 60)} s`

const list = (words: readonly string[], last: 'and' | 'or'): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`
