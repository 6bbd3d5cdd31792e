/** The console's first view: from the address to what a person came for, in a browser that has never been there, over loopback and TLS. */
import { randomBytes } from 'node:crypto'
import type { Browser } from 'playwright-core'
import { startChromium } from '../../test/fixtures/chromium.ts'
import { startDemo } from '../../test/fixtures/demo.ts'
import { median, round, teardowns } from './measure.ts'

const COOKIE = '__Host-sallyport'
/** The list of targets: there once the answers are. */
const MAIN = '#targets'
/** In the page, before anything of ours: notes when the main thing is drawn, and what came for it. */
const WATCH = `new MutationObserver((_, watch) => {
  if (document.querySelector('${MAIN}') === null || document.querySelector('main li h3') === null) return
  watch.disconnect()
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const files = performance.getEntriesByType('resource').map((file) => [file.name, file.encodedBodySize])
    document.documentElement.dataset.firstView = JSON.stringify({ ms: performance.now(), files })
  }))
}).observe(document, { childList: true, subtree: true })`

type View = { readonly ms: number; readonly files: readonly (readonly [string, number])[] }

export async function run(say: (line: string) => void, quick: boolean): Promise<object> {
  const t = teardowns()
  try {
    const demo = await startDemo(t)
    const alice = demo.person('alice')
    await alice.visit()
    const { url } = demo.report.https
    const cookie = alice.browser.cookie(new URL(url).hostname, COOKIE)?.value ?? ''
    const views: View[] = []
    for (let i = 0; i < (quick ? 3 : 5); i += 1) {
      const browser = await startChromium()
      if (browser === undefined) throw new Error('There is no Chromium here.')
      try {
        const view = await firstView(browser, url, cookie)
        views.push(view)
        say(`${Math.round(view.ms)} ms`)
      } finally {
        await browser.close()
      }
    }
    const times = views.map(({ ms }) => ms)
    const scripts = views.at(-1)?.files.filter(([name]) => name.endsWith('.js')) ?? []
    return {
      first_view_ms: Math.round(median(times)),
      slowest_ms: Math.round(Math.max(...times)),
      views: views.length,
      script_kilobytes_gzip: round(scripts.reduce((sum, [, bytes]) => sum + bytes, 0) / 1000, 1),
      scripts: scripts.length,
    }
  } finally {
    await t.end()
  }
}

/** No cache, no connection, no session but the cookie. */
async function firstView(browser: Browser, url: string, cookie: string): Promise<View> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } })
  await context.addCookies([{ name: COOKIE, value: cookie, url, secure: true, httpOnly: true }])
  await context.addInitScript(WATCH)
  const page = await context.newPage()
  // A browser's very first tab pays for the browser, not for the page.
  await page.goto(`data:text/html,${randomBytes(4).toString('hex')}`)
  await page.goto(url)
  // An attribute: the page's own policy lets nobody evaluate words in it.
  const seen = page.locator('html[data-first-view]')
  return JSON.parse((await seen.getAttribute('data-first-view')) ?? '') as View
}
