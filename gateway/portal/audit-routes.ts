/** The API for the audit log: for auditors and administrators. */
import type { Moment } from '../model/moment.ts'
import type { App } from './application.ts'
import type { PortalParts } from './parts.ts'
import * as storyWords from './schema/story.ts'
import { answers } from './shapes.ts'
import { auditView } from './views.ts'

const LISTED = 100

export function auditRoutes(app: App, { library }: Pick<PortalParts, 'library'>): void {
  app.route({
    method: 'GET',
    url: '/audit',
    schema: {
      summary: 'The audit log, newest first',
      description: 'Every step of every grant, sign-ins, deeds of administrators, looks at recordings.',
      tags: ['audit'],
      querystring: storyWords.auditQuery,
      response: answers(storyWords.auditPage),
    },
    handler: async ({ query }) => {
      const { about, person, target, until } = query
      const limit = query.limit ?? LISTED
      const events = await library.audit({
        limit,
        ...(about === undefined ? {} : { about }),
        ...(person === undefined ? {} : { actor: person }),
        ...(target === undefined ? {} : { target }),
        ...(until === undefined ? {} : { until: Date.parse(until) as Moment }),
      })
      const last = events.at(-1)
      return {
        events: events.map(auditView),
        next: last === undefined || events.length < limit ? null : new Date(last.at).toISOString(),
      }
    },
  })
}
