/** Browsers sign in at a real provider, and at one that lies. */
import t from 'tap'
import type { Username } from '../../gateway/model/identity.ts'
import { totp, totpStep } from '../../tools/demo/totp.ts'
import { demoIdp, hostileIdp, type Lies, people, providerAt } from '../fixtures/idp.ts'
import { browserOf, HERE, PUBLIC, refusalOf, signIn, sshQuestion, throughForm, world } from './world.ts'

const claims = (changed: object): Lies => ({ claims: (honest) => ({ ...honest, ...changed }) })

await t.test('a person signs in with password and one-time code', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const { session, returnTo, identity } = await signIn(w, idp, people.alice, { returnTo: '/requests?state=live#top' })
  t.equal(returnTo, '/requests?state=live#top')
  t.match(identity, {
    username: 'alice',
    groups: ['engineers'],
    provider: 'demo',
    proof: { amr: ['pwd', 'otp', 'mfa'] },
  })
  t.match(identity.subject, new RegExp(`^${idp.issuer}\\|`), 'the key of a person is issuer and sub')
  const visit = await w.room.session(session)
  t.same(visit?.identity, identity)
  t.match(visit?.csrfToken, /^[\w-]{43}$/)
  t.not(visit?.csrfToken, session)
  t.equal(visit?.idleMinutes, 15)
  t.match(w.audit, [{ kind: 'identity.signed-in', actor: 'alice', details: { provider: 'demo', address: HERE } }])
  t.match(await w.room.person('alice'), { username: 'alice', groups: ['engineers'] })
  t.same(w.room.providers, [{ name: 'demo', title: 'demo' }])
  const kept = JSON.stringify(await w.state.all('select * from browser_sessions'))
  t.notOk(kept.includes(session), 'the store does not have the cookie')
  t.notOk(kept.includes('eyJ'), 'nor the ID token in the clear')
})

await t.test('somebody in no group signs in, and is in no group', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  t.match(await signIn(w, idp, people.mallory), { identity: { username: 'mallory', groups: [] } })
})

await t.test('the request says everything that ties the answer to this browser', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const one = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const two = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const [a, b] = [one, two].map(({ location }) => new URL(location).searchParams)
  t.equal(a?.get('redirect_uri'), `${PUBLIC}/auth/callback`)
  t.equal(a?.get('code_challenge_method'), 'S256')
  t.equal(a?.get('max_age'), String(12 * 3600))
  for (const name of ['state', 'nonce', 'code_challenge']) {
    t.match(a?.get(name), /^[\w-]{43}$/)
    t.not(a?.get(name), b?.get(name), `${name} is new each time`)
  }
  const toApproval = await w.room.beginSignIn({ returnTo: '/approve/abc', address: HERE })
  t.equal(new URL(toApproval.location).searchParams.get('max_age'), '150', 'an approval will need a fresh proof')
})

await t.test('a wrong password, a wrong code and a used code stay at the provider', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const { location } = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const browser = browserOf(idp.issuer)
  const form = await browser.open(location)
  t.match(form.html, /name="user".*name="password".*name="otp"/s, 'one form')
  const alice = { user: 'alice', password: people.alice.password }
  const wrongPassword = await browser.submit(form, { ...alice, password: 'x', otp: idp.code(people.alice) })
  t.match(wrongPassword.html, /role="alert">[^<]+wrong/)
  const wrongCode = await browser.submit(wrongPassword, { ...alice, otp: '000000' })
  t.match(wrongCode.html, /role="alert">[^<]+wrong/)
  const noCode = await browser.submit(wrongCode, { ...alice, otp: '' })
  t.match(noCode.html, /role="alert">Type your one-time code/)
  const code = idp.code(people.alice)
  const right = await browser.submit(noCode, { ...alice, otp: code })
  t.ok(right.url.startsWith(`${PUBLIC}/auth/callback?`))
  const again = await throughForm(browserOf(idp.issuer), location, idp, people.alice, code)
  t.match(again.html, /role="alert">This one-time code was used before/)
})

await t.test('who has no second factor is refused, and told why', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  await t.rejects(signIn(w, idp, people.dave), {
    code: 'MFA_MISSING',
    message: 'Your sign-in shows no recent second factor.',
    next: /second factor/,
  })
  t.match(w.audit, [
    { kind: 'identity.refused', actor: 'dave', details: { code: 'MFA_MISSING', reason: /amr \[pwd\]/ } },
  ])
  t.same(await w.state.all('select * from browser_sessions'), [])
})

await t.test('a sign-in without second factor that the provider remembers is asked for one, once', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)])
  const browser = browserOf(idp.issuer)
  const old = Math.floor(Date.now() / 1000) - 1000
  idp.lies = { claims: (claims) => ({ ...claims, acr: 'password', amr: ['pwd'], auth_time: old }) }
  const begun = await w.room.beginSignIn({ returnTo: '/requests', address: HERE })
  const back = await browser.open(begun.location)
  const first = await w.room.finishSignIn({ url: new URL(back.url), cookie: begun.cookie, address: HERE })
  if (!('again' in first)) throw new Error('it should have been asked again')
  const { again } = first
  t.equal(new URL(again.location).searchParams.get('max_age'), '0')
  t.not(again.cookie, begun.cookie)
  idp.lies = {}
  const second = await browser.open(again.location)
  t.match(await w.room.finishSignIn({ url: new URL(second.url), cookie: again.cookie, address: HERE }), {
    returnTo: '/requests',
    identity: { username: 'alice' },
  })
  idp.lies = { claims: (claims) => ({ ...claims, acr: 'password', amr: ['pwd'], auth_time: old }) }
  const third = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const fourth = await w.room.finishSignIn({
    url: new URL((await browser.open(third.location)).url),
    cookie: third.cookie,
    address: HERE,
  })
  if (!('again' in fourth)) throw new Error('it should have been asked again')
  idp.lies = { claims: (claims) => ({ ...claims, acr: 'password', amr: ['pwd'] }) }
  const last = new URL((await browser.open(fourth.again.location)).url)
  t.equal(
    await refusalOf(w.room.finishSignIn({ url: last, cookie: fourth.again.cookie, address: HERE })),
    'MFA_MISSING',
    'and not asked for ever',
  )
})

await t.test('a step-up makes the provider ask again, and takes the place of the session before', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const browser = browserOf(idp.issuer)
  const first = await signIn(w, idp, people.alice, { browser })
  const silent = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  t.equal((await browser.open(silent.location)).status, 0, 'a recent sign-in is taken without a page')
  const { location } = await w.room.beginSignIn({ returnTo: '/', address: HERE, stepUp: true })
  t.match((await browser.open(location)).html, /name="otp"/, 'a step-up is not')
  const second = await signIn(w, idp, people.alice, { browser, stepUp: true, previous: first.session })
  t.not(second.session, first.session)
  t.equal(await w.room.session(first.session), undefined)
  t.ok(await w.room.session(second.session))
})

await t.test('a callback is good for one browser, one attempt, one use', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const mine = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const other = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const url = new URL((await throughForm(browserOf(idp.issuer), mine.location, idp, people.alice)).url)
  const finish = (cookie: string | undefined, at = url) => w.room.finishSignIn({ url: at, cookie, address: HERE })
  t.equal(await refusalOf(finish(undefined)), 'NOT_SIGNED_IN', 'without the cookie')
  t.equal(await refusalOf(finish('x'.repeat(43))), 'NOT_SIGNED_IN', 'with a made-up cookie')
  t.equal(await refusalOf(finish(other.cookie)), 'NOT_SIGNED_IN', "with another browser's cookie")
  t.match(w.audit.at(-1), { kind: 'identity.refused', details: { reason: /state/ } })
  const forged = new URL(url)
  forged.searchParams.set('state', 'x'.repeat(43))
  t.equal(await refusalOf(finish(mine.cookie, forged)), 'NOT_SIGNED_IN', 'with a wrong state')
  const elsewhere = new URL(`https://evil.example/steal${url.search}`)
  t.ok(
    'session' in (await finish(mine.cookie, elsewhere)),
    'the host of the callback does not matter, nor did the forgeries',
  )
  t.equal(await refusalOf(finish(mine.cookie)), 'NOT_SIGNED_IN', 'a second time')
  t.equal((await w.state.all('select id from browser_sessions')).length, 1)
  t.match(w.audit.at(-1), { kind: 'identity.refused', details: { reason: /used before/ } })
  t.equal(w.audit.filter(({ kind }) => kind === 'identity.signed-in').length, 1)
})

await t.test('a code that was used is refused by the provider, and so by us', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const url = new URL((await throughForm(browserOf(idp.issuer), begun.location, idp, people.alice)).url)
  await w.room.finishSignIn({ url, cookie: begun.cookie, address: HERE })
  await w.state.run('update sign_in_attempts set used_at = null where id <> $1', [''])
  t.equal(await refusalOf(w.room.finishSignIn({ url, cookie: begun.cookie, address: HERE })), 'NOT_SIGNED_IN')
  t.match(w.audit.at(-1), { kind: 'identity.refused', details: { reason: /invalid_grant/ } })
})

await t.test('a callback that comes twice at the same moment signs in once', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)], { workers: 2 })
  const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const { url } = await browserOf(idp.issuer).open(begun.location)
  const all = await Promise.all(
    [...w.rooms, ...w.rooms].map((room) =>
      refusalOf(room.finishSignIn({ url: new URL(url), cookie: begun.cookie, address: HERE })),
    ),
  )
  t.same(all.toSorted(), ['NOT_SIGNED_IN', 'NOT_SIGNED_IN', 'NOT_SIGNED_IN', 'none'])
})

await t.test('names and groups may come from userinfo, if it speaks of the same person', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)])
  const attempt = async (userinfo: object) => {
    idp.lies = { ...claims({ preferred_username: undefined, groups: undefined }), userinfo }
    const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
    const { url } = await browserOf(idp.issuer).open(begun.location)
    return w.room.finishSignIn({ url: new URL(url), cookie: begun.cookie, address: HERE })
  }
  const more = { preferred_username: 'alice', groups: ['leads'], acr: 'x', amr: [], auth_time: 1, sub: '1' }
  t.match(await attempt(more), {
    identity: { username: 'alice', groups: ['leads'], proof: { amr: ['pwd', 'otp', 'mfa'] } },
  })
  t.equal(await refusalOf(attempt({ ...more, sub: '2' })), 'NOT_SIGNED_IN')
})

await t.test('a provider over plain http, or one that answers without end, is not used', async (t) => {
  const plain = await hostileIdp(t)
  const w = await world(t, [providerAt(plain.issuer, { insecure_http: false })])
  t.equal(await refusalOf(w.room.beginSignIn({ returnTo: '/', address: HERE })), 'UNAVAILABLE')
  const endless = await hostileIdp(t, { metadata: { padding: 'x'.repeat(300_000) } })
  const w2 = await world(t, [providerAt(endless.issuer)])
  t.equal(await refusalOf(w2.room.beginSignIn({ returnTo: '/', address: HERE })), 'UNAVAILABLE')
  const stranger = await hostileIdp(t, { metadata: { issuer: 'https://elsewhere.example' } })
  const w3 = await world(t, [providerAt(stranger.issuer)])
  t.equal(await refusalOf(w3.room.beginSignIn({ returnTo: '/', address: HERE })), 'UNAVAILABLE')
})

await t.test('one-time codes are those of RFC 6238', async (t) => {
  const secret = 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ'
  for (const [seconds, code] of [
    [59, '287082'],
    [1111111109, '081804'],
    [1234567890, '005924'],
    [20000000000, '353130'],
  ] as const) {
    t.equal(totp(secret, seconds * 1000), code)
    t.equal(totpStep(secret, code, (seconds + 30) * 1000), Math.floor(seconds / 30), 'late by a step')
    t.equal(totpStep(secret, code, (seconds + 90) * 1000), undefined)
  }
})

await t.test('an attempt that took too long is over', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const url = new URL((await throughForm(browserOf(idp.issuer), begun.location, idp, people.alice)).url)
  w.later(11 * 60_000)
  t.equal(await refusalOf(w.room.finishSignIn({ url, cookie: begun.cookie, address: HERE })), 'NOT_SIGNED_IN')
})

await t.test('a provider that lies signs nobody in', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)])
  const now = Math.floor(Date.now() / 1000)
  const attempt = async (lies: Lies) => {
    idp.lies = lies
    const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
    const { url } = await browserOf(idp.issuer).open(begun.location)
    return w.room.finishSignIn({ url: new URL(url), cookie: begun.cookie, address: HERE })
  }
  t.match(await attempt({}), { identity: { username: 'alice' } }, 'when it does not lie, it does')
  const sessions = (await w.state.all('select id from browser_sessions')).length

  const lies: Record<string, Lies> = {
    'a foreign key': { sign: 'foreign' },
    'no signature': { sign: 'none' },
    'the public key as a shared secret': { sign: 'hs256' },
    'no ID token': { noIdToken: true },
    'another nonce': claims({ nonce: 'x' }),
    'no nonce': claims({ nonce: undefined }),
    'another audience': claims({ aud: 'other' }),
    'several audiences and another party': claims({ aud: ['sallyport', 'other'], azp: 'other' }),
    'another issuer': claims({ iss: 'https://elsewhere.example' }),
    'an expired token': claims({ exp: now - 300, iat: now - 600 }),
    'a token without an end': claims({ exp: undefined }),
    'a token from the future': claims({ nbf: now + 3600 }),
    'no auth_time': claims({ auth_time: undefined }),
    'an auth_time in words': claims({ auth_time: 'now' }),
    'an auth_time of last week': claims({ auth_time: now - 7 * 86_400 }),
    'an auth_time in the future': claims({ auth_time: now + 3600 }),
    'no second factor': claims({ acr: undefined, amr: ['pwd'] }),
    'no word about the factors': claims({ acr: undefined, amr: undefined }),
    'factors as one word': claims({ acr: ['urn:sallyport:acr:mfa'], amr: 'mfa pwd' }),
    'no subject': claims({ sub: undefined }),
    'no user name': claims({ preferred_username: undefined }),
    'a user name that is a command': claims({ preferred_username: 'alice; rm -rf /' }),
    'a user name that is a list': claims({ preferred_username: ['alice'] }),
    'an answer that says no': { answer: (p) => (p.delete('code'), p.set('error', 'access_denied')) },
    'an answer of another issuer': { answer: (p) => p.set('iss', 'https://elsewhere.example') },
    'an answer without a code': { answer: (p) => p.delete('code') },
    'an answer with two states': { answer: (p) => p.append('state', 'x') },
  }
  for (const [name, lie] of Object.entries(lies)) {
    w.audit.length = 0
    t.match(await refusalOf(attempt(lie)), /NOT_SIGNED_IN|MFA_MISSING/, name)
    t.match(w.audit, [{ kind: 'identity.refused', details: { reason: /./ } }], `${name}: auditors are told`)
    t.equal(w.audit.length, 1)
  }
  w.audit.length = 0
  t.equal(await refusalOf(attempt({ tokenStatus: 503 })), 'UNAVAILABLE', 'a provider that is broken is not a liar')
  t.match(w.audit, [{ kind: 'identity.refused' }])
  t.equal((await w.state.all('select id from browser_sessions')).length, sessions, 'none of them left a session')
})

await t.test('with several providers, each answer must say whose it is', async (t) => {
  const one = await hostileIdp(t)
  const two = await hostileIdp(t, { sendsIss: true })
  const w = await world(t, [
    providerAt(one.issuer, { name: 'one' }),
    providerAt(two.issuer, { name: 'two', title: 'The second' }),
  ])
  t.same(w.room.providers, [
    { name: 'one', title: 'one' },
    { name: 'two', title: 'The second' },
  ])
  t.equal(await refusalOf(w.room.beginSignIn({ returnTo: '/', address: HERE })), 'BAD_INPUT', 'one must be chosen')
  t.equal(await refusalOf(w.room.beginSignIn({ provider: 'three', returnTo: '/', address: HERE })), 'BAD_INPUT')
  const attempt = async (provider: string, change: (url: URL) => void = () => undefined) => {
    const begun = await w.room.beginSignIn({ provider, returnTo: '/', address: HERE })
    const url = new URL((await browserOf(one.issuer, two.issuer).open(begun.location)).url)
    change(url)
    return w.room.finishSignIn({ url, cookie: begun.cookie, address: HERE })
  }
  t.match(await attempt('two'), { identity: { provider: 'two' } })
  t.equal(await refusalOf(attempt('one')), 'NOT_SIGNED_IN', 'one does not say it')
  t.match(w.audit.at(-1), { kind: 'identity.refused', details: { reason: /RFC 9207/ } })
  t.equal(
    await refusalOf(attempt('two', (url) => url.searchParams.set('iss', one.issuer))),
    'NOT_SIGNED_IN',
    'mixed up',
  )
  t.equal(await refusalOf(attempt('two', (url) => url.searchParams.delete('iss'))), 'NOT_SIGNED_IN', 'left out')
  two.lies = { claims: (claims) => ({ ...claims, sub: '2' }) }
  t.equal(await refusalOf(attempt('two')), 'NOT_SIGNED_IN', 'alice is somebody already')
  t.match(w.audit.at(-1), { kind: 'identity.refused', actor: 'alice', details: { reason: /held by another subject/ } })
})

await t.test('a user name stays with who had it first', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)])
  const attempt = async (changed: object) => {
    idp.lies = { claims: (honest) => ({ ...honest, ...changed }) }
    const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
    const { url } = await browserOf(idp.issuer).open(begun.location)
    return w.room.finishSignIn({ url: new URL(url), cookie: begun.cookie, address: HERE })
  }
  await attempt({})
  t.equal(await refusalOf(attempt({ sub: '2' })), 'NOT_SIGNED_IN')
  t.equal(await refusalOf(attempt({ sub: '2', preferred_username: 'ALICE' })), 'NOT_SIGNED_IN', 'in any case')
  t.match(await attempt({ sub: '1', groups: ['leads'] }), { identity: { groups: ['leads'] } })
  t.match(
    await attempt({ sub: '1', preferred_username: 'alice.b' }),
    { identity: { username: 'alice.b' } },
    'a new name',
  )
  t.match(await attempt({ sub: '2' }), { identity: { username: 'alice' } }, 'and the old one is free')
})

await t.test("a user name can be freed, with everything that was its first owner's", async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)])
  const attempt = async (sub: string) => {
    idp.lies = claims({ sub })
    const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
    const { url } = await browserOf(idp.issuer).open(begun.location)
    const done = await w.room.finishSignIn({ url: new URL(url), cookie: begun.cookie, address: HERE })
    if ('again' in done) throw new Error('signed in')
    return done
  }
  const first = await attempt('1')
  const waiting = await w.room.ask(sshQuestion())
  await w.room.answer(waiting.id, waiting.code, { identity: first.identity, address: HERE })
  await w.room.release('alice', first.identity)
  t.match(w.audit.at(-1), { kind: 'identity.name-released', details: { username: 'alice' } })
  t.equal(await refusalOf(w.room.release('alice', first.identity)), 'NOT_FOUND')
  t.equal(await w.room.session(first.session), undefined)
  const second = await attempt('2')
  t.not(second.identity.subject, first.identity.subject)
  t.equal(await w.room.bound('alice' as Username, 'SHA256:alices-laptop'), undefined)
  t.equal(await refusalOf(attempt('1')), 'NOT_SIGNED_IN')
})

await t.test('an address as user name counts only when the provider checked it', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer, { username_claim: 'email' })])
  const attempt = async (changed: object) => {
    idp.lies = { claims: (honest) => ({ ...honest, ...changed }) }
    const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
    const { url } = await browserOf(idp.issuer).open(begun.location)
    return w.room.finishSignIn({ url: new URL(url), cookie: begun.cookie, address: HERE })
  }
  t.equal(await refusalOf(attempt({ email: 'alice@example.com' })), 'NOT_SIGNED_IN')
  t.match(await attempt({ email: 'alice@example.com', email_verified: true }), {
    identity: { username: 'alice@example.com' },
  })
})

await t.test('after the sign-in the browser goes to a path of ours, never to another site', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)])
  const landing = async (returnTo: string) => {
    const begun = await w.room.beginSignIn({ returnTo, address: HERE })
    const { url } = await browserOf(idp.issuer).open(begun.location)
    const done = await w.room.finishSignIn({ url: new URL(url), cookie: begun.cookie, address: HERE })
    return 'returnTo' in done ? done.returnTo : ''
  }
  for (const path of ['/', '/sessions/1?at=2#3', '/a%2F%2Fb']) t.equal(await landing(path), path)
  const elsewhere = [
    'https://evil.example/',
    '//evil.example/',
    '/\\evil.example/',
    '\\\\evil.example',
    '/\t/evil.example',
    '/\n//evil.example',
    '/.//evil.example',
    '/x/..//evil.example',
    'javascript:alert(1)',
    '/%5cevil.example/../..//evil.example',
    `/${'a'.repeat(5000)}`,
    '',
    ' //evil.example',
  ]
  for (const path of elsewhere) {
    const to = await landing(path)
    t.equal(new URL(to, PUBLIC).origin, PUBLIC, JSON.stringify(path))
    t.notMatch(to, /^\/[/\\]/)
  }
})

await t.test('a browser session ends by itself', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const { session } = await signIn(w, idp, people.alice)
  t.equal(await w.room.session('nonsense'), undefined)
  for (let n = 0; n < 3; n += 1) {
    w.later(14 * 60_000)
    t.ok(await w.room.session(session), 'activity keeps it')
  }
  w.later(15 * 60_000 + 1)
  t.equal(await w.room.session(session), undefined, 'idleness ends it')
  const { session: second } = await signIn(await world(t, [providerAt(idp.issuer)]), idp, people.alice)
  t.equal(await w.room.session(second), undefined, 'a cookie of another gateway is nothing here')

  const longest = await world(t, [providerAt(idp.issuer)], { settings: { sessionIdleMs: 24 * 3_600_000 } })
  const third = await signIn(longest, idp, people.erin)
  longest.later(12 * 3_600_000 - 60_000)
  t.ok(await longest.room.session(third.session))
  longest.later(60_000)
  t.equal(await longest.room.session(third.session), undefined, 'twelve hours end it whatever happens')
  await longest.room.sweep()
  t.same(await longest.state.all('select id from browser_sessions'), [])
})

await t.test('who is locked out is let in nowhere', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const { session, identity } = await signIn(w, idp, people.alice)
  w.locked.set(identity.subject, 'alice is locked: lost laptop')
  t.equal(await refusalOf(w.room.session(session)), 'LOCKED')
  await t.rejects(signIn(w, idp, people.alice), { code: 'LOCKED', message: 'alice is locked: lost laptop' })
  const visitor = { identity, address: HERE }
  t.equal(await refusalOf(w.room.question('x', visitor)), 'LOCKED')
  w.locked.clear()
  t.ok(await w.room.session(session))
  t.equal(await w.room.bound('alice' as Username, 'SHA256:x'), undefined)
})

await t.test('a provider that is down says so, and works again when it is back', async (t) => {
  const first = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(first.issuer)])
  const port = Number(new URL(first.issuer).port)
  await first.close()
  const begin = () => w.room.beginSignIn({ returnTo: '/', address: HERE })
  t.equal(await refusalOf(begin()), 'UNAVAILABLE', 'nobody was there yet')
  t.equal(await refusalOf(begin()), 'UNAVAILABLE', 'and it is not asked at once again')
  const second = await demoIdp(t, { publicUrl: PUBLIC, port })
  w.later(2001)
  const { session } = await signIn(w, second, people.alice)
  const begun = await begin()
  const url = new URL((await throughForm(browserOf(second.issuer), begun.location, second, people.alice)).url)
  await second.close()
  t.equal(await refusalOf(w.room.finishSignIn({ url, cookie: begun.cookie, address: HERE })), 'UNAVAILABLE')
  t.ok(await w.room.session(session), 'who is signed in goes on')
  const third = await demoIdp(t, { publicUrl: PUBLIC, port })
  t.match(await signIn(w, third, people.alice), { identity: { username: 'alice' } })
})

await t.test('one address cannot begin sign-ins without end', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)])
  const begin = (address: string) => w.room.beginSignIn({ returnTo: '/', address })
  for (let n = 0; n < 200; n += 1) await begin(HERE)
  t.equal(await refusalOf(begin(HERE)), 'TOO_MANY')
  t.ok(await begin('192.0.2.11'), 'others can')
  w.later(10 * 60_000)
  t.ok(await begin(HERE), 'and later it can again')
})
