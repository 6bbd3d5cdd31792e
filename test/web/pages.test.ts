/** The pages of the portal in a real Chromium, under the portal's own policy, against canned answers of its API. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Page } from 'playwright-core'
import axe from 'axe-core'
import t from 'tap'
import { build } from 'vite'
import { type CannedPortal, RIGHT_CODE, startCannedPortal } from '../fixtures/canned-portal.ts'
import { startChromium } from '../fixtures/chromium.ts'

const root = join(import.meta.dirname, '../..')
const SHELL = '/sessions/01936f5e-0000-7000-8000-000000000001'
const LIVE = '/sessions/01936f5e-0000-7000-8000-000000000002'
const QUERIES = '/sessions/01936f5e-0000-7000-8000-000000000003'
/** Every page, with words that are there once it is whole. */
const pages: readonly (readonly [path: string, words: string])[] = [
  ['/', 'Targets'],
  ['/requests', 'Approve for 1 h'],
  ['/requests/44', 'Approve for 1 h'],
  ['/approve/ssh', 'Code from your terminal'],
  ['/approve/reverse', 'show the code'],
  ['/approve/gone', 'This sign-in is over'],
  ['/grants', 'erin'],
  ['/grants/41', 'Access is live for 30 minutes.'],
  ['/grants/37', 'Use readonly for this.'],
  ['/sessions', 'prod-web'],
  [SHELL, 'Space plays and pauses'],
  [LIVE, 'End this session'],
  ['/me', 'Keys that stand for you'],
  [QUERIES, 'DELETE changes data'],
  ['/no/such/page', 'There is no such page'],
]
const FIRST_VIEW_BYTES = 150_000

// Not into the folder that a gateway serves from: other tests may be looking at it.
const dist = await mkdtemp(join(tmpdir(), 'sallyport-web-'))
await build({ root: join(root, 'web-terminal'), logLevel: 'error', build: { outDir: dist, emptyOutDir: true } })
const browser = await startChromium()
t.setTimeout(55_000)
const portal = await startCannedPortal(dist)
t.teardown(async () => {
  await browser?.close()
  await portal.close()
  await rm(dist, { recursive: true, force: true })
})

/** What axe finds. */
const accessible = async (page: Page): Promise<readonly unknown[]> => {
  const session = await page.context().newCDPSession(page)
  await session.send('Runtime.evaluate', { expression: axe.source })
  const tags = JSON.stringify(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'])
  const { result } = await session.send('Runtime.evaluate', {
    expression: `axe.run(document, { runOnly: ${tags} }).then(({ violations }) => violations.map((v) => v.id + ' ' + v.nodes.map((n) => n.target).join(' ')))`,
    awaitPromise: true,
    returnByValue: true,
  })
  await session.detach()
  return result.value as readonly unknown[]
}

await t.test('the first view is at most 150 kB of script', async (t) => {
  const page = await readFile(join(dist, 'index.html'), 'utf8')
  const scripts = [...page.matchAll(/(?:src|href)="(\/assets\/[^"]+\.js)"/g)].map(([, path = '']) => path)
  let bytes = 0
  for (const path of scripts) bytes += gzipSync(await readFile(join(dist, path))).length
  t.comment(`${Math.round(bytes / 1000)} kB gzip in ${scripts.length} files`)
  t.ok(scripts.length > 0 && bytes <= FIRST_VIEW_BYTES, `${bytes} bytes`)
  t.notOk(
    (await readdir(join(dist, 'assets'))).some((name) => name.endsWith('.wasm')),
    'no WebAssembly',
  )
})

if (browser === undefined) {
  t.comment('skipped: no Chromium, and none can be installed')
  await t.test('pages in a browser', { skip: 'no Chromium here' }, () => undefined)
} else {
  /** A new window; whatever the policy refuses or the page throws is collected. */
  const open = async (path: string, options: { readonly width?: number; readonly portal?: CannedPortal } = {}) => {
    const context = await browser.newContext({
      viewport: { width: options.width ?? 1100, height: 800 },
    })
    context.setDefaultTimeout(8000)
    const page = await context.newPage()
    const complaints: string[] = []
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('console', (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text())
    })
    await page.goto((options.portal ?? portal).url + path)
    return { page, complaints, close: () => context.close() }
  }
  await t.test(
    'every page is whole, allowed by the policy, accessible in light and dark, and fits a phone',
    async (t) => {
      const { page, complaints, close } = await open('/')
      for (const [path, words] of pages) {
        await page.emulateMedia({ colorScheme: 'light' })
        await page.setViewportSize({ width: 1100, height: 800 })
        await page.goto(portal.url + path)
        await page.getByText(words).first().waitFor()
        t.strictSame(await accessible(page), [], `${path}: accessible in light`)
        await page.emulateMedia({ colorScheme: 'dark' })
        t.strictSame(await accessible(page), [], `${path}: accessible in dark`)
        await page.setViewportSize({ width: 360, height: 800 })
        t.ok(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), `${path}: fits a phone`)
      }
      t.strictSame(complaints, [], 'nothing refused by the policy, nothing thrown')
      await close()
    },
  )

  await t.test('a person asks for access in place, by keyboard alone', async (t) => {
    const { page, close } = await open('/')
    await page.getByRole('button', { name: 'Ask for access to staging-db' }).focus()
    await page.keyboard.press('Enter')
    const form = page.getByRole('form', { name: 'Ask for access to staging-db' })
    await form.getByRole('button', { name: 'Open access now' }).click()
    t.ok(await form.getByText('Say in a few words why.').isVisible(), 'a reason is needed')
    await form.getByLabel('Reason').fill('INC-7: slow queries')
    await form.getByText('15 min', { exact: true }).click()
    await page.keyboard.press('Tab')
    await form.getByRole('button', { name: 'Open access now' }).press('Enter')
    await form.waitFor({ state: 'detached' })
    t.equal(
      portal.posted.at(-1),
      'POST /requests {"target":"staging-db","role":"readonly","minutes":15,"reason":"INC-7: slow queries"}',
    )
    await close()
  })

  await t.test('a refusal is shown in the words of the gateway', async (t) => {
    portal.instead.set('/requests', {
      status: 429,
      body: { error: { code: 'TOO_MANY', message: 'Too many requests wait.', next: 'Withdraw one.', reference: 'r' } },
    })
    const { page, close } = await open('/requests')
    await page.getByText('Too many requests wait.').waitFor()
    t.ok(await page.getByText('Withdraw one.').isVisible(), 'with what to do')
    portal.instead.delete('/requests')
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('button', { name: 'Approve for 1 h' }).waitFor()
    await close()
  })

  await t.test('an approver shortens and approves with one thumb, or denies with a reason', async (t) => {
    const { page, close } = await open('/requests/44', { width: 390 })
    await page.getByText('30 min', { exact: true }).click()
    const button = page.getByRole('button', { name: 'Approve for 30 min' })
    t.ok(((await button.boundingBox())?.height ?? 0) >= 44, 'large enough for a thumb')
    await button.click()
    await page.waitForTimeout(100)
    t.equal(portal.posted.at(-1), 'POST /requests/44/approve {"minutes":30}')
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByRole('button', { name: 'Deny now' }).click()
    t.ok(await page.getByText('Say in a few words why.').isVisible(), 'a reason is needed')
    t.strictSame(await accessible(page), [], 'accessible with an error, too')
    await page.getByLabel('Why not').fill('Use readonly for this.')
    await page.getByRole('button', { name: 'Deny now' }).click()
    await page.waitForTimeout(100)
    t.equal(portal.posted.at(-1), 'POST /requests/44/deny {"reason":"Use readonly for this."}')
    await close()
  })

  await t.test('a sign-in of ssh is approved with the code of the terminal, and only with it', async (t) => {
    const { page, close } = await open('/approve/ssh')
    const field = page.getByLabel('Code from your terminal')
    await field.waitFor()
    await page.keyboard.type('aaaabbbb')
    t.equal(await field.inputValue(), 'AAAA-BBBB', 'the field has the focus and writes as the terminal does')
    await page.keyboard.press('Enter')
    await page.getByText('That is not the code. 4 tries left.').waitFor()
    await field.fill(` ${RIGHT_CODE.toLowerCase()} `)
    await page.getByRole('button', { name: 'Approve sign-in' }).click()
    await page.getByText('You can go back to your terminal').waitFor()
    t.equal(portal.posted.at(-1), `POST /sign-ins/ssh/answer {"code":"${RIGHT_CODE}"}`)
    await close()
    const reverse = await open('/approve/reverse')
    t.notOk(await reverse.page.getByText(RIGHT_CODE).isVisible(), 'not shown before it was asked for')
    await reverse.page.getByRole('button', { name: 'show the code' }).click()
    await reverse.page.getByText(RIGHT_CODE).waitFor()
    portal.instead.set('/sign-ins/reverse', {
      status: 404,
      body: { error: { code: 'NOT_FOUND', message: 'It is over.', next: null, reference: 'r' } },
    })
    await reverse.page.getByText('This code is done').waitFor()
    portal.instead.delete('/sign-ins/reverse')
    t.pass('and the page knows when it was used')
    await reverse.close()
  })

  await t.test('a key that nobody knows is forgotten', async (t) => {
    const { page, close } = await open('/')
    await page.getByRole('link', { name: 'Signed in as alice' }).click()
    await page.getByRole('button', { name: 'Forget SHA256:8qTz' }).click()
    await page.waitForTimeout(100)
    t.match(portal.posted.at(-1), 'DELETE /keys/SHA256%3A8qTz0PYV')
    await close()
  })

  await t.test('filters are part of the address', async (t) => {
    const { page, close } = await open('/sessions')
    await page.getByLabel('Person').fill('erin')
    await page.waitForURL('**/sessions?person=erin')
    await page.getByText('df -h').waitFor()
    t.equal(await page.getByRole('row').count(), 2, 'the head, and her session')
    await page.getByLabel('Started').selectOption('In the last week')
    await page.waitForURL('**/sessions?person=erin&since=7d')
    await page.reload()
    t.equal(await page.getByLabel('Person').inputValue(), 'erin', 'and survive a reload')
    await close()
  })

  await t.test('without a line the page says so, and keeps what it shows', async (t) => {
    const lost = await startCannedPortal(dist)
    const { page, close } = await open('/', { portal: lost })
    await page.getByRole('heading', { name: 'Live now' }).waitFor()
    await lost.close()
    await page.getByText('Not connected to the gateway').waitFor()
    t.ok(await page.getByRole('heading', { name: 'Live now' }).isVisible(), 'what was there is still there')
    await page.getByRole('link', { name: 'Sessions' }).click()
    await page.getByText('This page could not be loaded').waitFor()
    await page.getByRole('link', { name: 'Home' }).click()
    await page.getByRole('heading', { name: 'Live now' }).waitFor()
    await close()
  })

  await t.test('what others do shows up without reloading', async (t) => {
    const { page, close } = await open('/requests')
    await page.getByText('erin').first().waitFor()
    portal.instead.set('/requests', { status: 200, body: { requests: [] } })
    portal.change()
    await page.getByText('Nothing waits for you').waitFor()
    portal.instead.delete('/requests')
    t.pass('the list is empty now')
    await close()
  })

  await t.test('a replay shows what was on the screen, jumps, and answers nothing to hostile output', async (t) => {
    const { page, complaints, close } = await open(SHELL)
    const before = portal.posted.length
    await page.getByLabel('Screen as text').check()
    const screen = page.locator('pre.screen-text')
    await page.getByRole('button', { name: 'Jump to 0:39' }).click()
    await screen.filter({ hasText: 'logout' }).waitFor()
    const text = (await screen.textContent()) ?? ''
    t.match(text, 'could not extend file', 'the output of the commands')
    t.notMatch(text, 'ZXZpbA', 'the clipboard sequence is not text')
    await page.getByText('clipboard access (1)').waitFor()
    t.equal(await page.title(), 'alice on prod-db · Sallyport', 'the title is ours')
    await page.getByRole('button', { name: 'Jump to 0:02' }).click()
    await screen.filter({ hasNotText: 'logout' }).waitFor()
    await page.getByRole('slider', { name: 'Position' }).focus()
    await page.keyboard.press('Space')
    await page.keyboard.press('ArrowRight')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    t.not(await page.evaluate('document.activeElement.className'), 'xterm-helper-textarea', 'Tab goes on')
    t.equal(portal.posted.length, before, 'nothing was sent')
    t.strictSame(complaints, [], 'nothing refused by the policy')
    await close()
  })

  await t.test('a session that runs is watched, and ended by hand', async (t) => {
    const { page, close } = await open(LIVE)
    await page.getByLabel('Screen as text').check()
    await page.locator('pre.screen-text').filter({ hasText: 'load average' }).waitFor()
    await page.getByRole('button', { name: 'End this session' }).click()
    await page.getByLabel('Why (the person will read it)').fill('wrong host')
    await page.getByRole('button', { name: 'End the session' }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    t.equal(portal.posted.at(-1), `POST ${LIVE}/kill {"note":"wrong host"}`)
    await close()
  })
}
