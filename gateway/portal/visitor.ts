/** Who is at the door: the session behind the cookie, our own pages only, and whether the route's policy lets them in. Runs before any body is read. */
import { timingSafeEqual } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { SessionId, SessionStart } from '../model/event.ts'
import type { Grant } from '../model/grant.ts'
import { isMember } from '../model/identity.ts'
import { Fault, Refusal } from '../model/refusal.ts'
import type { SessionRow } from '../session/session.ts'
import { cookieOf, SESSION_COOKIE } from './cookies.ts'
import type { Asker, BrowserSession, PortalParts } from './parts.ts'
import { isSafe, type Policy } from './policy.ts'
import { BACKGROUND_HEADER, CSRF_HEADER } from './schema/wire.ts'

/** Somebody who is signed in. `cookie` is a secret. */
export type Visitor = Asker & {
  readonly cookie: string
  readonly session: BrowserSession
  readonly isAdmin: boolean
  readonly isAuditor: boolean
  /** Whether this person decides about that role: for what is offered, never for what is allowed. */
  readonly isApprover: (role: string) => boolean
}

declare module 'fastify' {
  interface FastifyContextConfig {
    policy?: Policy
  }
  interface FastifyRequest {
    /** Set by the guard for every policy but `public`. */
    visitor: Visitor | undefined
    /** Set by the guard for the policy `session`: the session that the route is about. */
    shown: SessionRow | undefined
  }
}

export const SIGN_IN_FIRST = (): Refusal => new Refusal('NOT_SIGNED_IN', 'You are not signed in.', { next: 'Sign in.' })
export const nothingHere = (): Refusal => new Refusal('NOT_FOUND', 'There is nothing here for you.')

type Known = Pick<PortalParts, 'identity' | 'desk' | 'role'>
type GuardParts = Known & Pick<PortalParts, 'library'> & { readonly publicUrl: URL }

/** Lets a request through or throws a Refusal. A route without a policy lets nobody in. */
export function createGuard(parts: GuardParts): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    if (request.is404) return
    const { policy } = request.routeOptions.config
    if (policy === undefined) throw new Fault('a route has no policy')
    if (policy === 'public') return
    fromOurPages(request)
    const visitor = await recognise(parts, request)
    if (visitor === undefined) throw SIGN_IN_FIRST()
    if (!isSafe(request.method)) unforged(request, visitor, parts.publicUrl)
    if (policy === 'admin' && !visitor.isAdmin)
      throw new Refusal('NOT_ALLOWED', 'Only administrators may do this.', { next: 'Ask an administrator.' })
    if (policy === 'oversight' && !visitor.isAdmin && !visitor.isAuditor)
      throw new Refusal('NOT_ALLOWED', 'Only auditors and administrators may see this.', { next: 'Ask an auditor.' })
    request.visitor = visitor
    if (policy === 'session') request.shown = await seen(parts, request, visitor)
  }
}

/** Undefined for a stranger. @throws {Refusal} LOCKED. */
export async function recognise(
  { identity, desk, role }: Known,
  request: FastifyRequest,
): Promise<Visitor | undefined> {
  const cookie = cookieOf(request.headers.cookie, SESSION_COOKIE)
  if (cookie === undefined) return undefined
  const session = await identity.session(cookie, { quiet: isQuiet(request) })
  if (session === undefined) return undefined
  return {
    cookie,
    session,
    identity: session.identity,
    address: addressOf(request),
    isAdmin: desk.isAdmin(session.identity),
    isAuditor: desk.isAuditor(session.identity),
    isApprover: (name) => {
      const approval = role(name)?.approval
      return approval?.kind === 'people' && isMember(session.identity, approval.groups)
    },
  }
}

/** What a page does by itself: an event stream that connects again, a list that is read again. */
const isQuiet = ({ headers }: FastifyRequest): boolean =>
  headers[BACKGROUND_HEADER] === '1' || headers.accept === 'text/event-stream'

/** IP address without port, IPv4 in its own form. Headers about addresses are not believed. */
export const addressOf = (request: Pick<FastifyRequest, 'socket'>): string =>
  (request.socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/i, '')

/** For routes whose policy is not `public`. */
export function visitorOf(request: FastifyRequest): Visitor {
  if (request.visitor === undefined) throw new Fault('a route for visitors was reached by nobody')
  return request.visitor
}

/** What other rooms need to know of a visitor: not the cookie. */
export function askerOf(request: FastifyRequest): Asker {
  const { identity, address } = visitorOf(request)
  return { identity, address }
}

/** For routes whose policy is `session`. */
export function shownOf(request: FastifyRequest): SessionRow {
  if (request.shown === undefined) throw new Fault('a route for one session was reached without it')
  return request.shown
}

/** One's own sessions are those of the subject: a user name can be given to somebody else. */
export function maySee(desk: PortalParts['desk'], visitor: Visitor, row: SessionStart): boolean {
  const { identity, isAdmin, isAuditor } = visitor
  const isNamesake = row.username === identity.username && row.subject !== identity.subject
  return desk.maySeeSession(identity, row.username) && (isAdmin || isAuditor || !isNamesake)
}

/** Evidence holds every recording of the grant: an approver who is no auditor may not have it. */
export const mayTakeEvidence = ({ identity, isAdmin, isAuditor }: Visitor, grant: Grant): boolean =>
  isAdmin || isAuditor || grant.subject === identity.subject

async function seen({ library, desk }: GuardParts, request: FastifyRequest, visitor: Visitor): Promise<SessionRow> {
  const id = (request.params as { readonly id?: string }).id ?? ''
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) throw nothingHere()
  const row = (await library.session(id as SessionId)) ?? (await running(desk, visitor, id))
  if (row === undefined || !maySee(desk, visitor, row)) throw nothingHere()
  return row
}

/** A session so young that the library does not know it. */
async function running(desk: PortalParts['desk'], visitor: Visitor, id: string): Promise<SessionRow | undefined> {
  const start = (await desk.liveSessions(visitor.identity)).find((session) => session.id === id)
  return start === undefined ? undefined : { ...start, ...NOTHING_YET }
}

export const NOTHING_YET = { end: undefined, events: 0, bytesIn: 0, bytesOut: 0, statements: 0, denials: 0 } as const

/** Web targets live on sibling hosts, which browsers count as the same site: cookies alone prove nothing about the page that asks. */
function fromOurPages(request: FastifyRequest): void {
  const site = request.headers['sec-fetch-site']
  if (site === undefined || site === 'same-origin' || site === 'none') return
  throw new Refusal('NOT_ALLOWED', 'This call came from another site.', {
    next: 'Open the page of the gateway itself.',
  })
}

function unforged(request: FastifyRequest, visitor: Visitor, publicUrl: URL): void {
  const token = request.headers[CSRF_HEADER]
  if (request.headers.origin === publicUrl.origin && typeof token === 'string' && isToken(token, visitor.session))
    return
  throw new Refusal('NOT_ALLOWED', 'This call did not come from a page of the gateway.', { next: 'Reload the page.' })
}

/** The token that only pages of this browser session know. */
export function isToken(token: string, { csrfToken }: BrowserSession): boolean {
  const [a, b] = [Buffer.from(token), Buffer.from(csrfToken)]
  return a.length === b.length && a.length > 0 && timingSafeEqual(a, b)
}
