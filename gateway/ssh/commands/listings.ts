/** targets, roles, requests, grants: what there is, and who has it. */
import type { Grant } from '../../model/grant.ts'
import type { Role } from '../../model/role.ts'
import { protocolsOf } from '../../model/target.ts'
import { heldLine, heldText } from './held.ts'
import { table } from '../screen/table.ts'
import { type Command, type Context, printJson, typed } from './command.ts'
import { grantJson, roleJson, targetJson } from './json.ts'
import { clockTime, spanOf } from './spans.ts'

export const targets: Command = {
  name: 'targets',
  usage: '[--json]',
  summary: 'the targets you may ask for, your roles there, your grants',
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
      grants.map((grant) => standing(context, grant)).join(', ') || '-',
      target.description,
    ])
    return show(context, ['TARGET', 'ENDPOINTS', 'ROLES', 'GRANT', 'WHAT IT IS'], rows)
  },
}

export const roles: Command = {
  name: 'roles',
  usage: '[--json]',
  summary: 'the roles you may ask for',
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

export const requests: Command = {
  name: 'requests',
  usage: '[NUMBER] [--json]',
  summary: 'requests that wait: your own, and those you may decide; with its number, all of one',
  options: { json: 'flag' },
  words: [0, 1],
  async run(context, given) {
    const all = await context.desk.requests(context.identity)
    const one = given.words.length === 0 ? undefined : given.grantId(0)
    const waiting = one === undefined ? all : all.filter(({ grant }) => grant.id === one)
    if (given.flag('json'))
      return printJson(
        context,
        waiting.map(({ grant, mayApprove }) => ({ ...grantJson(grant), mayApprove })),
      )
    if (waiting.length === 0)
      return nothing(
        context,
        one === undefined ? 'No request is waiting.' : `Request ${one} does not wait, or not for you.`,
      )
    const only = one === undefined ? undefined : waiting[0]?.grant
    if (only?.held !== undefined) await context.console.print(heldText(only, only.held))
    if (only?.held !== undefined) return 0
    const now = context.clock.now()
    const rows = waiting.map(({ grant, mayApprove }) => [
      grant.id,
      grant.username,
      grant.role,
      grant.target,
      grant.held === undefined ? spanOf(grant.minutes * 60_000) : 'once',
      `${spanOf(now - grant.requestedAt)} ago`,
      `${grant.approvals.length}/${grant.approvalsNeeded}`,
      mayApprove ? 'you decide' : grant.username === context.identity.username ? 'yours' : '-',
      grant.held === undefined ? whyOf(grant) : heldLine(grant.held),
    ])
    await show(context, ['NO', 'WHO', 'ROLE', 'TARGET', 'FOR', 'ASKED', 'YES', '', 'REASON'], rows)
    const first = waiting.find(({ mayApprove }) => mayApprove)
    if (first !== undefined && context.console.hasTerminal) {
      const look = first.grant.held === undefined ? '' : `All of it: ${typed(context, `requests ${first.grant.id}`)}\n`
      await context.console.note(`\n${look}To allow: ${typed(context, `approve ${first.grant.id}`)}\n`)
    }
    return 0
  },
}

export const grants: Command = {
  name: 'grants',
  usage: '[--all] [--person P] [--target T] [--json]',
  summary: 'your grants that live or wait; --all: ended ones and other people’s too, as far as you may see them',
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
      grant.role,
      grant.target,
      standing(context, grant),
      whyOf(grant),
    ])
    return show(context, ['NO', 'WHO', 'ROLE', 'TARGET', 'STATE', 'REASON'], rows)
  },
}

/** The ticket and the reason. */
export const whyOf = ({ ticket, reason }: Grant): string => (ticket === undefined ? reason : `${ticket}: ${reason}`)

/** Its role, and whether an approver cut it down. */
export const roleOf = ({ role, readOnly }: Grant): string => (readOnly === true ? `${role} (looking only)` : role)

/** Where a grant stands, in a few words. */
export function standing({ clock }: Pick<Context, 'clock'>, grant: Grant): string {
  const now = clock.now()
  switch (grant.state) {
    case 'requested':
      return `request ${grant.id} waits`
    case 'approved':
      return 'approved'
    case 'live':
      return `${roleOf(grant)} until ${clockTime(grant.expiresAt, now)} (${spanOf(grant.expiresAt - now)})`
    case 'ended':
      return `${grant.endReason}${grant.endedBy === undefined ? '' : ` by ${grant.endedBy}`} ${clockTime(grant.endedAt, now)}`
  }
  return grant satisfies never
}

/** Who says yes to a role. */
export function approvers(role: Role): string {
  if (role.approval.kind === 'auto') return 'rule'
  const { count, groups } = role.approval
  return count === 1 ? groups.join(' or ') : `${count} of ${groups.join(', ')}`
}

async function show(context: Context, heading: readonly string[], rows: readonly (readonly string[])[]) {
  await context.console.print(table(heading, rows, context.console.columns))
  return 0
}

async function nothing(context: Context, sentence: string): Promise<number> {
  await context.console.note(`${sentence}\n`)
  return 0
}
