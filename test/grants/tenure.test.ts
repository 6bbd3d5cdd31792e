/** What is live, for exactly how long, and how fast everybody knows when it is not. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rename } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createGrants } from '../../gateway/grants/grants.ts'
import { endSignIns } from '../../gateway/identity/identity.ts'
import type { Grant, GrantId } from '../../gateway/model/grant.ts'
import { silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import type { GrantNotice, Tenure } from '../../gateway/session/session.ts'
import type { State } from '../../gateway/state/state.ts'
import { aborted, type Desk, house, liveGrant, people, policy, session } from '../fixtures/grants.ts'
import { until } from '../fixtures/until.ts'

const { alice, erin, bob, anna, mallory, carol } = people
const MINUTE = 60_000
const why = 'INC-42: disk is full'

async function tenureOf({ grants }: Pick<Desk, 'grants'> & { readonly grant?: Grant }): Promise<Tenure> {
  const tenure = await grants.live(alice.subject, 'prod-db', 'ssh')
  if (tenure === undefined) throw new Error('nothing is live')
  return tenure
}

const next = (from: Tenure): Promise<void> =>
  new Promise((resolve) => {
    const stop = from.onNotice(() => {
      stop()
      resolve()
    })
  })

const ids = ({ events }: Desk): readonly string[] =>
  events.filter(({ kind }) => kind === 'grant.warned').map(({ id }) => id)

type Test = { teardown(work: () => unknown): unknown }

/** A real process beside us; resolves with its next line. */
function worker(t: Test, url: string, order: string) {
  const script = new URL('../fixtures/grants-worker.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [script, url, order], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return { child, line: async (): Promise<string> => (await lines.next()).value ?? '' }
}

const numbered = (grant: GrantId) => ({ kind: 'grant', grant }) as const

t.test('the newest live grant counts, for its person, its target, its endpoint, its role', async (t) => {
  const { desk, clock } = await house(t)
  const { grants } = await desk()
  const first = await liveGrant(grants)
  clock.move(1000)
  const second = await grants.request(alice, { target: 'prod-db', role: 'logs', endpoints: ['ssh'], reason: why })
  const id = async (...question: Parameters<typeof grants.live>) => (await grants.live(...question))?.grant().id
  t.equal(await id(alice.subject, 'prod-db', 'ssh'), second.id)
  t.equal(await id(alice.subject, 'prod-db', 'postgres'), first.id)
  t.equal(await id(alice.subject, 'prod-db', 'ssh', { kind: 'role', role: 'operator' }), first.id)
  t.equal(await id(alice.subject, 'prod-db', 'ssh', { kind: 'role', role: 'owner' }), undefined)
  t.equal(await id(alice.subject, 'prod-db', 'ssh', numbered(first.id)), first.id, 'or its number')
  t.equal(await id(alice.subject, 'prod-db', 'postgres', numbered(second.id)), undefined, 'not at another endpoint')
  t.equal(await id(alice.subject, 'prod-web', 'ssh', numbered(first.id)), undefined, 'nor on another target')
  t.equal(await id(erin.subject, 'prod-db', 'ssh', numbered(first.id)), undefined, 'nor for another person')
  t.equal(await id(alice.subject, 'prod-db', 'ssh', numbered('99' as GrantId)), undefined)
  t.equal(await id(alice.subject, 'prod-web', 'ssh'), undefined)
  t.equal(await id(erin.subject, 'prod-db', 'ssh'), undefined)
  t.equal((await tenureOf({ grants })).ended, (await tenureOf({ grants })).ended, 'shared by all')
})

t.test('it ends with its minute, by the wall clock, and says so in the books', async (t) => {
  const { desk, clock } = await house(t)
  const here = await desk()
  const grant = await liveGrant(here.grants, 10)
  const tenure = await tenureOf(here)
  clock.move(10 * MINUTE - 1)
  t.ok(await here.grants.live(alice.subject, 'prod-db', 'ssh'))
  clock.move(1)
  t.equal(await here.grants.live(alice.subject, 'prod-db', 'ssh'), undefined, 'before any timer fires')
  const reason = await aborted(tenure.ended)
  t.match(reason, { code: 'GRANT_ENDED', message: `Grant ${grant.id} has expired.` })
  t.type(reason, Refusal)
  t.match(await here.grants.grant(alice, grant.id), { state: 'ended', endReason: 'expired', endedBy: undefined })
  t.match(here.events.at(-1), { kind: 'grant.ended', actor: '' })
})

t.test('a real timer ends a short grant without anybody asking', async (t) => {
  const { desk } = await house(t)
  const here = await desk({ clock: wallClock })
  const grant = await here.grants.request(alice, { target: 'prod-db', role: 'logs', minutes: 0.05, reason: why })
  const tenure = await tenureOf(here)
  await aborted(tenure.ended)
  t.ok(grant.state === 'live' && Date.now() >= grant.expiresAt, 'and not before')
})

t.test('a clock that jumps an hour ahead ends it; one that jumps back does not bring it back', async (t) => {
  const { desk, clock } = await house(t)
  const here = await desk()
  const grant = await liveGrant(here.grants, 30)
  const tenure = await tenureOf(here)
  clock.move(-60 * MINUTE)
  await pause(1200)
  t.notOk(tenure.ended.aborted, 'a jump back takes nothing away')
  clock.move(120 * MINUTE)
  t.match(await aborted(tenure.ended), { code: 'GRANT_ENDED' })
  clock.move(-120 * MINUTE)
  await until(async () => (await here.grants.grant(alice, grant.id)).state === 'ended')
  t.equal(await here.grants.live(alice.subject, 'prod-db', 'ssh'), undefined)
})

t.test('people are told at five minutes and at one, only of what lies ahead, and when there is more', async (t) => {
  const { desk, clock } = await house(t)
  const here = await desk()
  const there = await desk()
  const grant = await here.grants.request(alice, { target: 'prod-db', role: 'logs', minutes: 10, reason: why })
  const tenure = await tenureOf(here)
  const other = await tenureOf(there)
  const told: string[] = []
  const note = (notice: GrantNotice) => void told.push(`${notice.kind} ${notice.minutes}`)
  const stop = tenure.onNotice(note)
  tenure.onNotice(() => {
    throw new Error('a listener that fails')
  })
  clock.move(5 * MINUTE)
  await next(tenure)
  const [longer, elsewhere] = [next(tenure), next(other)]
  await here.grants.extend(alice, grant.id, { minutes: 10 })
  await Promise.all([longer, elsewhere])
  clock.move(10 * MINUTE)
  await next(tenure)
  clock.move(4 * MINUTE)
  await next(tenure)
  t.strictSame(told, ['ending 5', 'extended 15', 'ending 5', 'ending 1'])
  stop()
  t.equal(ids(here).length, 3)
  t.ok(
    ids(there).every((id) => ids(here).includes(id)),
    'two workers report one warning under one id',
  )
  await here.grants.release(alice, grant.id)
  await here.grants.request(alice, { target: 'prod-db', role: 'logs', minutes: 3, reason: why })
  const short = await tenureOf(here)
  const heard: string[] = []
  short.onNotice((notice) => void heard.push(`${notice.kind} ${notice.minutes}`))
  clock.move(2.5 * MINUTE)
  await next(short)
  t.strictSame(heard, ['ending 1'])
})

t.test('an end anywhere is an end everywhere, with a reason a person understands', async (t) => {
  const { desk } = await house(t)
  const [here, there] = [await desk(), await desk()]
  const ends: [string, (id: Awaited<ReturnType<typeof liveGrant>>['id']) => Promise<unknown>, object][] = [
    [
      'revoked',
      (id) => there.grants.revoke(bob, { grant: id }, 'the fire is out'),
      { code: 'GRANT_ENDED', message: /was revoked by bob: the fire is out\.$/ },
    ],
    ['released', (id) => there.grants.release(alice, id), { code: 'GRANT_ENDED', message: /released by alice\.$/ }],
    [
      'locked',
      () => there.grants.lock(anna, 'alice', 'laptop stolen'),
      { code: 'LOCKED', message: 'Your access was locked by anna: laptop stolen.' },
    ],
  ]
  for (const [name, deed, expected] of ends) {
    const grant = await liveGrant(here.grants)
    const tenure = await tenureOf(here)
    await deed(grant.id)
    t.match(await aborted(tenure.ended), expected, name)
  }
})

t.test('a revocation in one process ends the session in another', async (t) => {
  const { desk, file } = await house(t)
  const here = await desk({ clock: wallClock })
  const grant = await liveGrant(here.grants)
  const { child, line } = worker(t, file.url, 'hold')
  t.equal(await line(), 'holding')
  t.match(await here.grants.liveSessions(carol), [{ grant: grant.id, username: 'alice', terminal: undefined }])
  await here.grants.revoke(bob, { grant: grant.id }, 'the fire is out')
  const committed = Date.now()
  const said = await line()
  t.match(said, /^ended \d+ Refusal: Grant 1 was revoked by bob: the fire is out\.$/)
  t.comment(`revoke to abort in the other process: ${Number(said.split(' ')[1]) - committed} ms`)
  await once(child, 'exit')
  t.strictSame(await here.grants.liveSessions(carol), [])
})

t.test('a session is ended by hand from another process, and the grant stays', async (t) => {
  const { desk, file } = await house(t)
  const here = await desk({ clock: wallClock })
  const grant = await liveGrant(here.grants)
  const { line } = worker(t, file.url, 'hold')
  await line()
  const [row] = await here.grants.liveSessions(anna)
  if (row === undefined) throw new Error('no session')
  await t.rejects(here.grants.kill(mallory, row.id, ''), { code: 'NOT_FOUND' })
  await t.rejects(here.grants.kill(carol, row.id, ''), { code: 'NOT_ALLOWED' })
  await here.grants.kill(bob, row.id, 'wrong host')
  t.match(await line(), /^killed \d+ Refusal: Your session was ended by bob: wrong host\.?$/)
  t.equal((await here.grants.grant(alice, grant.id)).state, 'live')
  t.match(here.events.at(-1), { kind: 'session.killed', actor: 'bob', session: row.id })
})

t.test('what happened right before kill -9 is in the log after the next sweep, once', async (t) => {
  const { desk, file } = await house(t)
  const first = await desk({ clock: wallClock })
  const { child } = worker(t, file.url, 'die')
  await once(child, 'exit')
  const [grant] = await first.grants.grants(alice, {})
  t.match(grant, { state: 'live' }, 'it was committed')
  await first.grants.sweep()
  t.strictSame(first.kinds(), [], 'whoever committed it may still be about to send it')
  const later = await desk({ clock: { now: () => (Date.now() + 11_000) as ReturnType<typeof wallClock.now> } })
  await later.grants.sweep()
  t.strictSame(later.kinds().toSorted(), ['grant.approved', 'grant.live', 'grant.requested'])
  const ids = later.events.map(({ id }) => id)
  await later.grants.sweep()
  t.equal(new Set(later.events.map(({ id }) => id)).size, ids.length, 'again under the same ids at most')
  await later.grants.close()
  t.strictSame(await first.state.all('select id from outbox'), [])
})

t.test('a log that does not take an event gets it again', async (t) => {
  const { desk, clock } = await house(t)
  const { grants, events, state } = await desk()
  const push = events.push
  events.push = () => {
    throw new Error('full')
  }
  await grants.request(alice, { target: 'prod-db', role: 'logs', reason: why })
  events.push = push
  clock.move(11_000)
  await grants.sweep()
  t.equal(events.length, 3)
  await grants.close()
  t.strictSame(await state.all('select id from outbox'), [])
})

t.test('without the state store nothing new begins, and after thirty seconds nothing goes on', async (t) => {
  const { desk, clock, file } = await house(t)
  const here = await desk()
  await liveGrant(here.grants)
  const tenure = await tenureOf(here)
  await rename(file.path, `${file.path}.away`)
  await pause(150)
  await t.rejects(here.grants.live(alice.subject, 'prod-db', 'ssh'), { code: 'UNAVAILABLE' })
  await t.rejects(here.grants.request(alice, { target: 'prod-db', role: 'logs', reason: why }), { code: 'UNAVAILABLE' })
  clock.move(29_000)
  await pause(1200)
  t.notOk(tenure.ended.aborted, 'not yet')
  clock.move(2000)
  t.match(await aborted(tenure.ended), { code: 'UNAVAILABLE', message: /whether your grant still stands/ })
  await t.rejects(here.grants.live(alice.subject, 'prod-db', 'ssh'), { code: 'UNAVAILABLE' })
  await rename(`${file.path}.away`, file.path)
  await until(() => here.grants.live(alice.subject, 'prod-db', 'ssh').catch(() => undefined), 'it comes back by itself')
})

t.test('news that is lost is found again, and a store that answers nonsense is no store', async (t) => {
  const { clock, file } = await house(t)
  const state = await file.open({ clock })
  const other = await file.open({ clock })
  let answers = true
  const deaf: State = {
    ...state,
    all: (sql, params) =>
      answers ? state.all(sql, params) : Promise.reject(new Error('what is written there cannot be read')),
    onChange: () => () => undefined,
  }
  const rest = { clock, log: silent, audit: () => undefined, policy: () => policy, endSignIns }
  const here = createGrants({ state: deaf, ...rest }, { staleAfterMs: 20_000 })
  const there = createGrants({ state: other, ...rest })
  t.teardown(async () => {
    answers = true
    await here.close()
    await there.close()
  })
  const first = await tenureOf({ grants: here, grant: await liveGrant(there) })
  await there.revoke(bob, { person: 'alice' }, '')
  clock.move(5001)
  t.match(await aborted(first.ended), { code: 'GRANT_ENDED' })
  const second = await tenureOf({ grants: here, grant: await liveGrant(there) })
  answers = false
  clock.move(19_000)
  await pause(700)
  t.notOk(second.ended.aborted)
  clock.move(2000)
  t.match(await aborted(second.ended), { code: 'UNAVAILABLE' })
})

t.test('a session begins only under a live grant of that person, and its row goes when it goes', async (t) => {
  const { desk, clock } = await house(t)
  const { grants, events, kinds } = await desk()
  const grant = await liveGrant(grants, 10)
  const place = await grants.enter(session(grant))
  t.equal((await grants.liveSessions(alice)).length, 1)
  t.equal((await grants.liveSessions(erin)).length, 0)
  t.equal((await grants.liveSessions(anna)).length, 1)
  await t.rejects(grants.enter({ ...session(grant), subject: erin.subject }), { code: 'GRANT_ENDED' })
  t.match(events.at(-1), { kind: 'session.refused', details: { code: 'GRANT_ENDED' } })
  await place.leave()
  await place.leave()
  t.strictSame(await grants.liveSessions(anna), [])
  t.equal(kinds().filter((kind) => kind === 'session.ended').length, 1)
  clock.move(10 * MINUTE)
  await t.rejects(grants.enter(session(grant)), { code: 'GRANT_ENDED' })
  const second = await liveGrant(grants)
  await grants.revoke(bob, { grant: second.id }, '')
  await t.rejects(grants.enter(session(second)), { code: 'GRANT_ENDED', message: /revoked by bob/ })
})

t.test('sessions of a dead worker are forgotten; those of one that lives come back', async (t) => {
  const { desk, clock } = await house(t)
  const [supervisor, living] = [await desk(), await desk()]
  const grant = await liveGrant(living.grants)
  const place = await living.grants.enter(session(grant))
  clock.move(46_000)
  t.equal((await supervisor.grants.liveSessions(anna)).length, 0, 'silent for too long')
  await supervisor.grants.sweep()
  t.match(supervisor.events.at(-1), { kind: 'session.ended', text: /worker is gone/ })
  t.strictSame(await supervisor.state.all('select id from live_sessions'), [])
  await until(async () => (await supervisor.grants.liveSessions(anna)).length > 0)
  t.notOk(place.killed.aborted, 'it was only the clock')
})

t.test('listeners hear of changes of all workers, not more often than they can bear', async (t) => {
  const { desk } = await house(t)
  const [here, there] = [await desk(), await desk()]
  let calls = 0
  const stop = here.grants.onChange(() => {
    calls += 1
  })
  for (let n = 0; n < 15; n += 1) await here.grants.request(alice, { target: 'prod-db', role: 'logs', reason: why })
  await until(() => calls > 0)
  await pause(250)
  t.ok(calls >= 1 && calls <= 5, `${calls} calls for 15 changes`)
  calls = 0
  const grant = await there.grants.request(erin, { target: 'prod-db', role: 'logs', reason: why })
  await until(() => calls > 0)
  calls = 0
  const place = await there.grants.enter(session(grant))
  await until(() => calls > 0)
  await pause(700)
  calls = 0
  await here.state.run("update counters set value = value where name = 'grant'")
  await pause(200)
  t.equal(calls, 0, 'what is not about grants is not heard')
  stop()
  await place.leave()
  await pause(200)
  t.equal(calls, 0)
})
