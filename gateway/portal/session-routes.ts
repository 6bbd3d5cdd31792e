/** The API for sessions: which there were, finding one by what was done in it, and ending one. */
import type { Moment } from '../model/moment.ts'
import type { SessionRow } from '../session/session.ts'
import type { App } from './application.ts'
import type { Openings } from './openings.ts'
import type { PortalParts } from './parts.ts'
import * as sessionWords from './schema/sessions.ts'
import * as wire from './schema/wire.ts'
import { answers, sessionParams } from './shapes.ts'
import { sessionView, youngSession } from './views.ts'
import { maySee, shownOf, type Visitor, visitorOf } from './visitor.ts'

const LISTED = 100
const HITS = 100

type Parts = Pick<PortalParts, 'desk' | 'library'> & { readonly openings: Openings }

export function sessionRoutes(app: App, parts: Parts): void {
  const { desk, library, openings } = parts

  app.route({
    method: 'GET',
    url: '/sessions',
    schema: {
      summary: 'Sessions, newest first: mine; auditors and administrators see all',
      tags: ['sessions'],
      querystring: sessionWords.sessionQuery,
      response: answers(sessionWords.sessionList),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      const rows = await sessionsFor(parts, visitor, request.query)
      const seen = rows.filter((row) => maySee(desk, visitor, row))
      return { sessions: seen.map((row) => sessionView(row, visitor)) }
    },
  })

  app.route({
    method: 'GET',
    url: '/search',
    schema: {
      summary:
        'Lines that were typed, shown or judged, newest first: in my sessions; auditors and administrators in all',
      tags: ['sessions'],
      querystring: sessionWords.searchQuery,
      response: answers(sessionWords.searchHits),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      const { text, target } = request.query
      const found = await library.search({
        text,
        target,
        username: personFor(visitor, request.query.person),
        since: momentOf(request.query.since),
        limit: HITS,
      })
      openings.noteSearch(visitor, text)
      const ids = [...new Set(found.map((hit) => hit.session))]
      const rows = new Map(await Promise.all(ids.map(async (id) => [id, await library.session(id)] as const)))
      return {
        hits: found.flatMap(({ session, at, source, text: line }) => {
          const row = rows.get(session)
          if (row === undefined || !maySee(desk, visitor, row)) return []
          const seconds = Math.max(0, at - row.startedAt) / 1000
          return [{ session: sessionView(row, visitor), seconds, source, text: line }]
        }),
      }
    },
  })

  app.route({
    method: 'GET',
    url: '/sessions/:id',
    schema: {
      summary: 'One session',
      tags: ['sessions'],
      params: sessionParams,
      response: answers(sessionWords.session),
    },
    handler: async (request) => sessionView(shownOf(request), visitorOf(request)),
  })

  app.route({
    method: 'POST',
    url: '/sessions/:id/kill',
    schema: {
      summary: 'End one session now; the grant stays',
      tags: ['sessions'],
      params: sessionParams,
      body: wire.noteBody,
      response: answers(wire.done),
    },
    handler: async (request) => {
      await desk.kill(visitorOf(request).identity, request.params.id, request.body.note)
      return { done: true as const }
    },
  })
}

type SessionQuery = ReturnType<typeof sessionWords.sessionQuery.parse>

const NOBODY = ''

/** Whoever is no auditor asks about themselves, and hears nothing about others; the rows are looked at as well. */
function personFor({ identity, isAdmin, isAuditor }: Visitor, wanted: string | undefined): string | undefined {
  if (isAdmin || isAuditor) return wanted
  return wanted === undefined || wanted === identity.username ? identity.username : NOBODY
}

const momentOf = (iso: string | undefined): Moment | undefined =>
  iso === undefined ? undefined : (Date.parse(iso) as Moment)

/** Whoever is no auditor asks the library about themselves only. */
async function sessionsFor(
  { desk, library }: Parts,
  visitor: Visitor,
  query: SessionQuery,
): Promise<readonly SessionRow[]> {
  const { identity } = visitor
  const limit = query.limit ?? LISTED
  const person = personFor(visitor, query.person)
  const [since, until] = [momentOf(query.since), momentOf(query.until)]
  if (query.live === 'true') {
    const running = await desk.liveSessions(identity)
    const wanted = running.filter(
      (start) =>
        start.username === (person ?? start.username) &&
        start.target === (query.target ?? start.target) &&
        start.protocol === (query.protocol ?? start.protocol) &&
        start.grant === (query.grant ?? start.grant) &&
        start.startedAt >= (since ?? 0) &&
        start.startedAt <= (until ?? Number.POSITIVE_INFINITY),
    )
    const newest = wanted.toSorted((a, b) => b.startedAt - a.startedAt).slice(0, limit)
    const rows = await Promise.all(
      newest.map(async (start) => ({ ...youngSession(start), ...(await library.session(start.id)), end: undefined })),
    )
    return query.denied === undefined ? rows : rows.filter(({ denials }) => denials > 0)
  }
  const { target, protocol, grant } = query
  return await library.sessions({
    target,
    protocol,
    grant,
    limit,
    username: person,
    since,
    until,
    denied: query.denied === 'true',
    live: query.live === undefined ? undefined : false,
  })
}
