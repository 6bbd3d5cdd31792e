/** A person in a real browser: sign in, ask, be approved, work, be cut. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startDemoWeb } from '../../tools/demo/web.ts'
import { startChromium } from '../fixtures/chromium.ts'
import { people } from '../fixtures/idp.ts'
import { webTarget, webWorld } from '../fixtures/web-door.ts'
import { until } from '../fixtures/until.ts'

/** Set to a folder to keep what the pages look like. */
const pictures = process.env['SALLYPORT_PICTURES']

const chromium = await startChromium()
if (chromium === undefined) t.plan(0, 'skipped: there is no Chromium here and none can be installed')
else {
  t.teardown(() => chromium.close())
  const shop = await startDemoWeb()
  t.teardown(() => shop.stop())
  const world = await webWorld(t, [webTarget('prod-web', { url: shop.url })])
  const home = world.originOf('prod-web')
  const context = await chromium.newContext({ ignoreHTTPSErrors: true, viewport: { width: 900, height: 760 } })
  t.teardown(() => context.close())
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (said) => {
    if (/content security policy/i.test(said.text())) faults.push(said.text())
  })
  const picture = async (name: string) => {
    if (pictures === undefined) return
    mkdirSync(pictures, { recursive: true })
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
  }

  await t.test('from a link to the page: sign in, ask, wait, and it goes on by itself', async (t) => {
    await page.goto(`${home}/?from=mail`)
    await page.getByLabel('User name').fill('alice')
    await page.getByLabel('Password').fill(people.alice.password)
    await page.getByLabel(/One-time code/).fill(world.idp.code(people.alice))
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { name: 'Ask for access first' }).waitFor()
    t.equal(page.url(), `${home}/?from=mail`)
    await picture('1-no-grant')
    await page.getByRole('link', { name: 'Ask for access' }).click()
    await page.getByRole('radio', { name: /^web/ }).check()
    await page.getByLabel(/Minutes/).fill('15')
    await page.getByLabel(/Reason/).fill('INC-42: a parcel is missing')
    await picture('2-ask')
    await page.getByRole('button', { name: 'Ask for access' }).click()
    await page.getByRole('heading', { name: 'Waiting for approval' }).waitFor()
    await picture('3-waiting')
    await world.signIn(world.browser(), people.bob)
    const [waiting] = await world.grants.requests(world.identityOf('bob'))
    t.match(waiting?.grant, { reason: 'INC-42: a parcel is missing', minutes: 15 })
    if (waiting !== undefined) await world.grants.approve(world.identityOf('bob'), waiting.grant.id, {})
    await page.getByRole('heading', { name: 'Orders' }).waitFor()
    t.equal(page.url(), `${home}/?from=mail`)
  })

  await t.test('everything of the application works: API, WebSocket, event stream, upload', async (t) => {
    await page.getByText('Café Lovelace').waitFor()
    t.match(await page.locator('#who').textContent(), /alice \(engineers, grant \d+\)/)
    await page.getByRole('button', { name: 'Next step' }).first().click()
    await page.getByRole('cell', { name: 'packed' }).first().waitFor()
    await until(async () => (await page.locator('#echo').textContent()) === 'connected', 'the socket is open')
    await page.getByLabel('Say').fill('Grüße')
    await page.getByRole('button', { name: 'Send' }).click()
    await until(async () => (await page.locator('#echo').textContent()) === 'Grüße', 'it echoes')
    await until(async () => /\d\d:\d\d:\d\d/.test((await page.locator('#clock').textContent()) ?? ''), 'the clock runs')
    await page
      .getByLabel('A file')
      .setInputFiles({ name: 'a.bin', mimeType: 'application/x', buffer: Buffer.alloc(300_000) })
    await until(
      async () => ((await page.locator('#uploaded').textContent()) ?? '').startsWith('300000 bytes'),
      'it is uploaded',
    )
    await picture('4-application')
    t.same(
      await page.evaluate(
        "[...new Set(performance.getEntriesByType('navigation').concat(performance.getEntriesByType('resource')).map((e) => e.nextHopProtocol))].filter(Boolean)",
      ),
      ['h2'],
      'all but the WebSocket, which browsers open over HTTP/1.1',
    )
    t.same(faults, [])
  })

  await t.test('a page of another target cannot reach in, and scripts cannot read our cookie', async (t) => {
    t.notMatch(await page.evaluate('document.cookie'), /sallyport/)
    const other = await context.newPage()
    await other.goto(`${world.origin}/signed-out`)
    const status = await other.evaluate(
      `fetch('${home}/api/orders', { credentials: 'include', mode: 'no-cors' }).then((a) => a.type + a.status, () => 'failed')`,
    )
    t.not(status, 'basic200')
    await other.close()
    const tape = world.recorder.tapes.at(-1)
    const denied = tape?.events.filter(({ kind, data }) => kind === 's' && data.includes('/api/orders')).length
    t.equal(denied, 3, 'only what its own page asked for')
  })

  await t.test('the end is felt at once, and the next click says why', async (t) => {
    await world.grants.revoke(world.identityOf('bob'), { person: 'alice' }, 'the parcel was found')
    await until(
      async () => /^closed: .*the parcel was found/.test((await page.locator('#echo').textContent()) ?? ''),
      'closed',
    )
    await until(async () => (await page.locator('#clock').textContent()) === 'stopped', 'stopped')
    await page.getByRole('button', { name: 'Next step' }).first().click()
    await page.getByText('You have no access to prod-web at the moment').waitFor()
    await picture('5-cut')
    await page.reload()
    await page.getByRole('heading', { name: 'Your access has ended' }).waitFor()
    t.match(await page.locator('main').textContent(), /revoked by bob: the parcel was found/)
    await picture('6-why')
  })
}
