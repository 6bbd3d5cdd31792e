/** Into a web target: sign-in and hand-over, asking for access, what strangers and programs are told, the end. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { role } from '../fixtures/grants.ts'
import { people } from '../fixtures/idp.ts'
import type { Role } from '../../gateway/model/role.ts'
import type { Target } from '../../gateway/model/target.ts'
import { FULL, requestsOf, roles, webRole, webTarget, webWorld } from '../fixtures/web-door.ts'
import { until } from '../fixtures/until.ts'

const seen: IncomingMessage[] = []
const app = createServer((request, response) => {
  seen.push(request)
  if (request.url === '/stream') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    return
  }
  response.writeHead(200, {
    'content-type': 'text/html',
    'set-cookie': ['app=1; Domain=localhost; Path=/', '__Host-sallyport-web=evil; Path=/; Secure', 'b=2'],
  })
  response.end(`hello from ${request.url}`)
})
await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve))
t.teardown(() => {
  app.closeAllConnections()
  app.close()
})
const url = `http://127.0.0.1:${(app.address() as AddressInfo).port}`
const changing: { -readonly [Key in keyof Role]: Role[Key] } = webRole('changing', { kind: 'auto' })
/** A host that has a web application as well. */
const both: Target = {
  ...webTarget('both-web', { url }),
  ssh: {
    host: '127.0.0.1',
    port: 22,
    trust: { keys: [], knownHosts: [], authorities: [] },
    credential: { kind: 'ca' },
    account: 'deploy',
  },
}
const world = await webWorld(
  t,
  [...['prod-web', 'other-web', 'fresh-web'].map((name) => webTarget(name, { url })), both],
  {
    roles: [
      ...roles,
      { ...webRole('fresh', { kind: 'auto' }), mfaWithinMinutes: 5 },
      changing,
      role('logs', { kind: 'auto' }, { endpoints: ['ssh'] }),
    ],
  },
)
const { alice, bob } = people
const home = world.originOf('prod-web')

const plain = (text: string, name: string) =>
  text.replaceAll(name, 'TARGET').replaceAll(/nonce-?="?[^" ;]*|Reference \w+/g, '')

await t.test('a stranger signs in, asks for access, waits, and goes on to the very page', async (t) => {
  const browser = world.browser()
  const first = await world.visit(browser, `${home}/orders?page=2`, alice)
  t.equal(first.status, 403)
  t.match(first.text, /Ask for access first/)
  t.match(first.url, /\/orders\?page=2$/)
  t.equal(seen.length, 0, 'nothing has reached the application')
  t.match(
    world.audited.findLast(({ kind }) => kind === 'session.refused'),
    { actor: 'alice', target: 'prod-web', details: { protocol: 'http' } },
  )
  const ask = /href="([^"]+web-ask[^"]+)"/.exec(first.text)?.[1]?.replaceAll('&#38;', '&') ?? ''
  const form = await browser.open(ask)
  t.match(form.text, /Ask for access to prod-web/)
  t.match(form.headers['content-security-policy'] ?? '', /form-action 'self' https:\/\/prod-web\.localhost/)
  const sent = await browser.open(`${world.origin}/web-ask`, {
    headers: { origin: world.origin },
    form: { ...hiddenOf(form.text), role: 'web', minutes: '20', reason: 'INC-42 look at orders' },
  })
  t.equal(sent.url, `${home}/orders?page=2`)
  t.match(sent.text, /Waiting for approval/)
  t.match(sent.text, /http-equiv="refresh" content="3"/)
  await world.signIn(world.browser(), bob)
  const [waiting] = await world.grants.requests(world.identityOf('bob'))
  t.match(waiting?.grant, { target: 'prod-web', minutes: 20, reason: 'INC-42 look at orders' })
  if (waiting !== undefined) await world.grants.approve(world.identityOf('bob'), waiting.grant.id, {})
  const page = await browser.open(`${home}/orders?page=2`)
  t.equal(page.status, 200)
  t.equal(page.text, 'hello from /orders?page=2')
  const [tape] = world.recorder.tapes
  t.match(tape?.start, { protocol: 'http', channel: 'web', target: 'prod-web', role: 'web', username: 'alice' })
  t.match(tape === undefined ? [] : requestsOf(tape), [
    {
      statement: { kind: 'http', text: 'GET /orders?page=2', verdict: { decision: 'allow' } },
      outcome: { result: 'done', status: 200, bytes: 25 },
    },
  ])
  await t.test('cookies stay on their sides', async (t) => {
    await browser.open(`${home}/again`)
    t.equal(browser.cookie('prod-web.localhost', 'app')?.value, '1')
    t.match(browser.cookie('prod-web.localhost', '__Host-sallyport-web')?.attributes, /HttpOnly/, 'ours is ours')
    const sent = seen.at(-1)?.headers.cookie ?? ''
    t.match(sent, /app=1/)
    t.match(sent, /b=2/)
    t.notMatch(sent, /sallyport/i)
  })
})

await t.test('who holds a grant for something else there is told so, and offered to ask', async (t) => {
  const grant = await world.live('logs', 'both-web')
  const browser = world.browser()
  await world.signIn(browser, alice)
  const page = await world.visit(browser, `${world.originOf('both-web')}/`, alice)
  t.match(page, { status: 403, text: /Your grant does not cover this/ })
  t.match(page.text, `Your grant ${grant.id} (logs) opens ssh on both-web, not its web application.`)
  t.match(page.text, 'Ask for access</a>')
  t.notMatch(page.text, /You have no access/)
  const program = await browser.open(`${world.originOf('both-web')}/`, { headers: { accept: 'application/json' } })
  t.match(program.json(), { error: { code: 'NO_GRANT', message: /opens ssh on both-web/, next: /^Ask for it: / } })
})

await t.test('a form of somebody else asks for nothing', async (t) => {
  const browser = world.browser()
  await world.signIn(browser, alice)
  const form = await browser.open(`${world.origin}/web-ask?target=other-web&returnTo=/`)
  const fields = { ...hiddenOf(form.text), role: 'web', minutes: '20', reason: 'because' }
  const post = (headers: Record<string, string>, more: Record<string, string> = {}) =>
    browser.open(`${world.origin}/web-ask`, { headers, form: { ...fields, ...more }, redirects: 0 })
  t.equal((await post({ origin: home })).status, 403)
  t.equal((await post({})).status, 403)
  t.equal((await post({ origin: world.origin }, { token: 'guess' })).status, 403)
  t.equal((await post({ origin: world.origin, 'sec-fetch-dest': 'iframe' })).status, 403)
  t.equal((await world.grants.requests(world.identityOf('alice'))).length, 0)
  const wrong = await post({ origin: world.origin }, { reason: '' })
  t.equal(wrong.status, 400)
  t.match(wrong.text, /role="alert"|reason/i)
})

await t.test('programs and WebSockets are told, not sent to a page', async (t) => {
  const browser = world.browser()
  const api = await browser.open(`${home}/api`, { headers: { accept: 'application/json' }, redirects: 0 })
  t.equal(api.status, 401)
  t.match(api.json(), { error: { code: 'NOT_SIGNED_IN', signIn: home } })
  const script = await browser.open(`${home}/`, { headers: { 'sec-fetch-mode': 'cors' }, redirects: 0 })
  t.equal(script.status, 401)
  const post = await browser.open(`${home}/`, { form: { a: '1' }, redirects: 0 })
  t.equal(post.status, 401)
  t.match(
    await world.raw(
      `GET /ws HTTP/1.1\r\nHost: prod-web.localhost:${world.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: ${home}\r\n\r\n`,
    ),
    /^HTTP\/1\.1 401 [\s\S]*NOT_SIGNED_IN/,
  )
})

await t.test('a code is good once, for its target, in the browser that asked, and not for long', async (t) => {
  const start = async () => {
    const browser = world.browser()
    await world.signIn(browser, alice)
    const begun = await browser.open(`${home}/`, { redirects: 0 })
    const handed = await browser.open(begun.headers.location ?? '')
    const enter = /content="0; url=([^"]+)"/.exec(handed.text)?.[1]?.replaceAll('&#38;', '&') ?? ''
    t.match(enter, /^https:\/\/prod-web\.localhost:\d+\/\.sallyport\/enter\?code=[\w-]{43}$/)
    return { browser, enter }
  }
  const { browser, enter } = await start()
  const other = await start()
  t.equal((await other.browser.open(enter, { redirects: 0 })).status, 403, "another browser's nonce: login CSRF")
  t.equal((await browser.open(enter, { redirects: 0 })).status, 403, 'and now it is used up')
  const elsewhere = await start()
  const moved = elsewhere.enter.replace('prod-web', 'other-web')
  elsewhere.browser.setCookie(
    'other-web.localhost',
    `__Host-sallyport-web-enter=${elsewhere.browser.cookie('prod-web.localhost', '__Host-sallyport-web-enter')?.value}; Path=/; Secure; HttpOnly`,
  )
  t.equal((await elsewhere.browser.open(moved, { redirects: 0 })).status, 403, 'of another target')
  const late = await start()
  world.later(61_000)
  t.equal((await late.browser.open(late.enter, { redirects: 0 })).status, 403, 'a minute later')
  const good = await start()
  const entered = await good.browser.open(good.enter, { redirects: 0 })
  t.equal(entered.status, 302)
  t.equal(entered.headers.location, '/')
  t.match(
    good.browser.cookie('prod-web.localhost', '__Host-sallyport-web')?.attributes,
    /Path=\/; Secure; HttpOnly; SameSite=Lax/,
  )
  t.equal(
    (
      await good.browser.open(`${world.origin}/web-sign-in?target=prod-web&state=${'a'.repeat(43)}`, {
        headers: { 'sec-fetch-dest': 'iframe' },
      })
    ).status,
    403,
  )
  const cookie = good.browser.cookie('prod-web.localhost', '__Host-sallyport-web')?.value ?? ''
  const stolen = await world.raw(
    `GET / HTTP/1.1\r\nHost: other-web.localhost:${world.port}\r\nCookie: __Host-sallyport-web=${cookie}\r\n\r\n`,
  )
  t.match(stolen, /^HTTP\/1\.1 401/, 'a cookie of one target is nothing on another')
})

await t.test('unknown targets and targets without a role look alike to whoever may not ask', async (t) => {
  const browser = world.browser()
  await world.signIn(browser, people.mallory)
  const [a, b] = [
    await world.visit(browser, `${world.originOf('prod-web')}/`, people.mallory),
    await world.visit(browser, `${world.originOf('nothing-here')}/`, people.mallory),
  ]
  t.equal(a.status, 403)
  t.equal(plain(a.text, 'prod-web'), plain(b.text, 'nothing-here'))
  const misdirected = await world.raw(`GET / HTTP/1.1\r\nHost: prod-web.localhost\r\n\r\n`)
  t.match(misdirected, /^HTTP\/1\.1 421/, 'another port is another site')
})

await t.test('signing out at the portal ends it here, and the next request shows the way back in', async (t) => {
  await world.live('viewer')
  const browser = world.browser()
  await world.signIn(browser, alice)
  t.equal((await world.visit(browser, `${home}/x`, alice)).status, 200)
  await browser.api(world.origin, 'POST', '/sign-out', {})
  await until(
    async () => (await browser.open(`${home}/x`, { redirects: 0, headers: { accept: '*/*' } })).status === 401,
    'signed out',
  )
  const again = await browser.open(`${home}/x`, { redirects: 0 })
  t.match(again.headers.location, /web-sign-in\?target=prod-web&returnTo=%2Fx&state=/)
})

await t.test('signing out ends what is open, too; signing out of one target leaves the others', async (t) => {
  await world.live('viewer', 'other-web')
  const browser = world.browser()
  await world.signIn(browser, alice)
  for (const target of ['prod-web', 'other-web']) await world.visit(browser, `${world.originOf(target)}/x`, alice)
  const streamed = async (target: string) => {
    const cookie = browser.cookie(`${target}.localhost`, '__Host-sallyport-web')?.value ?? ''
    const socket = await world.connect()
    let said = ''
    let isOver = false
    socket.on('data', (chunk: Buffer) => (said += chunk.toString()))
    socket.once('close', () => (isOver = true))
    socket.write(
      `GET /stream HTTP/1.1\r\nHost: ${target}.localhost:${world.port}\r\nCookie: __Host-sallyport-web=${cookie}\r\n\r\n`,
    )
    await until(() => said.includes('data: 1'), 'it streams')
    return () => isOver
  }
  const [here, there] = [await streamed('prod-web'), await streamed('other-web')]
  const out = await browser.open(`${home}/.sallyport/sign-out`, { method: 'POST', headers: { origin: home } })
  t.equal(out.status, 204)
  await until(here, 'this one is over')
  t.notOk(there())
  t.equal((await browser.open(`${world.originOf('other-web')}/x`)).status, 200)
  t.equal(
    (
      await browser.open(`${world.originOf('other-web')}/.sallyport/sign-out`, {
        method: 'POST',
        headers: { origin: home },
      })
    ).status,
    403,
  )
  await browser.api(world.origin, 'POST', '/sign-out', {})
  await until(there, 'and the other')
})

await t.test('a session that nobody uses is closed, and the next request opens another', async (t) => {
  const quiet = await webWorld(t, [webTarget('prod-web', { url })], { settings: { sessionIdleMs: 100 } })
  await quiet.live('viewer')
  const browser = quiet.browser()
  await quiet.signIn(browser, alice)
  const there = `${quiet.originOf('prod-web')}/x`
  await quiet.visit(browser, there, alice)
  await until(() => quiet.recorder.tapes[0]?.end !== undefined, 'closed')
  t.match(quiet.recorder.tapes[0]?.end, { cause: 'closed', detail: '' })
  t.equal((await browser.open(there)).status, 200)
  t.equal(quiet.recorder.tapes.length, 2)
})

await t.test('when the grant ends, the next request shows why', async (t) => {
  const grant = await world.live('web')
  const browser = world.browser()
  await world.signIn(browser, alice)
  t.equal((await world.visit(browser, `${home}/x`, alice)).status, 200)
  for (const live of await world.grants.grants(world.identityOf('alice'), { state: 'live' }))
    if (live.id !== grant.id) await world.grants.release(world.identityOf('alice'), live.id)
  await world.grants.revoke(world.identityOf('bob'), { grant: grant.id }, 'enough seen')
  const page = await browser.open(`${home}/x`)
  t.equal(page.status, 403)
  t.match(page.text, new RegExp(`Grant ${grant.id} was revoked by bob: enough seen`))
  const api = await browser.open(`${home}/x`, { headers: { accept: '*/*' } })
  t.match(api.json(), {
    error: { code: /GRANT_ENDED|NO_GRANT/, message: /enough seen/, next: /web-ask\?target=prod-web/ },
  })
})

await t.test('a role that asks for a fresh second factor sends people through the sign-in once more', async (t) => {
  await world.live('fresh', 'fresh-web')
  const browser = world.browser()
  await world.signIn(browser, alice)
  const there = `${world.originOf('fresh-web')}/x`
  t.equal((await world.visit(browser, there, alice)).status, 200)
  world.later(300_000)
  await until(async () => (await browser.open(there)).status === 401, 'asked again')
  const page = await browser.open(there)
  t.equal(page.status, 401)
  t.match(page.text, /Sign in again[\s\S]*of the last 5 minutes/)
  const link = /class="button" href="([^"]+)"/.exec(page.text)?.[1]?.replaceAll('&#38;', '&') ?? ''
  t.match(link, /\/sign-in\?fresh=1&returnTo=/)
})

await t.test('a changed rule counts at once, also for what is open', async (t) => {
  const grant = await world.live('changing', 'fresh-web', 'erin')
  t.equal(grant.state, 'live')
  const browser = world.browser()
  await world.signIn(browser, people.erin)
  const there = `${world.originOf('fresh-web')}/x`
  t.equal((await world.visit(browser, there, people.erin)).status, 200)
  changing.http = { ...FULL, paths: ['/y'] }
  await until(async () => (await browser.open(there)).status === 403, 'refused')
  t.match((await browser.open(there)).text, /This role may not open \/x/)
  t.equal((await browser.open(`${world.originOf('fresh-web')}/y`)).status, 200)
})

function hiddenOf(html: string): Record<string, string> {
  return Object.fromEntries(
    [...html.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)"/g)].map(([, name = '', value = '']) => [
      name,
      value.replaceAll(/&#(\d+);/g, (_, code: string) => String.fromCharCode(Number(code))),
    ]),
  )
}
