/** Sessions and their recordings through the API: lists, replays, event pages, and streams that follow. */
import t from 'tap'
import type { SessionEnd } from '../../gateway/model/event.ts'
import * as recordingWords from '../../gateway/portal/schema/recordings.ts'
import * as sessionWords from '../../gateway/portal/schema/sessions.ts'
import type { StreamEvent } from '../fixtures/browser-agent.ts'
import { liveGrant, people } from '../fixtures/grants.ts'
import { sessionOf, testPortal } from '../fixtures/portal.ts'

const { alice, erin, bob, carol, anna } = people
const everybody = Object.values(people)

t.test('sessions: mine, or all for those who may', async (t) => {
  const portal = await testPortal(t, everybody)
  const namesake = { ...alice, subject: 'https://idp.test|alice-0' as typeof alice.subject }
  portal.library.add(sessionOf(alice))
  portal.library.add(sessionOf(namesake))
  portal.library.add(sessionOf(erin, { target: 'prod-web' }))
  const list = async (who: typeof alice, query = '') =>
    sessionWords.sessionList
      .parse((await (await portal.as(who)).api(portal.origin, 'GET', `/sessions${query}`)).json())
      .sessions.map(({ username, target }) => `${username} ${target}`)
  t.same(await list(alice), ['alice prod-db'], 'not those of somebody who had the name before')
  t.same(await list(alice, '?person=erin'), [])
  t.equal((await list(carol)).length, 3)
  t.same(await list(carol, '?person=erin'), ['erin prod-web'])
  t.same(await list(anna, '?target=prod-web&limit=1'), ['erin prod-web'])
})

t.test('live sessions come from the desk, before anything of them was shipped', async (t) => {
  const portal = await testPortal(t, everybody)
  const grant = await liveGrant(portal.desk.grants)
  const start = sessionOf(alice, { grant: grant.id, startedAt: portal.house.clock.now() })
  const place = await portal.desk.grants.enter(start)
  const [engineer, auditor, lead] = [await portal.as(alice), await portal.as(carol), await portal.as(bob)]
  const { sessions } = sessionWords.sessionList.parse(
    (await auditor.api(portal.origin, 'GET', '/sessions?live=true')).json(),
  )
  t.match(sessions, [{ id: start.id, end: null, may: { watch: true, kill: false } }])
  t.same((await auditor.api(portal.origin, 'GET', '/sessions?live=true&target=prod-web')).json(), { sessions: [] })
  t.match((await engineer.api(portal.origin, 'GET', `/sessions/${start.id}`)).json(), { may: { kill: true } })
  t.equal((await auditor.api(portal.origin, 'POST', `/sessions/${start.id}/kill`, { note: 'x' })).status, 403)
  t.equal((await lead.api(portal.origin, 'POST', `/sessions/${start.id}/kill`, { note: 'enough' })).status, 200)
  t.ok(place.killed.aborted)
  await place.leave()
})

const END: SessionEnd = {
  endedAt: 1_800_000_060_000 as SessionEnd['endedAt'],
  cause: 'exited',
  detail: '',
  exitCode: 0,
}

t.test('each look at a recording is itself recorded', async (t) => {
  const portal = await testPortal(t, everybody)
  const row = portal.library.add(
    sessionOf(alice),
    [
      ['o', 'hello'],
      ['i', 'ls'],
    ],
    END,
  )
  const auditor = await portal.as(carol)
  const cast = await auditor.api(portal.origin, 'GET', `/sessions/${row.id}/asciicast?idle=2`)
  t.equal(cast.headers['content-type'], 'application/x-asciicast')
  t.match(cast.text, /^\{"version":3.*\n\[0\.5,"o","hello"\]\n/)
  t.equal(cast.headers['content-disposition'], undefined)
  await auditor.api(portal.origin, 'GET', `/sessions/${row.id}/events`)
  await auditor.api(portal.origin, 'GET', `/sessions/${row.id}/events?after=1`)
  const kept = await auditor.api(portal.origin, 'GET', `/sessions/${row.id}/asciicast?download=1`)
  t.equal(kept.headers['content-disposition'], `attachment; filename="session-${row.id}.cast"`)
  const none = await auditor.api(portal.origin, 'GET', `/sessions/${row.id}/har`)
  t.equal(none.status, 404, 'a shell has no requests')
  const web = portal.library.add(
    sessionOf(alice, { protocol: 'http' }),
    [['s', JSON.stringify({ n: 1, kind: 'http', text: 'GET /', verdict: { decision: 'allow' } })]],
    END,
  )
  const archive = await auditor.api(portal.origin, 'GET', `/sessions/${web.id}/har`)
  t.equal(archive.headers['content-disposition'], `attachment; filename="session-${web.id}.har"`)
  t.match(archive.json(), { log: { version: '1.2', entries: [{ request: { method: 'GET' } }] } })
  t.match(portal.audited.splice(-1), [{ kind: 'session.exported', actor: 'carol', session: web.id }])
  portal.house.clock.move(120_000)
  await auditor.api(portal.origin, 'GET', `/sessions/${row.id}/events?after=1`)
  t.match(
    portal.audited.map(({ kind, actor, session }) => [kind, actor, session]),
    [
      ['session.replayed', 'carol', row.id],
      ['session.exported', 'carol', row.id],
      ['session.replayed', 'carol', row.id],
    ],
    'pages of one replay are one look; a page out of the blue is another',
  )
  const before = portal.audited.length
  t.equal((await (await portal.as(erin)).api(portal.origin, 'GET', `/sessions/${row.id}/asciicast`)).status, 404)
  t.equal(portal.audited.length, before)

  const lost = portal.library.add(sessionOf(alice), [], END)
  t.equal(
    (await auditor.api(portal.origin, 'GET', `/sessions/${lost.id}/asciicast`)).status,
    500,
    'never an empty file',
  )
})

t.test('the event list comes in pages, with characters whole and statements readable', async (t) => {
  const portal = await testPortal(t, everybody)
  const statement = { n: 1, kind: 'sql', text: 'select 1', verdict: { decision: 'allow' }, truncated: false }
  const outcome = { n: 1, result: 'done', ms: 3, rows: 1 }
  const file = { operation: 'read', path: '/etc/hosts', result: 'done', bytes: 120 }
  const row = portal.library.add(
    sessionOf(alice),
    [
      ['o', 'caf\xc3'],
      ['o', '\xa9!'],
      ['s', JSON.stringify(statement)],
      ['d', JSON.stringify(outcome)],
      ['f', JSON.stringify(file)],
      ['s', '{"broken'],
      ['m', 'The grant ends in 5 minutes.'],
      ['r', '100x30'],
    ],
    END,
  )
  const browser = await portal.as(alice)
  const page = async (query: string) =>
    recordingWords.eventPage.parse(
      (await browser.api(portal.origin, 'GET', `/sessions/${row.id}/events${query}`)).json(),
    )
  const all = await page('')
  t.same(all.events.map(({ kind }) => kind).join(''), 'sdfsmr')
  t.equal(all.next, null)
  t.match(all.events[0], { seq: 3, seconds: 1, text: '', statement: { text: 'select 1' } })
  t.match(all.events[1], { outcome: { rows: 1 } })
  t.match(all.events[2], { file: { path: '/etc/hosts' } })
  t.match(all.events[3], { text: '{"broken' }, 'what does not parse stays text')
  t.same(
    (await page('?kinds=o')).events.map(({ text }) => text),
    ['caf', 'é!'],
  )
  const first = await page('?kinds=oirmxeksdf&limit=3')
  t.same(
    first.events.map(({ seq }) => seq),
    [1, 2, 3],
  )
  t.same(
    (await page(`?kinds=oirmxeksdf&limit=10&after=${first.next}`)).events.map(({ seq }) => seq),
    [4, 5, 6, 7, 8],
  )
})

t.test('a running session can be followed, from where one was, until it ends', async (t) => {
  const portal = await testPortal(t, everybody)
  const row = portal.library.add(sessionOf(alice), [
    ['o', 'one'],
    ['o', 'two'],
  ])
  const auditor = await portal.as(carol)
  const stream = auditor.stream(`${portal.origin}/api/v1/sessions/${row.id}/live`)
  const next = events(stream)
  t.match(await next(), { event: 'event', id: '1', data: { kind: 'o', text: 'one' } })
  t.match(await next(), { event: 'event', id: '2', data: { text: 'two' } })
  portal.library.play(row.id, 'o', 'three')
  t.match(await next(), { event: 'event', id: '3', data: { text: 'three' } })
  const again = auditor.stream(`${portal.origin}/api/v1/sessions/${row.id}/live`, { headers: { 'last-event-id': '2' } })
  const nextAgain = events(again)
  t.match(await nextAgain(), { id: '3' }, 'a browser that connects again goes on where it was')
  portal.library.rows.set(row.id, { ...row, end: END })
  portal.library.play(row.id, 'o', 'four')
  t.match(await next(), { event: 'event', id: '4' })
  t.match(await next(), { event: 'end', data: { cause: 'exited', exitCode: 0 } })
  t.equal(await next(), undefined, 'and that is all')
  t.same(
    portal.audited.map(({ kind }) => kind),
    ['session.watched', 'session.watched'],
  )
})

t.test('pages hear of changes, of silence, and of the sign-out', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const stream = browser.stream(`${portal.origin}/api/v1/changes`)
  const next = events(stream)
  t.match(await next(), { event: 'change' }, 'one at the start')
  await portal.desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })
  t.match(await next(), { event: 'change' })
  t.match(await next(':'), { event: ':', data: 'beat' }, 'heartbeats keep it open')
  t.ok(portal.identity.quiet.at(-1), 'and keep nobody signed in')
  const other = await portal.as(bob)
  const others = events(other.stream(`${portal.origin}/api/v1/changes`))
  await others()
  await browser.api(portal.origin, 'POST', '/sign-out')
  t.match(await next('signed-out'), { event: 'signed-out' })
  t.equal(await next(), undefined, 'closed')
  t.match(await others(':'), { event: ':' }, 'other browsers hear nothing of it')

  portal.identity.sessions.clear()
  t.match(await others('signed-out'), { event: 'signed-out' }, 'a sign-out anywhere else is noticed at the next beat')
})

t.test('who is locked out while watching sees no more, long before the next beat', async (t) => {
  const portal = await testPortal(t, everybody, async (settings) => ({
    settings: { ...settings, heartbeatMs: 3_600_000 },
  }))
  const row = portal.library.add(sessionOf(alice), [['o', 'one']])
  const auditor = await portal.as(carol)
  const next = events(auditor.stream(`${portal.origin}/api/v1/sessions/${row.id}/live`))
  t.match(await next(), { data: { text: 'one' } })
  portal.identity.sessions.clear()
  await portal.desk.grants.lock(anna, 'carol', 'left the company')
  t.match(await next(), { event: 'signed-out' })
  portal.library.play(row.id, 'o', 'two')
  t.equal(await next(), undefined)
})

t.test('a store that does not answer sends nobody away, and lets nobody listen for long', async (t) => {
  const { identity } = await testPortal(t, everybody)
  const store = { isDown: false }
  const session: typeof identity.session = async (cookie, how) => {
    if (store.isDown) throw new Error('the store does not answer')
    return await identity.session(cookie, how)
  }
  const portal = await testPortal(t, everybody, async () => ({ identity: { ...identity, session } }))
  const browser = await portal.as(alice)
  const next = events(browser.stream(`${portal.origin}/api/v1/changes`))
  await next()
  store.isDown = true
  t.equal(await next(), undefined, 'closed, and not told to sign in again')
  t.equal((await browser.api(portal.origin, 'GET', '/me')).status, 500)
  store.isDown = false
  t.equal((await browser.api(portal.origin, 'GET', '/me')).status, 200)
})

t.test('one browser cannot hold the gateway’s streams', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const open = async () => await browser.stream(`${portal.origin}/api/v1/changes`, { signal: stop.signal }).next()
  for (let n = 0; n < 16; n += 1) await open()
  await t.rejects(open(), /429/)
})

/** The next event, or the next of that name; comments only when they are asked for. */
function events(stream: AsyncGenerator<StreamEvent>): (name?: string) => Promise<StreamEvent | undefined> {
  return async (name) => {
    for (;;) {
      const { value, done } = await stream.next()
      if (done === true) return undefined
      if (name === undefined ? value.event !== ':' : value.event === name && value.data !== 'open') return value
    }
  }
}

t.test('a search finds lines in sessions that the person may see, and is itself recorded', async (t) => {
  const portal = await testPortal(t, everybody)
  const { origin } = portal
  const namesake = { ...alice, subject: 'https://idp.test|alice-0' as typeof alice.subject }
  portal.library.add(sessionOf(alice), [['o', 'alice saw disk full']], END)
  portal.library.add(sessionOf(namesake), [['o', 'the first alice saw disk full']], END)
  const hers = portal.library.add(sessionOf(erin), [['o', 'erin saw\u001b[2J disk full']], END)
  const search = async (who: typeof alice, query: string) =>
    (await portal.as(who)).api(origin, 'GET', `/search?${query}`)
  const lines = async (who: typeof alice, query: string) =>
    sessionWords.searchHits.parse((await search(who, query)).json()).hits.map(({ text }) => text)
  t.same(await lines(alice, 'text=disk+full'), ['alice saw disk full'])
  t.same(await lines(alice, 'text=disk+full&person=erin'), [], 'not those of others, whatever is asked for')
  t.equal((await lines(carol, 'text=disk+full')).length, 3)
  t.match((await search(carol, 'text=disk+full&person=erin')).json(), {
    hits: [{ session: { id: hers.id }, seconds: 0, source: 'shown' }],
  })
  t.same(await lines(bob, 'text=disk+full'), [], 'an approver is no auditor')
  t.equal((await search(alice, 'text=x')).status, 400, 'one letter finds everything')
  t.match(portal.audited.filter(({ kind, actor }) => kind === 'session.searched' && actor === 'carol')[0], {
    text: 'carol searched recordings: disk full',
  })
})

t.test('recordings and evidence are files for those who may see them, and taking one is recorded', async (t) => {
  const portal = await testPortal(t, everybody)
  const { origin, audited } = portal
  const grant = await liveGrant(portal.desk.grants)
  const row = portal.library.add(
    sessionOf(alice, { grant: grant.id }),
    [
      ['o', 'caf\u00c3'],
      ['o', '\u00a9 \u009b31m'],
    ],
    END,
  )
  const [engineer, lead, auditor, other] = [
    await portal.as(alice),
    await portal.as(bob),
    await portal.as(carol),
    await portal.as(erin),
  ]
  const json = await auditor.api(origin, 'GET', `/sessions/${row.id}/json`)
  t.equal(json.headers['content-disposition'], `attachment; filename="session-${row.id}.json"`)
  t.match(json.json(), { session: { id: row.id, username: 'alice' }, events: [{ seq: 1, text: 'caf' }, { seq: 2 }] })
  t.notMatch(json.text, /[\u0080-\u009f]/, 'nothing in it acts on a terminal')
  for (const [who, status] of [
    [engineer, 200],
    [lead, 404],
    [other, 404],
  ] as const)
    t.equal((await who.api(origin, 'GET', `/sessions/${row.id}/json`)).status, status)
  t.match(
    audited.filter(({ kind }) => kind === 'session.exported'),
    [{ actor: 'carol' }, { actor: 'alice' }],
  )

  const evidence = await auditor.api(origin, 'GET', `/grants/${grant.id}/evidence`)
  t.equal(evidence.headers['content-disposition'], `attachment; filename="grant-${grant.id}.evidence"`)
  t.match(JSON.parse(evidence.text), { grant: grant.id, by: 'carol' })
  t.equal((await engineer.api(origin, 'GET', `/grants/${grant.id}/evidence`)).status, 200, 'one’s own')
  t.equal((await lead.api(origin, 'GET', `/grants/${grant.id}/evidence`)).status, 403, 'an approver is no auditor')
  t.equal((await other.api(origin, 'GET', `/grants/${grant.id}/evidence`)).status, 404)
  t.match(
    audited.filter(({ kind }) => kind === 'grant.exported'),
    [{ actor: 'carol' }, { actor: 'alice' }],
  )
})
