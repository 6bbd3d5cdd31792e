/** From the gateway's own types to the words of the API. */
import type { AuditEvent, SessionStart } from '../model/event.ts'
import type { Grant, GrantId } from '../model/grant.ts'
import type { HeldStatement } from '../model/hold.ts'
import type { Moment } from '../model/moment.ts'
import type { Role } from '../model/role.ts'
import { protocolsOf } from '../model/target.ts'
import { type GrantChoice, readChoice } from '../model/target-name.ts'
import type { TargetView as DeskView, SessionRow } from '../session/session.ts'
import type { HeldView } from './schema/held.ts'
import type { PortalSettings, Question } from './parts.ts'
import { roleView } from './role-view.ts'
import type { GrantView, PastList, TargetView, WaitingRequest } from './schema/access.ts'
import type { Me } from './schema/person.ts'
import type { SessionEndView, SessionView } from './schema/sessions.ts'
import type { SignInQuestionView } from './schema/sign-ins.ts'
import type { AuditEventView } from './schema/story.ts'
import { NOTHING_YET, type Visitor } from './visitor.ts'

export const iso = (moment: Moment): string => new Date(moment).toISOString()
export const choiceOf = (under: string | undefined): GrantChoice | undefined =>
  under === undefined ? undefined : readChoice(under)
const isoOrNull = (moment: Moment | undefined): string | null => (moment === undefined ? null : iso(moment))

export function meView({ session, identity, isAdmin, isAuditor }: Visitor): Me {
  return {
    username: identity.username,
    groups: [...identity.groups],
    provider: identity.provider,
    authTime: iso(identity.proof.authTime),
    amr: [...identity.proof.amr],
    isAuditor,
    isAdmin,
    csrfToken: session.csrfToken,
    session: { expiresAt: iso(session.expiresAt), idleMinutes: session.idleMinutes },
  }
}

/** `approvable`: grants that this visitor may approve, as the desk said. */
export function grantView(grant: Grant, visitor: Visitor, approvable: ReadonlySet<GrantId>): GrantView {
  const isMine = grant.subject === visitor.identity.subject
  const { state } = grant
  return {
    id: grant.id,
    state,
    username: grant.username,
    target: grant.target,
    role: grant.role,
    endpoints: [...grant.endpoints],
    minutes: grant.minutes,
    reason: grant.reason,
    ticket: grant.ticket ?? '',
    readOnly: grant.readOnly ?? false,
    extends: grant.extends ?? null,
    held: grant.held === undefined ? null : heldView(grant.held),
    requestedAt: iso(grant.requestedAt),
    approvalsNeeded: grant.approvalsNeeded,
    approvals: grant.approvals.map(({ by, at }) => ({ by, at: iso(at) })),
    approvedAt: 'approvedAt' in grant ? iso(grant.approvedAt) : null,
    liveAt: 'liveAt' in grant ? isoOrNull(grant.liveAt) : null,
    expiresAt: 'expiresAt' in grant ? isoOrNull(grant.expiresAt) : null,
    endedAt: state === 'ended' ? iso(grant.endedAt) : null,
    endReason: state === 'ended' ? grant.endReason : null,
    endedBy: state === 'ended' ? (grant.endedBy ?? null) : null,
    endNote: state === 'ended' ? grant.endNote : '',
    isMine,
    may: {
      approve: state === 'requested' && approvable.has(grant.id),
      withdraw: state === 'requested' && isMine,
      extend: state === 'live' && isMine,
      release: state === 'live' && isMine,
      revoke:
        state !== 'ended' && !isMine && grant.held === undefined && (visitor.isAdmin || visitor.isApprover(grant.role)),
    },
  }
}

const heldView = (held: HeldStatement): HeldView => ({
  kind: held.kind,
  verb: held.verb,
  under: held.under,
  session: held.session,
  text: held.text,
  normalised: held.normalised ?? null,
  tables: [...(held.tables ?? [])],
  parameters: held.parameters === undefined ? null : [...held.parameters],
  place: held.place,
  plan: held.plan ?? null,
  estimatedRows: held.estimatedRows ?? null,
  mostRows: held.mostRows ?? null,
  digest: held.digest,
})

export const requestView = (
  grant: Grant,
  role: Role | undefined,
  visitor: Visitor,
  approvable: ReadonlySet<GrantId>,
): WaitingRequest => ({
  grant: grantView(grant, visitor, approvable),
  role: role === undefined ? null : roleView(role),
})

/** `webUrl`: where the web application of that target is. */
export function targetView(
  view: DeskView,
  visitor: Visitor,
  doors: PortalSettings['doors'],
  webUrl: (target: string) => string | undefined,
): TargetView {
  const { target, roles, grants } = view
  const protocols = protocolsOf(target)
  const { username } = visitor.identity
  const held = grants.filter(({ state }) => state === 'live')
  const ways = [undefined, ...(held.length > 1 ? held : [])]
  /** By its role, which says more, where that is enough. */
  const named = ({ id, role }: Grant): string =>
    `${target.name}%${held.filter((other) => other.role === role).length > 1 ? id : role}`
  const linesOf = <E extends 'ssh' | 'postgres'>(
    endpoint: E,
    door: Door | undefined,
    line: (door: Door, mine: Mine) => string,
  ) =>
    door === undefined || !protocols.includes(endpoint)
      ? []
      : ways.map((grant) => ({
          endpoint,
          grant: grant?.id ?? null,
          command: line(door, { username, name: grant === undefined ? target.name : named(grant) }),
        }))
  return {
    name: target.name,
    description: target.description,
    labels: { ...target.labels },
    endpoints: [...protocols],
    roles: roles.map((role) => roleView(role, target)),
    grants: grants.map((grant) => grantView(grant, visitor, new Set())),
    commands: [...linesOf('ssh', doors.ssh, sshLine), ...linesOf('postgres', doors.postgres, psqlLine)],
    url: protocols.includes('http') ? (webUrl(target.name) ?? null) : null,
  }
}

export const pastView = (row: SessionRow): PastList['sessions'][number] => ({
  id: row.id,
  role: row.role,
  protocol: row.protocol,
  channel: row.channel,
  startedAt: iso(row.startedAt),
  endedAt: isoOrNull(row.end?.endedAt),
  statements: row.statements,
  denials: row.denials,
})

type Door = { readonly host: string; readonly port: number }
type Mine = { readonly name: string; readonly username: string }

const sshLine = ({ host, port }: Door, { name, username }: Mine): string =>
  `ssh -t ${port === 22 ? '' : `-p ${port} `}${username}@${host} ${name}`
const psqlLine = ({ host, port }: Door, { name, username }: Mine): string =>
  `psql -h ${host}${port === 5432 ? '' : ` -p ${port}`} -U ${username} ${name}`

export function sessionEndView(end: SessionRow['end']): SessionEndView | null {
  if (end === undefined) return null
  return { endedAt: iso(end.endedAt), cause: end.cause, detail: end.detail, exitCode: end.exitCode ?? null }
}

export function sessionView(row: SessionRow, visitor: Visitor): SessionView {
  const isLive = row.end === undefined
  return {
    id: row.id,
    grant: row.grant,
    username: row.username,
    target: row.target,
    role: row.role,
    protocol: row.protocol,
    account: row.account,
    channel: row.channel,
    command: row.command,
    clientAddress: row.clientAddress,
    clientVersion: row.clientVersion,
    reason: row.reason,
    startedAt: iso(row.startedAt),
    terminal: row.terminal === undefined ? null : { ...row.terminal },
    end: sessionEndView(row.end),
    events: row.events,
    bytesIn: row.bytesIn,
    bytesOut: row.bytesOut,
    statements: row.statements,
    denials: row.denials,
    alerts: row.alerts ?? 0,
    may: {
      replay: true,
      watch: isLive,
      kill: isLive && (visitor.isAdmin || visitor.isApprover(row.role) || row.subject === visitor.identity.subject),
    },
  }
}

/** A session that has just begun, before anything of it was shipped. */
export const youngSession = (start: SessionStart): SessionRow => ({ ...start, ...NOTHING_YET })

export const auditView = (event: AuditEvent): AuditEventView => ({
  id: event.id,
  at: iso(event.at),
  kind: event.kind,
  actor: event.actor,
  grant: event.grant ?? null,
  session: event.session ?? null,
  target: event.target,
  text: event.text,
  details: { ...event.details },
})

export const questionView = (question: Question, address: string): SignInQuestionView => ({
  id: question.id,
  kind: question.kind,
  direction: question.direction,
  username: question.username,
  sourceAddress: question.sourceAddress,
  browserAddress: address,
  clientVersion: question.clientVersion,
  keyFingerprint: question.keyFingerprint ?? null,
  target: question.target ?? null,
  askedAt: iso(question.askedAt),
  expiresAt: iso(question.expiresAt),
  sameAddress: question.sameAddress,
  passkey: question.passkey,
  signInAgain: question.signInAgain,
  connections: question.connections,
})
