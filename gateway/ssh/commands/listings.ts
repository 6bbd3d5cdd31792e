/** targets, roles, grants: what there is, and who has it. */
import type { Grant } from '../../model/grant.ts'
import type { Role } from '../../model/role.ts'
import { protocolsOf } from '../../model/target.ts'
import { table } from '../screen/table.ts'
import { type Command, type Context, printJson } from './command.ts'
import { grantJson, roleJson, targetJson } from './json.ts'
import { clockTime, spanOf } from './spans.ts'

export const targets: Command = {
  name: 'targets',
  usage: '[--json]',
  summary: 'the targets you may ask for, your roles there, your grants',
  example: 'targets',
  options: { json: 'flag' },
  words: [0, 0],
  async run(context, given) {
    const views = await context.desk.targets(context.identity)
    if (given.flag('json'))
      return printJson(
        context,
        views.map(({ target, roles, grants }) => ({
          ...targetJson(target),
          roles: roles.map((role) => role.name),
          grants: grants.map(grantJson),
        })),
      )
    if (views.length === 0) return nothing(context, 'There is no target that you may ask for.')
    const rows = views.map(({ target, roles, grants }) => [
      target.name,
      protocolsOf(target).join(' '),
      roles.map((role) => role.name).join(' '),
      grants.map((grant) => standingHere(context, grant)).join(', ') || '-',
      target.description,
    ])
    return show(context, ['TARGET', 'ENDPOINTS', 'ROLES', 'GRANT', 'WHAT IT IS'], rows)
  },
}

export const roles: Command = {
  name: 'roles',
  usage: '[--json]',
  summary: 'the roles you may ask for',
  example: 'roles',
  options: { json: 'flag' },
  words: [0, 0],
  async run(context, given) {
    const known = await context.desk.roles(context.identity)
    if (given.flag('json')) return printJson(context, known.map(roleJson))
    if (known.length === 0) return nothing(context, 'There is no role that you may ask for.')
    const rows = known.map((role) => [
      role.name,
      role.endpoints.join(' '),
      approvers(role),
      spanOf(role.defaultMinutes * 60_000),
      spanOf(role.maxMinutes * 60_000),
      role.description,
    ])
    return show(context, ['ROLE', 'ENDPOINTS', 'APPROVED BY', 'USUAL', 'MOST', 'WHAT IT IS FOR'], rows)
  },
}

export const grants: Command = {
  name: 'grants',
  usage: '[--all] [--person P] [--target T] [--json]',
  summary: 'your grants that live or wait; --all: ended ones and other people’s too, as far as you may see them',
  example: 'grants --all --target prod-db',
  options: { all: 'flag', person: 'text', target: 'text', json: 'flag' },
  words: [0, 0],
  async run(context, given) {
    const person = given.text('person') ?? (given.flag('all') ? undefined : context.identity.username)
    const found = await context.desk.grants(context.identity, { username: person, target: given.text('target') })
    const chosen = given.flag('all') ? found : found.filter((grant) => grant.state !== 'ended')
    if (given.flag('json')) return printJson(context, chosen.map(grantJson))
    if (chosen.length === 0) return nothing(context, 'No grant.')
    const rows = chosen.map((grant) => [
      grant.id,
      grant.username,
      roleOf(grant),
      grant.target,
      standing(context, grant),
      whyOf(grant),
    ])
    return show(context, ['NO', 'WHO', 'ROLE', 'TARGET', 'STATE', 'REASON'], rows)
  },
}

/** The ticket and the reason, which often begins with it. */
export const whyOf = ({ ticket, reason }: Grant): string =>
  ticket === undefined || reason.startsWith(ticket) ? reason : `${ticket}: ${reason}`

/** Its role, and whether an approver cut it down. */
export const roleOf = ({ role, readOnly }: Grant): string => (readOnly === true ? `${role} (looking only)` : role)

/** Where a grant stands, in a few words. */
export function standing({ clock }: Pick<Context, 'clock'>, grant: Grant): string {
  const now = clock.now()
  switch (grant.state) {
    case 'requested':
      return 'waits'
    case 'approved':
      return 'approved'
    case 'live':
      return `until ${clockTime(grant.expiresAt, now)} (${spanOf(grant.expiresAt - now)})`
    case 'ended':
      return `${grant.endReason}${grant.endedBy === undefined ? '' : ` by ${grant.endedBy}`} ${clockTime(grant.endedAt, now)}`
  }
  return grant satisfies never
}

/** As {@link standing}, where nothing else names the role: `operator, 28m left`. */
export function standingHere({ clock }: Pick<Context, 'clock'>, grant: Grant): string {
  if (grant.state === 'live') return `${roleOf(grant)}, ${spanOf(grant.expiresAt - clock.now())} left`
  return `${roleOf(grant)} ${standing({ clock }, grant)} (request ${grant.id})`
}

/** Who says yes to a role. */
export function approvers(role: Role): string {
  if (role.approval.kind === 'auto') return 'rule'
  const { count, groups } = role.approval
  return count === 1 ? groups.join(' or ') : `${count} of ${groups.join(', ')}`
}

export async function show(context: Context, heading: readonly string[], rows: readonly (readonly string[])[]) {
  await context.console.print(table(heading, rows, context.console.columns))
  return 0
}

export async function nothing(context: Context, sentence: string): Promise<number> {
  await context.console.note(`${sentence}\n`)
  return 0
}
