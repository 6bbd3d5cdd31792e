/** The portal's API: from a request to the replay, over real TLS, with real grants behind it. */
import { connect } from 'node:tls'
import t from 'tap'
import type { Moment } from '../../gateway/model/moment.ts'
import { Fault } from '../../gateway/model/refusal.ts'
import * as accessWords from '../../gateway/portal/schema/access.ts'
import * as signInWords from '../../gateway/portal/schema/sign-ins.ts'
import * as storyWords from '../../gateway/portal/schema/story.ts'
import { people } from '../fixtures/grants.ts'
import { sessionOf, testPortal } from '../fixtures/portal.ts'

const { alice, erin, bob, carol } = people
const everybody = Object.values(people)

t.test('a request becomes a grant, and the grant can tell its story', async (t) => {
  const portal = await testPortal(t, everybody)
  const { origin } = portal
  const [engineer, lead, auditor] = [await portal.as(alice), await portal.as(bob), await portal.as(carol)]

  const { targets } = accessWords.targetList.parse((await engineer.api(origin, 'GET', '/targets')).json())
  t.match(targets[0], {
    name: 'prod-db',
    endpoints: ['ssh', 'postgres'],
    commands: [
      { endpoint: 'ssh', role: null, command: 'ssh -t -p 2222 alice@gateway.example prod-db' },
      { endpoint: 'postgres', role: null, command: 'psql -h gateway.example -U alice prod-db' },
    ],
    roles: [
      { name: 'logs', approval: 'By rule, at once.', needsApproval: false },
      { approval: 'One person of leads.' },
      {},
    ],
  })
  t.match(targets[0]?.roles[1]?.scopes, [
    { endpoint: 'ssh', allows: [/^A shell/] },
    { endpoint: 'postgres', allows: [/^Read the database\. Statements that change something are refused\.$/] },
  ])

  const asked = await engineer.api(origin, 'POST', '/requests', {
    target: 'prod-db',
    role: 'operator',
    minutes: 45,
    reason: 'INC-42 <script>alert(1)</script>',
  })
  const { id } = accessWords.grant.parse(asked.json())
  t.match(asked.json(), { state: 'requested', isMine: true, may: { approve: false, withdraw: true }, liveAt: null })

  const waiting = accessWords.requestList.parse((await lead.api(origin, 'GET', '/requests')).json()).requests
  t.match(waiting, [{ grant: { id, username: 'alice', may: { approve: true } }, role: { name: 'operator' } }])
  t.match((await engineer.api(origin, 'POST', `/requests/${id}/approve`)).json(), { error: { code: 'SELF_APPROVAL' } })
  const approved = accessWords.grant.parse(
    (await lead.api(origin, 'POST', `/requests/${id}/approve`, { minutes: 20 })).json(),
  )
  t.match(approved, { state: 'live', minutes: 20, approvals: [{ by: 'bob' }], may: { revoke: true, extend: false } })

  portal.library.add(sessionOf(alice, { grant: id as never }))
  const story = storyWords.grantStory.parse((await auditor.api(origin, 'GET', `/grants/${id}`)).json())
  t.match(
    story.events.map(({ kind }) => kind),
    ['grant.requested', 'grant.approved', 'grant.live'],
  )
  t.equal(story.sessions.length, 1)
  t.equal(story.grant.reason, 'INC-42 <script>alert(1)</script>', 'text stays text')
  const leadsStory = storyWords.grantStory.parse((await lead.api(origin, 'GET', `/grants/${id}`)).json())
  t.same(leadsStory.sessions, [], 'an approver who is no auditor sees the story, not the recordings')

  const ended = accessWords.grantList.parse(
    (await lead.api(origin, 'POST', `/grants/${id}/revoke`, { note: 'done' })).json(),
  )
  t.match(ended.grants, [{ state: 'ended', endReason: 'revoked', endedBy: 'bob', endNote: 'done' }])
  const mine = accessWords.grantList.parse(
    (await engineer.api(origin, 'GET', '/grants?state=ended&target=prod-db')).json(),
  )
  t.equal(mine.grants.length, 1)
  t.same(
    (await (await portal.as(erin)).api(origin, 'GET', '/grants')).json(),
    { grants: [] },
    'others see nothing of it',
  )
})

t.test('an approver sees what a person did there before, and may allow less', async (t) => {
  const portal = await testPortal(t, everybody)
  const { origin } = portal
  const [engineer, lead, other] = [await portal.as(alice), await portal.as(bob), await portal.as(erin)]
  const ask = { target: 'prod-db', role: 'operator', reason: 'Disk is full', ticket: 'INC-42' }
  const { id } = accessWords.grant.parse((await engineer.api(origin, 'POST', '/requests', ask)).json())
  const before = portal.library.add(sessionOf(alice, { command: 'cat /etc/shadow', startedAt: 0 as Moment }))
  portal.library.add({ ...sessionOf(alice, { startedAt: 0 as Moment }), subject: erin.subject })
  portal.library.add(sessionOf(alice, { target: 'prod-web', startedAt: 0 as Moment }))
  portal.library.add(sessionOf(alice, { startedAt: (Date.now() + 86_400_000 * 3650) as Moment }))
  const past = await lead.api(origin, 'GET', `/requests/${id}/past`)
  t.strictSame(
    accessWords.pastList.parse(past.json()).sessions.map((session) => session.id),
    [before.id],
    'of this person, on this target, before they asked',
  )
  t.notMatch(past.text, /shadow/, 'that there were some, not what was done')
  t.equal((await other.api(origin, 'GET', `/requests/${id}/past`)).status, 404, 'not for anybody else')

  const wider = await lead.api(origin, 'POST', `/requests/${id}/approve`, { endpoints: ['http'] })
  t.match(wider.json(), { error: { code: 'BAD_INPUT' } })
  const live = await lead.api(origin, 'POST', `/requests/${id}/approve`, { endpoints: ['ssh'], readOnly: true })
  t.match(live.json(), { state: 'live', endpoints: ['ssh'], readOnly: true, ticket: 'INC-42' })
})

t.test('what cannot be right is refused with where it is wrong', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const good = { target: 'prod-db', role: 'logs', reason: 'INC-42' }
  const wrong: [unknown, RegExp][] = [
    [{ ...good, admin: true }, /admin/],
    [{ ...good, ticket: 'x'.repeat(101) }, /body\.ticket/],
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

t.test('an ssh sign-in is answered on its page', async (t) => {
  const portal = await testPortal(t, everybody)
  portal.identity.questions.set('question1', { username: 'alice', code: 'ABCD' })
  const browser = await portal.as(alice)
  const call = (method: string, path: string, body?: unknown) =>
    browser.api(portal.origin, method, `/sign-ins/question1${path}`, body)
  const question = signInWords.signInQuestion.parse((await call('GET', '')).json())
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
