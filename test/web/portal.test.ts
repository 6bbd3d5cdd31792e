/** The pages before the real portal, its TLS door and real grants: what two people see of each other. */
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { BrowserContext, Page } from 'playwright-core'
import t from 'tap'
import { build } from 'vite'
import type { Identity } from '../../gateway/model/identity.ts'
import { after, wallClock } from '../../gateway/model/moment.ts'
import { selfSignedCertificate } from '../../gateway/portal/portal.ts'
import { startChromium } from '../fixtures/chromium.ts'
import { liveGrant, people } from '../fixtures/grants.ts'
import { sessionOf, testPortal } from '../fixtures/portal.ts'

const { alice, bob, carol } = people
const root = join(import.meta.dirname, '../..')

t.setTimeout(55_000)
// The provider: whoever the window says it is has signed in. Answers go where the question came from.
let origin = ''
const tls = selfSignedCertificate({ names: ['idp.example'], clock: wallClock })
const provider = createServer(tls, (request, response) => {
  const person = request.headers['x-person']
  if (request.url === '/end' || person === undefined) response.end('the provider')
  else response.writeHead(302, { location: `${origin}/callback?as=${String(person)}` }).end()
})
await new Promise<void>((resolve) => provider.listen(0, '127.0.0.1', resolve))
t.teardown(() => {
  provider.closeAllConnections()
  provider.close()
})
const { port } = provider.address() as AddressInfo
const browser = await startChromium([
  `--host-resolver-rules=MAP idp.example:443 127.0.0.1:${port}, MAP gateway.example 127.0.0.1`,
])
if (browser === undefined) {
  t.comment('skipped: no Chromium, and none can be installed')
  await t.test('pages before the real portal', { skip: 'no Chromium here' }, () => undefined)
} else {
  t.teardown(() => browser.close())
  const portal = await testPortal(t, Object.values(people))
  origin = portal.origin
  await build({
    root: join(root, 'web-terminal'),
    logLevel: 'error',
    build: { outDir: portal.dist, emptyOutDir: true },
  })
  const complaints: string[] = []
  /** A window of somebody who opens a page without being signed in: the provider says who it is, and they land on the page. */
  const as = async (person: Identity, path: string): Promise<{ page: Page; context: BrowserContext }> => {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1100, height: 800 } })
    context.setDefaultTimeout(30_000)
    await context.setExtraHTTPHeaders({ 'x-person': person.username })
    const page = await context.newPage()
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('console', (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text())
    })
    await page.goto(portal.origin + path)
    return { page, context }
  }

  await t.test('alice asks, bob approves, and alice sees it without reloading; then she releases it', async (t) => {
    const hers = await as(alice, '/')
    await hers.page.getByRole('button', { name: 'Ask for access to prod-db' }).click()
    const form = hers.page.getByRole('form')
    await form.getByLabel('Role').selectOption('operator')
    await form.getByLabel('Reason').fill('INC-42: disk is full')
    await form.getByRole('button', { name: 'Ask for access' }).click()
    await hers.page.getByText('0 of 1 approval').waitFor()

    const his = await as(bob, '/requests')
    await his.page.getByText('INC-42: disk is full').waitFor()
    await his.page.getByRole('button', { name: /^Approve for/ }).click()
    await his.page.getByText(/^Request \d+ is decided: Approved/).waitFor()

    await hers.page.getByRole('heading', { name: 'Live now' }).waitFor()
    t.ok(await hers.page.getByText('ssh -t -p 2222 alice@gateway.example prod-db').isVisible(), 'the line to type')
    await hers.page.getByRole('button', { name: 'Release' }).click()
    await hers.page.getByRole('button', { name: 'Release now' }).click()
    await hers.page.getByRole('heading', { name: 'Live now' }).waitFor({ state: 'detached' })
    await hers.page.goto(`${portal.origin}/grants`)
    await hers.page.getByText('Released').waitFor()
    await hers.page
      .getByRole('link', { name: /^Grant \d/ })
      .first()
      .click()
    await hers.page.getByRole('heading', { name: 'What happened' }).waitFor()
    t.ok(await hers.page.getByText('was released by alice.').isVisible(), 'the story has its end')
    await hers.context.close()
    await his.context.close()
  })

  await t.test('a statement that waits is read, and let through, on the page of requests', async (t) => {
    const grant = await liveGrant(portal.desk.grants)
    if (grant.state !== 'live') throw new Error('not live')
    const { id: session } = sessionOf(alice, { grant: grant.id })
    const asked = await portal.desk.grants.park(grant, {
      kind: 'sql',
      verb: 'UPDATE',
      under: grant.id,
      session,
      text: "UPDATE orders SET status = 'paid' /* \u202esneaky \u001b[2J */ WHERE id = $1",
      normalised: "UPDATE orders SET status = 'paid' WHERE id = $1",
      tables: ['public.orders'],
      parameters: ['4711'],
      place: 'app',
      plan: 'Update on public.orders\n  ->  Index Scan using orders_pkey on public.orders  (rows=1)',
      estimatedRows: 1,
      mostRows: 100,
      digest: '5f1c'.repeat(16),
    })
    const { page, context } = await as(bob, '/requests')
    const card = page.getByRole('article', { name: /alice asks to let UPDATE run once on prod-db/ })
    await card.waitFor()
    t.ok(await card.getByText('/* \ufffdsneaky \u241b[2J */').isVisible(), 'nothing in it hides or acts')
    t.ok(await card.getByText('4711').isVisible())
    t.ok(await card.getByText('Rolled back when it touches more than 100 rows.').isVisible())
    await card.getByRole('button', { name: 'Let it run once' }).click()
    await page.getByText(/^Request \d+ is decided: Approved/).waitFor()
    t.match(await portal.desk.grants.grant(bob, asked.id), { state: 'approved' })
    await portal.desk.grants.release(alice, grant.id)
    await context.close()
  })

  await t.test('an ssh sign-in is approved on its page, with the code of the terminal', async (t) => {
    portal.identity.questions.set('question1', { username: 'alice', code: 'BCDF-GHJK' })
    const { page, context } = await as(alice, '/approve/question1')
    await page.getByLabel('Code from your terminal').fill('bcdfghjk')
    await page.getByRole('button', { name: 'Approve sign-in' }).click()
    await page.getByText('You can go back to your terminal').waitFor()
    await page.goto(`${portal.origin}/approve/nobody-asked`)
    await page.getByText('This sign-in is over').waitFor()
    t.pass('and one that nobody asked for is over')
    await context.close()
  })

  await t.test(
    'an auditor replays a session and watches another; what is watched shows up as it happens',
    async (t) => {
      const grant = await liveGrant(portal.desk.grants)
      const startedAt = portal.house.clock.now()
      const start = sessionOf(alice, { grant: grant.id, startedAt })
      const end = { endedAt: after(startedAt, 5000), cause: 'exited', detail: '', exitCode: 0 } as const
      portal.library.add(
        start,
        [
          ['o', '$ '],
          ['i', 'uptime\r'],
          ['o', 'uptime\r\nup 12 days\r\n\u001b]52;c;ZXZpbA==\u0007'],
        ],
        end,
      )
      const { page, context } = await as(carol, `/sessions/${start.id}`)
      await page.getByLabel('Screen as text').check()
      const screen = page.locator('pre.screen-text')
      await screen.filter({ hasText: 'up 12 days' }).waitFor()
      t.ok(await page.getByRole('list', { name: 'Events' }).getByText('uptime').isVisible(), 'what was typed')
      await page.getByText('clipboard access (1)').waitFor()
      t.ok(
        portal.audited.some(({ kind }) => kind === 'session.replayed'),
        'and the look itself is recorded',
      )

      const running = portal.library.add(sessionOf(alice, { grant: grant.id, startedAt }), [['o', 'one\r\n']])
      await page.goto(`${portal.origin}/sessions/${running.id}`)
      await page.getByLabel('Screen as text').check()
      await screen.filter({ hasText: 'one' }).waitFor()
      portal.library.play(running.id, 'o', 'two\r\n')
      await screen.filter({ hasText: 'two' }).waitFor()
      await context.close()
    },
  )

  await t.test('who signs out is out in every window', async (t) => {
    const { page, context } = await as(alice, '/')
    const other = await context.newPage()
    await other.goto(`${portal.origin}/grants`)
    await other.getByRole('heading', { name: 'Grants' }).waitFor()
    await context.setExtraHTTPHeaders({})
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.waitForURL('https://idp.example/end')
    await other.waitForURL('https://idp.example/**')
    t.pass('the other window went to sign in')
    await context.close()
  })

  await t.test('nothing was refused by the policy, nothing was thrown', async (t) => {
    t.strictSame(complaints, [])
  })
}
