/** The portal's door: who gets in, what browsers are told, what a page of another site can do. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect } from 'node:tls'
import t from 'tap'
import type { Moment } from '../../gateway/model/moment.ts'
import { apiPolicies } from '../../gateway/portal/policy.ts'
import { selfSignedCertificate } from '../../gateway/portal/portal.ts'
import { returnPath } from '../../gateway/portal/return-to.ts'
import { build, FINGERPRINT, sessionOf, testPortal } from '../fixtures/portal.ts'
import { liveGrant, people } from '../fixtures/grants.ts'

const { alice, bob, carol, anna, mallory } = people
const everybody = Object.values(people)

t.test('a person signs in, is known, and signs out for good', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = portal.browser()
  const started = await browser.open(`${portal.origin}/sign-in?returnTo=/grants/17`, { redirects: 0 })
  t.equal(started.status, 302)
  t.equal(started.headers.location, 'https://idp.example/authorize')
  t.equal(
    browser.cookie('gateway.example', '__Host-sallyport-sign-in')?.attributes,
    'Max-Age=600; Path=/; Secure; HttpOnly; SameSite=Lax',
  )
  const back = await browser.open(`${portal.origin}/callback?as=alice`, { redirects: 0 })
  t.equal(back.status, 302)
  t.equal(back.headers.location, '/grants/17', 'where they wanted to go')
  t.equal(browser.cookie('gateway.example', '__Host-sallyport')?.attributes, 'Path=/; Secure; HttpOnly; SameSite=Lax')
  t.equal(browser.cookie('gateway.example', '__Host-sallyport-sign-in'), undefined, 'the sign-in cookie is spent')

  const me = await browser.api(portal.origin, 'GET', '/me')
  t.match(me.json(), {
    username: 'alice',
    groups: ['engineers'],
    isAdmin: false,
    isAuditor: false,
    amr: ['pwd', 'otp'],
  })

  const cookie = browser.cookie('gateway.example', '__Host-sallyport')?.value ?? ''
  const out = await browser.api(portal.origin, 'POST', '/sign-out')
  t.equal(out.json().location, 'https://idp.example/end')
  t.equal(browser.cookie('gateway.example', '__Host-sallyport'), undefined)
  const thief = portal.browser()
  thief.setCookie('gateway.example', `__Host-sallyport=${cookie}; Path=/; Secure`)
  t.equal((await thief.api(portal.origin, 'GET', '/me')).status, 401, 'a copied cookie is worth nothing afterwards')
  t.equal((await browser.open(`${portal.origin}/signed-out`)).status, 200)
})

t.test('a sign-in that fails shows a sentence, what to do, and a reference that the log knows', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = portal.browser()
  await browser.open(`${portal.origin}/sign-in`, { redirects: 0 })
  const page = await browser.open(`${portal.origin}/callback?as=dave&code=s3cret-code`)
  t.equal(page.status, 401)
  t.match(page.text, 'A second factor is missing.')
  t.match(page.text, 'Set one up.')
  const reference = /Reference ([0-9a-f]{8})/.exec(page.text)?.[1] ?? 'none'
  t.match(JSON.stringify(portal.logged), reference)
  t.notMatch(JSON.stringify(portal.logged), /s3cret|code=/, 'no query string in the log')
  t.equal(browser.cookie('gateway.example', '__Host-sallyport'), undefined)
  t.equal(browser.cookie('gateway.example', '__Host-sallyport-sign-in'), undefined)
  t.equal((await portal.browser().open(`${portal.origin}/callback?as=alice`)).status, 401, 'a callback out of nowhere')
})

t.test('after signing in a browser goes to a page of ours and nowhere else', async (t) => {
  const ours = new URL('https://gateway.example:8443')
  const stay = { '/approve/abc?x=1#y': '/approve/abc?x=1#y', '/': '/', '/%2f%2fevil.example': '/%2f%2fevil.example' }
  for (const [from, to] of Object.entries(stay)) t.equal(returnPath(from, ours), to)
  const attacks = [
    '//evil.example',
    '\\\\evil.example',
    '/\\evil.example',
    '/\\/evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    '/.//evil.example',
    '/a/..//evil.example',
    '/%2e//evil.example',
    '%2f%2fevil.example',
    'https://evil.example/',
    'https:evil.example',
    'javascript:alert(1)',
    'data:text/html,x',
    'evil.example',
    '@evil.example',
    ' /grants',
    '/a\r\nset-cookie: a=b',
    `/${'a'.repeat(3000)}`,
    '',
  ]
  for (const attack of attacks) t.equal(returnPath(attack, ours), '/', JSON.stringify(attack))
  const portal = await testPortal(t, everybody)
  const browser = portal.browser()
  for (const attack of ['//evil.example', '/.//evil.example', '/\\evil.example'])
    await browser.open(`${portal.origin}/sign-in?returnTo=${encodeURIComponent(attack)}`, { redirects: 0 })
  t.same(portal.identity.returnTos, ['/', '/', '/'])
})

t.test('a route that nobody gave a policy cannot exist, and every policy has its route', async (t) => {
  const portal = await testPortal(t, everybody)
  const document = (await portal.browser().open(`${portal.origin}/api/v1/openapi.json`)).json()
  const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  )
  t.same(
    documented.toSorted(),
    Object.keys(apiPolicies)
      .filter((route) => !route.endsWith('openapi.json'))
      .toSorted(),
  )
})

t.test('each route lets in whom its policy names and nobody else', async (t) => {
  const portal = await testPortal(t, everybody)
  const grant = await liveGrant(portal.desk.grants)
  const row = portal.library.add(sessionOf(alice, { grant: grant.id }), [['o', 'hello']])
  portal.identity.questions.set('question1', { username: 'alice', code: 'ABCD' })
  const browsers = {
    nobody: portal.browser(),
    alice: await portal.as(alice),
    mallory: await portal.as(mallory),
    bob: await portal.as(bob),
    carol: await portal.as(carol),
    anna: await portal.as(anna),
  }
  /** In the order nobody, owner, stranger, approver, auditor, administrator. `?`: the desk has more to say. */
  const expected: Record<string, readonly number[]> = {
    'GET /me': [401, 200, 200, 200, 200, 200],
    'GET /keys': [401, 200, 200, 200, 200, 200],
    'GET /targets': [401, 200, 200, 200, 200, 200],
    'GET /requests': [401, 200, 200, 200, 200, 200],
    'GET /grants': [401, 200, 200, 200, 200, 200],
    'GET /sessions': [401, 200, 200, 200, 200, 200],
    [`GET /grants/${grant.id}`]: [401, 200, 404, 200, 200, 200],
    [`GET /sessions/${row.id}`]: [401, 200, 404, 404, 200, 200],
    [`GET /sessions/${row.id}/asciicast`]: [401, 200, 404, 404, 200, 200],
    [`GET /sessions/${row.id}/events`]: [401, 200, 404, 404, 200, 200],
    'GET /sign-ins/question1': [401, 200, 404, 404, 404, 404],
    [`DELETE /keys/${encodeURIComponent(FINGERPRINT)}`]: [401, 200, 200, 200, 200, 200],
    'POST /requests {"target":"prod-db","role":"operator","reason":"INC-42"}': [401, 200, 403, 403, 403, 403],
    [`POST /requests/${grant.id}/approve`]: [401, 409, 404, 409, 409, 409],
    [`POST /requests/${grant.id}/deny {"reason":"no need"}`]: [401, 409, 404, 409, 409, 409],
    [`POST /requests/${grant.id}/withdraw`]: [401, 409, 404, 409, 409, 409],
    [`POST /grants/${grant.id}/extend`]: [401, 200, 404, 403, 403, 403],
    [`POST /sessions/${row.id}/kill {"note":"x"}`]: [401, 404, 404, 404, 404, 404],
    'POST /sign-ins/question1/answer {"code":"ABCD"}': [401, 200, 404, 404, 404, 404],
    'POST /sign-ins/question1/reveal': [401, 200, 404, 404, 404, 404],
    'POST /identities/mallory/lock {"note":"x"}': [401, 403, 403, 403, 403, 200],
    'POST /identities/mallory/unlock': [401, 403, 403, 403, 403, 200],
    [`POST /grants/${grant.id}/release`]: [401, 200, 404, 403, 403, 403],
    [`POST /grants/${grant.id}/revoke {"note":"x"}`]: [401, 409, 404, 409, 403, 409],
    'POST /sign-ins/question1/deny': [401, 200, 404, 404, 404, 404],
    'POST /sign-out': [401, 200, 200, 200, 200, 200],
  }
  for (const [call, statuses] of Object.entries(expected)) {
    const [, method = '', path = '', body] = /^(\w+) (\S+)(?: (.*))?$/.exec(call) ?? []
    const got: number[] = []
    for (const [who, browser] of Object.entries(browsers)) {
      const answer = await browser.api(portal.origin, method, path, body === undefined ? undefined : JSON.parse(body))
      got.push(answer.status)
      if (answer.status >= 400) {
        const { error } = answer.json()
        t.match(error, { code: /^[A-Z_]+$/, message: /^\S.*[.!?]$/, reference: /^[0-9a-f]{8}$/ }, `${who}: ${call}`)
      }
    }
    t.same(got, statuses, call)
  }
})

t.test('what another page sends in somebody’s name is refused', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const url = `${portal.origin}/api/v1/requests`
  const json = { target: 'prod-db', role: 'logs', reason: 'INC-42' }
  const { csrfToken } = (await browser.api(portal.origin, 'GET', '/me')).json()
  const good = { origin: portal.origin, 'x-sallyport-csrf': csrfToken }
  const post = (headers: Record<string, string>) => browser.open(url, { json, headers })
  const attacks: Record<string, Record<string, string>> = {
    'no token': { origin: portal.origin },
    'a wrong token': { ...good, 'x-sallyport-csrf': 'token-of-nobody' },
    'an empty token': { ...good, 'x-sallyport-csrf': '' },
    'no origin': { 'x-sallyport-csrf': csrfToken },
    'another origin': { ...good, origin: 'https://evil.example' },
    'a web target next door': { ...good, origin: `https://grafana.gateway.example:${portal.port}` },
    'another port': { ...good, origin: 'https://gateway.example' },
    'plain http': { ...good, origin: portal.origin.replace('https', 'http') },
    'an origin of null': { ...good, origin: 'null' },
    'the same site': { ...good, 'sec-fetch-site': 'same-site' },
    'another site': { ...good, 'sec-fetch-site': 'cross-site' },
  }
  for (const [what, headers] of Object.entries(attacks)) {
    const answer = await post(headers)
    t.equal(answer.status, 403, what)
    t.equal(answer.json().error.code, 'NOT_ALLOWED')
  }
  const form = await browser.open(url, { form: { target: 'prod-db' }, headers: good })
  t.equal(form.status, 415, 'a form is not read at all')
  t.same((await browser.api(portal.origin, 'GET', '/grants')).json().grants, [], 'nothing happened')
  t.equal((await post(good)).status, 200, 'our own page may')
  const peek = await browser.open(`${portal.origin}/api/v1/grants`, { headers: { 'sec-fetch-site': 'same-site' } })
  t.equal(peek.status, 403, 'not even a look from next door')
})

t.test('a cookie that comes twice counts as none', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const { value } = browser.cookie('gateway.example', '__Host-sallyport') ?? { value: '' }
  const cookie = `__Host-sallyport=planted; __Host-sallyport=${value}`
  t.equal((await portal.browser().open(`${portal.origin}/api/v1/me`, { headers: { cookie } })).status, 401)
})

const masked = (policy: unknown) => String(policy).replaceAll(/'nonce-[A-Za-z0-9+/]{22}=='/g, "'nonce-N'")

t.test('browsers are told to trust little', async (t) => {
  const portal = await testPortal(t, everybody)
  await build(portal.dist)
  const browser = await portal.as(alice)
  const page = await browser.open(`${portal.origin}/grants`)
  t.equal(
    masked(page.headers['content-security-policy']),
    "default-src 'none'; script-src 'self' 'nonce-N'; style-src 'self' 'nonce-N'; img-src 'self' data:; " +
      "font-src 'self'; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  )
  const nonce = /'nonce-([^']+)'/.exec(String(page.headers['content-security-policy']))?.[1] ?? ''
  t.equal(page.text.split(`nonce="${nonce}"`).length, 3, 'the nonce of the header is in the page, at both places')
  t.notMatch(page.text, '__NONCE__')
  const again = await browser.open(`${portal.origin}/grants`)
  t.notMatch(again.text, nonce, 'and is new each time')

  const plain = await browser.open(`${portal.origin}/signed-out`)
  t.equal(
    masked(plain.headers['content-security-policy']),
    "default-src 'none'; style-src 'nonce-N'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  )
  const api = await browser.api(portal.origin, 'GET', '/me')
  t.equal(api.headers['content-security-policy'], "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
  for (const answer of [
    page,
    plain,
    api,
    await browser.open(`${portal.origin}/no.php`),
    await browser.open(`${portal.origin}/%zz`),
  ])
    t.match(
      answer.headers,
      {
        'strict-transport-security': 'max-age=31536000',
        'x-content-type-options': 'nosniff',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cross-origin-resource-policy': 'same-origin',
        'permissions-policy': /camera=\(\)/,
        'x-frame-options': 'DENY',
        'cache-control': 'no-store',
      },
      answer.url,
    )
})

t.test('files of the console are served by name, and nothing beside them', async (t) => {
  const portal = await testPortal(t, everybody)
  await build(portal.dist)
  const browser = portal.browser()
  const script = await browser.open(`${portal.origin}/assets/main-1a2b3c.js`, {
    headers: { 'accept-encoding': 'gzip' },
  })
  t.match(script.headers, {
    'content-type': 'text/javascript; charset=utf-8',
    'cache-control': 'public, max-age=31536000, immutable',
    'content-encoding': 'gzip',
    vary: 'accept-encoding',
  })
  const again = await browser.open(script.url, {
    headers: { 'accept-encoding': 'gzip', 'if-none-match': script.headers.etag ?? '' },
  })
  t.equal(again.status, 304)
  t.match((await browser.open(script.url)).text, /^console\.log/, 'plain for who cannot unpack')
  t.equal(
    (await browser.open(`${portal.origin}/assets/main-4d5e6f.css`)).headers['content-type'],
    'text/css; charset=utf-8',
  )
  // By hand: clients tidy such paths up before they send them.
  for (const path of [
    '/assets/../../secret.js',
    '/../secret.js',
    '/assets/..%2f..%2fsecret.js',
    '/assets/%2e%2e/%2e%2e/secret.js',
    '/assets/..\\..\\secret.js',
    '/assets//../../secret.js',
    '/%2e%2e/secret.js',
    '/assets/main-1a2b3c.js%00.css',
    '//etc/passwd.js',
    '/index.html',
    '/assets/',
    '/assets/nothing.js',
  ]) {
    const answer = await raw(portal, `GET ${path} HTTP/1.1\r\nHost: gateway.example\r\nConnection: close\r\n\r\n`)
    t.match(answer, /^HTTP\/1\.1 4\d\d /, path)
    t.notMatch(answer, 'never')
  }
})

t.test('a page of the console asks a stranger to sign in first and comes back to it', async (t) => {
  const portal = await testPortal(t, everybody)
  await build(portal.dist)
  const browser = portal.browser()
  const asked = await browser.open(`${portal.origin}/approve/abc123?from=mail`, { redirects: 0 })
  t.equal(asked.headers.location, '/sign-in?returnTo=%2Fapprove%2Fabc123%3Ffrom%3Dmail')
  await browser.open(`${portal.origin}${asked.headers.location}`, { redirects: 0 })
  const back = await browser.open(`${portal.origin}/callback?as=alice`)
  t.equal(back.url, `${portal.origin}/approve/abc123?from=mail`)
  t.equal(back.headers['content-type'], 'text/html; charset=utf-8')
})

t.test('without a build there is a page that says how to make one', async (t) => {
  const portal = await testPortal(t, everybody)
  const page = await (await portal.as(alice)).open(`${portal.origin}/`)
  t.equal(page.status, 503)
  t.match(page.text, 'npm run build')
})

t.test('several providers: the person chooses', async (t) => {
  const portal = await testPortal(t, everybody)
  const providers = [
    { name: 'dev', title: 'Development' },
    { name: 'corp', title: 'Corp <b>&</b> Sons' },
  ]
  const two = await testPortal(t, everybody, async () => ({ identity: { ...portal.identity, providers } }))
  const page = await two.browser().open(`${two.origin}/sign-in?returnTo=/grants`)
  t.equal(page.status, 200)
  t.match(page.text, '/sign-in?provider=corp&#38;returnTo=%2Fgrants')
  t.notMatch(page.text, '<b>', 'titles are text')
})

t.test('providers end sessions with a posted token', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = portal.browser()
  const url = `${portal.origin}/backchannel-logout`
  t.equal((await browser.open(url, { form: { logout_token: 'sound' } })).status, 200)
  t.same(portal.identity.logoutTokens, ['sound'])
  t.equal((await browser.open(url, { form: { logout_token: 'forged' } })).status, 400)
  t.equal((await browser.open(url, { form: {} })).status, 400)
})

t.test('guessing is slowed down', async (t) => {
  const portal = await testPortal(t, everybody)
  portal.identity.questions.set('question1', { username: 'alice', code: 'ABCD' })
  const browser = await portal.as(alice)
  const guess = async () =>
    (await browser.api(portal.origin, 'POST', '/sign-ins/question1/answer', { code: 'X' })).status
  const statuses: number[] = []
  for (let n = 0; n < 12; n += 1) statuses.push(await guess())
  t.same(statuses, [...Array(10).fill(200), 429, 429])
  portal.house.clock.move(60_000)
  t.equal(await guess(), 200, 'a minute later there are tries again')
  const stranger = portal.browser()
  const begin = async () => (await stranger.open(`${portal.origin}/sign-in`, { redirects: 0 })).status
  portal.house.clock.move(60_000)
  const begun = new Set<number>()
  for (let n = 0; n < 70; n += 1) begun.add(await begin())
  t.same([...begun], [302, 429])
})

t.test('the listener gives each host name to its owner', async (t) => {
  const portal = await testPortal(t, everybody)
  const get = (host: string, more = '') =>
    raw(portal, `GET /signed-out HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${more}\r\n`)
  t.match(await get(`gateway.example:${portal.port}`), /^HTTP\/1\.1 200 /)
  t.match(await get('GATEWAY.example'), /^HTTP\/1\.1 200 /)
  t.match(await get('grafana.gateway.example'), /^HTTP\/1\.1 421 /)
  t.match(await get('127.0.0.1'), /^HTTP\/1\.1 421 /)
  t.match(await get('gateway.example@evil.example'), /^HTTP\/1\.1 421 /)
  const upgrade = 'Upgrade: websocket\r\n'
  t.match(
    await raw(portal, `GET / HTTP/1.1\r\nHost: gateway.example\r\nConnection: upgrade\r\n${upgrade}\r\n`),
    /^HTTP\/1\.1 404 /,
  )
  const heard: string[] = []
  const next = await testPortal(t, everybody, async () => ({
    elsewhere: {
      request: (request, response) => {
        heard.push(`request ${request.headers.host}`)
        response.end('grafana')
      },
      upgrade: (request, socket) => {
        heard.push(`upgrade ${request.headers.host}`)
        socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n')
      },
    },
  }))
  t.match(await raw(next, 'GET / HTTP/1.1\r\nHost: grafana.gateway.example\r\nConnection: close\r\n\r\n'), 'grafana')
  t.match(
    await raw(next, `GET / HTTP/1.1\r\nHost: grafana.gateway.example\r\nConnection: upgrade\r\n${upgrade}\r\n`),
    /^HTTP\/1\.1 101 /,
  )
  t.same(heard, ['request grafana.gateway.example', 'upgrade grafana.gateway.example'])
})

t.test('a new certificate is taken without a restart, a wrong one is not taken', async (t) => {
  const portal = await testPortal(t, everybody)
  const shown = async () => {
    const socket = connect({
      host: '127.0.0.1',
      port: portal.port,
      servername: 'gateway.example',
      rejectUnauthorized: false,
    })
    await once(socket, 'secureConnect')
    const { fingerprint256 } = socket.getPeerCertificate()
    const protocol = socket.getProtocol()
    socket.destroy()
    return `${protocol} ${fingerprint256}`
  }
  const clock = { now: () => Date.now() as Moment }
  const [first, second] = [await shown(), selfSignedCertificate({ names: ['gateway.example'], clock })]
  portal.renew(second)
  t.equal(await shown(), `TLSv1.3 ${new X509Certificate(second.cert).fingerprint256}`)
  t.not(await shown(), first)
  const other = selfSignedCertificate({ names: [], clock })
  t.throws(() => portal.renew({ key: other.key, cert: second.cert }))
  t.equal(await shown(), `TLSv1.3 ${new X509Certificate(second.cert).fingerprint256}`)
  const old = connect({
    host: '127.0.0.1',
    port: portal.port,
    maxVersion: 'TLSv1.1',
    minVersion: 'TLSv1',
    ciphers: 'DEFAULT@SECLEVEL=0',
    rejectUnauthorized: false,
  })
  await t.rejects(once(old, 'secureConnect'), 'nothing older than TLS 1.2')
})

t.test('closing the portal ends everything that is connected', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = await portal.as(alice)
  const stream = browser.stream(`${portal.origin}/api/v1/changes`)
  await stream.next()
  const silent = connectTcp({ host: '127.0.0.1', port: portal.port })
  const idle = connect({ host: '127.0.0.1', port: portal.port, ca: portal.ca, servername: 'gateway.example' })
  await Promise.all([once(silent, 'connect'), once(idle, 'secureConnect')])
  const gone = [once(silent, 'close'), once(idle, 'close')]
  await portal.close()
  await Promise.all(gone)
  while ((await stream.next()).done !== true);
  t.pass('the stream has ended, and so have an idle connection and one that never said a word')
})

/** One request, byte for byte; everything that comes back. */
async function raw(portal: { readonly port: number; readonly ca: string }, text: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: portal.port, ca: portal.ca, servername: 'gateway.example' })
  socket.write(text)
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('latin1')
}
