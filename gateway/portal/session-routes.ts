/** The API for sessions and their recordings. Every look at a recording is itself an audit event. */
import { Readable } from 'node:stream'
import type { EventKind } from '../model/event.ts'
import type { Log } from '../model/log.ts'
import type { SessionRow } from '../session/session.ts'
import type { App } from './application.ts'
import type { EventStreams } from './event-streams.ts'
import { EventViews } from './event-views.ts'
import type { Openings } from './openings.ts'
import type { PortalParts } from './parts.ts'
import * as recordingWords from './schema/recordings.ts'
import * as sessionWords from './schema/sessions.ts'
import * as wire from './schema/wire.ts'
import { answers, sessionParams, streams } from './shapes.ts'
import { sessionEndView, sessionView, youngSession } from './views.ts'
import { maySee, shownOf, type Visitor, visitorOf } from './visitor.ts'

const LISTED = 100
const PAGE = 200
/** Events that one page looks at, wanted or not. */
const MOST_LOOKED_AT = 20_000
const WITHOUT_BYTES = 'rmxksdf'

type Parts = Pick<PortalParts, 'desk' | 'library' | 'log'> & {
  readonly streams: EventStreams
  readonly openings: Openings
}

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
    method: 'GET',
    url: '/sessions/:id/asciicast',
    schema: {
      summary: 'The recording as asciicast v3',
      tags: ['sessions'],
      params: sessionParams,
      querystring: recordingWords.castQuery,
      response: streams('application/x-asciicast', 'One JSON value per line'),
    },
    handler: async (request, reply) => {
      const row = shownOf(request)
      const { idle, download } = request.query
      openings.note(download === undefined ? 'replayed' : 'exported', visitorOf(request), row)
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      const lines = library.asciicast(row.id, {
        ...(idle === undefined ? {} : { idleSeconds: idle }),
        signal: gone.signal,
      })
      if (download !== undefined)
        void reply.header('content-disposition', `attachment; filename="session-${row.id}.cast"`)
      void reply.type('application/x-asciicast')
      return await reply.send(Readable.from(await begun(lines, parts.log), { objectMode: false }))
    },
  })

  app.route({
    method: 'GET',
    url: '/sessions/:id/har',
    schema: {
      summary: 'The requests of a web session as an HTTP Archive, masked as they were recorded',
      description: 'HAR 1.2, as a file to keep. 404 for a session that is not one of a web application.',
      tags: ['sessions'],
      params: sessionParams,
      response: streams('application/json', 'One document: `{log: {version: "1.2", entries: [...]}}`'),
    },
    handler: async (request, reply) => {
      const row = shownOf(request)
      const gone = new AbortController()
      reply.raw.once('close', () => gone.abort())
      const pieces = await begun(library.har(row.id, { signal: gone.signal }), parts.log)
      openings.note('exported', visitorOf(request), row)
      return await reply
        .header('content-disposition', `attachment; filename="session-${row.id}.har"`)
        .type('application/json')
        .send(Readable.from(pieces, { objectMode: false }))
    },
  })

  app.route({
    method: 'GET',
    url: '/sessions/:id/events',
    schema: {
      summary: 'The recording as a list of events, page by page',
      tags: ['sessions'],
      params: sessionParams,
      querystring: recordingWords.eventQuery,
      response: answers(recordingWords.eventPage),
    },
    handler: async (request) => {
      const row = shownOf(request)
      openings.notePage(visitorOf(request), row)
      return await eventPage(library, row, request.query)
    },
  })

  app.route({
    method: 'GET',
    url: '/sessions/:id/live',
    schema: {
      summary: 'Follow a running session',
      description: 'Server-sent events: `event` with an event of the session, `end` when it is over, `signed-out`.',
      tags: ['sessions'],
      params: sessionParams,
      querystring: recordingWords.liveQuery,
      response: streams('text/event-stream', 'Events from the first one, or from after `after` or `Last-Event-ID`, on'),
    },
    handler: async (request, reply) => {
      const row = shownOf(request)
      const visitor = visitorOf(request)
      const last = Number.parseInt(String(request.headers['last-event-id'] ?? ''), 10)
      const after = Number.isSafeInteger(last) && last >= 0 ? last : request.query.after
      const views = new EventViews(row)
      const stream = parts.streams.open(
        visitor,
        async ({ send, signal }) => {
          const events = library.events(row.id, { ...(after === undefined ? {} : { after }), follow: true, signal })
          for await (const event of events) await send({ event: 'event', id: event.seq, data: views.view(event) })
          const end = (await library.session(row.id))?.end
          await send({ event: 'end', data: sessionEndView(end) })
        },
        true,
      )
      openings.note('watched', visitor, row)
      return await reply.type('text/event-stream').send(stream)
    },
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

/** Whoever is no auditor asks the library about themselves only. */
async function sessionsFor(
  { desk, library }: Parts,
  visitor: Visitor,
  query: SessionQuery,
): Promise<readonly SessionRow[]> {
  const { identity, isAdmin, isAuditor } = visitor
  const limit = query.limit ?? LISTED
  const person = query.person ?? (isAdmin || isAuditor ? undefined : identity.username)
  const since = query.since === undefined ? undefined : Date.parse(query.since)
  if (query.live === 'true') {
    const running = await desk.liveSessions(identity)
    const wanted = running.filter(
      (start) =>
        start.username === (person ?? start.username) &&
        start.target === (query.target ?? start.target) &&
        start.protocol === (query.protocol ?? start.protocol) &&
        start.grant === (query.grant ?? start.grant) &&
        start.startedAt >= (since ?? 0),
    )
    const newest = wanted.toSorted((a, b) => b.startedAt - a.startedAt).slice(0, limit)
    return await Promise.all(
      newest.map(async (start) => ({ ...youngSession(start), ...(await library.session(start.id)), end: undefined })),
    )
  }
  const { target, protocol, grant } = query
  return await library.sessions({
    target,
    protocol,
    grant,
    limit,
    username: person,
    since: since as SessionRow['startedAt'] | undefined,
    live: query.live === undefined ? undefined : false,
  })
}

async function eventPage(
  library: Parts['library'],
  row: SessionRow,
  { after, kinds = WITHOUT_BYTES, limit = PAGE }: ReturnType<typeof recordingWords.eventQuery.parse>,
): Promise<recordingWords.EventPage> {
  const views = new EventViews(row)
  const wanted = new Set<EventKind>(kinds.split('') as EventKind[])
  const events: recordingWords.SessionEventView[] = []
  let lookedAt = 0
  for await (const event of library.events(row.id, after === undefined ? {} : { after })) {
    if (wanted.has(event.kind)) events.push(views.view(event))
    lookedAt += 1
    if (events.length === limit || lookedAt === MOST_LOOKED_AT) return { events, next: event.seq }
  }
  return { events, next: null }
}

/** Waits for the first line, so that a recording that cannot be read is an error and not an empty file. */
async function begun(lines: AsyncIterable<string>, log: Log): Promise<AsyncIterable<string>> {
  const iterator = lines[Symbol.asyncIterator]()
  const first = await iterator.next()
  return (async function* () {
    try {
      if (first.done === true) return
      yield first.value
      yield* { [Symbol.asyncIterator]: () => iterator }
    } catch (error) {
      // The answer has begun: all that can be done is to break it off, so that nobody takes it for whole.
      log({ level: 'error', room: 'portal', message: 'a recording broke off', error })
      throw error
    } finally {
      await iterator.return?.()
    }
  })()
}
