/** The web terminal in a real Chromium against the real product: keys, tabs, a lost network, warnings, files, and a hostile host. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { words } from '../../web-terminal/src/strings/strings.ts'
import { sizeWords } from '../../web-terminal/src/terminal/pasted.ts'
import { startChromium } from '../fixtures/chromium.ts'
import { freshCode, startDemo } from '../fixtures/demo.ts'
import { barriers, fits } from '../fixtures/windows.ts'
import { until } from '../fixtures/until.ts'

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const said = words.terminal
type Tester = { strictSame(found: unknown, wanted: unknown, message: string): unknown }

t.setTimeout(230_000)
const chromium = existsSync('/usr/sbin/sshd') ? await startChromium() : undefined
if (chromium === undefined)
  await t.test('terminal page', { skip: 'no Chromium or no sshd here' }, async () => undefined)
else {
  t.teardown(() => chromium.close())
  const shots = process.env['SCREENSHOTS'] ?? mkdtempSync(join(tmpdir(), 'sallyport-shots-'))
  if (process.env['SCREENSHOTS'] === undefined) t.teardown(() => rmSync(shots, { recursive: true, force: true }))
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-page-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const demo = await startDemo(t)
  const origin = demo.report.https.url
  const [alice, bob] = [demo.person('alice'), demo.person('bob')]
  await Promise.all([alice.visit(), bob.visit()])

  const approve = (id: string) => bob.browser.api(origin, 'POST', `/requests/${id}/approve`, {})
  const context = await chromium.newContext({
    ignoreHTTPSErrors: true,
    viewport: { width: 1200, height: 760 },
    colorScheme: 'light',
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  t.teardown(() => context.close())
  // Drawn with the graphics card, text is not in the document.
  await context.addInitScript("localStorage.setItem('sallyport:terminal', JSON.stringify({ isFast: false }))")
  const page = await context.newPage()
  const complaints: string[] = []
  const requests: string[] = []
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  context.on('request', (request) => requests.push(request.url()))

  const screen = (at: Page = page): Promise<string> =>
    at.locator('.pane-frame:not([hidden]) .xterm-rows').last().innerText()
  /** Until the terminal in front shows it. */
  const shows = async (wanted: string | RegExp, at: Page = page): Promise<void> => {
    await until(async () => {
      const text = (await screen(at).catch(() => '')).replaceAll('\u00a0', ' ')
      return typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text)
    }, `${wanted} is shown`)
  }
  const type = async (text: string): Promise<void> => {
    await page.locator('.pane-frame:not([hidden]) textarea').last().focus()
    await page.keyboard.type(text)
  }
  const inBoth = async (name: string, t: Pick<Tester, 'strictSame'>): Promise<void> => {
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await page.waitForTimeout(300)
      t.strictSame(await barriers(page), [], `${name}: accessible in ${colorScheme}`)
      await page.screenshot({ path: join(shots, `terminal-${name}-${colorScheme}.png`) })
    }
  }

  await t.test('without a grant the page asks in place, and goes on by itself once it is approved', async (t) => {
    await page.goto(`${origin}/terminal/prod-db`)
    const who = demo.report.people.find((person) => person.username === 'alice')
    await page.fill('input[name=user]', 'alice')
    await page.fill('input[name=password]', who?.password ?? '')
    await page.fill('input[name=otp]', await freshCode(who?.totpSecret ?? ''))
    await page.click('button[type=submit], form button')
    await page.waitForURL(`${origin}/terminal/prod-db`)
    await page.getByText(said.noGrantText).waitFor()
    await inBoth('ask', t)
    await page.getByLabel(words.ask.role).selectOption('operator')
    await page.getByLabel(words.ask.reason).fill('INC-42: the disk is full')
    await page.getByRole('button', { name: words.ask.send }).click()
    await page.getByText(said.waitingText).waitFor()
    const waiting = (await bob.browser.api(origin, 'GET', '/requests')).json().requests
    await approve(waiting[0].grant.id)
    await shows('#')
    t.match(await page.locator('.grant-clock').innerText(), /\d+:\d\d left/)
  })

  await t.test('it is a whole terminal: letters, colours, size, search, title', async (t) => {
    await type("printf 'Grüße \\033[31mrot\\033[0m 日本 e\\u0301\\n'; printf '\\033]0;my title\\007'\n")
    await shows(/Grüße rot 日本/)
    const columns = async (mark: string): Promise<number> => {
      await type(`echo ${mark}-$(stty size)\n`)
      const said = new RegExp(`^${mark}-\\d+ (\\d+)$`, 'm')
      await shows(said)
      return Number(said.exec((await screen()).replaceAll('\u00a0', ' '))?.[1])
    }
    const before = await columns('before')
    await page.setViewportSize({ width: 900, height: 600 })
    let looks = 0
    await until(async () => (await columns(`after${(looks += 1)}`)) < before, `fewer columns than ${before}`)
    await page.setViewportSize({ width: 1200, height: 760 })
    t.equal(await page.getByRole('tab').getAttribute('title'), 'my title')
    await page.keyboard.press('Control+Shift+F')
    await page.getByRole('textbox', { name: said.find }).fill('no such words')
    await page.getByText(said.findNone).waitFor()
    await page.getByRole('textbox', { name: said.find }).fill('stty')
    await page.getByText(said.findNone).waitFor({ state: 'hidden' })
    await page.keyboard.press('Escape')
    await inBoth('open', t)
    await page.emulateMedia({ colorScheme: 'dark' })
  })

  await t.test('programs get the mouse', async (t) => {
    await type("clear; printf '\\033[?1000h\\033[?1006h'; echo mouse''-on; cat -v\n")
    await shows('mouse-on')
    const box = await page.locator('.pane-frame:not([hidden]) .xterm-screen').boundingBox()
    await page.mouse.click((box?.x ?? 0) + 100, (box?.y ?? 0) + 100)
    await page.keyboard.press('Enter')
    await shows(/\^\[\[<0;\d+;\d+M/)
    await page.keyboard.press('Control+C')
    await type("printf '\\033[?1000l\\033[?1006l'; clear\n")
    t.pass('a click arrived')
  })

  await t.test('the keyboard gets out, and says how', async (t) => {
    await type('')
    await page.keyboard.press('Control+Shift+E')
    t.equal(await page.evaluate('document.activeElement.getAttribute("role")'), 'tab')
    await page.getByText(said.leftTerminal).waitFor({ state: 'attached' })
    t.equal(await page.locator('#terminal-keys').innerText(), said.keysHelp)
  })

  await t.test('several lines are pasted only after a question, and end up as they were', async (t) => {
    const paste = async (text: string): Promise<void> => {
      await type('')
      await page.evaluate('(text) => navigator.clipboard.writeText(text)', text).catch(() => undefined)
      await page.evaluate(
        `document.activeElement.dispatchEvent(Object.assign(new ClipboardEvent('paste', {
          clipboardData: (() => { const data = new DataTransfer(); data.setData('text/plain', ${JSON.stringify(text)}); return data })(),
          bubbles: true, cancelable: true })))`,
      )
    }
    await type("clear; echo re''ady; cat > /dev/null\n")
    await shows('ready')
    await paste('one line')
    await shows('one line')
    await paste('rm -rf /srv\necho oops\n\u001b]0;x\u0007')
    const question = page.getByRole('dialog')
    await question.getByText(said.pasteControls).waitFor()
    t.match(await question.innerText(), /rm -rf \/srv\s+echo oops/)
    await page.screenshot({ path: join(shots, 'terminal-paste.png') })
    await question.getByRole('button', { name: said.cancel }).last().click()
    await question.waitFor({ state: 'hidden' })
    t.notMatch(await screen(), /oops/)
    await paste('first\nsecond')
    await page.getByRole('button', { name: said.paste, exact: true }).click()
    await shows(/first\s+second/)
    await page.keyboard.press('Control+C')
  })

  await t.test('addresses open only after a question, and know nothing of this page', async (t) => {
    await type('clear; echo https://example.invalid/path\n')
    await shows(/^https:\/\/example.invalid\/path/m)
    const line = page
      .locator('.pane-frame:not([hidden]) .xterm-rows > div')
      .filter({ hasText: /^https:/ })
      .first()
    const { x, y } = (await line.boundingBox()) ?? { x: 0, y: 0 }
    const question = page.getByRole('dialog')
    await until(async () => {
      await page.mouse.move(x + 60, y + 7)
      await page.mouse.move(x + 60, y + 6)
      await page.waitForTimeout(300)
      if (!(await question.isVisible())) await page.mouse.click(x + 60, y + 6)
      return question.isVisible()
    }, 'a question about the address')
    await question.getByText('https://example.invalid/path').waitFor()
    const popup = context.waitForEvent('page')
    await question.getByRole('button', { name: said.linkOpen }).click()
    const opened = await popup
    t.equal(await opened.evaluate('window.opener').catch(() => null), null)
    await opened.close()
  })

  await t.test('what a hostile host writes stays on the screen', async (t) => {
    const hostile = [
      '\u001b]52;c;cm0gLXJmIC8=\u0007',
      '\u001b]0;\u202etitle\u0007'.padEnd(20_000, 'x'),
      `\u001b]2;${'t'.repeat(3000)}\u0007`,
      '\u001b]8;;javascript:alert(1)\u0007click me\u001b]8;;\u0007',
      'A\u001b[2147483647b',
      '\u001b[100000000L\u001b[100000000S',
      '\u001bP$qm\u001b\\\u001bP+q544e\u001b\\',
      '\u001b[21t\u001b[?2026$p\u001b]10;?\u0007\u001b]4;1;?\u0007',
      '\u001b[6n'.repeat(5000),
      '\u001b[c'.repeat(5000),
      '</script><img src=x onerror=alert(1)>',
    ].join('\n')
    writeFileSync(join(dir, 'hostile'), `${hostile}\n`)
    await page.evaluate("navigator.clipboard.writeText('untouched')")
    requests.length = 0
    await type(
      `clear; stty -echo -icanon; cat ${join(dir, 'hostile')}; sleep 1; timeout 1 cat > ${join(dir, 'answers')}; stty sane; clear; echo sur''vived\n`,
    )
    await shows('survived')
    t.equal(await page.evaluate('navigator.clipboard.readText()'), 'untouched')
    t.ok(((await page.getByRole('tab').first().getAttribute('title')) ?? '').length <= 80)
    const answers = readFileSync(join(dir, 'answers'), 'latin1').replaceAll('\u001b', 'ESC')
    t.match(answers, /^(ESC\[(\d+;\d+R|\?[\d;]+c))*$/, 'only where the cursor is and what it is')
    t.ok((answers.match(/ESC/g) ?? []).length <= 60, 'and not without end')
    t.strictSame(
      requests.filter((url) => !url.startsWith(`${origin}/api/`)),
      [],
      'nothing was fetched',
    )
    t.strictSame(complaints, [])
  })

  await t.test('two shells beside each other, and a lost network costs neither of them a letter', async (t) => {
    await page.getByRole('button', { name: said.split }).click()
    await page.locator('.tab[data-state=open]').nth(1).waitFor()
    await type('for i in $(seq 1 12); do echo step-$i; sleep 0.25; done\n')
    await shows('step-2')
    await context.setOffline(true)
    await page.getByText(said.lostTitle).first().waitFor()
    await inBoth('lost', t)
    await type('these keys do not count')
    await context.setOffline(false)
    await page.locator('.tab[data-state=open]').nth(1).waitFor()
    await shows('step-12')
    const steps = (await screen()).match(/^step-\d+$/gm)
    t.strictSame(
      steps,
      Array.from({ length: 12 }, (_, at) => `step-${at + 1}`),
    )
    t.notMatch(await screen(), /these keys/)

    await page.reload()
    await page.locator('.tab[data-state=open]').nth(1).waitFor()
    await shows('step-12')
    t.pass('a page that is loaded anew has its shells again')
  })

  await t.test('files go both ways by the dialog', async (t) => {
    const content = randomBytes(400_000)
    writeFileSync(join(dir, 'local.bin'), content)
    await page.getByRole('button', { name: said.files }).click()
    const dialog = page.getByRole('dialog')
    await dialog.locator('input[type=file]').setInputFiles(join(dir, 'local.bin'))
    await dialog.getByLabel(said.uploadTo).fill(join(dir, 'remote.bin'))
    await dialog.getByRole('button', { name: said.upload }).click()
    await dialog.getByText(sha256(content)).waitFor()
    t.equal(sha256(readFileSync(join(dir, 'remote.bin'))), sha256(content))
    await dialog.getByLabel(said.remotePath).fill(join(dir, 'remote.bin'))
    const download = page.waitForEvent('download')
    await dialog.getByRole('button', { name: said.download }).click()
    const file = await download
    t.equal(file.suggestedFilename(), 'remote.bin')
    t.equal(sha256(readFileSync(await file.path())), sha256(content))
    await dialog.getByLabel(said.remotePath).fill('/no/such/file')
    await dialog.getByRole('button', { name: said.download }).click()
    await dialog.getByRole('alert').getByText('/no/such/file').waitFor()
    await inBoth('files', t)
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: said.settings }).click()
    await page.getByLabel(said.read).waitFor()
    await inBoth('settings', t)
    await page.getByRole('button', { name: said.larger }).click()
    await page.getByLabel(said.fast).check()
    await page.keyboard.press('Escape')
    await page.locator('.tab[data-state=open]').nth(1).waitFor()
    await page.getByRole('button', { name: said.settings }).click()
    await page.getByLabel(said.fast).uncheck()
    await page.keyboard.press('Escape')
    await page.locator('.tab[data-state=open]').nth(1).waitFor()
  })

  await t.test('a revoked grant shows why at once, and the way to ask again', async (t) => {
    await shows('#')
    const [grant] = (await alice.browser.api(origin, 'GET', '/grants?state=live')).json().grants
    await bob.browser.api(origin, 'POST', `/grants/${grant.id}/revoke`, { note: 'enough for today' })
    await page.getByText(`Grant ${grant.id} was revoked by bob: enough for today.`).first().waitFor({ timeout: 5_000 })
    await inBoth('ended', t)
    await page.setViewportSize({ width: 390, height: 780 })
    await page.screenshot({ path: join(shots, 'terminal-phone.png') })
    t.ok(await fits(page), 'fits a phone')
    await page.getByRole('button', { name: said.askAgain }).first().click()
    await page.getByText(said.noGrantText).first().waitFor()
    t.strictSame(complaints, [], 'nothing refused by the policy, nothing thrown')
  })

  const granted = async (role: string): Promise<string> => {
    const ask = { target: 'prod-db', role, minutes: 30, reason: 'INC-43: two at once' }
    const { id } = (await alice.browser.api(origin, 'POST', '/requests', ask)).json()
    await approve(id)
    return String(id)
  }

  await t.test('of several grants on a target each card opens its own, and a new shell names its role', async (t) => {
    const [first, second] = [await granted('operator'), await granted('operator')]
    const inFront = page.locator('.grant-clock')
    const isUnder = (id: string) => page.locator(`.grant-clock[href="/grants/${id}"]`).waitFor()
    await page.setViewportSize({ width: 1200, height: 760 })
    await page.goto(origin)
    const card = page.getByRole('article').filter({ hasText: words.grant.number(first) })
    t.match(await card.getByText(/^ssh /).innerText(), new RegExp(`prod-db%${first}$`), 'the line to type says it, too')
    await card.getByRole('link', { name: said.openOn('prod-db') }).click()
    await isUnder(first)
    t.equal(await inFront.getAttribute('title'), said.grant(first, 'operator'))
    await page.getByLabel(said.newOn).selectOption({ label: said.onAs('prod-db', said.grant(second, 'operator')) })
    await isUnder(second)
    await page.goto(`${origin}/terminal/prod-db?role=operator`)
    await page.getByRole('button', { name: said.newTab }).click()
    await isUnder(second)
    await alice.browser.api(origin, 'POST', `/grants/${second}/release`, {})
    // Until the window knows: a shell that it still holds it would come back to, and be told of its end.
    const holds = `JSON.parse(sessionStorage.getItem('sallyport:shells')).all.some(({ under, token }) => under === '${second}' && token)`
    await until(async () => !(await page.evaluate<boolean>(holds)), 'the window knows')
    await page.goto(`${origin}/terminal/prod-db?grant=${second}`)
    await page.getByText(said.noGrantText).waitFor()
    await page.getByRole('button', { name: words.grant.goOn(first, 'operator') }).click()
    await isUnder(first)
    t.strictSame(complaints, [])
  })

  await t.test('a passkey is touched in place, for a shell and for each file', async (t) => {
    const id = await granted('sensitive')
    const window = await context.newPage()
    window.on('pageerror', (error) => complaints.push(String(error)))
    const cdp = await context.newCDPSession(window)
    await cdp.send('WebAuthn.enable')
    const kind = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true } as const
    const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: { ...kind, isUserVerified: true, automaticPresenceSimulation: true },
    })
    const touches: string[] = []
    const transfers: string[] = []
    window.on('request', (request) => {
      const { pathname } = new URL(request.url())
      if (pathname.endsWith('/passkeys/confirm')) touches.push(pathname)
      if (pathname.endsWith('/terminal/file')) transfers.push(request.method())
    })
    await window.goto(`${origin}/me`)
    await window.getByLabel(words.passkeys.name).fill('blue key')
    await window.getByRole('button', { name: words.passkeys.register }).click()
    await window.getByRole('button', { name: words.passkeys.removeOne('blue key') }).waitFor()
    await window.goto(`${origin}/terminal/prod-db?grant=${id}`)
    const touch = window.getByRole('button', { name: words.passkeys.touch })
    await touch.waitFor()
    t.strictSame(await barriers(window), [], 'accessible')
    await window.screenshot({ path: join(shots, 'terminal-passkey.png') })
    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false })
    await touch.click()
    await window.getByRole('alert').getByText(words.passkeys.refused).waitFor()
    t.strictSame(touches, [], 'a key that says no opens nothing')
    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true })
    await touch.click()
    await window.locator(`.grant-clock[href="/grants/${id}"]`).waitFor()
    await shows('#', window)
    t.equal(touches.length, 1, 'one for the shell')

    await window.getByRole('button', { name: said.files }).click()
    const dialog = window.getByRole('dialog')
    await dialog.getByText(said.passkeyFiles).waitFor()
    t.strictSame(await barriers(window), [], 'accessible')
    await window.screenshot({ path: join(shots, 'terminal-passkey-files.png') })
    const content = randomBytes(100_000)
    writeFileSync(join(dir, 'touched.bin'), content)
    await dialog.getByLabel(said.remotePath).fill(join(dir, 'touched.bin'))
    const download = window.waitForEvent('download')
    await dialog.getByRole('button', { name: said.download }).click()
    t.equal(sha256(readFileSync(await (await download).path())), sha256(content))
    await dialog.locator('input[type=file]').setInputFiles(join(dir, 'touched.bin'))
    await dialog.getByLabel(said.uploadTo).fill(join(dir, 'sent.bin'))
    await dialog.getByRole('button', { name: said.upload }).click()
    await dialog.getByText(said.uploaded(join(dir, 'sent.bin'), sizeWords(content.length))).waitFor()
    t.equal(sha256(readFileSync(join(dir, 'sent.bin'))), sha256(content))
    t.equal(touches.length, 3, 'one for each file')

    const held = Promise.withResolvers<void>()
    await window.route('**/passkeys/confirm', async (route) => {
      await held.promise
      await route.continue()
    })
    await dialog.getByLabel(said.uploadTo).fill(join(dir, 'stopped.bin'))
    await dialog.getByRole('button', { name: said.upload }).click()
    await until(() => touches.length === 4, 'the fourth touch')
    await dialog.getByRole('button', { name: said.stop, exact: true }).click()
    held.resolve()
    await dialog.getByText(said.stopped).waitFor()
    t.strictSame(transfers, ['GET', 'PUT'], 'what was stopped while the key was asked for is not sent')
    t.notOk(existsSync(join(dir, 'stopped.bin')))

    if (demo.report.postgres.port !== null) {
      await window.goto(`${origin}/sql/prod-db?grant=${id}`)
      await touch.click()
      await window.locator('.cm-content').click()
      await window.keyboard.insertText('select 6 * 7 as answer')
      await window.keyboard.press('Control+Enter')
      await window.getByText('SELECT 1', { exact: true }).waitFor()
      t.equal(touches.length, 5, 'one for SQL')
    }
    t.strictSame(complaints, [])
  })
  await demo.end()
}
