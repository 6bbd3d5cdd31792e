/** Recordings as files to keep: asciicast, JSON, HTTP Archive, and the evidence about a grant. Each one is itself an audit event. */
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { Log } from '../model/log.ts'
import { Refusal } from '../model/refusal.ts'
import type { Library, SessionRow } from '../session/session.ts'
import type { App } from './application.ts'
import { EventViews } from './event-views.ts'
import { jsonOf } from './json.ts'
import type { Openings } from './openings.ts'
import type { PortalParts } from './parts.ts'
import * as recordingWords from './schema/recordings.ts'
import { grantParams, sessionParams, streams } from './shapes.ts'
import { sessionView } from './views.ts'
import { mayTakeEvidence, shownOf, type Visitor, visitorOf } from './visitor.ts'

type Parts = Pick<PortalParts, 'desk' | 'library' | 'role' | 'clock' | 'log'> & { readonly openings: Openings }

export function downloadRoutes(app: App, parts: Parts): void {
  const { desk, library, role, clock, log, openings } = parts

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
      const lines = library.asciicast(row.id, {
        ...(idle === undefined ? {} : { idleSeconds: idle }),
        signal: goneSignal(reply),
      })
      if (download !== undefined) named(reply, `session-${row.id}.cast`)
      return await reply.type('application/x-asciicast').send(await streamed(lines, log))
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
      const pieces = await streamed(library.har(row.id, { signal: goneSignal(reply) }), log)
      openings.note('exported', visitorOf(request), row)
      return await named(reply, `session-${row.id}.har`).type('application/json').send(pieces)
    },
  })

  app.route({
    method: 'GET',
    url: '/sessions/:id/json',
    schema: {
      summary: 'The recording with every event, as a file to keep',
      tags: ['sessions'],
      params: sessionParams,
      response: streams('application/json', 'One document: `{session: {...}, events: [...]}`, one event per line'),
    },
    handler: async (request, reply) => {
      const [row, visitor] = [shownOf(request), visitorOf(request)]
      const pieces = await streamed(whole(library, row, visitor, goneSignal(reply)), log)
      openings.note('exported', visitor, row)
      return await named(reply, `session-${row.id}.json`).type('application/json').send(pieces)
    },
  })

  app.route({
    method: 'GET',
    url: '/grants/:id/evidence',
    schema: {
      summary: 'The whole story of a grant with its recordings, in one signed file',
      description: 'For `npm run verify -- FILE`. For auditors, administrators and the person the grant belongs to.',
      tags: ['access'],
      params: grantParams,
      response: streams('application/x-ndjson', 'One JSON value per line; the last one is the signature'),
    },
    handler: async (request, reply) => {
      const visitor = visitorOf(request)
      const { identity } = visitor
      const grant = await desk.grant(identity, request.params.id)
      if (!mayTakeEvidence(visitor, grant))
        throw new Refusal('NOT_ALLOWED', 'Evidence holds recordings, which are for auditors to see.', {
          next: 'Ask an auditor for it.',
        })
      const ask = { grant, role: role(grant.role), by: identity.username, at: clock.now() }
      const lines = await streamed(library.evidence(ask), log)
      openings.noteGrant(visitor, grant)
      return await named(reply, `grant-${grant.id}.evidence`).type('application/x-ndjson').send(lines)
    },
  })
}

async function* whole(
  library: Library,
  row: SessionRow,
  visitor: Visitor,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const views = new EventViews(row)
  yield `{"session":${jsonOf(sessionView(row, visitor))},"events":[`
  let isFirst = true
  for await (const event of library.events(row.id, { signal })) {
    yield `${isFirst ? '' : ','}\n${jsonOf(views.view(event))}`
    isFirst = false
  }
  yield '\n]}\n'
}

const named = (reply: FastifyReply, file: string): FastifyReply =>
  reply.header('content-disposition', `attachment; filename="${file}"`)

/** Aborts when the browser has left. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  return gone.signal
}

/** Waits for the first piece, so that a recording that cannot be read is an error and not an empty file. */
async function streamed(pieces: AsyncIterable<string>, log: Log): Promise<Readable> {
  const iterator = pieces[Symbol.asyncIterator]()
  const first = await iterator.next()
  const rest = async function* () {
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
  }
  return Readable.from(rest(), { objectMode: false })
}
