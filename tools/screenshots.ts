/** `node tools/screenshots.ts [NAME…]`: every page of the console in light, dark and phone width, as WebP into docs/images/. Needs Chromium; the answers are canned ones. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Page } from 'playwright-core'
import { heldStatement } from '../test/fixtures/canned-answers.ts'
import { cannedShells, lostShell } from '../test/fixtures/canned-shells.ts'
import { cannedSql } from '../test/fixtures/canned-sql.ts'
import { RIGHT_CODE } from '../test/fixtures/canned-portal.ts'
import { LIVE, QUERIES, REQUESTS, SHELL, windows } from '../test/fixtures/windows.ts'

type Shot = {
  readonly path: string
  /** Words that are there once the page is whole. */
  readonly words: string
  readonly before?: (page: Page) => Promise<unknown>
  /** Other answers than the canned ones, by path below the API's base. */
  readonly answers?: Readonly<Record<string, unknown>>
}

const shots: Readonly<Record<string, Shot>> = {
  home: { path: '/', words: 'Targets' },
  ask: { path: '/?ask=prod-db', words: 'It lets you' },
  palette: {
    path: '/',
    words: 'Targets',
    before: async (page) => {
      await page.keyboard.press('Control+k')
      await page.getByRole('combobox').fill('prod')
      await page.getByRole('option').first().waitFor()
    },
  },
  'home-empty': {
    path: '/',
    words: 'No targets for you yet',
    answers: { '/targets': { targets: [] }, '/requests': { requests: [] }, '/grants': { grants: [] } },
  },
  requests: { path: '/requests', words: 'Approve for 1 h' },
  request: { path: '/requests/44', words: 'Last sessions of erin' },
  deny: {
    path: '/requests/44',
    words: 'Last sessions of erin',
    before: async (page) => {
      await page.getByRole('button', { name: 'Deny' }).click()
      await page.getByRole('textbox').waitFor()
    },
  },
  held: { path: '/requests/45', words: 'Let it run once', answers: { '/grants/45': heldStatement } },
  'kept-changes': {
    path: '/requests',
    words: 'Changes that wait',
    before: async (page) => {
      await page.getByRole('button', { name: 'Look at the changes' }).click()
      await page.getByText('+size = 16').waitFor()
      await page.getByText('Changes that wait').scrollIntoViewIfNeeded()
    },
  },
  grants: { path: '/grants', words: 'erin' },
  grant: { path: '/grants/41', words: 'Access is live' },
  denied: { path: '/grants/37', words: 'Use readonly for this.' },
  sessions: { path: '/sessions', words: 'prod-web' },
  search: { path: '/sessions?text=disk', words: 'in a line' },
  replay: { path: `${SHELL}?at=30`, words: 'Space plays' },
  watch: { path: LIVE, words: 'End this session' },
  terminal: { path: '/terminal/prod-db', words: 'The gateway does not answer', before: cannedShells },
  'terminal-ended': { path: '/terminal/prod-db', words: 'The gateway does not answer', before: lostShell },
  'sql-console': { path: '/sql/prod-db', words: 'The line was lost', before: cannedSql('rows') },
  'sql-plan': { path: '/sql/prod-db', words: 'The line was lost', before: cannedSql('plan') },
  'sql-refused': { path: '/sql/prod-db', words: 'The line was lost', before: cannedSql('refused') },
  sql: { path: QUERIES, words: 'DELETE changes data' },
  http: { path: REQUESTS, words: 'GET /api/orders' },
  audit: { path: '/audit', words: 'session.refused' },
  'sign-in': { path: '/approve/ssh', words: 'Code from your terminal' },
  'sign-in-code': {
    path: '/approve/reverse',
    words: 'show the code',
    before: async (page) => {
      await page.getByRole('button', { name: 'show the code' }).click()
      await page.getByText(RIGHT_CODE).waitFor()
    },
  },
  'web-touch': { path: '/web-touch?target=prod-web&grant=39&state=x&returnTo=/', words: 'Use my passkey' },
  'sign-in-over': { path: '/approve/gone', words: 'This sign-in is over' },
  me: { path: '/me', words: 'Keys that stand for you' },
  'admin-health': { path: '/admin', words: 'ClickHouse' },
  'admin-people': { path: '/admin/people', words: 'Contract ended.' },
  'admin-targets': { path: '/admin/targets', words: 'nobody can ask for it' },
  'admin-roles': { path: '/admin/roles', words: 'operator' },
  'admin-agents': { path: '/admin/agents', words: 'A token for an agent' },
  nowhere: { path: '/no/such/page', words: 'There is no such page' },
}
const LOOKS = [
  { name: 'light', scheme: 'light', width: 1120, most: 1100 },
  { name: 'dark', scheme: 'dark', width: 1120, most: 1100 },
  { name: 'phone', scheme: 'light', width: 390, most: 800 },
] as const
const QUALITY = 70
const PATIENCE_MS = 60_000

const out = path.join(import.meta.dirname, '../docs/images')
mkdirSync(out, { recursive: true })
const stops: (() => unknown)[] = []
const { open, portal } = await windows({ teardown: (stop) => stops.unshift(stop) })
try {
  if (open === undefined) throw new Error('There is no Chromium here.')
  const wanted = process.argv.slice(2)
  for (const [name, shot] of Object.entries(shots)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    for (const [at, body] of Object.entries(shot.answers ?? {})) portal.instead.set(at, { status: 200, body })
    for (const look of LOOKS) {
      const { page, close } = await open(shot.path, { width: look.width })
      await page.emulateMedia({ colorScheme: look.scheme, reducedMotion: 'reduce' })
      await page.getByText(shot.words).first().waitFor({ timeout: PATIENCE_MS })
      await shot.before?.(page)
      await page.waitForTimeout(400)
      const image = await capture(page, look.width, look.most)
      writeFileSync(path.join(out, `${name}-${look.name}.webp`), image)
      console.log(`${name}-${look.name}.webp ${Math.round(image.length / 1024)} kB`)
      await close()
    }
    portal.instead.clear()
  }
} finally {
  for (const stop of stops) await stop()
}

/** The whole page up to a height; what is fixed to the window stays at its end. */
async function capture(page: Page, width: number, most: number): Promise<Buffer> {
  const tall = await page.evaluate<number>('document.documentElement.scrollHeight')
  await page.setViewportSize({ width, height: Math.max(500, Math.min(tall, most)) })
  await page.waitForTimeout(150)
  const session = await page.context().newCDPSession(page)
  const { data } = await session.send('Page.captureScreenshot', { format: 'webp', quality: QUALITY })
  await session.detach()
  return Buffer.from(data, 'base64')
}
