/** Who may ask, decide, end and see: pure questions to the config as it is now. */
import type { Grant } from '../model/grant.ts'
import { type Identity, isMember } from '../model/identity.ts'
import { nearest } from '../model/nearest.ts'
import { Refusal } from '../model/refusal.ts'
import { covers, type Role } from '../model/role.ts'
import { type Protocol, protocolsOf, type Target } from '../model/target.ts'
import type { Ask } from '../session/session.ts'
import type { Policy } from './policy.ts'

export const isAdmin = (policy: Policy, identity: Identity): boolean => isMember(identity, policy.admins)
export const isAuditor = (policy: Policy, identity: Identity): boolean => isMember(identity, policy.auditors)
export const seesAll = (policy: Policy, identity: Identity): boolean =>
  isAdmin(policy, identity) || isAuditor(policy, identity)

const roleNamed = (policy: Policy, name: string): Role | undefined => policy.roles.find((role) => role.name === name)

/** Members of the groups that decide about this role; roles that need nobody have none. */
export function approves(policy: Policy, identity: Identity, role: string): boolean {
  const approval = roleNamed(policy, role)?.approval
  return approval?.kind === 'people' && isMember(identity, approval.groups)
}

export const approvedRoles = (policy: Policy, identity: Identity): readonly string[] =>
  policy.roles.filter((role) => approves(policy, identity, role.name)).map((role) => role.name)

/** Members of the groups that decide about this request: a role, or one statement under it. */
export function decides(policy: Policy, identity: Identity, grant: Pick<Grant, 'role' | 'held'>): boolean {
  if (grant.held === undefined) return approves(policy, identity, grant.role)
  return isMember(identity, roleNamed(policy, grant.role)?.hold?.approvers ?? [])
}

export const releasedRoles = (policy: Policy, identity: Identity): readonly string[] =>
  policy.roles.filter(({ hold }) => isMember(identity, hold?.approvers ?? [])).map((role) => role.name)

/** A user name can pass to somebody else; a decision about one's own request stays one's own under either. */
export const isOwn = (identity: Identity, grant: Grant): boolean => grant.subject === identity.subject
export const isSamePerson = (identity: Identity, grant: Grant): boolean =>
  isOwn(identity, grant) || grant.username === identity.username

export const sees = (policy: Policy, identity: Identity, grant: Grant): boolean =>
  isOwn(identity, grant) ||
  seesAll(policy, identity) ||
  approves(policy, identity, grant.role) ||
  decides(policy, identity, grant)

export const mayEnd = (policy: Policy, identity: Identity, grant: Grant): boolean =>
  isAdmin(policy, identity) || approves(policy, identity, grant.role)

const endpointsOf = (role: Role, target: Target): readonly Protocol[] =>
  protocolsOf(target).filter((protocol) => role.endpoints.includes(protocol))

export const mayAsk = (identity: Identity, role: Role, target: Target): boolean =>
  isMember(identity, role.requesters) && covers(role, target) && endpointsOf(role, target).length > 0

/** The role of a grant as long as the config still knows it for that target. */
export function roleOf(policy: Policy, grant: Grant): Role | undefined {
  const role = roleNamed(policy, grant.role)
  const target = policy.targets.find(({ name }) => name === grant.target)
  return role !== undefined && target !== undefined && covers(role, target) ? role : undefined
}

export type Choice = { readonly target: Target; readonly role: Role; readonly endpoints: readonly Protocol[] }

/** One answer for a target or a role that does not exist and for one that is not for this person. @throws {Refusal} NO_GRANT, BAD_INPUT. */
export function choose(policy: Policy, identity: Identity, ask: Ask): Choice {
  const target = policy.targets.find(({ name }) => name === ask.target)
  const possible = target === undefined ? [] : policy.roles.filter((role) => mayAsk(identity, role, target))
  if (ask.role === undefined && possible.length > 1)
    throw new Refusal('BAD_INPUT', `Say which role: ${possible.map(({ name }) => name).join(', ')}.`)
  const role = ask.role === undefined ? possible[0] : possible.find(({ name }) => name === ask.role)
  if (target === undefined || role === undefined)
    throw new Refusal(
      'NO_GRANT',
      `There is no target ${shown(ask.target, 'of that name')}, or no such role on it, that you may ask for.`,
      { next: `${meant(policy, identity, ask, possible)}Look at the targets and roles that are open to you.` },
    )
  const open = endpointsOf(role, target)
  const endpoints = ask.endpoints ?? open
  if (endpoints.length === 0 || !endpoints.every((endpoint) => open.includes(endpoint)))
    throw new Refusal('BAD_INPUT', `Role ${role.name} opens ${open.join(', ')} on ${target.name}.`)
  return { target, role, endpoints: open.filter((endpoint) => endpoints.includes(endpoint)) }
}

/** Only out of what this person may ask for, whatever else there is. */
function meant(policy: Policy, identity: Identity, ask: Ask, possible: readonly Role[]): string {
  const open = () => policy.targets.filter((target) => policy.roles.some((role) => mayAsk(identity, role, target)))
  const [typed, known] = possible.length > 0 ? [ask.role ?? '', possible] : [ask.target, open()]
  const word = nearest(
    typed,
    known.map(({ name }) => name),
  )
  return word === undefined ? '' : `Did you mean ${word}? `
}

/** What somebody typed, where it is fit to be shown. */
export const shown = (text: string, otherwise: string): string => (/^[\w.@+-]{1,64}$/.test(text) ? text : otherwise)
