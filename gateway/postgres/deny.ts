/** A "no" in PostgreSQL's own words: severity, SQLSTATE, message, hint. */
import type { Audit } from '../model/event.ts'
import type { Moment } from '../model/moment.ts'
import { Fault, MalformedMessage, Refusal, TURNED_AWAY } from '../model/refusal.ts'
import type { Role } from '../model/role.ts'
import type { Verdict } from '../model/statement.ts'
import type { Wish } from '../session/session.ts'
import { report } from './message.ts'

/** The last message before the connection ends. */
export function fatal(why: unknown): Buffer {
  if (why instanceof Refusal)
    return report({ severity: 'FATAL', code: why.wire.sqlstate, message: why.message, hint: why.next })
  if (why instanceof MalformedMessage)
    return report({ severity: 'FATAL', code: '08P01', message: `protocol violation: ${why.message}` })
  const reference = why instanceof Fault ? why.reference : new Fault('').reference
  return report({
    severity: 'FATAL',
    code: 'XX000',
    message: `The gateway could not do this (reference ${reference}).`,
  })
}

/** The session goes on after this one. */
export function refused(verdict: Exclude<Verdict, { decision: 'allow' }>, role: Role): Buffer {
  const isOfMode = verdict.decision !== 'deny' || verdict.code === undefined
  const readOnly = isOfMode && role.postgres.mode === 'read-only'
  return report({
    severity: 'ERROR',
    code: readOnly ? '25006' : '42501',
    message: readOnly ? `read-only session: ${verdict.reason}` : verdict.reason,
    hint: verdict.decision === 'deny' ? verdict.next : 'A second person would have to allow it.',
  })
}

/** Belongs into the audit log, once it is known who asked. */
export function noteRefused(audit: Audit, at: Moment, { identity, target }: Wish, failure: unknown): void {
  if (!(failure instanceof Refusal) || !TURNED_AWAY.has(failure.code)) return
  audit({
    id: crypto.randomUUID(),
    at,
    kind: 'session.refused',
    actor: identity.username,
    grant: undefined,
    session: undefined,
    target,
    text: failure.message,
    details: { protocol: 'postgres', code: failure.code, subject: identity.subject },
  })
}

/** How the person asks for what is missing: the exact command to copy. */
/** How people reach the ssh door of the gateway. */
export type SshAddress = { readonly host: string; readonly port: number }

export function askCommand(
  username: string,
  { host, port }: SshAddress,
  target: string,
  role: string | undefined,
): string {
  const named = role === undefined ? '' : ` --role ${role}`
  return `ssh ${port === 22 ? '' : `-p ${port} `}${username}@${host} request ${target}${named} --reason "..."`
}
