/** The words of the model as JSON for scripts: stable field names, times in ISO 8601, absent things null. */
import type { SessionStart } from '../../model/event.ts'
import type { Grant } from '../../model/grant.ts'
import type { Moment } from '../../model/moment.ts'
import type { Role } from '../../model/role.ts'
import { protocolsOf, type Target } from '../../model/target.ts'
import { commandsOf, usageOf } from '../command-grants.ts'
import type { SessionRow } from '../../session/session.ts'

export const isoTime = (moment: Moment | undefined): string | null =>
  moment === undefined ? null : new Date(moment).toISOString()

export function grantJson(grant: Grant) {
  return {
    id: grant.id,
    extends: grant.extends ?? null,
    held: grant.held ?? null,
    state: grant.state,
    username: grant.username,
    target: grant.target,
    role: grant.role,
    endpoints: grant.endpoints,
    minutes: grant.minutes,
    reason: grant.reason,
    ticket: grant.ticket ?? null,
    readOnly: grant.readOnly ?? false,
    requestedAt: isoTime(grant.requestedAt),
    approvalsNeeded: grant.approvalsNeeded,
    approvals: grant.approvals.map(({ by, at }) => ({ by, at: isoTime(at) })),
    liveAt: 'liveAt' in grant ? isoTime(grant.liveAt) : null,
    expiresAt: 'expiresAt' in grant ? isoTime(grant.expiresAt) : null,
    endedAt: grant.state === 'ended' ? isoTime(grant.endedAt) : null,
    endReason: grant.state === 'ended' ? grant.endReason : null,
    endedBy: grant.state === 'ended' ? (grant.endedBy ?? null) : null,
    endNote: grant.state === 'ended' ? grant.endNote : null,
  }
}

export function roleJson(role: Role) {
  return {
    name: role.name,
    description: role.description,
    endpoints: role.endpoints,
    approval: role.approval,
    defaultMinutes: role.defaultMinutes,
    maxMinutes: role.maxMinutes,
    mfaWithinMinutes: role.mfaWithinMinutes,
    shell: role.ssh.shell,
    commands: commandsOf(role).map((command) => ({
      name: command.name,
      usage: usageOf(command),
      runs: command.template,
    })),
    postgres: role.postgres.mode,
    hold: role.hold ?? null,
  }
}

/** What a person may know of a target: not where it is nor how we log in. */
export const targetJson = (target: Target) => ({
  name: target.name,
  description: target.description,
  labels: target.labels,
  endpoints: protocolsOf(target),
})

export function sessionJson(session: SessionStart | SessionRow) {
  const row = 'end' in session ? session : undefined
  return {
    id: session.id,
    grant: session.grant,
    username: session.username,
    target: session.target,
    role: session.role,
    protocol: session.protocol,
    account: session.account,
    channel: session.channel,
    command: session.command,
    clientAddress: session.clientAddress,
    reason: session.reason,
    startedAt: isoTime(session.startedAt),
    endedAt: isoTime(row?.end?.endedAt),
    cause: row?.end?.cause ?? null,
    detail: row?.end?.detail ?? null,
    exitCode: row?.end?.exitCode ?? null,
    live: row?.end === undefined,
    events: row?.events ?? null,
    statements: row?.statements ?? null,
    denials: row?.denials ?? null,
    alerts: row === undefined ? null : (row.alerts ?? 0),
  }
}
