/** The API for targets, requests and grants. The access desk judges every call. */
import type { z } from 'zod'
import type { Grant, GrantId } from '../model/grant.ts'
import type { Identity } from '../model/identity.ts'
import type { App } from './application.ts'
import type { PortalParts } from './parts.ts'
import { roleView } from './role-view.ts'
import * as accessWords from './schema/access.ts'
import * as storyWords from './schema/story.ts'
import * as wire from './schema/wire.ts'
import { answers, grantParams } from './shapes.ts'
import { auditView, grantView, pastView, requestView, sessionView, targetView } from './views.ts'
import { maySee, mayTakeEvidence, type Visitor, visitorOf } from './visitor.ts'

const STORY_EVENTS = 1000
const STORY_SESSIONS = 500
const PAST_SESSIONS = 5

type Parts = Pick<PortalParts, 'desk' | 'library' | 'role' | 'settings'> & {
  readonly webUrl: (target: string) => string | undefined
}

export function accessRoutes(app: App, { desk, library, role, settings, webUrl }: Parts): void {
  const approvable = async (visitor: Visitor): Promise<ReadonlySet<GrantId>> => {
    const waiting = await desk.requests(visitor.identity)
    return new Set(waiting.filter(({ mayApprove }) => mayApprove).map(({ grant }) => grant.id))
  }
  const view = async (visitor: Visitor, grant: Grant) => grantView(grant, visitor, await approvable(visitor))
  /** A route that takes one grant a step further and answers with it. */
  const step = <Body extends z.ZodType>(
    url: string,
    summary: string,
    body: Body,
    deed: (who: Identity, id: GrantId, body: z.output<Body>) => Promise<Grant>,
  ): void => {
    app.route({
      method: 'POST',
      url,
      schema: { summary, tags: ['access'], params: grantParams, body, response: answers(accessWords.grant) },
      handler: async (request) => {
        const visitor = visitorOf(request)
        return await view(visitor, await deed(visitor.identity, request.params.id, request.body as z.output<Body>))
      },
    })
  }

  app.route({
    method: 'GET',
    url: '/targets',
    schema: {
      summary: 'Targets that I may ask for, with my grants there',
      tags: ['access'],
      response: answers(accessWords.targetList),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      const targets = await desk.targets(visitor.identity)
      return { targets: targets.map((target) => targetView(target, visitor, settings.doors, webUrl)) }
    },
  })

  app.route({
    method: 'POST',
    url: '/requests',
    schema: {
      summary: 'Ask for a role on a target',
      description: 'Live at once when the rule of the role says so.',
      tags: ['access'],
      body: accessWords.askBody,
      response: answers(accessWords.grant),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      return await view(visitor, await desk.request(visitor.identity, request.body))
    },
  })

  app.route({
    method: 'GET',
    url: '/requests',
    schema: {
      summary: 'Waiting requests: mine, and those I may approve',
      tags: ['access'],
      response: answers(accessWords.requestList),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      const waiting = await desk.requests(visitor.identity)
      const mine = new Set(waiting.filter(({ mayApprove }) => mayApprove).map(({ grant }) => grant.id))
      return { requests: waiting.map(({ grant }) => requestView(grant, role(grant.role), visitor, mine)) }
    },
  })

  step(
    '/requests/:id/approve',
    'Approve a request, or less than it asks for',
    accessWords.approveBody,
    (who, id, how) => desk.approve(who, id, how),
  )

  step('/requests/:id/deny', 'Deny a request', accessWords.denyBody, (who, id, { reason }) =>
    desk.deny(who, id, reason),
  )

  step('/requests/:id/withdraw', 'Take my request back', wire.emptyBody, (who, id) => desk.withdraw(who, id))

  app.route({
    method: 'GET',
    url: '/requests/:id/past',
    schema: {
      summary: 'The last sessions of the person who asks, on the target of the request, before they asked',
      description: 'For whoever may decide: which ones there were, not what was done in them.',
      tags: ['access'],
      params: grantParams,
      response: answers(accessWords.pastList),
    },
    handler: async (request) => {
      const grant = await desk.grant(visitorOf(request).identity, request.params.id)
      const { username, target, requestedAt } = grant
      const rows = await library.sessions({ username, target, until: requestedAt, limit: PAST_SESSIONS })
      // A user name can be given to somebody else; what that person did is not this one's past.
      return { sessions: rows.filter(({ subject }) => subject === grant.subject).map(pastView) }
    },
  })

  app.route({
    method: 'GET',
    url: '/grants',
    schema: {
      summary: 'Grants, newest first: mine; approvers, auditors and administrators see more',
      tags: ['access'],
      querystring: accessWords.grantQuery,
      response: answers(accessWords.grantList),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      const { state, person, target, limit } = request.query
      const found = await desk.grants(visitor.identity, { state, username: person, target, limit: limit ?? 100 })
      const may = await approvable(visitor)
      return { grants: found.map((grant) => grantView(grant, visitor, may)) }
    },
  })

  app.route({
    method: 'GET',
    url: '/grants/:id',
    schema: {
      summary: 'The whole story of a grant: request, approvals, sessions, end',
      tags: ['access'],
      params: grantParams,
      response: answers(storyWords.grantStory),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      const grant = await desk.grant(visitor.identity, request.params.id)
      const [events, sessions] = await Promise.all([
        library.audit({ grant: grant.id, limit: STORY_EVENTS }),
        library.sessions({ grant: grant.id, limit: STORY_SESSIONS }),
      ])
      const known = role(grant.role)
      return {
        grant: await view(visitor, grant),
        role: known === undefined ? null : roleView(known),
        // The library gives the newest first; what happened within one millisecond keeps its order.
        events: events
          .toReversed()
          .toSorted((a, b) => a.at - b.at)
          .map(auditView),
        sessions: sessions.filter((row) => maySee(desk, visitor, row)).map((row) => sessionView(row, visitor)),
        mayTakeEvidence: mayTakeEvidence(visitor, grant),
      }
    },
  })

  step('/grants/:id/extend', 'Ask for more time, under the rule of the role', accessWords.extendBody, (who, id, ask) =>
    desk.extend(who, id, ask),
  )

  step('/grants/:id/release', 'End my grant early', wire.emptyBody, (who, id) => desk.release(who, id))

  app.route({
    method: 'POST',
    url: '/grants/:id/revoke',
    schema: {
      summary: 'End a grant now; its sessions are cut',
      tags: ['access'],
      params: grantParams,
      body: wire.noteBody,
      response: answers(accessWords.grantList),
    },
    handler: async (request) => {
      const visitor = visitorOf(request)
      const ended = await desk.revoke(visitor.identity, { grant: request.params.id }, request.body.note)
      const may = await approvable(visitor)
      return { grants: ended.map((grant) => grantView(grant, visitor, may)) }
    },
  })
}
