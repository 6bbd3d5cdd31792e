/** Says in plain words what a configuration allows: for `--check-config`. */
import type { Config } from '../config/load.ts'
import { shellRulesOf } from './filters/filters.ts'
import { allowsOf, termsOf } from './model/role-words.ts'
import { covers, type Role } from './model/role.ts'

export function explainConfig(config: Config): string {
  const lines: string[] = []
  const roles: readonly Role[] = config.roles
  for (const role of roles) {
    const covered = config.targets.filter((target) => covers(role, target))
    const targets = covered.map((target) => target.name)
    lines.push(role.description === '' ? role.name : `${role.name}: ${role.description}`)
    lines.push(`  opens ${targets.length === 0 ? 'nothing (no target fits)' : targets.join(', ')}`)
    lines.push(`  ${role.requesters.join(', ')} may ask for it`)
    for (const line of termsOf(role)) lines.push(`  ${line}`)
    for (const endpoint of role.endpoints)
      for (const line of allowsOf(role, endpoint)) lines.push(`  ${endpoint}: ${line}`)
    if (role.endpoints.includes('ssh') && role.ssh.shell === 'read-only')
      for (const problem of shellRulesOf(role.ssh).problems) lines.push(`  ssh: WARNING: ${problem}`)
    if ((role.postgres.mask ?? []).length > 0)
      lines.push(
        '  postgres: a mask that fits no column is told by the audit log (target.mask-unfitting) when a session meets it',
      )
    const bare = covered.filter(({ postgres }) => postgres?.credential.kind === 'provision').map(({ name }) => name)
    if (role.endpoints.includes('postgres') && role.postgres.template === undefined && bare.length > 0)
      lines.push(
        `  postgres: WARNING: without a template its login on ${bare.join(', ')} may do what PUBLIC may, and no more`,
      )
  }
  for (const target of config.targets)
    if (!roles.some((role) => covers(role, target))) lines.push(`${target.name}: no role opens it`)
  return lines.join('\n')
}
