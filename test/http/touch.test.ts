/** A role that asks for a passkey, on a web target: one touch for a visit, for that person, target and grant, and no way around it. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Role } from '../../gateway/model/role.ts'
import { startDemoWeb } from '../../tools/demo/web.ts'
import type { IdpPerson } from '../../tools/demo/idp.ts'
import { words } from '../../web-terminal/src/strings/strings.ts'
import { Authenticator } from '../fixtures/authenticator.ts'
import type { Answer, BrowserAgent } from '../fixtures/browser-agent.ts'
import { startChromium } from '../fixtures/chromium.ts'
import { people } from '../fixtures/idp.ts'
import { until } from '../fixtures/until.ts'
import { roles, webRole, webTarget, webWorld } from '../fixtures/web-door.ts'

t.setTimeout(150_000)
const { alice, bob, erin } = people
const shop = await startDemoWeb()
t.teardown(() => shop.stop())
const touchy: Role = { ...webRole('touchy', { kind: 'people', count: 1, groups: ['leads'] }), stepUp: 'passkey' }
const world = await webWorld(
  t,
  ['prod-web', 'other-web'].map((name) => webTarget(name, { url: shop.url })),
  { roles: [...roles, touchy], dist: join(import.meta.dirname, '../../web-terminal/dist') },
)
const home = world.originOf('prod-web')
const script = { accept: '*/*', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin', origin: home }
const revoke = (person: string) => world.grants.revoke(world.identityOf('bob'), { person }, 'done')
await world.signIn(world.browser(), bob)

/** Set to a folder to keep what the pages look like. */
const pictures = process.env['SALLYPORT_PICTURES']
const window = await openWindow()

async function openWindow() {
  const chromium = await startChromium()
  if (chromium === undefined) return undefined
  t.teardown(() => chromium.close())
  const context = await chromium.newContext({ ignoreHTTPSErrors: true, viewport: { width: 900, height: 760 } })
  context.setDefaultTimeout(60_000)
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (said) => {
    if (/content security policy/i.test(said.text())) faults.push(said.text())
  })
  // One session for all of it: one that detaches takes the authenticator along.
  const cdp = await context.newCDPSession(page)
  await cdp.send('WebAuthn.enable')
  const picture = async (name: string) => {
    if (pictures === undefined) return
    mkdirSync(pictures, { recursive: true })
    for (const [look, colorScheme, width] of [
      ['dark', 'dark', 900],
      ['phone', 'light', 390],
      ['light', 'light', 900],
    ] as const) {
      await page.emulateMedia({ colorScheme })
      await page.setViewportSize({ width, height: 760 })
      await page.screenshot({ path: join(pictures, `${name}-${look}.png`), fullPage: true })
    }
  }
  return { context, page, cdp, faults, picture }
}

/** Signed in at the portal, with a passkey. */
async function enrolled(who: IdpPerson): Promise<{ readonly browser: BrowserAgent; readonly key: Authenticator }> {
  const browser = world.browser()
  const key = new Authenticator(world.origin)
  await world.signIn(browser, who)
  const options = await browser.api(world.origin, 'POST', '/passkeys/options', {})
  const answer = key.create(options.json())
  const { status } = await browser.api(world.origin, 'POST', '/passkeys', { name: 'blue key', answer })
  if (status !== 200) throw new Error(`no passkey: ${status}`)
  return { browser, key }
}

type Asked = { readonly target: string; readonly grant: string; readonly returnTo: string; readonly state: string }

/** Opens an address of a target; what the page that asks for the touch was told. */
async function askedFor(browser: BrowserAgent, who: IdpPerson, url = `${home}/api/orders`): Promise<Asked> {
  const page = new URL((await world.visit(browser, url, who)).url)
  if (page.origin !== world.origin || page.pathname !== '/web-touch') throw new Error(`not asked: ${page.href}`)
  return Object.fromEntries(page.searchParams) as Asked
}

const optionsFor = async (browser: BrowserAgent, target = 'prod-web') =>
  (await browser.api(world.origin, 'POST', '/passkeys/confirm/options', { target })).json()

async function confirmed(browser: BrowserAgent, key: Authenticator, target = 'prod-web'): Promise<string> {
  const answer = key.get(await optionsFor(browser, target))
  return (await browser.api(world.origin, 'POST', '/passkeys/confirm', { target, answer })).json().confirmation
}

const visitWith = (browser: BrowserAgent, asked: Asked, confirmation: string): Promise<Answer> =>
  browser.api(world.origin, 'POST', '/web-visits', { ...asked, confirmation })

/** All the way in. */
async function entered(browser: BrowserAgent, key: Authenticator, who: IdpPerson): Promise<void> {
  const asked = await askedFor(browser, who)
  const { onward } = (await visitWith(browser, asked, await confirmed(browser, key))).json()
  const page = await browser.open(onward)
  if (page.status !== 200 || page.url !== `${home}/api/orders`) throw new Error(`not in: ${page.status} ${page.url}`)
}

const webCookie = (browser: BrowserAgent): string =>
  `__Host-sallyport-web=${browser.cookie('prod-web.localhost', '__Host-sallyport-web')?.value}`

/** What curl would say with somebody's cookie. */
const withCookie = (cookie: string, target = 'prod-web', path = '/api/orders') =>
  world
    .browser()
    .open(`${world.originOf(target)}${path}`, { headers: { cookie, accept: 'application/json' }, redirects: 0 })

await t.test('a page goes to the touch and comes back; scripts and sockets are told what to do', async (t) => {
  const { browser, key } = await enrolled(alice)
  const grant = await world.live('touchy')
  const asked = await askedFor(browser, alice, `${home}/api/orders?page=2`)
  t.match(asked, { target: 'prod-web', grant: grant.id, returnTo: '/api/orders?page=2' })
  t.equal(world.recorder.tapes.length, 0, 'no session was opened')
  const without = webCookie(browser)

  await t.test('a script gets JSON', async (t) => {
    const answer = await browser.open(`${home}/api/orders`, { headers: script, redirects: 0 })
    t.equal(answer.status, 401)
    t.match(answer.json().error, {
      code: 'PASSKEY_MISSING',
      message: 'Role touchy asks for a passkey for each session.',
      next: `Open ${home} in a browser, and use your passkey there.`,
      signIn: home,
    })
    const { kind, actor } = world.audited.findLast(({ details }) => details['code'] === 'PASSKEY_MISSING') ?? {}
    t.match({ kind, actor }, { kind: 'session.refused', actor: 'alice' })
  })
  await t.test('so does curl with the cookie of that browser', async (t) => {
    t.match((await withCookie(without)).json().error, { code: 'PASSKEY_MISSING' })
  })
  await t.test('a WebSocket is refused', async (t) => {
    const said = await world.raw(
      `GET /echo HTTP/1.1\r\nHost: prod-web.localhost:${world.port}\r\nCookie: ${without}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: ${home}\r\n\r\n`,
    )
    t.match(said, /^HTTP\/1\.1 401 /)
    t.match(said, /"code":"PASSKEY_MISSING"/)
  })
  await t.test('a form that is sent gets a page with the way on', async (t) => {
    const headers = { accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-site': 'same-origin', origin: home }
    const page = await browser.open(`${home}/api/orders`, { method: 'POST', headers, redirects: 0 })
    t.equal(page.status, 401)
    t.match(page.text, /Your passkey is asked for/)
    t.match(page.text, /href="[^"]+\/web-touch\?[^"]+"/)
  })

  const { onward } = (await visitWith(browser, asked, await confirmed(browser, key))).json()
  const page = await browser.open(onward)
  t.match(page, { status: 200, url: `${home}/api/orders?page=2` })
  t.match((await browser.open(`${home}/api/orders`, { headers: script, redirects: 0 })).status, 200)
  t.equal(world.recorder.tapes.length, 1)
  t.match((await withCookie(without)).json().error, { code: 'PASSKEY_MISSING' }, 'the cookie of before gained nothing')

  await t.test('a way in is good once, and in that browser only', async (t) => {
    t.equal((await browser.open(onward, { redirects: 0 })).status, 403, 'once')
    const next = await askedFor(world.browser(), alice)
    const { onward: second } = (await visitWith(browser, next, await confirmed(browser, key))).json()
    t.equal((await browser.open(second, { redirects: 0 })).status, 403, 'begun in another browser')
  })
  await t.test('the touch is for that target', async (t) => {
    await world.live('touchy', 'other-web')
    t.equal((await withCookie(webCookie(browser), 'other-web')).status, 401, 'the cookie is nobody there')
    const other = await askedFor(browser, alice, `${world.originOf('other-web')}/`)
    t.match(other, { target: 'other-web' }, 'which asks for its own')
    t.equal((await visitWith(browser, other, await confirmed(browser, key))).status, 403, 'touched for another one')
    const crossed = { ...other, grant: grant.id }
    t.equal((await visitWith(browser, crossed, await confirmed(browser, key, 'other-web'))).status, 403)
    const moved = { ...asked, target: 'other-web', grant: other.grant }
    const { onward: there } = (await visitWith(browser, moved, await confirmed(browser, key, 'other-web'))).json()
    const here = there.replace(world.originOf('other-web'), home)
    t.equal((await browser.open(here, { redirects: 0 })).status, 403, 'a way in for another target')
  })
  await t.test('two tabs that were asked at once both get in', async (t) => {
    const tabs = world.browser()
    const one = await askedFor(tabs, alice)
    const two = await askedFor(tabs, alice, `${home}/api/orders?tab=2`)
    for (const tab of [one, two]) {
      const { onward } = (await visitWith(tabs, tab, await confirmed(tabs, key))).json()
      t.match(await tabs.open(onward), { status: 200, url: `${home}${tab.returnTo}` })
    }
  })
  await t.test('a confirmation is good once, and what is no confirmation is none', async (t) => {
    const again = await askedFor(world.browser(), alice)
    const once = await confirmed(browser, key)
    t.equal((await visitWith(browser, again, once)).status, 200)
    t.match((await visitWith(browser, again, once)).json().error, { code: 'NOT_ALLOWED' })
    t.equal((await visitWith(browser, again, 'x'.repeat(43))).status, 403)
    t.equal((await visitWith(browser, again, '')).status, 403)
  })
  await revoke('alice')
})

if (window === undefined)
  await t.test('in a browser', { skip: 'there is no Chromium here and none can be installed' }, async () => undefined)
else {
  const { page, context, cdp, faults, picture } = window
  const button = page.getByRole('button', { name: words.passkeys.touch })

  await t.test('without a passkey the page says where to register one', async (t) => {
    await world.live('touchy', 'prod-web', 'erin')
    await page.goto(`${home}/?from=mail`)
    await page.getByLabel('User name').fill('erin')
    await page.getByLabel('Password').fill(erin.password)
    await page.getByLabel(/One-time code/).fill(world.idp.code(erin))
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: words.passkeys.asked }).waitFor()
    for (const fact of ['prod-web', 'touchy']) await page.getByRole('definition').getByText(fact).waitFor()
    await picture('1-asked')
    await button.click()
    await page.getByRole('alert').getByText('You have no passkey here').waitFor()
    t.equal(await page.getByRole('link', { name: words.passkeys.registerElsewhere }).getAttribute('href'), '/me')
    await picture('2-none')
  })

  await t.test('who cancels stays outside; who touches goes on to the very page, and all of it works', async (t) => {
    const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: {
        protocol: 'ctap2',
        transport: 'internal',
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    })
    await page.goto(`${world.origin}/me`)
    await page.getByLabel(words.passkeys.name).fill('blue key')
    await page.getByRole('button', { name: words.passkeys.register }).click()
    await page.getByRole('button', { name: words.passkeys.removeOne('blue key') }).waitFor()
    await page.goto(`${home}/?from=mail`)
    await page.getByRole('heading', { name: words.passkeys.asked }).waitFor()

    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false })
    await button.click()
    await page.getByText(words.passkeys.refused).waitFor()
    await picture('3-cancelled')
    t.equal(new URL(page.url()).pathname, '/web-touch')
    const hers = (await context.cookies(home)).find(({ name }) => name === '__Host-sallyport-web')
    t.match((await withCookie(`${hers?.name}=${hers?.value}`)).json().error, { code: 'PASSKEY_MISSING' })

    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true })
    await button.click()
    await page.getByRole('heading', { name: 'Orders' }).waitFor()
    t.equal(page.url(), `${home}/?from=mail`)
    await page.getByText('Café Lovelace').waitFor()
    await until(async () => (await page.locator('#echo').textContent()) === 'connected', 'its WebSocket is open')
    const tab = await context.newPage()
    await tab.goto(`${home}/`)
    await tab.getByRole('heading', { name: 'Orders' }).waitFor()
    t.equal(tab.url(), `${home}/`, 'another tab is the same visit')
    await tab.close()
  })

  await t.test('the end of the grant is felt, and its page of before asks for nothing any more', async (t) => {
    await revoke('erin')
    await until(async () => (await page.locator('#echo').textContent())?.startsWith('closed: '), 'closed')
    const { id } = await world.live('touchy', 'prod-web', 'erin')
    await page.goto(`${home}/`)
    await page.getByRole('heading', { name: words.passkeys.asked }).waitFor()
    t.equal(new URL(page.url()).searchParams.get('grant'), id, 'the next grant asks for its own touch')
    await revoke('erin')
    await page.getByRole('heading', { name: words.passkeys.webOver }).waitFor()
    await picture('4-over')
    await page.getByRole('link', { name: words.passkeys.webOpen('prod-web') }).click()
    await page.getByRole('heading', { name: 'Your access has ended' }).waitFor()
    t.same(faults, [])
  })
}

await t.test("another person's touch, or a grant of theirs, opens nothing", async (t) => {
  const hers = await enrolled(erin)
  const his = await enrolled(alice)
  const grant = await world.live('touchy')
  const erins = await world.live('touchy', 'prod-web', 'erin')
  const asked = await askedFor(his.browser, alice)
  const answer = hers.key.get(await optionsFor(his.browser))
  const wrong = await his.browser.api(world.origin, 'POST', '/passkeys/confirm', { target: 'prod-web', answer })
  t.match(wrong.json().error, { code: 'NOT_ALLOWED' }, 'signed with her key')
  const lent = await confirmed(hers.browser, hers.key)
  t.match((await visitWith(his.browser, asked, lent)).json().error, { code: 'NOT_ALLOWED' }, 'her confirmation')
  t.equal((await visitWith(hers.browser, asked, lent)).status, 404, 'used up, and his grant is nothing to her')
  const ofErin = { ...asked, grant: erins.id }
  const touched = await confirmed(his.browser, his.key)
  t.equal((await visitWith(his.browser, ofErin, touched)).status, 404, 'under her grant')
  const bobs = world.browser()
  await world.signIn(bobs, bob)
  t.equal((await visitWith(bobs, asked, touched)).status, 403, 'an approver may read the grant, and not come in by it')
  t.match((await withCookie(webCookie(his.browser))).json().error, { code: 'PASSKEY_MISSING' })
  t.equal(asked.grant, grant.id)
  await revoke('alice')
  await revoke('erin')
})

await t.test('a visit is over with its grant, its passkey, its sign-out', async (t) => {
  const { browser, key } = await enrolled(alice)
  await world.live('touchy')
  await entered(browser, key, alice)
  const first = webCookie(browser)
  world.later(2 * 60_000)
  t.equal((await withCookie(first)).status, 200, 'it lasts: one touch for all of it')

  await revoke('alice')
  await until(async () => (await withCookie(first)).json().error?.code === 'NO_GRANT', 'the grant is over')
  await world.live('touchy')
  await until(
    async () => (await withCookie(first)).json().error?.code === 'PASSKEY_MISSING',
    'the next grant asks anew',
  )
  await entered(browser, key, alice)

  const second = webCookie(browser)
  t.equal((await withCookie(second)).status, 200)
  await world.signIn(browser, alice)
  await until(async () => (await withCookie(second)).status === 401, 'a new sign-in is a new visit')
  await entered(browser, key, alice)
  const last = webCookie(browser)
  await browser.api(world.origin, 'POST', '/sign-out', {})
  await until(async () => (await withCookie(last)).status === 401, 'signed out')
  await world.signIn(browser, alice)
  await entered(browser, key, alice)
  const third = webCookie(browser)
  const gone = await browser.api(world.origin, 'DELETE', `/passkeys/${key.id}`)
  t.equal(gone.status, 200)
  await until(async () => (await withCookie(third)).json().error?.code === 'NOT_SIGNED_IN', 'its passkey was removed')
  await revoke('alice')
})

await t.test('a confirmation and a way in last a minute', async (t) => {
  const { browser, key } = await enrolled(alice)
  await world.live('touchy')
  const asked = await askedFor(browser, alice)
  const late = await confirmed(browser, key)
  const { onward } = (await visitWith(browser, asked, await confirmed(browser, key))).json()
  world.later(61_000)
  t.equal((await visitWith(browser, asked, late)).status, 403)
  t.equal((await browser.open(onward, { redirects: 0 })).status, 403)
  await revoke('alice')
})
