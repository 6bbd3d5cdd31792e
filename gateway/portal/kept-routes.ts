/** The API for changes of overlays that wait for a second person: what there is, what is in it, and its end. Who may decide is judged by the desk behind it. */
import type { FileRecord, SessionId } from '../model/event.ts'
import type { Identity } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import type { SessionRow } from '../session/session.ts'
import type { App } from './application.ts'
import * as keptWords from './schema/kept.ts'
import * as wire from './schema/wire.ts'
import { answers, sessionParams } from './shapes.ts'
import { iso } from './views.ts'
import { visitorOf } from './visitor.ts'

type Layer = { readonly session: SessionRow; readonly digest: string; readonly changes: readonly FileRecord[] }

/** ssh/ fits. Every look and every decision is an audit event. */
export type KeptDesk = {
  list(identity: Identity): Promise<{
    readonly rows: readonly {
      readonly session: SessionRow
      readonly digest: string
      readonly changes: number
      readonly bytes: number
      readonly expiresAt: Moment
      readonly isMine: boolean
      readonly approvers: readonly string[]
    }[]
    readonly silent: readonly string[]
  }>
  /** @throws {Refusal} NOT_FOUND, also for who may not decide. */
  show(identity: Identity, session: SessionId): Promise<Layer>
  /** @throws {Refusal} */
  apply(identity: Identity, session: SessionId, digest: string): Promise<number>
  discard(identity: Identity, session: SessionId): Promise<void>
}

export function keptRoutes(app: App, kept: KeptDesk): void {
  const tags = ['kept changes']

  app.route({
    method: 'GET',
    url: '/kept-changes',
    schema: {
      summary: 'What was changed in overlays and waits for me, or of mine for others',
      tags,
      response: answers(keptWords.keptList),
    },
    handler: async (request) => {
      const { rows, silent } = await kept.list(visitorOf(request).identity)
      return {
        kept: rows.map(({ approvers, expiresAt, session, ...row }) => ({
          ...row,
          session: sessionOf(session),
          expiresAt: iso(expiresAt),
          approvers: [...approvers],
        })),
        silent: [...silent],
      }
    },
  })

  app.route({
    method: 'GET',
    url: '/kept-changes/:id',
    schema: {
      summary: 'The changes of one session, with their differences',
      tags,
      params: sessionParams,
      response: answers(keptWords.keptLayer),
    },
    handler: async (request) => {
      const { changes, digest, session } = await kept.show(visitorOf(request).identity, request.params.id)
      return { session: sessionOf(session), digest, changes: [...changes] }
    },
  })

  app.route({
    method: 'POST',
    url: '/kept-changes/:id/apply',
    schema: {
      summary: 'Bring exactly what was shown to the host, once',
      tags,
      params: sessionParams,
      body: keptWords.applyBody,
      response: answers(keptWords.applied),
    },
    handler: async (request) => {
      const { id } = request.params
      return { applied: await kept.apply(visitorOf(request).identity, id, request.body.digest) }
    },
  })

  app.route({
    method: 'POST',
    url: '/kept-changes/:id/discard',
    schema: {
      summary: 'Throw the changes away',
      tags,
      params: sessionParams,
      body: wire.emptyBody,
      response: answers(wire.done),
    },
    handler: async (request) => {
      await kept.discard(visitorOf(request).identity, request.params.id)
      return { done: true as const }
    },
  })
}

const sessionOf = ({ id, reason, role, startedAt, target, username }: SessionRow) => ({
  id,
  username,
  target,
  role,
  reason,
  startedAt: iso(startedAt),
})
