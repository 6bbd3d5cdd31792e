/** The portal's API: from a request to the replay, over real TLS, with real grants behind it. */
import { connect } from 'node:tls'
import t from 'tap'
import type { SessionEnd } from '../../gateway/model/event.ts'
import { Fault } from '../../gateway/model/refusal.ts'
import * as words from '../../gateway/portal/schema.ts'
import type { StreamEvent } from '../fixtures/browser-agent.ts'
import { liveGrant, people } from '../fixtures/grants.ts'
import { sessionOf, testPortal } from '../fixtures/portal.ts'

const { alice, erin, bob, carol, anna } = people
const everybody = Object.values(people)

t.test('a request becomes a grant, and the grant can tell its story', async (t) => {
  const portal = await testPortal(t, everybody)
  const { origin } = portal
  const [engineer, lead, auditor] = [await portal.as(alice), await portal.as(bob), await portal.as(carol)]

  const { targets } = words.targetList.parse((await engineer.api(origin, 'GET', '/targets')).json())
  t.match(targets[0], {
    name: 'prod-db',
    endpoints: ['ssh', 'postgres'],
    commands: [
      { endpoint: 'ssh', command: 'ssh -p 2222 alice@gateway.example prod-db' },
      { endpoint: 'postgres', command: 'psql -h gateway.example -U alice prod-db' },
    ],
    roles: [
      { name: 'logs', approval: 'By rule, at once.', needsApproval: false },
      { approval: 'One person of leads.' },
      {},
    ],
  })
  t.match(targets[0]?.roles[1]?.allows, [
    /^A shell/,
    /^Read the database\. Statements that change something are refused\.$/,
  ])

  const asked = await engineer.api(origin, 'POST', '/requests', {
    target: 'prod-db',
    role: 'operator',
    minutes: 45,
    reason: 'INC-42 <script>alert(1)</script>',
  })
  const { id } = words.grant.parse(asked.json())
  t.match(asked.json(), { state: 'requested', isMine: true, may: { approve: false, withdraw: true }, liveAt: null })

  const waiting = words.requestList.parse((await lead.api(origin, 'GET', '/requests')).json()).requests
  t.match(waiting, [{ grant: { id, username: 'alice', may: { approve: true } }, role: { name: 'operator' } }])
  t.match((await engineer.api(origin, 'POST', `/requests/${id}/approve`)).json(), { error: { code: 'SELF_APPROVAL' } })
  const approved = words.grant.parse(
    (await lead.api(origin, 'POST', `/requests/${id}/approve`, { minutes: 20 })).json(),
  )
  t.match(approved, { state: 'live', minutes: 20, approvals: [{ by: 'bob' }], may: { revoke: true, extend: false } })

  portal.library.add(sessionOf(alice, { grant: id as never }))
  const story = words.grantStory.parse((await auditor.api(origin, 'GET', `/grants/${id}`)).json())
  t.match(
    story.events.map(({ kind }) => kind),
    ['grant.requested', 'grant.approved', 'grant.live'],
  )
  t.equal(story.sessions.length, 1)
  t.equal(story.grant.reason, 'INC-42 <script>alert(1)</script>', 'text stays text')
  const leadsStory = words.grantStory.parse((await lead.api(origin, 'GET', `/grants/${id}`)).json())
  t.same(leadsStory.sessions, [], 'an approver who is no auditor sees the story, not the recordings')

  const ended = words.grantList.parse((await lead.api(origin, 'POST', `/grants/${id}/revoke`, { note: 'done' })).json())
  t.match(ended.grants, [{ state: 'ended', endReason: 'revoked', endedBy: 'bob', endNote: 'done' }])
  const mine = words.grantList.parse((await engineer.api(origin, 'GET', '/grants?state=ended&target=prod-db')).json())
  t.equal(mine.grants.length, 1)
  t.same(
    (await (await portal.as(erin)).api(origin, 'GET', '/grants')).json(),
    { grants: [] },
    'others see nothing of it',
  )
})

t.test('what cannot be right is refused with where it is wrong', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const good = { target: 'prod-db', role: 'logs', reason: 'INC-42' }
  const wrong: [unknown, RegExp][] = [
    [{ ...good, admin: true }, /admin/],
    [{ ...good, minutes: 0 }, /body\.minutes/],
    [{ ...good, minutes: 1e9 }, /body\.minutes/],
    [{ ...good, minutes: '30' }, /body\.minutes/],
    [{ ...good, reason: '' }, /body\.reason/],
    [{ ...good, reason: 'a\u001b]0;title\u0007b' }, /body\.reason: has control characters/],
    [{ ...good, reason: 'two\nlines' }, /body\.reason/],
    [{ ...good, reason: 'x'.repeat(501) }, /body\.reason/],
    [{ ...good, target: '../etc' }, /body\.target/],
    [{ ...good, target: ['prod-db'] }, /body\.target/],
    [{}, /body\.target/],
    [[], /body/],
    ['text', /body/],
  ]
  for (const [body, where] of wrong) {
    const answer = await browser.api(portal.origin, 'POST', '/requests', body)
    t.equal(answer.status, 400)
    t.equal(answer.json().error.code, 'BAD_INPUT')
    t.match(answer.json().error.message, where)
  }
  const send = async (body: string, type = 'application/json') => {
    const { csrfToken } = (await browser.api(portal.origin, 'GET', '/me')).json()
    return await raw(portal, [
      'POST /api/v1/requests HTTP/1.1',
      `Host: gateway.example:${portal.port}`,
      `Cookie: __Host-sallyport=${browser.cookie('gateway.example', '__Host-sallyport')?.value}`,
      `Origin: ${portal.origin}`,
      `X-Sallyport-Csrf: ${csrfToken}`,
      `Content-Type: ${type}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      '',
      body,
    ])
  }
  t.match(await send('{"target":'), /^HTTP\/1\.1 400 [\s\S]*BAD_INPUT/)
  t.match(await send('{"__proto__":{"isAdmin":true},"target":"prod-db"}'), /^HTTP\/1\.1 400 /)
  t.match(await send(JSON.stringify({ ...good, reason: 'x'.repeat(70_000) })), /^HTTP\/1\.1 413 [\s\S]*64 KiB/)
  t.match(await send('target=prod-db', 'application/x-www-form-urlencoded'), /^HTTP\/1\.1 415 /)
  t.match(await send('<a/>', 'text/xml'), /^HTTP\/1\.1 415 /)
  for (const path of [
    '/grants/x',
    '/grants/1e3',
    '/sessions/../me',
    `/sessions/${'a'.repeat(36)}`,
    '/grants?limit=0',
    '/grants?nope=1',
    '/nothing',
  ]) {
    const answer = await browser.api(portal.origin, 'GET', path)
    t.ok([400, 404].includes(answer.status) || path.includes('..'), path)
  }
  t.same((await browser.api(portal.origin, 'GET', '/grants')).json(), { grants: [] }, 'nothing came of all that')
})

t.test('text from anywhere is harmless in JSON', async (t) => {
  const portal = await testPortal(t, everybody)
  const hostile = '\u001b]52;c;AAAA\u0007\r\n\u0000\u009b\u2028</script>"'
  portal.library.add(sessionOf(alice, { command: hostile, clientVersion: hostile }))
  const answer = await (await portal.as(alice)).api(portal.origin, 'GET', '/sessions')
  t.notMatch(answer.text, /\p{Cc}/u, 'no raw control character on the wire')
  t.equal(answer.json().sessions[0].command, hostile)
  t.equal(answer.headers['content-type'], 'application/json; charset=utf-8')
})

t.test('when the gateway breaks, the person gets a number and the log gets the reason', async (t) => {
  const first = await testPortal(t, everybody)
  const broken = { ...first.parts.desk, targets: async () => Promise.reject(new Error('password=hunter2 at /var/lib')) }
  const portal = await testPortal(t, everybody, async () => ({ desk: broken }))
  const answer = await (await portal.as(alice)).api(portal.origin, 'GET', '/targets')
  t.equal(answer.status, 500)
  const { error } = answer.json()
  t.match(error, { code: 'FAULT', message: 'The gateway could not do this.', next: /reference/ })
  t.notMatch(answer.text, /hunter2|var/)
  const entry = portal.logged.find(({ level }) => level === 'error')
  t.equal(entry?.details?.['reference'], error.reference)
  t.match(entry?.error, { message: /hunter2/ })
  const faulty = {
    ...first.parts.desk,
    targets: async () => Promise.reject(new Fault('no', { reference: 'abcd1234' })),
  }
  const other = await testPortal(t, everybody, async () => ({ desk: faulty }))
  const again = await (await other.as(alice)).api(other.origin, 'GET', '/targets')
  t.equal(again.json().error.reference, 'abcd1234', 'a fault brings its own number')
})

t.test('sessions: mine, or all for those who may', async (t) => {
  const portal = await testPortal(t, everybody)
  const namesake = { ...alice, subject: 'https://idp.test|alice-0' as typeof alice.subject }
  portal.library.add(sessionOf(alice))
  portal.library.add(sessionOf(namesake))
  portal.library.add(sessionOf(erin, { target: 'prod-web' }))
  const list = async (who: typeof alice, query = '') =>
    words.sessionList
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
  const { sessions } = words.sessionList.parse((await auditor.api(portal.origin, 'GET', '/sessions?live=true')).json())
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
    words.eventPage.parse((await browser.api(portal.origin, 'GET', `/sessions/${row.id}/events${query}`)).json())
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

t.test('one browser cannot hold the gateway’s streams', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const open = async () => await browser.stream(`${portal.origin}/api/v1/changes`, { signal: stop.signal }).next()
  for (let n = 0; n < 16; n += 1) await open()
  await t.rejects(open(), /429/)
})

t.test('an ssh sign-in is answered on its page', async (t) => {
  const portal = await testPortal(t, everybody)
  portal.identity.questions.set('question1', { username: 'alice', code: 'ABCD' })
  const browser = await portal.as(alice)
  const call = (method: string, path: string, body?: unknown) =>
    browser.api(portal.origin, method, `/sign-ins/question1${path}`, body)
  const question = words.signInQuestion.parse((await call('GET', '')).json())
  t.match(question, {
    kind: 'ssh',
    direction: 'type',
    target: 'prod-db',
    browserAddress: '127.0.0.1',
    keyFingerprint: null,
  })
  t.same((await call('POST', '/answer', { code: 'WXYZ' })).json(), { result: 'wrong-code', triesLeft: 4 })
  t.same((await call('POST', '/answer', { code: ' ABCD ' })).json(), { result: 'signed-in', triesLeft: null })
  t.match((await call('POST', '/reveal')).json(), { code: 'ABCD', expiresAt: /^20\d\d-/ })
  t.same((await call('POST', '/deny')).json(), { done: true })
  t.equal((await call('GET', '')).status, 404)
})

t.test('the OpenAPI document says everything about every call', async (t) => {
  const portal = await testPortal(t, everybody)
  const document = (await portal.browser().open(`${portal.origin}/api/v1/openapi.json`)).json()
  t.match(document, { openapi: '3.1.0', info: { title: 'Sallyport', version: '1' }, servers: [{ url: portal.origin }] })
  for (const [path, methods] of Object.entries(document.paths as Record<string, Record<string, Operation>>))
    for (const [method, operation] of Object.entries(methods)) {
      const name = `${method} ${path}`
      t.match(operation.summary, /^[A-Z]/, `${name} has a summary`)
      t.equal(operation.tags?.length, 1, `${name} has a tag`)
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter)
      const known = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path')
      t.same(
        known.map((parameter) => parameter.name),
        named,
        `${name} documents its path`,
      )
      t.ok(known.every((parameter) => parameter.required && parameter.schema?.type === 'string'))
      if (method === 'post')
        t.equal(operation.requestBody?.content['application/json']?.schema.type, 'object', `${name} has a body`)
      t.ok(operation.responses['200']?.content, `${name} says what it answers`)
      t.same(
        operation.responses['default']?.content?.['application/json']?.schema.required,
        ['error'],
        `${name} can refuse`,
      )
    }
  t.notMatch(JSON.stringify(document), /"\$ref":"(?!#\/)/, 'nothing points out of the document')
})

type Schema = { readonly type?: string; readonly required?: readonly string[] }
type Content = Readonly<Record<string, { readonly schema: Schema }>>
type Operation = {
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly parameters?: readonly {
    readonly in: string
    readonly name: string
    readonly required: boolean
    readonly schema?: Schema
  }[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
}

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

async function raw(portal: { readonly port: number; readonly ca: string }, lines: readonly string[]): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: portal.port, ca: portal.ca, servername: 'gateway.example' })
  socket.write(lines.join('\r\n'))
  const chunks: Buffer[] = []
  try {
    for await (const chunk of socket) chunks.push(chunk as Buffer)
  } catch {
    // A body that is too large is cut off: what was answered before counts.
  }
  return Buffer.concat(chunks).toString('utf8')
}
