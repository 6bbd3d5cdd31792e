/** The portal's door: who gets in, what browsers are told, what a page of another site can do. */
import t from 'tap'
import { apiPolicies } from '../../gateway/portal/policy.ts'
import type { PortalParts, WebHandOver } from '../../gateway/portal/portal.ts'
import { returnPath } from '../../gateway/portal/return-to.ts'
import { FINGERPRINT, sessionOf, testPortal } from '../fixtures/portal.ts'
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
  // Parts that some gateways have not; here nothing is asked of them but to be there.
  const part: unknown = new Proxy({}, { get: () => () => undefined })
  const portal = await testPortal(t, everybody, async () => ({
    terminals: part as PortalParts['terminals'],
    room: part as PortalParts['room'],
    kept: part as PortalParts['kept'],
    web: { sessions: part as WebHandOver, domain: 'apps.example' },
  }))
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
    'GET /token': [401, 200, 200, 200, 200, 200],
    'POST /token {"hours":8}': [401, 200, 200, 200, 200, 200],
    'POST /token {"hours":13}': [401, 400, 400, 400, 400, 400],
    'DELETE /token': [401, 200, 200, 200, 200, 200],
    'GET /targets': [401, 200, 200, 200, 200, 200],
    'GET /requests': [401, 200, 200, 200, 200, 200],
    'GET /grants': [401, 200, 200, 200, 200, 200],
    'GET /sessions': [401, 200, 200, 200, 200, 200],
    [`GET /grants/${grant.id}`]: [401, 200, 404, 200, 200, 200],
    [`GET /sessions/${row.id}`]: [401, 200, 404, 404, 200, 200],
    [`GET /sessions/${row.id}/asciicast`]: [401, 200, 404, 404, 200, 200],
    [`GET /sessions/${row.id}/har`]: [401, 404, 404, 404, 404, 404],
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

t.test('providers end sessions with a posted token', async (t) => {
  const portal = await testPortal(t, everybody)
  const browser = portal.browser()
  const url = `${portal.origin}/backchannel-logout`
  t.equal((await browser.open(url, { form: { logout_token: 'sound' } })).status, 200)
  t.same(portal.identity.logoutTokens, ['sound'])
  t.equal((await browser.open(url, { form: { logout_token: 'forged' } })).status, 400)
  t.equal((await browser.open(url, { form: {} })).status, 400)
  const many = Array.from(
    { length: 200 },
    async () => (await browser.open(url, { form: { logout_token: 'sound' } })).status,
  )
  t.same([...new Set(await Promise.all(many))], [200], 'a whole company within a minute')
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
