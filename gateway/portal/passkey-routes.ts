/** The API about passkeys: mine, a new one, and the touch that a session in the browser asks for. */
import type { Clock } from '../model/moment.ts'
import type { App } from './application.ts'
import { Limiter } from './limiter.ts'
import type { PasskeyDesk } from './parts.ts'
import * as words from './schema/passkeys.ts'
import { done, emptyBody } from './schema/wire.ts'
import { answers, passkeyParams } from './shapes.ts'
import { iso } from './views.ts'
import { visitorOf } from './visitor.ts'

type Parts = { readonly passkeys: PasskeyDesk; readonly clock: Clock }

export function passkeyRoutes(app: App, { passkeys, clock }: Parts): void {
  const perSession = new Limiter({ clock, tries: 20, perMinutes: 1 })

  app.route({
    method: 'GET',
    url: '/passkeys',
    schema: { summary: 'My passkeys', tags: ['me'], response: answers(words.passkeyList) },
    handler: async (request) => {
      const mine = await passkeys.list(visitorOf(request).identity)
      return {
        passkeys: mine.map(({ id, name, createdAt, usedAt }) => ({
          id,
          name,
          createdAt: iso(createdAt),
          usedAt: usedAt === undefined ? null : iso(usedAt),
        })),
      }
    },
  })

  app.route({
    method: 'POST',
    url: '/passkeys/options',
    schema: {
      summary: 'Begin to register a passkey',
      description: 'Asks for a sign-in of the last minutes: otherwise `MFA_MISSING`.',
      tags: ['me'],
      body: emptyBody,
      response: answers(words.passkeyOptions),
    },
    handler: async (request) => ({ ...(await passkeys.beginRegistration(visitorOf(request).identity)) }),
  })

  app.route({
    method: 'POST',
    url: '/passkeys',
    schema: { summary: 'Register a passkey', tags: ['me'], body: words.registerBody, response: answers(done) },
    handler: async (request) => {
      const visitor = visitorOf(request)
      perSession.take(visitor.cookie)
      await passkeys.finishRegistration(visitor.identity, request.body.name, request.body.answer)
      return { done: true as const }
    },
  })

  app.route({
    method: 'DELETE',
    url: '/passkeys/:id',
    schema: { summary: 'Remove one of my passkeys', tags: ['me'], params: passkeyParams, response: answers(done) },
    handler: async (request) => {
      await passkeys.forget(visitorOf(request).identity, request.params.id)
      return { done: true as const }
    },
  })

  app.route({
    method: 'POST',
    url: '/passkeys/confirm/options',
    schema: {
      summary: 'Begin to confirm a session on a target with my passkey',
      tags: ['me'],
      body: words.confirmOptionsBody,
      response: answers(words.passkeyOptions),
    },
    handler: async (request) => ({
      ...(await passkeys.begin(visitorOf(request).identity, `target ${request.body.target}`)),
    }),
  })

  app.route({
    method: 'POST',
    url: '/passkeys/confirm',
    schema: {
      summary: 'Confirm a session on a target with my passkey',
      tags: ['me'],
      body: words.confirmBody,
      response: answers(words.confirmed),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      perSession.take(visitor.cookie)
      const { target, answer } = request.body
      const { confirmation, expiresAt } = await passkeys.confirm(visitor.identity, target, answer)
      return { confirmation, expiresAt: iso(expiresAt) }
    },
  })
}
