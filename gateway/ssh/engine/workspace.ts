/** Which workspace an agent must make for a session, in the words of its certificate. Nothing is opened where it cannot be made. */
import { Refusal } from '../../model/refusal.ts'
import type { Admission } from '../../session/session.ts'

/**
 * @param said what the agent says of its host; undefined when nobody knows yet: then the agent itself refuses.
 * @returns undefined where the role needs none. @throws {Refusal} NOT_ALLOWED, TARGET_UNREACHABLE
 */
export function workspaceOf({ role, target }: Admission, said: string | undefined): string | undefined {
  const { workspace } = role.ssh
  if (workspace === undefined) return undefined
  const { isImplied, keep, ...wish } = workspace
  if (!isOwnShell(target.ssh)) {
    if (isImplied) return undefined
    throw new Refusal(
      'NOT_ALLOWED',
      `Role ${role.name} runs in a workspace, and ${target.name} has no agent that could make one.`,
      { next: 'Ask for a role without a workspace, or have an agent set up beside that host.' },
    )
  }
  const can =
    said === undefined || new RegExp(`^workspaces: read-only${wish.mode === 'overlay' ? ', overlay' : ''}`).test(said)
  if (!can)
    throw new Refusal(
      'TARGET_UNREACHABLE',
      `Role ${role.name} runs in ${wish.mode === 'overlay' ? 'an overlay' : 'a read-only'} workspace, and the host of ${target.name} cannot make one. Its agent says: ${said}.`,
      { next: 'Nothing is run there without it. docs/workspaces.md says what a host needs.' },
    )
  return JSON.stringify({ ...wish, keepMinutes: keep?.minutes ?? 0 })
}

/** Behind an agent there can also be an sshd, which is pinned like any other. */
export function isOwnShell(endpoint: Admission['target']['ssh']): boolean {
  if (endpoint?.agent === undefined) return false
  const { authorities, keys, knownHosts } = endpoint.trust
  return authorities.length + keys.length + knownHosts.length === 0
}
