/** The API behind the approval page: an ssh or psql sign-in waits, and the person at the screen says whether it is theirs. */
import type { Clock } from '../model/moment.ts'
import type { App } from './application.ts'
import { Limiter } from './limiter.ts'
import type { PortalParts } from './parts.ts'
import { passkeyOptions } from './schema/passkeys.ts'
import * as signInWords from './schema/sign-ins.ts'
import * as wire from './schema/wire.ts'
import { answers, signInParams } from './shapes.ts'
import { iso, questionView } from './views.ts'
import { askerOf, type Visitor, visitorOf } from './visitor.ts'

type Parts = Pick<PortalParts, 'identity'> & { readonly clock: Clock }

export function signInRoutes(app: App, { identity, clock }: Parts): void {
  const perSession = new Limiter({ clock, tries: 10, perMinutes: 1 })
  const perAddress = new Limiter({ clock, tries: 30, perMinutes: 1 })
  const limit = (visitor: Visitor) => {
    perAddress.take(visitor.address)
    perSession.take(visitor.cookie)
  }

  app.route({
    method: 'GET',
    url: '/sign-ins/:id',
    schema: {
      summary: 'A sign-in that waits for me',
      tags: ['sign-ins'],
      params: signInParams,
      response: answers(signInWords.signInQuestion),
    },
    handler: async (request) => {
      const asker = askerOf(request)
      return questionView(await identity.question(request.params.id, asker), asker.address)
    },
  })

  app.route({
    method: 'POST',
    url: '/sign-ins/:id/answer',
    schema: {
      summary: 'Let the waiting terminal in, with the code that it shows',
      tags: ['sign-ins'],
      params: signInParams,
      body: signInWords.answerBody,
      response: answers(signInWords.answerResult),
    },
    handler: async (request) => {
      limit(visitorOf(request))
      const answer = await identity.answer(request.params.id, request.body.code, askerOf(request), request.body.passkey)
      return answer.right
        ? { result: 'signed-in' as const, triesLeft: null }
        : { result: 'wrong-code' as const, triesLeft: answer.triesLeft }
    },
  })

  app.route({
    method: 'POST',
    url: '/sign-ins/:id/passkey',
    schema: {
      summary: 'What my passkey is asked to sign for this waiting session',
      tags: ['sign-ins'],
      params: signInParams,
      body: wire.emptyBody,
      response: answers(passkeyOptions),
    },
    handler: async (request) => ({ ...(await identity.passkey(request.params.id, askerOf(request))) }),
  })

  app.route({
    method: 'POST',
    url: '/sign-ins/:id/deny',
    schema: {
      summary: 'This sign-in is not mine: turn it away',
      tags: ['sign-ins'],
      params: signInParams,
      body: wire.emptyBody,
      response: answers(wire.done),
    },
    handler: async (request) => {
      await identity.deny(request.params.id, askerOf(request))
      return { done: true as const }
    },
  })

  app.route({
    method: 'POST',
    url: '/sign-ins/:id/reveal',
    schema: {
      summary: 'Show the code that I type into the terminal',
      tags: ['sign-ins'],
      params: signInParams,
      body: wire.emptyBody,
      response: answers(signInWords.revealed),
    },
    handler: async (request) => {
      limit(visitorOf(request))
      const { code, expiresAt } = await identity.revealCode(request.params.id, askerOf(request))
      return { code, expiresAt: iso(expiresAt) }
    },
  })
}
