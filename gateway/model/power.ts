/** How much a role lets a person do, to put the least first where one is offered; an aid for choosing, not a boundary. */
import type { Role } from './role.ts'
import type { Protocol } from './target.ts'

/**
 * What a person can do to a target at most, least first. `chosen`: exact commands that somebody chose beforehand. `proposed`: what changes something
 * waits for a second person, or does not stay.
 */
const LEVELS = ['nothing', 'chosen', 'look', 'proposed', 'change'] as const
type Level = (typeof LEVELS)[number]

/** Order of two roles: by the most that either allows on any of its endpoints, then by how many endpoints allow it, then by how many there are. */
export function byPower(one: Role, other: Role): number {
  const [a, b] = [measured(one), measured(other)]
  return a.most - b.most || a.many - b.many || one.endpoints.length - other.endpoints.length
}

function measured(role: Role): { readonly most: number; readonly many: number } {
  const levels = role.endpoints.map((endpoint) => LEVELS.indexOf(levelOf(role, endpoint)))
  const most = Math.max(0, ...levels)
  return { most, many: levels.filter((level) => level === most).length }
}

function levelOf(role: Role, endpoint: Protocol): Level {
  const { hold, http, postgres } = role
  switch (endpoint) {
    case 'ssh':
      return sshLevel(role)
    case 'postgres':
      if (postgres.mode === 'read-write') return postgres.workspace === undefined ? 'change' : 'proposed'
      return (hold?.postgres.length ?? 0) > 0 ? 'proposed' : 'look'
    case 'http':
      if (http === undefined) return 'nothing'
      return http.mode === 'read-write' || http.websocket ? 'change' : 'look'
  }
  return endpoint satisfies never
}

function sshLevel({ hold, ssh }: Role): Level {
  const { commands = [], forward, readOnly, shell, workspace } = ssh
  // Nobody judges what goes through a forwarded port.
  if (forward.length > 0) return 'change'
  const onlyLooks = workspace?.mode === 'read-only'
  if (shell === 'full') return onlyLooks ? 'look' : workspace === undefined ? 'change' : 'proposed'
  if (shell === 'none') return commands.length > 0 ? 'chosen' : 'nothing'
  if ((readOnly?.files.write.length ?? 0) > 0) return 'change'
  return (hold?.commands.length ?? 0) > 0 ? 'proposed' : 'look'
}
