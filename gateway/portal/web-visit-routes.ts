/** The API that hands a browser over to a web target whose role asks for the touch of a passkey. */
import type { GrantId } from '../model/grant.ts'
import { Refusal } from '../model/refusal.ts'
import type { App } from './application.ts'
import type { PortalParts, WebHandOver } from './parts.ts'
import { returnPath } from './return-to.ts'
import * as words from './schema/web.ts'
import { answers } from './shapes.ts'
import { visitorOf } from './visitor.ts'
import { enterUrl } from './web-routes.ts'

type Parts = Pick<PortalParts, 'desk'> & {
  readonly sessions: WebHandOver
  readonly publicUrl: URL
  readonly webUrl: (target: string) => string | undefined
}

export function webVisitRoutes(app: App, { desk, sessions, publicUrl, webUrl }: Parts): void {
  app.route({
    method: 'POST',
    url: '/web-visits',
    schema: {
      summary: 'Begin a visit to a web target with my passkey',
      description: 'The touch counts for this browser, that target and that grant, until either is over.',
      tags: ['access'],
      body: words.visitBody,
      response: answers(words.webVisit),
    },
    handler: async (request) => {
      const { identity, cookie } = visitorOf(request)
      const { target, state, returnTo, confirmation } = request.body
      const id = request.body.grant as GrantId
      const grant = await desk.grant(identity, id)
      const origin = webUrl(target)
      const isMine = grant.subject === identity.subject && grant.target === target && grant.state === 'live'
      if (origin === undefined || !isMine || !grant.endpoints.includes('http'))
        throw new Refusal('NO_GRANT', `Grant ${id} does not open ${target}.`, { next: 'Open the application again.' })
      const code = await sessions.mint({
        portalCookie: cookie,
        target,
        state,
        returnTo: returnPath(returnTo, publicUrl),
        touch: { confirmation, grant: id },
      })
      return { onward: enterUrl(origin, code) }
    },
  })
}
