/** Says in plain words what a configuration allows: for `--check-config` and for people who ask what a role means. */
import type { Config } from '../config/load.ts'
import { shellRulesOf } from './filters/filters.ts'
import { maskWords } from './model/mask.ts'
import { type CommandList, covers, type HttpScope, READ_ONLY_DEFAULTS, type Role, type SshScope } from './model/role.ts'

const span = (minutes: number): string =>
  minutes % 60 === 0
    ? `${minutes / 60} h`
    : minutes >= 1
      ? `${Math.round(minutes * 10) / 10} min`
      : `${Math.round(minutes * 60)} s`

/** One role: who may ask, who agrees, for how long, and what it opens. */
export function explainRole(role: Role): readonly string[] {
  const { ssh, approval } = role
  const lines = [
    `${role.requesters.join(', ')} may ask for it; ${
      approval.kind === 'auto'
        ? 'granted at once, by rule'
        : `${approval.count} of ${approval.groups.join(', ')} must agree`
    }`,
    `${span(role.defaultMinutes)} unless asked otherwise, ${span(role.maxMinutes)} at most; the second factor may be ${span(role.mfaWithinMinutes)} old`,
  ]
  if (role.endpoints.includes('ssh')) {
    const shell = {
      full: 'a full shell, commands and files: recorded, not filtered',
      'read-only': 'a read-only shell',
      none: (ssh.commands ?? []).length === 0 ? 'no shell and no commands' : 'no shell; only the commands named here',
    }[ssh.shell]
    lines.push(`ssh: ${shell}${role.account === undefined ? '' : `, as ${role.account}`}`)
    for (const { name, template } of ssh.commands ?? []) lines.push(`ssh: ${name} runs ${template}`)
    lines.push(...readOnlyWords(ssh).map((words) => `ssh: ${words}`))
    if (ssh.forward.length > 0) lines.push(`ssh: port forwarding to ${ssh.forward.join(', ')}, recorded`)
  }
  if (role.endpoints.includes('postgres')) lines.push(...postgresWords(role).map((words) => `postgres: ${words}`))
  if (role.http !== undefined) lines.push(...httpWords(role.http).map((words) => `http: ${words}`))
  return lines
}

function postgresWords({ postgres }: Role): readonly string[] {
  const { mode, databases, schemas, allowFunctions, denyFunctions, mask = [] } = postgres
  return [
    [
      mode,
      databases.length > 0 ? `databases ${databases.join(', ')}` : "the endpoint's own database",
      ...(schemas.length > 0 ? [`schemas ${schemas.join(', ')}`] : []),
    ].join(', '),
    ...(allowFunctions.length > 0 ? [`beside PostgreSQL's own harmless functions: ${allowFunctions.join(', ')}`] : []),
    ...(denyFunctions.length > 0 ? [`never the functions ${denyFunctions.join(', ')}`] : []),
    ...(mask.length > 0 ? [`masked, and nothing may be computed with them: ${maskWords(mask)}`] : []),
  ]
}

function httpWords({ mode, methods, paths, denyPaths, websocket }: HttpScope): readonly string[] {
  return [
    `${mode}, ${methods.length > 0 ? `methods ${methods.join(', ')}` : 'every method of that mode'}, ${paths.length > 0 ? `paths ${paths.join(', ')}` : 'every path'}${websocket ? ', with WebSockets' : ', no WebSockets'}`,
    ...(denyPaths.length > 0 ? [`never ${denyPaths.join(', ')}`] : []),
  ]
}

const list = (names: readonly string[]): string => (names.length === 0 ? 'nothing' : names.join(', '))

function readOnlyWords(ssh: SshScope): readonly string[] {
  if (ssh.shell !== 'read-only') return []
  const { commands, deny, files } = ssh.readOnly ?? READ_ONLY_DEFAULTS
  return [
    `commands: ${commands === undefined ? 'all of unix-read-only' : commands.map(commandWords).join(', ')}${deny.length === 0 ? '' : `; not ${deny.map(commandWords).join(', ')}`}`,
    `files: read ${list(files.read)}; write ${list(files.write)}${files.deny.length === 0 ? '' : `; never ${files.deny.join(', ')}`}`,
    ...shellRulesOf(ssh).problems.map((problem) => `WARNING: ${problem}`),
  ]
}

const commandWords = (entry: CommandList[number]): string =>
  typeof entry === 'string'
    ? entry
    : Object.entries(entry)
        .map(([name, only]) => `${name} (${only.join(' ')})`)
        .join(', ')

export function explainConfig(config: Config): string {
  const lines: string[] = []
  const roles: readonly Role[] = config.roles
  for (const role of roles) {
    const targets = config.targets.filter((target) => covers(role, target)).map((target) => target.name)
    lines.push(`${role.name}: ${role.description}`)
    lines.push(`  opens ${targets.length === 0 ? 'nothing (no target fits)' : targets.join(', ')}`)
    for (const line of explainRole(role)) lines.push(`  ${line}`)
  }
  for (const target of config.targets)
    if (!roles.some((role) => covers(role, target))) lines.push(`${target.name}: no role opens it`)
  return lines.join('\n')
}
