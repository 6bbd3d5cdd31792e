/** Ends of a sign-in: the person's own, and the provider's word, which must be the provider's. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { JWTPayload } from 'jose'
import t from 'tap'
import type { Username } from '../../gateway/model/identity.ts'
import { ACR_MFA, startIdp } from '../../tools/demo/idp.ts'
import { CLIENT, demoIdp, hostileIdp, people, providerAt } from '../fixtures/idp.ts'
import { browserOf, HERE, PUBLIC, refusalOf, signIn, sshQuestion, world } from './world.ts'

const ALICE = 'alice' as Username
const KEY = 'SHA256:alices-laptop'
const EVENTS = { 'http://schemas.openid.net/event/backchannel-logout': {} }

const now = () => Math.floor(Date.now() / 1000)
const without = (claims: JWTPayload, name: string): JWTPayload =>
  Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name))

await t.test('signing out ends the session here and leads to the sign-out of the provider', async (t) => {
  const idp = await demoIdp(t, { publicUrl: PUBLIC })
  const w = await world(t, [providerAt(idp.issuer)])
  const browser = browserOf(idp.issuer)
  const { session } = await signIn(w, idp, people.alice, { browser })
  const { location = '' } = await w.room.signOut(session)
  t.equal(await w.room.session(session), undefined)
  t.match(w.audit.at(-1), { kind: 'identity.signed-out', actor: 'alice' })
  t.equal(new URL(location).searchParams.get('post_logout_redirect_uri'), `${PUBLIC}/signed-out`)
  t.ok(new URL(location).searchParams.has('id_token_hint'))
  const page = await browser.open(location)
  t.match(page.html, /Sign out\?/)
  const out = await browser.submit(page, { logout: 'yes' })
  t.equal(out.url.split('?')[0], `${PUBLIC}/signed-out`)
  t.same(await w.room.signOut(session), { location: undefined }, 'twice is once')
  const { location: next } = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  t.match((await browser.open(next)).html, /name="otp"/, 'the provider has forgotten them, too')
})

await t.test('the provider tells the gateway, and browsers, keys and what waits are over', async (t) => {
  const told = Promise.withResolvers<string>()
  const door = createServer((request, response) => {
    void (async () => {
      let body = ''
      for await (const chunk of request) body += String(chunk)
      response.end()
      told.resolve(new URLSearchParams(body).get('logout_token') ?? '')
    })()
  })
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise((resolve) => door.close(resolve)))
  const publicUrl = `http://127.0.0.1:${(door.address() as AddressInfo).port}`
  const real = await startIdp({ port: 0, people: [people.dave], clients: [{ ...CLIENT, publicUrl }] })
  t.teardown(() => real.close())
  const w = await world(t, [providerAt(real.issuer, { mfa: { acr: [], amr: ['pwd'] } })], { settings: { publicUrl } })
  const browser = browserOf(real.issuer)
  const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const form = await browser.open(begun.location)
  const back = await browser.submit(form, { user: 'dave', password: people.dave.password, otp: '' })
  const done = await w.room.finishSignIn({ url: new URL(back.url), cookie: begun.cookie, address: HERE })
  if ('again' in done) throw new Error('signed in')
  const { session, identity } = done
  const waiting = await w.room.ask(sshQuestion('dave'))
  await w.room.answer(waiting.id, waiting.code, { identity, address: HERE })
  const { location = '' } = await w.room.signOut(session)
  const second = await w.room.beginSignIn({ returnTo: '/', address: HERE })
  const secondBack = await browser.open(second.location)
  const other = await w.room.finishSignIn({ url: new URL(secondBack.url), cookie: second.cookie, address: HERE })
  if ('again' in other) throw new Error('signed in')
  await browser.submit(await browser.open(location), { logout: 'yes' })
  const token = await told.promise
  await w.room.backchannelLogout(token)
  t.equal(await w.room.session(other.session), undefined)
  t.equal(await w.room.bound('dave' as Username, KEY), undefined)
  t.same(w.signedOut, [identity.subject])
  t.equal(await refusalOf(waiting.wait(new AbortController().signal)), 'NOT_SIGNED_IN')
  t.match(
    w.audit.slice(-2).map(({ kind }) => kind),
    ['identity.key-unbound', 'identity.signed-out'],
  )
  t.equal(await refusalOf(w.room.backchannelLogout(token)), 'BAD_INPUT', 'the same token again')
})

await t.test('a logout token that is not the word of the provider ends nothing', async (t) => {
  const idp = await hostileIdp(t)
  const w = await world(t, [providerAt(idp.issuer)])
  const signedIn = async (sid: string) => {
    idp.lies = { claims: (claims) => ({ ...claims, sid, acr: ACR_MFA }) }
    const begun = await w.room.beginSignIn({ returnTo: '/', address: HERE })
    const { url } = await browserOf(idp.issuer).open(begun.location)
    const done = await w.room.finishSignIn({ url: new URL(url), cookie: begun.cookie, address: HERE })
    if ('again' in done) throw new Error('signed in')
    return done
  }
  const one = await signedIn('session-1')
  const two = await signedIn('session-2')
  const bind = async () => {
    const waiting = await w.room.ask(sshQuestion())
    await w.room.answer(waiting.id, waiting.code, { identity: one.identity, address: HERE })
  }
  await bind()
  let count = 0
  const good = () => ({
    iss: idp.issuer,
    aud: CLIENT.id,
    iat: now(),
    exp: now() + 60,
    jti: `token-${(count += 1)}`,
    sub: '1',
    events: EVENTS,
  })
  const typ = 'logout+jwt'
  const unsound: Record<string, Promise<string>> = {
    'not a token': Promise.resolve('rubbish'),
    'a token without end': Promise.resolve('x'.repeat(100_000)),
    'a foreign key': idp.token(good(), { typ, sign: 'foreign' }),
    'no signature': idp.token(good(), { typ, sign: 'none' }),
    'the public key as a secret': idp.token(good(), { typ, sign: 'hs256' }),
    'an ID token': idp.token(good(), { typ: 'JWT' }),
    'another issuer': idp.token({ ...good(), iss: 'https://elsewhere.example' }, { typ }),
    'another audience': idp.token({ ...good(), aud: 'other' }, { typ }),
    'an old token': idp.token({ ...good(), iat: now() - 3600, exp: now() + 3600 }, { typ }),
    'an expired token': idp.token({ ...good(), exp: now() - 120 }, { typ }),
    'no jti': idp.token(without(good(), 'jti'), { typ }),
    'no events': idp.token(without(good(), 'events'), { typ }),
    'another event': idp.token({ ...good(), events: { 'urn:other': {} } }, { typ }),
    'events as a word': idp.token({ ...good(), events: 'http://schemas.openid.net/event/backchannel-logout' }, { typ }),
    'a nonce': idp.token({ ...good(), nonce: 'x' }, { typ }),
    nobody: idp.token(without(good(), 'sub'), { typ }),
  }
  for (const [name, token] of Object.entries(unsound))
    t.equal(await refusalOf(w.room.backchannelLogout(await token)), 'BAD_INPUT', name)
  t.ok(await w.room.session(one.session))
  t.ok(await w.room.session(two.session))
  t.ok(await w.room.bound(ALICE, KEY))
  t.same(w.signedOut, [])

  const somebodyElse = await idp.token({ ...good(), sub: '2' }, { typ })
  await w.room.backchannelLogout(somebodyElse)
  t.ok(await w.room.session(one.session), 'somebody else is somebody else')
  t.same(w.signedOut, [])

  await w.room.backchannelLogout(await idp.token({ ...without(good(), 'sub'), sid: 'session-1' }, { typ }))
  t.equal(await w.room.session(one.session), undefined, 'a token that names a session ends that one')
  t.ok(await w.room.session(two.session))
  t.equal(await w.room.bound(ALICE, KEY), undefined, 'and the keys of its person')
  await bind()
  await w.room.backchannelLogout(await idp.token(good(), { typ }))
  t.equal(await w.room.session(two.session), undefined, 'a token that names a person ends all')
  t.equal(await w.room.bound(ALICE, KEY), undefined)
  t.same(w.signedOut, [one.identity.subject, one.identity.subject])
})
