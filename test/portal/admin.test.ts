/** The API for administrators: what they see, what they turn, and that nobody else does. */
import t from 'tap'
import type { Username } from '../../gateway/model/identity.ts'
import { after } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import type { PortalParts } from '../../gateway/portal/portal.ts'
import * as adminWords from '../../gateway/portal/schema/admin.ts'
import * as storyWords from '../../gateway/portal/schema/story.ts'
import { people, policy } from '../fixtures/grants.ts'
import { FINGERPRINT, testPortal } from '../fixtures/portal.ts'

const { alice, bob, carol, anna } = people
const everybody = Object.values(people)
const SOON = after(1_800_000_000_000 as never, 60_000)

function controlRoom() {
  const done: string[] = []
  const room: NonNullable<PortalParts['room']> = {
    targets: () => policy.targets,
    roles: () => policy.roles,
    people: {
      list: async () => [
        {
          username: alice.username,
          groups: alice.groups,
          seenAt: SOON,
          keys: [{ fingerprint: FINGERPRINT, boundAt: SOON, expiresAt: SOON }],
          browsers: 2,
          passkeys: 1,
          tokenUntil: undefined,
        },
      ],
      expel: async (username, by) => {
        if (username !== 'alice') throw new Refusal('NOT_FOUND', 'Nobody.')
        done.push(`${by.username} signed ${username} out`)
      },
    },
    agents: {
      agents: async () => [],
      issue: async (by, { agent, targets, forMs }) => {
        done.push(`${by} ${agent} ${targets.join(',')} ${forMs}`)
        return 'sallyport-agent.secret'
      },
      revoke: async (by, agent) => void done.push(`${by} revoked ${agent}`),
    },
    health: async () => ({
      version: '0.1.0',
      workers: undefined,
      journal: { isOpen: true, backlogBytes: 10, oldestSeconds: 0.2, mostBytes: 100 },
      audit: { isReachable: true, kind: 'embedded' },
      state: { seenAt: SOON, kind: 'embedded' },
      providers: [{ title: 'Development', isReachable: false }],
    }),
  }
  return { room, done }
}

t.test('only administrators see and turn these things', async (t) => {
  const { room, done } = controlRoom()
  const portal = await testPortal(t, everybody, async () => ({ room }))
  const routes = [
    ['GET', '/admin/targets'],
    ['GET', '/admin/roles'],
    ['GET', '/admin/people'],
    ['GET', '/admin/agents'],
    ['GET', '/admin/health'],
    ['POST', '/admin/people/alice/sign-out'],
    ['POST', '/admin/agents/web-1/revoke'],
    ['POST', '/identities/alice/lock'],
  ] as const
  for (const who of [alice, bob, carol]) {
    const browser = await portal.as(who)
    for (const [method, path] of routes)
      t.equal(
        (await browser.api(portal.origin, method, path, method === 'POST' ? {} : undefined)).status,
        403,
        `${who.username} ${path}`,
      )
    t.equal((await browser.api(portal.origin, 'POST', '/admin/agents', { agent: 'a', targets: ['b'] })).status, 403)
  }
  t.same(done, [], 'and nothing was done')
})

t.test('targets and roles are shown as configured, without a secret', async (t) => {
  const portal = await testPortal(t, everybody, async () => ({ room: controlRoom().room }))
  const admin = await portal.as(anna)
  const targets = await admin.api(portal.origin, 'GET', '/admin/targets')
  t.match(adminWords.adminTargets.parse(targets.json()).targets[0], {
    name: 'prod-db',
    endpoints: [
      { endpoint: 'ssh', where: '127.0.0.1:22', login: 'ca deploy' },
      { endpoint: 'postgres', where: '127.0.0.1:5432', login: 'static shop' },
    ],
    roles: ['logs', 'operator', 'owner'],
  })
  t.notMatch(targets.text, /env:NOTHING/, 'not even where the password is')
  const { roles } = adminWords.adminRoles.parse((await admin.api(portal.origin, 'GET', '/admin/roles')).json())
  t.match(roles[1], {
    role: { name: 'operator', scopes: [{ endpoint: 'ssh' }, { endpoint: 'postgres' }] },
    requesters: ['engineers'],
    covers: ['env = prod'],
    targets: ['prod-db', 'prod-web'],
  })
})

t.test('people are seen with what lets them in and with their lock; every deed names who did it', async (t) => {
  const { room, done } = controlRoom()
  const portal = await testPortal(t, everybody, async () => ({ room }))
  const { origin } = portal
  const admin = await portal.as(anna)
  const list = async () => adminWords.adminPeople.parse((await admin.api(origin, 'GET', '/admin/people')).json()).people
  t.match(await list(), [{ username: 'alice', browsers: 2, passkeys: 1, keys: [{}], tokenUntil: null, lock: null }])
  for (const username of ['alice', 'mallory' as Username])
    t.equal((await admin.api(origin, 'POST', `/identities/${username}/lock`, { note: 'lost laptop' })).status, 200)
  t.match(await list(), [
    { username: 'alice', lock: { by: 'anna', note: 'lost laptop' } },
    { username: 'mallory', seenAt: null, lock: { by: 'anna' } },
  ])
  t.equal(
    (await admin.api(origin, 'POST', '/identities/anna/lock', { note: '' })).status,
    400,
    'nobody locks themselves',
  )
  t.equal((await admin.api(origin, 'POST', '/identities/alice/unlock')).status, 200)
  t.match(await list(), [{ username: 'alice', lock: null }, {}])
  t.match(
    portal.desk.events.filter(({ kind }) => kind.startsWith('identity.')).map(({ kind, actor }) => `${actor} ${kind}`),
    ['anna identity.locked', 'anna identity.locked', 'anna identity.unlocked'],
  )
  t.equal((await admin.api(origin, 'POST', '/admin/people/alice/sign-out')).status, 200)
  t.equal((await admin.api(origin, 'POST', '/admin/people/nobody/sign-out')).status, 404)
  t.match((await admin.api(origin, 'POST', '/admin/agents', { agent: 'web-1', targets: ['prod-web'] })).json(), {
    token: 'sallyport-agent.secret',
  })
  t.equal((await admin.api(origin, 'POST', '/admin/agents', { agent: '../x', targets: ['prod-web'] })).status, 400)
  t.equal((await admin.api(origin, 'POST', '/admin/agents/web-1/revoke')).status, 200)
  t.same(done, ['anna signed alice out', 'anna web-1 prod-web 900000', 'anna revoked web-1'])
  t.match(adminWords.health.parse((await admin.api(origin, 'GET', '/admin/health')).json()), {
    workers: null,
    providers: [{ isReachable: false }],
  })
})

t.test('the audit log is for auditors and administrators', async (t) => {
  const portal = await testPortal(t, everybody, async () => ({ room: controlRoom().room }))
  const { origin } = portal
  const admin = await portal.as(anna)
  await admin.api(origin, 'POST', '/identities/mallory/lock', { note: '' })
  const auditor = await portal.as(carol)
  t.match(storyWords.auditPage.parse((await auditor.api(origin, 'GET', '/audit?about=identity&person=anna')).json()), {
    events: [{ kind: 'identity.locked', actor: 'anna', details: { username: 'mallory' } }],
    next: null,
  })
  t.equal((await admin.api(origin, 'GET', '/audit')).status, 200)
  for (const who of [alice, bob]) t.equal((await (await portal.as(who)).api(origin, 'GET', '/audit')).status, 403)
})
