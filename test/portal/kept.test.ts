/** The API for changes that wait: what a second person sees and decides, through the door. Who may decide is the desk's affair, tried in test/agents. */
import t from 'tap'
import type { SessionId } from '../../gateway/model/event.ts'
import { after, type Moment } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import type { PortalParts } from '../../gateway/portal/portal.ts'
import * as keptWords from '../../gateway/portal/schema/kept.ts'
import { people } from '../fixtures/grants.ts'
import { sessionOf, testPortal } from '../fixtures/portal.ts'

const { alice, bob } = people
const ID = '01936f5e-0000-7000-8000-00000000000a' as SessionId
const DIGEST = 'ab'.repeat(32)
const NOW = 1_800_000_000_000 as Moment

function keptDesk() {
  const done: string[] = []
  const start = sessionOf(alice, { id: ID, target: 'prod-app' })
  const session = { ...start, end: undefined, events: 0, bytesIn: 0, bytesOut: 0, statements: 0, denials: 0 }
  const only = (id: string) => {
    if (id !== ID) throw new Refusal('NOT_FOUND', 'There are no kept changes of such a session.')
  }
  const kept: NonNullable<PortalParts['kept']> = {
    list: async (identity) => ({
      rows: [
        {
          session,
          digest: DIGEST,
          changes: 2,
          bytes: 10,
          expiresAt: after(NOW, 60_000),
          isMine: identity.username === 'alice',
          approvers: ['leads'],
        },
      ],
      silent: ['web-1'],
    }),
    show: async (_, id) => {
      only(id)
      const change = { operation: 'changed', path: '/etc/x\u001b[2J', result: 'done', detail: 'file 0644 0:0' } as const
      return { session, digest: DIGEST, changes: [{ ...change, diff: '@@ -1,1 +1,1 @@\n-a\n+b\n' }] }
    },
    apply: async (identity, id, digest) => {
      only(id)
      if (digest !== DIGEST) throw new Refusal('NOT_ALLOWED', 'Nothing was applied: What is kept is not what was seen.')
      done.push(`${identity.username} applied ${id}`)
      return 2
    },
    discard: async (identity, id) => {
      only(id)
      done.push(`${identity.username} discarded ${id}`)
    },
  }
  return { kept, done }
}

t.test('a second person sees what waits, and applies exactly what was shown or throws it away', async (t) => {
  const { kept, done } = keptDesk()
  const portal = await testPortal(t, Object.values(people), async () => ({ kept }))
  const { origin } = portal
  const browser = await portal.as(bob)
  const list = keptWords.keptList.parse((await browser.api(origin, 'GET', '/kept-changes')).json())
  t.match(list, { kept: [{ session: { id: ID, username: 'alice' }, changes: 2, isMine: false }], silent: ['web-1'] })
  const layer = keptWords.keptLayer.parse((await browser.api(origin, 'GET', `/kept-changes/${ID}`)).json())
  t.match(layer, { digest: DIGEST, changes: [{ operation: 'changed', diff: /\+b/ }] })
  const apply = `/kept-changes/${ID}/apply`
  t.equal((await browser.api(origin, 'POST', apply, {})).status, 400, 'not unseen')
  t.equal((await browser.api(origin, 'POST', apply, { digest: '0'.repeat(64) })).status, 403, 'not something else')
  t.equal((await browser.api(origin, 'POST', apply, { digest: '../..' })).status, 400)
  t.same((await browser.api(origin, 'POST', apply, { digest: DIGEST })).json(), { applied: 2 })
  t.equal((await browser.api(origin, 'POST', `/kept-changes/${ID}/discard`)).status, 200)
  t.same(done, [`bob applied ${ID}`, `bob discarded ${ID}`])
  const other = ID.replace(/a$/, 'b')
  t.equal((await browser.api(origin, 'GET', `/kept-changes/${other}`)).status, 404)
  t.equal((await browser.api(origin, 'GET', '/kept-changes/x')).status, 400)
  const described = (await browser.api(origin, 'GET', '/openapi.json')).text
  for (const path of ['/kept-changes', '/kept-changes/{id}', '/kept-changes/{id}/apply', '/kept-changes/{id}/discard'])
    t.match(described, `"/api/v1${path}"`)
})

t.test('nobody decides who is not signed in, or from another site', async (t) => {
  const { kept, done } = keptDesk()
  const portal = await testPortal(t, Object.values(people), async () => ({ kept }))
  const stranger = portal.browser()
  for (const path of ['/kept-changes', `/kept-changes/${ID}`])
    t.equal((await stranger.api(portal.origin, 'GET', path)).status, 401)
  const apply = await stranger.api(portal.origin, 'POST', `/kept-changes/${ID}/apply`, { digest: DIGEST })
  t.equal(apply.status, 401)
  t.same(done, [])
})
