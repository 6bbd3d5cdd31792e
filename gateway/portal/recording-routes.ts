/** The API for what was recorded in one session: its events, page by page or as they happen. Every look is itself an audit event. */
import type { EventKind } from '../model/event.ts'
import type { SessionRow } from '../session/session.ts'
import type { App } from './application.ts'
import type { EventStreams } from './event-streams.ts'
import { EventViews } from './event-views.ts'
import type { Openings } from './openings.ts'
import type { PortalParts } from './parts.ts'
import * as recordingWords from './schema/recordings.ts'
import { answers, sessionParams, streams } from './shapes.ts'
import { sessionEndView } from './views.ts'
import { shownOf, visitorOf } from './visitor.ts'

const PAGE = 200
/** Events that one page looks at, wanted or not. */
const MOST_LOOKED_AT = 20_000
const WITHOUT_BYTES = 'rmxksdf'

type Parts = Pick<PortalParts, 'library'> & { readonly streams: EventStreams; readonly openings: Openings }

export function recordingRoutes(app: App, parts: Parts): void {
  const { library, openings } = parts

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
