/** The life of a grant: every step, every step that is refused, and who may take it. */
import t from 'tap'
import type { Grants } from '../../gateway/grants/grants.ts'
import type { Grant, GrantId } from '../../gateway/model/grant.ts'
import type { Identity } from '../../gateway/model/identity.ts'
import { Refusal, type RefusalCode } from '../../gateway/model/refusal.ts'
import { admit } from '../../gateway/session/session.ts'
import { grantId, house, liveGrant, people, person, policy, role } from '../fixtures/grants.ts'

const { alice, erin, bob, frank, carol, anna, mallory } = people
const MINUTE = 60_000
const why = 'INC-42: disk is full'

const refusal = async (deed: Promise<unknown>): Promise<Refusal> => {
  const answer = await deed.then(
    () => new Error('it was not refused'),
    (error: unknown) => error,
  )
  if (answer instanceof Refusal) return answer
  throw answer
}

t.test('a role by rule is live at once, and the clock starts then', async (t) => {
  const { desk, clock } = await house(t)
  const { grants, kinds, events } = await desk()
  const grant = await grants.request(alice, { target: 'prod-db', role: 'logs', minutes: 10, reason: `  ${why}\n` })
  t.match(grant, { id: '1', state: 'live', reason: why, username: 'alice', endpoints: ['ssh', 'postgres'] })
  t.equal(grant.state === 'live' && grant.expiresAt, clock.now() + 10 * MINUTE)
  t.strictSame(kinds(), ['grant.requested', 'grant.approved', 'grant.live'])
  t.match(events.at(-1)?.text, /^Grant 1 of alice is live until \d{4}-\d\d-\d\d \d\d:\d\d UTC\.$/)
  t.equal(
    events.every((event) => event.grant === '1' && event.target === 'prod-db'),
    true,
  )
  const tenure = await grants.live(alice.subject, 'prod-db', 'ssh')
  t.equal(tenure?.grant().id, '1')
})

t.test('a role by people waits for them, and its time counts from the approval', async (t) => {
  const { desk, clock } = await house(t)
  const { grants, kinds } = await desk()
  const asked = await grants.request(alice, { target: 'prod-db', role: 'operator', reason: why })
  t.match(asked, { state: 'requested', minutes: 30, approvalsNeeded: 1 })
  t.equal(await grants.live(alice.subject, 'prod-db', 'ssh'), undefined)
  clock.move(60 * MINUTE)
  const live = await grants.approve(bob, asked.id, { minutes: 15 })
  t.match(live, { state: 'live', minutes: 15, approvals: [{ by: 'bob', subject: bob.subject }] })
  t.equal(live.state === 'live' && live.expiresAt, clock.now() + 15 * MINUTE)
  t.strictSame(kinds(), ['grant.requested', 'grant.approved', 'grant.live'])
})

t.test('a role by two people needs two different ones, and the shorter time counts', async (t) => {
  const { desk } = await house(t)
  const { grants } = await desk()
  const asked = await grants.request(alice, { target: 'prod-db', role: 'owner', reason: why })
  const half = await grants.approve(bob, asked.id, { minutes: 20 })
  t.match(half, { state: 'requested', minutes: 20, approvalsNeeded: 2 })
  t.equal((await refusal(grants.approve(bob, asked.id, {}))).code, 'CONFLICT')
  const again: Identity = { ...bob, subject: person('other').subject }
  t.equal((await refusal(grants.approve(again, asked.id, {}))).code, 'CONFLICT', 'the same one by another provider')
  t.equal((await refusal(grants.approve(frank, asked.id, { minutes: 25 }))).code, 'BAD_INPUT')
  t.match(await grants.approve(frank, asked.id, {}), { state: 'live', minutes: 20 })
})

t.test('an approver may allow less than was asked for, and what any of them took away is gone', async (t) => {
  const { desk, clock } = await house(t)
  const { grants, events } = await desk()
  const asked = await grants.request(alice, { target: 'prod-db', role: 'owner', reason: why, ticket: ' INC-42 ' })
  t.match(asked, { ticket: 'INC-42', endpoints: ['ssh', 'postgres'] })
  for (const cut of [{ endpoints: [] }, { endpoints: ['http' as const] }, { endpoints: ['ssh', 'http'] as const }])
    t.equal((await refusal(grants.approve(bob, asked.id, cut))).code, 'BAD_INPUT')
  t.match(await grants.approve(bob, asked.id, { readOnly: true }), { state: 'requested', readOnly: true })
  const live = await grants.approve(frank, asked.id, { endpoints: ['ssh'], readOnly: false })
  t.match(live, { state: 'live', endpoints: ['ssh'], readOnly: true, ticket: 'INC-42' })
  t.match(events.at(-1), { kind: 'grant.live', details: { endpoints: ['ssh'], readOnly: true } })
  const tenure = await grants.live(alice.subject, 'prod-db', 'ssh')
  t.match(tenure?.grant(), { endpoints: ['ssh'], readOnly: true })
  t.equal(await grants.live(alice.subject, 'prod-db', 'postgres'), undefined, 'that door stays shut')

  const identity = { ...alice, proof: { ...alice.proof, authTime: clock.now() } }
  const admission = await admit(
    {
      grants,
      clock,
      target: (name) => policy.targets.find((target) => target.name === name),
      role: (name) => policy.roles.find((known) => known.name === name),
    },
    { identity, target: 'prod-db', protocol: 'ssh' },
  )
  t.match(admission.role, { ssh: { shell: 'read-only', forward: [] }, postgres: { mode: 'read-only' } })
  t.match(
    admission.role.ssh.workspace,
    { mode: 'read-only' },
    'where there is an agent, the kernel refuses writes, too',
  )
  t.strictSame(admission.role.ssh.commands, [])
  t.strictSame(admission.role.ssh.readOnly?.files.write, [])

  const more = await grants.extend(alice, live.id, {})
  t.equal((await refusal(grants.approve(bob, more.id, { readOnly: true }))).code, 'BAD_INPUT', 'time only')
})

t.test('nobody approves their own request, under no name', async (t) => {
  const { desk } = await house(t)
  const { grants, events } = await desk()
  const asked = await grants.request(frank, { target: 'prod-db', role: 'operator', reason: why })
  t.equal((await refusal(grants.approve(frank, asked.id, {}))).code, 'SELF_APPROVAL')
  const renamed: Identity = { ...frank, username: person('francis').username }
  t.equal((await refusal(grants.approve(renamed, asked.id, {}))).code, 'SELF_APPROVAL')
  const elsewhere: Identity = { ...frank, subject: person('other').subject }
  t.equal((await refusal(grants.approve(elsewhere, asked.id, {}))).code, 'SELF_APPROVAL')
  t.match(events.at(-1), { kind: 'grant.refused', actor: 'frank', details: { deed: 'approve', code: 'SELF_APPROVAL' } })
  t.match(await grants.grant(frank, asked.id), { state: 'requested', approvals: [] })
})

t.test('an unknown target, an unknown role and a forbidden one get one answer', async (t) => {
  const { desk } = await house(t)
  const { grants } = await desk()
  const asks: [Identity, string, string | undefined][] = [
    [alice, 'elsewhere', 'logs'],
    [alice, 'elsewhere', undefined],
    [alice, 'prod-db', 'nothing'],
    [mallory, 'prod-db', 'logs'],
    [mallory, 'prod-db', undefined],
    [mallory, 'elsewhere', undefined],
    [bob, 'prod-db', 'operator'],
  ]
  const shapes = new Set<string>()
  for (const [who, target, roleName] of asks) {
    const no = await refusal(grants.request(who, { target, role: roleName, reason: why }))
    shapes.add(JSON.stringify([no.code, no.message.replace(target, 'TARGET'), no.next]))
  }
  t.equal(shapes.size, 1, [...shapes].join(' '))
  t.match([...shapes][0], /NO_GRANT/)
  const odd = await refusal(grants.request(mallory, { target: '\u001b[2J', reason: why }))
  t.notOk(odd.message.includes('\u001b'))
})

t.test('what is typed has limits', async (t) => {
  const { desk } = await house(t)
  const { grants } = await desk()
  const ask = (more: object) => grants.request(alice, { target: 'prod-db', role: 'logs', reason: why, ...more })
  const bad: object[] = [
    { reason: 'no' },
    { reason: '      ' },
    { reason: 'x'.repeat(501) },
    { reason: 'x'.repeat(1_000_000) },
    { reason: 'red \u001b[31m text' },
    { reason: 'turned \u202e round' },
    { reason: 'hidden \u{e0041} word' },
    { reason: 'no\u200bthing' },
    { minutes: 0 },
    { minutes: 0.01 },
    { minutes: -5 },
    { minutes: 61 },
    { minutes: Number.NaN },
    { minutes: Number.POSITIVE_INFINITY },
    { endpoints: [] },
    { endpoints: ['http'] },
    { role: undefined },
    { target: 'prod-web', role: 'logs', endpoints: ['ssh', 'postgres'] },
  ]
  for (const more of bad) t.equal((await refusal(ask(more))).code, 'BAD_INPUT', JSON.stringify(more).slice(0, 60))
  t.match(await refusal(ask({ role: undefined })), { message: /logs, operator, owner/ })
  t.match(await ask({ minutes: 0.05, reason: 'می\u200cخواهم 👩\u200d🔧' }), { state: 'live' })
  t.match(await ask({ endpoints: ['postgres'] }), { endpoints: ['postgres'] })
  t.equal(await grants.live(alice.subject, 'prod-db', 'http'), undefined)
})

t.test('requests that wait are limited: one for one thing, twenty for one person', async (t) => {
  const { desk } = await house(t)
  const roles = Array.from({ length: 25 }, (_, n) => role(`r${n}`, { kind: 'people', count: 1, groups: ['leads'] }))
  const { grants } = await desk({ policy: () => ({ ...policy, roles: [...roles, role('auto', { kind: 'auto' })] }) })
  await grants.request(alice, { target: 'prod-db', role: 'r0', reason: why })
  t.match(await refusal(grants.request(alice, { target: 'prod-db', role: 'r0', reason: why })), {
    code: 'TOO_MANY',
    message: /request 1/,
  })
  for (let n = 1; n < 20; n += 1) await grants.request(alice, { target: 'prod-db', role: `r${n}`, reason: why })
  t.equal((await refusal(grants.request(alice, { target: 'prod-db', role: 'r20', reason: why }))).code, 'TOO_MANY')
  await grants.request(erin, { target: 'prod-db', role: 'r20', reason: why })
  for (let n = 0; n < 20; n += 1)
    await grants.request(alice, { target: 'prod-db', role: 'auto', reason: why }).catch(() => n)
  t.equal((await refusal(grants.request(alice, { target: 'prod-web', role: 'auto', reason: why }))).code, 'TOO_MANY')
})

type Deed = (grants: Grants, id: GrantId) => Promise<unknown>
const deeds: Record<string, Deed> = {
  'approve by a lead': (g, id) => g.approve(bob, id, {}),
  'approve by the owner': (g, id) => g.approve(alice, id, {}),
  'approve by an engineer': (g, id) => g.approve(erin, id, {}),
  'approve by an admin': (g, id) => g.approve(anna, id, {}),
  'approve by an auditor': (g, id) => g.approve(carol, id, {}),
  'deny by a lead': (g, id) => g.deny(bob, id, 'not today'),
  'deny by the owner': (g, id) => g.deny(alice, id, 'not today'),
  'deny by an engineer': (g, id) => g.deny(erin, id, 'not today'),
  'withdraw by the owner': (g, id) => g.withdraw(alice, id),
  'withdraw by a lead': (g, id) => g.withdraw(bob, id),
  'extend by the owner': (g, id) => g.extend(alice, id, { minutes: 10 }),
  'extend by a lead': (g, id) => g.extend(bob, id, { minutes: 10 }),
  'release by the owner': (g, id) => g.release(alice, id),
  'release by a lead': (g, id) => g.release(bob, id),
  'revoke by a lead': (g, id) => g.revoke(bob, { grant: id }, 'enough'),
  'revoke by an admin': (g, id) => g.revoke(anna, { grant: id }, 'enough'),
  'revoke by the owner': (g, id) => g.revoke(alice, { grant: id }, ''),
  'revoke by an auditor': (g, id) => g.revoke(carol, { grant: id }, 'enough'),
  'revoke by an engineer': (g, id) => g.revoke(erin, { grant: id }, 'enough'),
}
const starts: Record<string, (grants: Grants, ask: () => Promise<Grant>) => Promise<Grant>> = {
  requested: async (_, ask) => ask(),
  live: async (g, ask) => g.approve(bob, (await ask()).id, {}),
  ended: async (g, ask) => g.withdraw(alice, (await ask()).id),
}
/** What becomes of the grant, or why not. */
const table: Record<string, readonly [requested: string, live: string, ended: string]> = {
  'approve by a lead': ['live', 'CONFLICT', 'CONFLICT'],
  'approve by the owner': ['SELF_APPROVAL', 'CONFLICT', 'CONFLICT'],
  'approve by an engineer': ['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND'],
  'approve by an admin': ['NOT_ALLOWED', 'CONFLICT', 'CONFLICT'],
  'approve by an auditor': ['NOT_ALLOWED', 'CONFLICT', 'CONFLICT'],
  'deny by a lead': ['ended denied', 'CONFLICT', 'CONFLICT'],
  'deny by the owner': ['NOT_ALLOWED', 'CONFLICT', 'CONFLICT'],
  'deny by an engineer': ['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND'],
  'withdraw by the owner': ['ended withdrawn', 'CONFLICT', 'CONFLICT'],
  'withdraw by a lead': ['NOT_ALLOWED', 'CONFLICT', 'CONFLICT'],
  'extend by the owner': ['CONFLICT', 'live', 'CONFLICT'],
  'extend by a lead': ['NOT_ALLOWED', 'NOT_ALLOWED', 'NOT_ALLOWED'],
  'release by the owner': ['CONFLICT', 'ended released', 'CONFLICT'],
  'release by a lead': ['NOT_ALLOWED', 'NOT_ALLOWED', 'NOT_ALLOWED'],
  'revoke by a lead': ['CONFLICT', 'ended revoked', 'CONFLICT'],
  'revoke by an admin': ['CONFLICT', 'ended revoked', 'CONFLICT'],
  'revoke by the owner': ['CONFLICT', 'ended released', 'CONFLICT'],
  'revoke by an auditor': ['NOT_ALLOWED', 'NOT_ALLOWED', 'NOT_ALLOWED'],
  'revoke by an engineer': ['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND'],
}

t.test('every step from every state, by everybody', async (t) => {
  const { desk } = await house(t)
  const { grants } = await desk({ limits: { waiting: 1000, held: 1000 } })
  const ask = () => grants.request(alice, { target: 'prod-db', role: 'operator', minutes: 30, reason: why })
  for (const [name, expected] of Object.entries(table))
    for (const [index, state] of (['requested', 'live', 'ended'] as const).entries()) {
      const grant = await starts[state]?.(grants, ask)
      const id = grant?.id ?? grantId('0')
      const outcome = await deeds[name]?.(grants, id).then(
        () => undefined,
        (error: unknown) => (error instanceof Refusal ? error.code : String(error)),
      )
      const now = await grants.grant(alice, id)
      const became = now.state === 'ended' ? `ended ${now.endReason}` : now.state
      t.equal(outcome ?? became, expected[index], `${name} when ${state}`)
      if (outcome !== undefined) t.equal(now.state, state, 'a refused step changes nothing')
      if (now.state === 'requested') await grants.withdraw(alice, id)
      for (const request of await grants.requests(alice)) await grants.withdraw(alice, request.grant.id)
    }
  t.strictSame(Object.keys(table), Object.keys(deeds))
})

t.test('more time by rule comes at once, and never beyond the most from now', async (t) => {
  const { desk, clock } = await house(t)
  const { grants, kinds } = await desk()
  const grant = await grants.request(alice, { target: 'prod-db', role: 'logs', minutes: 50, reason: why })
  const longer = await grants.extend(alice, grant.id, { minutes: 30 })
  t.match(longer, { id: grant.id, state: 'live' })
  t.equal(longer.state === 'live' && longer.expiresAt, clock.now() + 60 * MINUTE)
  t.equal((await refusal(grants.extend(alice, grant.id, { minutes: 10 }))).code, 'BAD_INPUT', 'there is no more')
  clock.move(20 * MINUTE)
  const again = await grants.extend(alice, grant.id, { minutes: 5 })
  t.equal(again.state === 'live' && again.expiresAt, clock.now() + 45 * MINUTE)
  t.equal((await refusal(grants.extend(alice, grant.id, { minutes: 61 }))).code, 'BAD_INPUT')
  t.equal(kinds().filter((kind) => kind === 'grant.extended').length, 2)
  const without: Identity = { ...alice, groups: [] }
  t.equal((await refusal(grants.extend(without, grant.id, {}))).code, 'NOT_ALLOWED')
})

t.test('more time by people is a request of its own that lengthens the grant', async (t) => {
  const { desk, clock } = await house(t)
  const { grants } = await desk()
  const grant = await liveGrant(grants, 30)
  const asked = await grants.extend(alice, grant.id, { minutes: 20, reason: 'still filling up' })
  t.match(asked, { state: 'requested', extends: grant.id, minutes: 20, reason: 'still filling up' })
  t.equal((await refusal(grants.extend(alice, grant.id, { minutes: 20 }))).code, 'TOO_MANY')
  t.equal((await refusal(grants.approve(alice, asked.id, {}))).code, 'SELF_APPROVAL')
  t.match(await grants.requests(bob), [{ mayApprove: true, grant: { id: asked.id, extends: grant.id } }])
  clock.move(10 * MINUTE)
  t.match(await grants.approve(bob, asked.id, { minutes: 15 }), { state: 'approved', extends: grant.id })
  const longer = await grants.grant(alice, grant.id)
  t.equal(longer.state === 'live' && longer.expiresAt, clock.now() + 35 * MINUTE)
  t.equal((await grants.live(alice.subject, 'prod-db', 'ssh'))?.grant().id, grant.id, 'it opens nothing itself')
  t.equal((await refusal(grants.release(alice, asked.id))).code, 'CONFLICT')
  await grants.revoke(bob, { grant: grant.id }, 'enough')
  t.match(await grants.grant(alice, asked.id), { state: 'ended', endReason: 'revoked' })
  const second = await liveGrant(grants, 30)
  const waiting = await grants.extend(alice, second.id, {})
  await grants.release(alice, second.id)
  t.match(await grants.grant(alice, waiting.id), { state: 'ended', endReason: 'released' })
  t.equal((await refusal(grants.approve(bob, waiting.id, {}))).code, 'CONFLICT')
})

t.test('a request that nobody decided lapses after a day', async (t) => {
  const { desk, clock } = await house(t)
  const { grants, events } = await desk()
  const asked = await grants.request(alice, { target: 'prod-db', role: 'operator', reason: why })
  clock.move(24 * 60 * MINUTE - 1)
  t.equal((await grants.grant(alice, asked.id)).state, 'requested')
  clock.move(1)
  t.equal((await refusal(grants.approve(bob, asked.id, {}))).code, 'CONFLICT')
  t.match(await grants.grant(alice, asked.id), { state: 'ended', endReason: 'expired', liveAt: undefined })
  t.match(
    events.find(({ kind }) => kind === 'grant.ended'),
    { actor: '', text: /lapsed/ },
  )
})

t.test('revoke reaches one grant, all of a person, all on a target, and no further than one may', async (t) => {
  const { desk } = await house(t)
  const { grants } = await desk()
  const hold = async (who: Identity, target: string, name: string) =>
    (await grants.request(who, { target, role: name, reason: why })).id
  await hold(alice, 'prod-db', 'logs')
  const operator = await grants.approve(bob, await hold(alice, 'prod-web', 'operator'), {})
  await hold(erin, 'prod-db', 'logs')
  t.equal((await refusal(grants.revoke(mallory, { person: 'alice' }, ''))).code, 'NOT_ALLOWED')
  t.equal((await refusal(grants.revoke(carol, { target: 'prod-db' }, ''))).code, 'NOT_ALLOWED')
  t.match(await grants.revoke(bob, { person: 'alice' }, 'his role only'), [
    { id: operator.id, endReason: 'revoked', endNote: 'his role only', endedBy: 'bob' },
  ])
  t.match(await grants.revoke(anna, { target: 'prod-db' }, 'fire'), [{ username: 'erin' }, { username: 'alice' }])
  t.strictSame(await grants.revoke(anna, { person: 'nobody' }, ''), [])
  t.equal((await refusal(grants.revoke(anna, { grant: operator.id }, ''))).code, 'CONFLICT')
})

t.test('who is locked has nothing and may nothing, until unlocked', async (t) => {
  const { desk } = await house(t)
  const { grants, events } = await desk()
  const live = await liveGrant(grants)
  const waiting = await grants.request(alice, { target: 'prod-web', role: 'operator', reason: why })
  t.equal((await refusal(grants.lock(bob, 'alice', ''))).code, 'NOT_ALLOWED')
  t.equal((await refusal(grants.lock(anna, 'not a name', ''))).code, 'BAD_INPUT')
  t.equal((await refusal(grants.lock(anna, 'anna', ''))).code, 'BAD_INPUT')
  await grants.lock(anna, 'alice', 'laptop stolen')
  for (const { id } of [live, waiting])
    t.match(await grants.grant(alice, id), { state: 'ended', endReason: 'revoked', endedBy: 'anna' })
  t.match(await grants.lockOf(alice), { username: 'alice', by: 'anna', note: 'laptop stolen' })
  t.equal((await refusal(grants.request(alice, { target: 'prod-db', role: 'logs', reason: why }))).code, 'LOCKED')
  t.match(await refusal(grants.live(alice.subject, 'prod-db', 'ssh')), { code: 'LOCKED', message: /laptop stolen/ })
  t.ok(await grants.lockOf({ ...alice, username: person('alicia').username }), 'the lock follows the person')
  t.ok(await grants.lockOf({ ...alice, subject: mallory.subject }), 'and holds for the name')
  await grants.lock(anna, 'mallory', 'before we knew the person')
  t.ok(await grants.lockOf(mallory))
  t.ok(await grants.lockOf({ ...mallory, username: person('other').username }), 'who was met once is known')
  t.equal(await grants.lockOf(erin), undefined)
  await grants.unlock(anna, 'alice')
  t.equal((await refusal(grants.unlock(anna, 'alice'))).code, 'NOT_FOUND')
  t.match(await grants.request(alice, { target: 'prod-db', role: 'logs', reason: why }), { state: 'live' })
  t.strictSame(
    events.map(({ kind }) => kind).filter((kind) => kind.startsWith('identity.')),
    ['identity.locked', 'identity.locked', 'identity.unlocked'],
  )
})

t.test('each sees what is theirs; approvers, admins and auditors see more', async (t) => {
  const { desk } = await house(t)
  const { grants } = await desk()
  await grants.request(alice, { target: 'prod-db', role: 'logs', reason: why })
  await grants.request(alice, { target: 'prod-db', role: 'operator', reason: why })
  await grants.request(erin, { target: 'prod-web', role: 'operator', reason: why })
  const seen = async (who: Identity, filter = {}) => (await grants.grants(who, filter)).map(({ id }) => id)
  t.strictSame(await seen(alice), ['2', '1'])
  t.strictSame(await seen(bob), ['3', '2'], 'an approver: of the roles that are his')
  for (const who of [anna, carol]) t.strictSame(await seen(who), ['3', '2', '1'])
  t.strictSame(await seen(mallory), [])
  t.strictSame(await seen(carol, { username: 'alice', state: 'live' }), ['1'])
  t.strictSame(await seen(carol, { target: 'prod-web' }), ['3'])
  t.strictSame(await seen(carol, { limit: 1 }), ['3'])
  t.strictSame(await seen(carol, { endReason: 'denied' }), [])
  t.strictSame(await seen(bob, { username: 'alice' }), ['2'])
  t.strictSame(
    (await grants.requests(frank)).map(({ grant, mayApprove }) => [grant.id, mayApprove]),
    [
      ['3', true],
      ['2', true],
    ],
  )
  t.match(await grants.requests(alice), [{ grant: { id: '2' }, mayApprove: false }])
  t.strictSame(await grants.requests(mallory), [])
  const codes: RefusalCode[] = []
  for (const id of ['1', '99', "1' or '1'='1", '\u001b[2J'])
    codes.push((await refusal(grants.grant(mallory, grantId(id)))).code)
  t.strictSame(new Set(codes), new Set(['NOT_FOUND']))
  t.match(await grants.targets(alice), [
    {
      target: { name: 'prod-db' },
      roles: [{ name: 'logs' }, { name: 'operator' }, { name: 'owner' }],
      grants: [{}, {}],
    },
    { target: { name: 'prod-web' }, grants: [] },
  ])
  t.strictSame(await grants.targets(mallory), [])
  t.strictSame(
    (await grants.roles(bob)).map(({ name }) => name),
    ['owner'],
  )
  t.equal(grants.isAdmin(anna) && !grants.isAdmin(bob) && grants.isAuditor(carol) && !grants.isAuditor(anna), true)
  t.equal(grants.maySeeSession(alice, alice.username) && grants.maySeeSession(carol, alice.username), true)
  t.equal(grants.maySeeSession(bob, alice.username), false)
})

t.test('whoever asks is offered the role with the least power first, whatever the order of the config', async (t) => {
  const { desk } = await house(t)
  const rule = { kind: 'auto' } as const
  const look = { shell: 'read-only', forward: [] } as const
  const writes = { ...role('', rule).postgres, mode: 'read-write' } as const
  const roles = [
    role('operator', rule, { postgres: writes }),
    role('shell', rule),
    role('tunnel', rule, { ssh: { ...look, forward: ['127.0.0.1:*'] } }),
    role('tryout', rule, { endpoints: ['postgres'], postgres: { ...writes, workspace: 'rollback' } }),
    role('careful', rule, { ssh: look, hold: policy.roles[1]?.hold }),
    role('readonly', rule, { ssh: look }),
    role('support', rule, { endpoints: ['postgres'] }),
    role('logs', rule, {
      endpoints: ['ssh'],
      ssh: {
        shell: 'none',
        forward: [],
        commands: [
          { name: 'logs', description: '', template: '', argv: [], parameters: [], timeoutMs: 1, maxBytes: 1 },
        ],
      },
    }),
  ]
  const { grants } = await desk({ policy: () => ({ ...policy, roles }) })
  const least = ['logs', 'support', 'readonly', 'tryout', 'careful', 'shell', 'tunnel', 'operator']
  t.strictSame(
    (await grants.roles(alice)).map(({ name }) => name),
    least,
  )
  const [prod] = await grants.targets(alice)
  t.strictSame(
    prod?.roles.map(({ name }) => name),
    least,
  )
})

t.test('a reload of the config counts at once', async (t) => {
  const { desk } = await house(t)
  let now = policy
  const { grants } = await desk({ policy: () => now })
  const asked = await grants.request(alice, { target: 'prod-db', role: 'operator', reason: why })
  now = { ...policy, roles: policy.roles.filter(({ name }) => name !== 'operator') }
  t.equal((await refusal(grants.approve(bob, asked.id, {}))).code, 'NOT_FOUND', 'no role, no approvers')
  now = { ...policy, roles: [role('operator', { kind: 'people', count: 2, groups: ['leads'] })] }
  t.match(await grants.approve(bob, asked.id, {}), { state: 'requested', approvalsNeeded: 2 })
  now = { ...policy, targets: [] }
  t.equal((await refusal(grants.approve(frank, asked.id, {}))).code, 'CONFLICT')
})

t.test('who waits is told, whatever the decision and wherever it was made', async (t) => {
  const { desk } = await house(t)
  const [here, there] = [await desk(), await desk()]
  const asked = await here.grants.request(alice, { target: 'prod-db', role: 'operator', reason: why })
  const waiting = Array.from({ length: 50 }, () => here.grants.decided(asked.id, new AbortController().signal))
  await there.grants.approve(bob, asked.id, {})
  for (const grant of await Promise.all(waiting)) t.equal(grant.state, 'live')
  const second = await here.grants.request(alice, { target: 'prod-web', role: 'operator', reason: why })
  const denied = here.grants.decided(second.id, new AbortController().signal)
  await there.grants.deny(bob, second.id, 'not today')
  t.match(await denied, { state: 'ended', endReason: 'denied', endNote: 'not today' })
  const third = await here.grants.request(alice, { target: 'prod-web', role: 'operator', reason: why })
  const control = new AbortController()
  const given = here.grants.decided(third.id, control.signal)
  control.abort(new Error('went away'))
  await t.rejects(given, { message: 'went away' })
  await t.rejects(here.grants.decided(grantId('77'), control.signal), { message: 'went away' })
  t.equal((await refusal(here.grants.decided(grantId('77'), new AbortController().signal))).code, 'NOT_FOUND')
})
