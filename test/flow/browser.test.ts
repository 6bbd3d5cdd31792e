/** A person's browser against the real product: sign-in for ssh, ask, approve, replay; no complaint of the page's own policy. */
import { type ChildProcess, spawn } from 'node:child_process'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t from 'tap'
import { startChromium } from '../fixtures/chromium.ts'
import { freshCode, startDemo } from '../fixtures/demo.ts'
import { finished } from '../fixtures/ssh-client.ts'
import { words } from '../../web-terminal/src/strings/strings.ts'
import { until } from '../fixtures/until.ts'

/** The page and the code that a waiting client names. */
const waiting = async (child: ChildProcess) =>
  new Promise<{ readonly path: string; readonly code: string }>((resolve) => {
    let seen = ''
    child.stderr?.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
      const found = /(\/approve\/[\w-]+)[\s\S]*?\b([A-Z0-9]{4}-[A-Z0-9]{4})\b/.exec(seen)
      if (found?.[1] !== undefined && found[2] !== undefined) resolve({ path: found[1], code: found[2] })
    })
  })

const chromium = existsSync('/usr/bin/ssh') && existsSync('/usr/sbin/sshd') ? await startChromium() : undefined
if (chromium === undefined) await t.test('browser', { skip: 'no Chromium, ssh or sshd here' }, async () => undefined)
else {
  t.teardown(() => chromium.close())
  const shots = process.env['SCREENSHOTS'] ?? mkdtempSync(join(tmpdir(), 'sallyport-shots-'))
  if (process.env['SCREENSHOTS'] === undefined) t.teardown(() => rmSync(shots, { recursive: true, force: true }))
  const demo = await startDemo(t)
  const origin = demo.report.https.url

  const open = async (username: string, path: string, size = { width: 1200, height: 800 }): Promise<Page> => {
    const context = await chromium.newContext({ ignoreHTTPSErrors: true, viewport: size })
    t.teardown(() => context.close())
    const page = await context.newPage()
    page.on('console', (message) => {
      if (/Content Security Policy/.test(message.text())) t.fail(message.text())
    })
    page.on('pageerror', (error) => t.fail(String(error)))
    await page.goto(`${origin}${path}`)
    const who = demo.report.people.find((person) => person.username === username)
    await page.fill('input[name=user]', username)
    await page.fill('input[name=password]', who?.password ?? '')
    await page.fill('input[name=otp]', await freshCode(who?.totpSecret ?? ''))
    await page.click('button[type=submit], form button')
    await page.waitForURL((url) => url.origin === origin)
    return page
  }

  await t.test('alice signs ssh in through the page that the terminal names', async (t) => {
    const child = demo.person('alice').start(['@', 'whoami'], { approve: false })
    const run = finished(child)
    const asked = await new Promise<{ path: string; code: string }>((resolve) => {
      let seen = ''
      child.stderr?.on('data', (chunk: Buffer) => {
        seen += chunk.toString()
        const path = /(\/approve\/[\w-]+)/.exec(seen)?.[1]
        const code = /\b([A-Z0-9]{4}-[A-Z0-9]{4})\b/.exec(seen)?.[1]
        if (path !== undefined && code !== undefined) resolve({ path, code })
      })
    })
    const page = await open('alice', asked.path)
    await page.waitForSelector(`text=${words.signIn.title.ssh}`)
    await page.screenshot({ path: join(shots, 'approve.png') })
    await page.getByRole('textbox').fill(asked.code)
    await page.getByRole('button', { name: words.signIn.approve }).click()
    await page.waitForSelector(`text=${words.signIn.done}`)
    await page.screenshot({ path: join(shots, 'approved.png') })
    const { code, stdout } = await run
    t.equal(code, 0)
    t.match(stdout.toString(), /alice/)
  })

  await t.test('alice asks on her page, bob approves on his phone, and her page shows it by itself', async (t) => {
    const asked = await demo
      .person('alice')
      .ssh([
        '@',
        'request',
        'prod-db',
        '--role',
        'operator',
        '--for',
        '20m',
        '--ticket',
        'INC-42',
        '--reason',
        'disk',
        'full',
      ])
    t.equal(asked.code, 0)
    const home = await open('alice', '/')
    await home.waitForSelector('text=prod-db')
    await home.screenshot({ path: join(shots, 'home.png') })
    const phone = await open('bob', '/requests', { width: 390, height: 800 })
    await phone.waitForSelector('text=INC-42')
    await phone.screenshot({ path: join(shots, 'requests-phone.png') })
    await phone
      .getByRole('button', { name: /^Approve/ })
      .first()
      .click()
    await home.waitForSelector('text=/left/', { timeout: 10_000 })
    await home.screenshot({ path: join(shots, 'home-live.png') })
    t.equal((await demo.person('alice').ssh(['@', 'prod-db', 'true'])).code, 0)
  })

  await t.test('what bob narrows to looking changes nothing on the host', async (t) => {
    const engineer = demo.person('alice')
    await engineer.ssh(['@', 'request', 'prod-web', '--role', 'operator', '--reason', 'look', 'at', 'the', 'logs'])
    const phone = await open('bob', '/requests', { width: 390, height: 800 })
    await phone.getByLabel(words.requests.lookOnly).check()
    await phone.getByRole('button', { name: /^Approve/ }).click()
    await phone.waitForSelector(`text=${words.requests.none}`)
    t.equal((await engineer.ssh(['@', 'prod-web', 'uname'])).code, 0)
    const changed = await engineer.ssh(['@', 'prod-web', 'touch /tmp/sallyport-narrowed'])
    t.not(changed.code, 0)
    t.match(changed.stderr, /touch/)
  })

  await t.test('carol replays the session in her browser', async (t) => {
    await demo.person('alice').ssh(['-tt', '@', 'prod-db'], { input: 'echo seen by an auditor\nexit\n' })
    const page = await open('carol', '/sessions')
    await page.waitForSelector('text=alice')
    await page.screenshot({ path: join(shots, 'sessions.png') })
    await page.locator('a[href^="/sessions/"]').first().click()
    await page.waitForSelector('.xterm')
    t.ok(await until(async () => (await page.content()).includes('seen by an auditor')), 'the replay shows it')
    await page.screenshot({ path: join(shots, 'replay.png') })
  })

  await t.test('a role that asks for a passkey: erin registers one, and touches it at each session', async (t) => {
    const { erin, bob } = { erin: demo.person('erin'), bob: demo.person('bob') }
    const page = await open('erin', '/me')
    const cdp = await page.context().newCDPSession(page)
    await cdp.send('WebAuthn.enable')
    const options = {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
    } as const
    const { authenticatorId } = await cdp.send('WebAuthn.addVirtualAuthenticator', {
      options: { ...options, isUserVerified: true, automaticPresenceSimulation: true },
    })
    await page.getByLabel(words.passkeys.name).fill('blue key')
    await page.getByRole('button', { name: words.passkeys.register }).click()
    await page.getByRole('button', { name: words.passkeys.removeOne('blue key') }).waitFor()
    await page.screenshot({ path: join(shots, 'passkeys.png'), fullPage: true })
    const asked = await erin.ssh(['@', 'request', 'prod-db', '--role', 'sensitive', '--reason', 'INC-43', '--json'])
    const { id } = JSON.parse(asked.stdout.toString()) as { readonly id: string }
    t.equal((await bob.ssh(['@', 'approve', id])).code, 0)

    const touch = async ({ path, code }: { readonly path: string; readonly code: string }) => {
      await page.goto(`${origin}${path}`)
      await page.getByText(words.passkeys.confirm).waitFor()
      await page.getByRole('textbox').fill(code)
      await page.screenshot({ path: join(shots, 'passkey-confirm.png') })
      await page.getByRole('button', { name: words.passkeys.touch }).click()
    }
    const shell = erin.start(['@', 'prod-db', 'echo inside'], { approve: false })
    const ran = finished(shell)
    await touch(await waiting(shell))
    await page.getByText(words.signIn.done).waitFor()
    t.match(await ran, { code: 0 })

    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false })
    const again = erin.start(['@', 'prod-db', 'echo inside'], { approve: false })
    const refused = finished(again)
    await touch(await waiting(again))
    await page.getByText(words.passkeys.refused).waitFor()
    await page.getByRole('button', { name: words.signIn.deny }).click()
    const { code, stdout, stderr } = await refused
    t.not(code, 0, 'the second session asks again, and without the person it is refused')
    t.equal(stdout.toString(), '')
    t.match(stderr, /said no/)
    await cdp.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true })

    const { port } = demo.report.postgres
    if (port === null || !existsSync('/usr/bin/psql')) return
    const psql = spawn('psql', ['-w', '-Atc', 'select 40 + 2'], {
      env: {
        PATH: process.env['PATH'] ?? '',
        PGHOST: 'localhost',
        PGPORT: `${port}`,
        PGUSER: 'erin',
        PGDATABASE: 'prod-db%sensitive',
        PGSSLMODE: 'verify-full',
        PGSSLROOTCERT: join(demo.report.dataDir, 'certificate.pem'),
      },
    })
    t.teardown(() => psql.kill('SIGKILL'))
    const answered = finished(psql)
    const first = await waiting(psql)
    await page.goto(`${origin}${first.path}`)
    await page.getByRole('textbox').fill(first.code)
    const signIn = page.getByRole('button', { name: words.signIn.approve })
    const second = waiting(psql)
    await signIn.click()
    await touch(await second)
    t.match(await answered, { code: 0, stdout: /^42$/m })
  })
  await t.test('carol finds what was shown, and takes the evidence about the grant', async (t) => {
    const page = await open('carol', '/sessions')
    await page.getByLabel(words.search.label).fill('seen by an auditor')
    await page.keyboard.press('Enter')
    await page.locator('.hit').first().click()
    await page.waitForSelector('.xterm', { timeout: 15_000 })
    await page.locator('a[href^="/grants/"]').first().click()
    await page.waitForSelector(`text=${words.story.timeline}`)
    await page.screenshot({ path: join(shots, 'story.png'), fullPage: true })
    const coming = page.waitForEvent('download')
    await page.getByRole('link', { name: words.story.evidence }).click()
    const file = join(shots, 'evidence')
    await (await coming).saveAs(file)
    const keys = join(demo.report.dataDir, 'gateway')
    const run = spawnSync(process.execPath, ['tools/verify.ts', file, '--keys', keys], { encoding: 'utf8' })
    t.match(run.stdout, /one of your keys[\s\S]*Nothing was changed/)
    t.equal(run.status, 0)
    const bySsh = await demo.person('carol').ssh(['@', 'evidence', '1'])
    writeFileSync(file, bySsh.stdout)
    t.equal(spawnSync(process.execPath, ['tools/verify.ts', file, '--keys', keys]).status, 0, 'and over ssh')
    const before = readFileSync(file, 'utf8')
    writeFileSync(file, before.replace('"username":"alice"', '"username":"mallory"'))
    t.equal(spawnSync(process.execPath, ['tools/verify.ts', file, '--keys', keys]).status, 1, 'a changed one is not')
  })

  await t.test('an administrator sees that all is well, and signs somebody out everywhere', async (t) => {
    const page = await open('bob', '/admin')
    await page.getByText(words.health.ready(2, 2)).waitFor()
    t.equal(await page.getByText(words.admin.bad).count(), 0, 'nothing is wrong')
    await page.screenshot({ path: join(shots, 'admin.png'), fullPage: true })
    for (const part of ['targets', 'roles', 'agents'] as const) {
      await page.getByRole('link', { name: words.admin.tabs[part], exact: true }).click()
      await page.getByRole('heading', { name: words.admin.tabs[part], exact: true }).waitFor()
    }
    for (const [path, title] of [
      ['/grants', words.grants.title],
      ['/grants/1', words.story.title('1')],
      ['/audit', words.audit.title],
      ['/me', words.me.title],
    ] as const) {
      await page.goto(`${origin}${path}`)
      await page.getByRole('heading', { name: title, exact: true }).waitFor()
    }
    await page.goto(`${origin}/admin`)
    await page.getByRole('link', { name: words.admin.tabs.people }).click()
    await page.getByRole('button', { name: `${words.people.signOut}: alice` }).click()
    await page.getByRole('dialog').getByRole('button', { name: words.people.signOut }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await page.screenshot({ path: join(shots, 'people.png'), fullPage: true })
    const child = demo.person('alice').start(['@', 'whoami'], { approve: false })
    const said = await new Promise<string>((resolve) => {
      let seen = ''
      child.stderr?.on('data', (chunk: Buffer) => {
        seen += chunk.toString()
        if (seen.includes('/approve/')) resolve(seen)
      })
      child.once('exit', () => resolve(seen))
    })
    child.kill('SIGKILL')
    t.match(said, '/approve/', 'her key does not stand for her any more')
    const engineer = await open('alice', '/admin')
    await engineer.getByText('Only administrators may do this.').first().waitFor()
    t.equal(await engineer.getByRole('link', { name: words.nav.admin, exact: true }).count(), 0)
  })
  await demo.end()
}
