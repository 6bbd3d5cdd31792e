/** What a role allows, in plain words. */
import { maskWords } from '../model/mask.ts'
import { type ApprovalRule, readOnly, type Role } from '../model/role.ts'
import { type Protocol, protocolsOf, type Target } from '../model/target.ts'
import type { RoleView } from './schema/access.ts'

/** `target`: only what counts there. */
export function roleView(role: Role, target?: Target): RoleView {
  const endpoints =
    target === undefined ? role.endpoints : role.endpoints.filter((p) => protocolsOf(target).includes(p))
  return {
    name: role.name,
    description: role.description,
    scopes: scopesOf(role, endpoints),
    narrowed: narrowedScopes(role, endpoints),
    approval: approvalWords(role.approval),
    needsApproval: role.approval.kind === 'people',
    defaultMinutes: role.defaultMinutes,
    maxMinutes: role.maxMinutes,
    mfaWithinMinutes: role.mfaWithinMinutes,
  }
}

const scopesOf = (role: Role, endpoints: readonly Protocol[]): RoleView['scopes'] =>
  endpoints.map((endpoint) => ({ endpoint, allows: [...allows[endpoint](role)] }))

function narrowedScopes(role: Role, endpoints: readonly Protocol[]): RoleView['narrowed'] {
  const narrowed = scopesOf(readOnly(role), endpoints)
  return JSON.stringify(narrowed) === JSON.stringify(scopesOf(role, endpoints)) ? null : narrowed
}

const allows: Readonly<Record<Protocol, (role: Role) => readonly string[]>> = {
  ssh: ({ ssh, account }) => {
    const as = account === undefined ? '' : ` as ${account}`
    const shells = {
      full: `A shell${as}, with every command that account may run.`,
      'read-only': `A shell${as} for looking: commands that change something are refused.`,
      none: (ssh.commands ?? []).length === 0 ? 'No shell and no commands.' : `No shell${as}, but these commands:`,
    }
    const commands = (ssh.commands ?? []).map(({ name, template }) => `${name}: ${template}`)
    return [
      shells[ssh.shell],
      ...commands,
      ...(ssh.forward.length === 0 ? [] : [`Port forwarding to ${list(ssh.forward, 'and')}.`]),
    ]
  },
  postgres: ({ postgres }) => {
    const where = postgres.databases.length === 0 ? 'the database' : `the databases ${list(postgres.databases, 'and')}`
    const schemas = postgres.schemas.length === 0 ? '' : `, schemas ${list(postgres.schemas, 'and')} only`
    const deed = postgres.mode === 'read-only' ? 'Read' : 'Read and change'
    const no = postgres.mode === 'read-only' ? ' Statements that change something are refused.' : ''
    const masked = postgres.mask === undefined ? [] : [`These columns arrive masked: ${maskWords(postgres.mask)}.`]
    return [`${deed} ${where}${schemas}.${no}`, ...masked]
  },
  http: ({ http }) => {
    if (http === undefined) return []
    const deed = http.mode === 'read-only' ? 'Look at' : 'Use'
    const where = http.paths.length === 0 ? '' : `, paths ${list(http.paths, 'and')} only`
    const not = http.denyPaths.length === 0 ? '' : `, not ${list(http.denyPaths, 'and')}`
    return [`${deed} the web application${where}${not}.`]
  },
}

function approvalWords(rule: ApprovalRule): string {
  if (rule.kind === 'auto') return 'By rule, at once.'
  return `${rule.count === 1 ? 'One person' : `${rule.count} people`} of ${list(rule.groups, 'or')}.`
}

const list = (words: readonly string[], last: 'and' | 'or'): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`
