/** SQL in a real browser against the real product: ask, run, be refused in place, a plan, a file, the cut; on all of it an auditor's eye. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { words } from '../../web-terminal/src/strings/strings.ts'
import { startChromium } from '../fixtures/chromium.ts'
import { freshCode, startDemo } from '../fixtures/demo.ts'
import { until } from '../fixtures/until.ts'
import { barriers, fits } from '../fixtures/windows.ts'

const chromium = existsSync('/usr/bin/ssh') ? await startChromium() : undefined
const demo = chromium === undefined ? undefined : await startDemo(t)
if (chromium === undefined || demo === undefined || demo.report.postgres.port === null)
  t.plan(0, 'no Chromium, no ssh or no PostgreSQL 18 for this machine')
else {
  t.teardown(() => chromium.close())
  const shots = process.env['SCREENSHOTS'] ?? mkdtempSync(join(tmpdir(), 'sallyport-shots-'))
  if (process.env['SCREENSHOTS'] === undefined) t.teardown(() => rmSync(shots, { recursive: true, force: true }))
  const origin = demo.report.https.url
  const context = await chromium.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 } })
  t.teardown(() => context.close())
  const page: Page = await context.newPage()
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) t.fail(message.text())
  })
  page.on('pageerror', (error) => t.fail(String(error)))
  const bob = demo.person('bob')
  const editor = page.locator('.cm-content')
  const write = async (sql: string) => {
    await editor.click()
    await page.keyboard.press('Control+a')
    await page.keyboard.press('Delete')
    await page.keyboard.insertText(sql)
  }
  const run = async (sql: string) => {
    await write(sql)
    await page.keyboard.press('Control+Enter')
  }

  await t.test('without a grant the page asks for one, and goes on once it is approved', async () => {
    await page.goto(`${origin}/sql/prod-db`)
    const who = demo.report.people.find(({ username }) => username === 'alice')
    await page.fill('input[name=user]', 'alice')
    await page.fill('input[name=password]', who?.password ?? '')
    await page.fill('input[name=otp]', await freshCode(who?.totpSecret ?? ''))
    await page.click('button[type=submit], form button')
    await page.getByLabel(words.ask.role).selectOption('readonly')
    await page.getByLabel(words.ask.reason).fill('INC-42 look at orders')
    await page.getByRole('button', { name: words.ask.send }).click()
    await page.getByText(/waits for approval/).waitFor()
    await bob.ssh(['@', 'approve', '1'])
    await editor.waitFor()
  })

  await t.test('rows, a refusal in place, and a session that goes on', async (t) => {
    await run('select id, name, email from customers order by id limit 500')
    await page.getByText('SELECT 500').waitFor()
    const drawn = await page.locator('.sql-grid tbody tr').count()
    t.ok(drawn > 5 && drawn < 100, `${drawn} rows are drawn of 500`)
    await page.locator('.sql-grid td').first().click()
    await page.keyboard.press('ArrowDown')
    await page.locator('.sql-cell', { hasText: words.sql.cell(2, 'id') }).waitFor()
    await page.screenshot({ path: join(shots, 'sql.png') })
    t.same(await barriers(page), [])
    await run('delete from orders where id = 1')
    await page.getByText(words.sql.refused).waitFor()
    await page.screenshot({ path: join(shots, 'sql-refused.png') })
    await run('select nam from customers')
    await page.locator('.sql-error-mark').waitFor()
    await run('select 1 as one; select 2 as two')
    await page.getByRole('tab', { name: words.sql.resultOf(2) }).click()
    await page.getByRole('columnheader', { name: 'two' }).waitFor()
  })

  await t.test('a table is looked up, a plan is drawn, a file is saved', async (t) => {
    await page.locator('.sql-tables summary', { hasText: 'orders' }).click()
    await write('select * from ')
    await page.locator('.sql-tables details[open] button').first().click()
    t.match(await editor.textContent(), /select \* from orders/)
    await page.getByRole('button', { name: words.sql.explain }).click()
    await page.getByText('Seq Scan').waitFor()
    await page.screenshot({ path: join(shots, 'sql-plan.png') })
    await write("select 'a' as letter, 1 as number")
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: words.sql.csv }).click(),
    ])
    t.equal(download.suggestedFilename(), 'prod-db.csv')
    t.equal(readFileSync(await download.path(), 'utf8'), 'letter,number\r\na,1\r\n')
  })

  await t.test('it reads well in the dark and on a phone', async (t) => {
    await run('select id, name, email from customers order by id')
    await page
      .getByText(/^SELECT/)
      .first()
      .waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: words.nav.toDark }).click()
    await page.screenshot({ path: join(shots, 'sql-dark.png') })
    // Its list is the editor's own, reached by the keys of the editor.
    await until(async () => (await page.locator('.cm-tooltip-autocomplete').count()) === 0, 'nothing is suggested')
    t.same(await barriers(page), [])
    await page.setViewportSize({ width: 390, height: 844 })
    await page.screenshot({ path: join(shots, 'sql-phone.png'), fullPage: true })
    t.ok(await fits(page), 'nothing runs over the edge')
    await page.setViewportSize({ width: 1280, height: 900 })
  })

  await t.test('a revoked grant ends it at once, and says so', async (t) => {
    await run('select count(*) from generate_series(1, 4000000000)')
    await page.getByText(words.sql.running).first().waitFor()
    const revoked = await bob.ssh(['@', 'revoke', '1'])
    t.equal(revoked.code, 0, revoked.stderr)
    await page.getByText(words.sql.ended).waitFor()
    t.match(await page.getByRole('alert').first().textContent(), /revoked/)
  })

  await t.test('an auditor reads every statement, and which results were taken away', async (t) => {
    const carol = demo.person('carol')
    const listed = await carol.ssh(['@', 'sessions', '--person', 'alice', '--target', 'prod-db', '--json'])
    const [id] = [...listed.stdout.toString().matchAll(/"id":\s*"([0-9a-f-]{36})"/g)].map(([, found]) => found)
    const replay = (await carol.ssh(['@', 'replay', id ?? '', '--speed', '1000'])).stdout.toString()
    t.match(replay, /delete from orders/)
    t.match(replay, /taken as a file \(csv\)/)
  })
  await demo.end()
}
