/** The whole way in: the portal, identity and a real OpenID provider, driven by a scripted browser. */
import t from 'tap'
import { PATHS } from '../../gateway/identity/identity.ts'
import type { Username } from '../../gateway/model/identity.ts'
import * as personWords from '../../gateway/portal/schema/person.ts'
import * as signInWords from '../../gateway/portal/schema/sign-ins.ts'
import type { Answer, BrowserAgent } from '../fixtures/browser-agent.ts'
import { type DemoIdp, demoIdp, people, providerAt } from '../fixtures/idp.ts'
import { build, type TestPortal, testPortal } from '../fixtures/portal.ts'
import { type World, world } from '../identity/world.ts'

type Test = Parameters<typeof world>[0]
type Whole = { readonly portal: TestPortal; readonly idp: DemoIdp; readonly world: World }

async function whole(t: Test): Promise<Whole> {
  const made: { idp?: DemoIdp; world?: World } = {}
  const portal = await testPortal(t, [], async (settings) => {
    const { publicUrl } = settings
    made.idp = await demoIdp(t, { publicUrl })
    made.world = await world(t, [providerAt(made.idp.issuer)], { settings: { publicUrl } })
    return { identity: made.world.room, settings: { ...settings, paths: PATHS } }
  })
  await build(portal.dist)
  if (made.idp === undefined || made.world === undefined) throw new Error('nothing was made')
  return { portal, idp: made.idp, world: made.world }
}

/** Opens a page, and signs in where the provider asks. */
async function signedIn(
  { portal, idp }: Whole,
  browser: BrowserAgent,
  path: string,
  who: keyof typeof people,
): Promise<Answer> {
  const asked = await browser.open(`${portal.origin}${path}`)
  const { username, password } = people[who]
  return await browser.submit(asked, {
    user: username,
    password,
    otp: people[who].totpSecret === undefined ? '' : idp.code(people[who]),
  })
}

t.test('a stranger who opens a page signs in and is on that page', async (t) => {
  const house = await whole(t)
  const { origin } = house.portal
  const browser = house.portal.browser()
  const page = await signedIn(house, browser, '/grants/17?tab=story', 'alice')
  t.equal(page.status, 200)
  t.equal(page.url, `${origin}/grants/17?tab=story`)
  const me = personWords.me.parse((await browser.api(origin, 'GET', '/me')).json())
  t.match(me, { username: 'alice', groups: ['engineers'], isAdmin: false })
  t.ok(me.amr.includes('otp') || me.amr.includes('mfa'))

  const cookie = browser.cookie('gateway.example', '__Host-sallyport')?.value
  const out = await browser.api(origin, 'POST', '/sign-out')
  t.match(out.json().location, house.idp.issuer, 'the provider’s session ends, too')
  const thief = house.portal.browser()
  thief.setCookie('gateway.example', `__Host-sallyport=${cookie}; Path=/; Secure`)
  t.equal((await thief.api(origin, 'GET', '/me')).status, 401)
})

t.test('without a second factor there is a sentence instead', async (t) => {
  const house = await whole(t)
  const browser = house.portal.browser()
  const page = await signedIn(house, browser, '/', 'dave')
  t.not(page.status, 200)
  t.equal(browser.cookie('gateway.example', '__Host-sallyport'), undefined)
})

t.test('a terminal that waits is let in by its person, with its code, from its place', async (t) => {
  const house = await whole(t)
  const { origin } = house.portal
  const asking = {
    kind: 'ssh' as const,
    username: 'alice' as Username,
    sourceAddress: '127.0.0.1',
    clientVersion: 'OpenSSH_9.9',
    keyFingerprint: `SHA256:${'a'.repeat(43)}`,
    target: 'prod-db',
  }
  const waiting = await house.world.room.ask(asking)
  const answered = waiting.wait(AbortSignal.timeout(20_000))
  const path = new URL(waiting.url).pathname
  t.equal(new URL(waiting.url).origin, origin)
  t.notMatch(waiting.url, waiting.code)

  const browser = house.portal.browser()
  t.equal((await signedIn(house, browser, path, 'alice')).url, waiting.url)
  const call = (agent: BrowserAgent, method: string, step = '', body?: unknown) =>
    agent.api(origin, method, `/sign-ins/${waiting.id}${step}`, body)
  const question = signInWords.signInQuestion.parse((await call(browser, 'GET')).json())
  t.match(question, { username: 'alice', sameAddress: true, signInAgain: false, target: 'prod-db', direction: 'type' })

  const stranger = house.portal.browser()
  await signedIn(house, stranger, '/', 'bob')
  t.equal((await call(stranger, 'GET')).status, 404, 'nobody else hears of it')
  const far = await house.world.room.ask({ ...asking, sourceAddress: '192.0.2.10' })
  far.wait(AbortSignal.timeout(20_000)).catch(() => undefined)
  const answer = await browser.api(origin, 'POST', `/sign-ins/${far.id}/answer`, { code: far.code })
  t.equal(answer.status, 403, 'a terminal at another address is not let in from here')

  t.match((await call(browser, 'POST', '/answer', { code: 'WRONG-CODE' })).json(), { result: 'wrong-code' })
  t.match((await call(browser, 'POST', '/answer', { code: waiting.code })).json(), { result: 'signed-in' })
  t.match(await answered, { username: 'alice', groups: ['engineers'] })

  const keys = personWords.keyList.parse((await browser.api(origin, 'GET', '/keys')).json()).keys
  t.match(keys, [{ fingerprint: `SHA256:${'a'.repeat(43)}` }])
  const gone = await browser.api(origin, 'DELETE', `/keys/${encodeURIComponent(keys[0]?.fingerprint ?? '')}`)
  t.equal(gone.status, 200)
  t.same((await browser.api(origin, 'GET', '/keys')).json(), { keys: [] })
})
