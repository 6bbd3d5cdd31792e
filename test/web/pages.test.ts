/** Every page of the portal in a real Chromium, under the portal's own policy: whole, accessible, and fit for a phone. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { Page } from 'playwright-core'
import { heldStatement } from '../fixtures/canned-answers.ts'
import { cannedShells, lostShell } from '../fixtures/canned-shells.ts'
import { cannedSql } from '../fixtures/canned-sql.ts'
import { barriers, contrasts, fits, LIVE, QUERIES, REQUESTS, SHELL, tooSmall, windows } from '../fixtures/windows.ts'

/** Every page, with words that are there once it is whole, and what else has to happen there. */
const pages: readonly (readonly [path: string, words: string, then?: (page: Page) => Promise<void>])[] = [
  ['/', 'Targets'],
  ['/requests', 'Approve for 1 h'],
  ['/requests/44', 'Approve for 1 h'],
  ['/requests/45', 'Let it run once'],
  ['/approve/ssh', 'Code from your terminal'],
  ['/approve/reverse', 'show the code'],
  ['/approve/gone', 'This sign-in is over'],
  ['/web-touch?target=prod-db&grant=41&state=x&returnTo=/', 'Use my passkey'],
  ['/web-touch?target=prod-db&grant=1&state=x&returnTo=/', 'This access has ended'],
  ['/grants', 'erin'],
  ['/grants/41', 'Access is live for 30 minutes.'],
  ['/grants/37', 'Use readonly for this.'],
  ['/sessions', 'prod-web'],
  ['/sessions?text=disk', 'disk'],
  ['/sessions?since=days&from=2026-01-01', 'From day'],
  [SHELL, 'Space plays and pauses'],
  [LIVE, 'End this session'],
  ['/audit', 'session.refused'],
  ['/admin', 'ClickHouse'],
  ['/admin/people', 'Contract ended.'],
  ['/admin/targets', 'nobody can ask for it'],
  ['/admin/roles', 'operator'],
  ['/admin/agents', 'A token for an agent'],
  ['/admin/nothing', 'There is no such page'],
  ['/me', 'Keys that stand for you'],
  [QUERIES, 'DELETE changes data'],
  [REQUESTS, 'GET /api/orders'],
  ['/terminal/prod-db', 'The gateway does not answer'],
  ['/terminal/prod-db', 'The gateway does not answer', cannedShells],
  ['/terminal/prod-db', 'The gateway does not answer', lostShell],
  ['/sql/prod-db', 'The line was lost', cannedSql('rows')],
  ['/sql/prod-db', 'The line was lost', cannedSql('plan')],
  ['/sql/prod-db', 'The line was lost', cannedSql('refused')],
  ['/no/such/page', 'There is no such page'],
]
const FIRST_VIEW_BYTES = 150_000

t.setTimeout(240_000)
const { open, portal, dist } = await windows(t)

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

if (open === undefined)
  await t.test('pages in a browser', { skip: 'no Chromium, and none can be installed' }, () => undefined)
else {
  await t.test(
    'every page is whole, allowed by the policy, accessible in light and dark, and fits a phone',
    async (t) => {
      portal.instead.set('/grants/45', { status: 200, body: heldStatement })
      const common = await open('/')
      for (const [path, words, then] of pages) {
        // What is answered for the gateway on a page's sockets stays with its window.
        const { page, complaints, close } = then === undefined ? common : await open('/')
        await page.emulateMedia({ colorScheme: 'light' })
        await page.setViewportSize({ width: 1100, height: 800 })
        await page.goto(portal.url + path)
        await page.getByText(words).first().waitFor()
        await then?.(page)
        t.strictSame(await barriers(page), [], `${path}: accessible in light`)
        await page.emulateMedia({ colorScheme: 'dark' })
        t.strictSame(await contrasts(page), [], `${path}: readable in dark`)
        await page.setViewportSize({ width: 360, height: 800 })
        t.ok(await fits(page), `${path}: fits a phone`)
        t.strictSame(await tooSmall(page), [], `${path}: nothing is smaller than a thumb`)
        t.strictSame(complaints, [], `${path}: nothing refused by the policy, nothing thrown`)
        if (then !== undefined) await close()
      }
      await common.close()
    },
  )
}
