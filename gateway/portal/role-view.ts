/** A role as the pages show it. */
import { allowsOf, approversOf } from '../model/role-words.ts'
import { readOnly, type Role } from '../model/role.ts'
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
    approval: approvalWords(role),
    needsApproval: role.approval.kind === 'people',
    defaultMinutes: role.defaultMinutes,
    maxMinutes: role.maxMinutes,
    mfaWithinMinutes: role.mfaWithinMinutes,
    asksPasskey: role.stepUp === 'passkey',
  }
}

const scopesOf = (role: Role, endpoints: readonly Protocol[]): RoleView['scopes'] =>
  endpoints.map((endpoint) => ({ endpoint, allows: [...allowsOf(role, endpoint)] }))

function narrowedScopes(role: Role, endpoints: readonly Protocol[]): RoleView['narrowed'] {
  const narrowed = scopesOf(readOnly(role), endpoints)
  return JSON.stringify(narrowed) === JSON.stringify(scopesOf(role, endpoints)) ? null : narrowed
}

function approvalWords(role: Role): string {
  const who = approversOf(role)
  return who === undefined ? 'By rule, at once.' : `${who.charAt(0).toUpperCase()}${who.slice(1)}.`
}
