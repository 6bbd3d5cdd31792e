/** The API about the person at the screen: who I am, my keys, what changed; and locking a person out, for administrators. */
import { Refusal } from '../model/refusal.ts'
import type { App } from './application.ts'
import { goneCookie, SESSION_COOKIE } from './cookies.ts'
import type { EventStreams, StreamWriter } from './event-streams.ts'
import type { PortalParts } from './parts.ts'
import * as personWords from './schema/person.ts'
import * as wire from './schema/wire.ts'
import { answers, keyParams, personParams, streams } from './shapes.ts'
import { seatOf } from './page-sockets.ts'
import { iso, meView } from './views.ts'
import { visitorOf } from './visitor.ts'

type Parts = Pick<PortalParts, 'identity' | 'desk' | 'settings' | 'tokens' | 'terminals'> & {
  readonly streams: EventStreams
}

export function personRoutes(app: App, parts: Parts): void {
  const { identity, desk, settings } = parts

  app.route({
    method: 'GET',
    url: '/me',
    schema: { summary: 'Who I am, and the token for unsafe calls', tags: ['me'], response: answers(personWords.me) },
    handler: async (request) => meView(visitorOf(request)),
  })

  app.route({
    method: 'POST',
    url: '/sign-out',
    schema: {
      summary: 'Sign out here',
      description: 'Go to `location` afterwards: the provider may want to end its own session.',
      tags: ['me'],
      body: wire.emptyBody,
      response: answers(personWords.signedOut),
    },
    handler: async (request, reply) => {
      const { cookie } = visitorOf(request)
      const { location } = await identity.signOut(cookie)
      parts.streams.signedOut(cookie)
      parts.terminals?.signedOut(seatOf(cookie))
      void reply.header('set-cookie', goneCookie(SESSION_COOKIE))
      return { location: location ?? settings.paths.signedOut }
    },
  })

  app.route({
    method: 'GET',
    url: '/keys',
    schema: {
      summary: 'SSH keys that stand for me at the moment',
      tags: ['me'],
      response: answers(personWords.keyList),
    },
    handler: async (request) => {
      const keys = await identity.keys(visitorOf(request).identity)
      return {
        keys: keys.map(({ fingerprint, boundAt, expiresAt }) => ({
          fingerprint,
          boundAt: iso(boundAt),
          expiresAt: iso(expiresAt),
        })),
      }
    },
  })

  app.route({
    method: 'DELETE',
    url: '/keys/:fingerprint',
    schema: { summary: 'Forget one of my keys', tags: ['me'], params: keyParams, response: answers(wire.done) },
    handler: async (request) => {
      await identity.forgetKey(visitorOf(request).identity, request.params.fingerprint)
      return { done: true as const }
    },
  })

  tokenRoutes(app, parts)

  app.route({
    method: 'GET',
    url: '/changes',
    schema: {
      summary: 'Hear when something about grants has changed',
      description: 'Server-sent events: `change` at the start and after every change, `signed-out` once.',
      tags: ['me'],
      response: streams('text/event-stream', 'Endless'),
    },
    handler: async (request, reply) => {
      const stream = parts.streams.open(visitorOf(request), (writer) => changes(desk, writer))
      return await reply.type('text/event-stream').send(stream)
    },
  })

  app.route({
    method: 'POST',
    url: '/identities/:username/lock',
    schema: {
      summary: 'Lock a person out: grants and sessions end now',
      tags: ['administration'],
      params: personParams,
      body: wire.noteBody,
      response: answers(wire.done),
    },
    handler: async (request) => {
      await desk.lock(visitorOf(request).identity, request.params.username, request.body.note)
      return { done: true as const }
    },
  })

  app.route({
    method: 'POST',
    url: '/identities/:username/unlock',
    schema: {
      summary: 'Let a person in again',
      tags: ['administration'],
      params: personParams,
      body: wire.emptyBody,
      response: answers(wire.done),
    },
    handler: async (request) => {
      await desk.unlock(visitorOf(request).identity, request.params.username)
      return { done: true as const }
    },
  })
}

/** One at the start: whoever connects again may have missed some. */
async function changes(desk: PortalParts['desk'], { signal, send }: StreamWriter): Promise<void> {
  let isSending = false
  let isDue = false
  const ring = async () => {
    isDue = true
    if (isSending) return
    isSending = true
    while (isDue) {
      isDue = false
      await send({ event: 'change', data: {} })
    }
    isSending = false
  }
  const over = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
  // A browser that left ends the stream; nothing else can go wrong here.
  const quietly = () => void ring().catch(() => undefined)
  const stop = desk.onChange(quietly)
  quietly()
  await over
  stop()
}

/** The database password: made, looked at (never itself), made worthless. */
function tokenRoutes(app: App, { tokens }: Pick<Parts, 'tokens'>): void {
  const desk = () => {
    if (tokens === undefined) throw new Refusal('NOT_FOUND', 'This gateway has no database door.')
    return tokens
  }
  app.route({
    method: 'GET',
    url: '/token',
    schema: {
      summary: 'Until when my database token is good',
      tags: ['me'],
      response: answers(personWords.databaseToken),
    },
    handler: async (request) => {
      const until = await desk().until(visitorOf(request).identity)
      return { token: null, expiresAt: until === undefined ? null : iso(until) }
    },
  })
  app.route({
    method: 'POST',
    url: '/token',
    schema: {
      summary: 'Make a database token',
      description:
        'A password for psql, drivers and pools. It takes the place of the one before, and is shown only here.',
      tags: ['me'],
      body: personWords.tokenBody,
      response: answers(personWords.databaseToken),
    },
    handler: async (request) => {
      const { token, expiresAt } = await desk().issue(visitorOf(request).identity, request.body.hours * 3_600_000)
      return { token, expiresAt: iso(expiresAt) }
    },
  })
  app.route({
    method: 'DELETE',
    url: '/token',
    schema: { summary: 'Make my database token worthless', tags: ['me'], response: answers(wire.done) },
    handler: async (request) => {
      await desk().revoke(visitorOf(request).identity)
      return { done: true as const }
    },
  })
}
