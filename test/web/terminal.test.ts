/** The web terminal before a canned gateway: what it says between a person and a shell, and its pure parts. */
import t from 'tap'
import type { ToPage } from '../../gateway/portal/schema/terminal.ts'
import { Sanitiser } from '../../web-terminal/src/replay/sanitise.ts'
import { words } from '../../web-terminal/src/strings/strings.ts'
import { liveLiberties } from '../../web-terminal/src/terminal/liberties.ts'
import { MOST_PASTED, questionable, sizeWords } from '../../web-terminal/src/terminal/pasted.ts'
import { barriers, windows } from '../fixtures/windows.ts'

const said = words.terminal
const esc = '\u001b'
const inMinutes = (minutes: number): string => new Date(Date.now() + minutes * 60_000).toISOString()

await t.test('one line is pasted as it is; anything else is asked about first', async (t) => {
  t.strictSame(questionable('ls -l\t/srv'), { text: 'ls -l\t/srv', question: undefined })
  t.match(questionable('one\r\ntwo'), { text: 'one\ntwo', question: { lines: 2, hadControls: false } })
  t.match(questionable('one\n').question, { lines: 2 }, 'a line end alone would run it')
  t.match(
    questionable(`x${esc}[201~rm`),
    { text: 'x[201~rm', question: { hadControls: true } },
    'no way out of a paste',
  )
  t.match(questionable('x'.repeat(1001)).question, { bytes: 1001, isTooLong: false })
  t.match(questionable('ü'.repeat(MOST_PASTED)).question, { isTooLong: true })
  t.ok((questionable('line\n'.repeat(500)).question?.shown.length ?? 0) < 200)
  t.strictSame([0, 999, 1000, 12_345, 999_999_999].map(sizeWords), ['0 B', '999 B', '1.0 kB', '12 kB', '1000 MB'])
})

await t.test('a live screen gets keys, mouse, a few answers and a short title, and no more than that', async (t) => {
  let now = 0
  let mayAnswer = true
  const titles: string[] = []
  const sanitiser = new Sanitiser(
    80,
    24,
    liveLiberties({ now: () => now, mayAnswer: () => mayAnswer, title: (text) => titles.push(text) }),
  )
  const through = (text: string): string => sanitiser.push(text).join('')
  for (const kept of ['[?1h', '[?1000h', '[?1006h', '[?2004h', '=', '>', '[6n', '[c', '[>c'])
    t.equal(through(esc + kept), esc + kept, `${kept} passes`)
  for (const dropped of [
    '[?1016h',
    '[?9001h',
    '[21t',
    '[14t',
    '[?2026$p',
    '[x',
    ']52;c;eA==\u0007',
    ']8;;https://example.invalid\u0007',
    ']10;?\u0007',
    ']4;1;?\u0007',
    `P$qm${esc}\\`,
    `P+q544e${esc}\\`,
    `]1337;File=:AAAA${esc}\\`,
  ])
    t.equal(through(`a${esc}${dropped}b`), 'ab', `${JSON.stringify(dropped)} does not`)
  t.ok(Number(/\[(\d+)b/.exec(through(`A${esc}[2147483647b`))?.[1]) <= 80, 'no letter two thousand million times')
  through(`${esc}]0;my \u202etitle\u0007${esc}]2;${'x'.repeat(500)}\u0007`)
  t.equal(titles[0], 'my title')
  t.equal(titles[1]?.length, 80)
  now = 5000
  t.equal(through(`${esc}[6n`.repeat(500)).split('[6n').length - 1, 20, 'twenty answers a second')
  now = 6000
  mayAnswer = false
  t.equal(through(`${esc}[6n`), '', 'none to what was on a screen before')
})

const { open, portal } = await windows(t)
if (open === undefined)
  await t.test('in a browser', { skip: 'no Chromium, and none can be installed' }, () => undefined)
else
  await t.test('warnings, passkeys, another window and the end are said in place, for everybody', async (t) => {
    const { page, complaints, close } = await open('/')
    const lines: { send: (message: string) => void; close: () => Promise<void> }[] = []
    await page.routeWebSocket(/\/api\/v1\/terminal$/, (line) => {
      lines.push(line)
      line.onMessage(() => undefined)
    })
    const say = (message: ToPage): void => lines.at(-1)?.send(JSON.stringify(message))
    const clean = async (name: string): Promise<void> => {
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme })
        t.strictSame(await barriers(page), [], `${name}: accessible in ${colorScheme}`)
      }
    }
    const arrived = async (count: number): Promise<void> => {
      while (lines.length < count) await page.waitForTimeout(50)
    }
    await page.goto(`${portal.url}/terminal/prod-db`)
    await arrived(1)
    say({ kind: 'refused', code: 'PASSKEY_MISSING', text: 'Role operator asks for a passkey.', next: null })
    await page.getByRole('button', { name: words.passkeys.touch }).waitFor()
    await clean('passkey')
    await page.reload()
    await arrived(2)
    const opened = { kind: 'opened', shell: 's', grant: '41', role: 'operator', at: 0, drawn: 0, arrived: 0 } as const
    say({ ...opened, expiresAt: inMinutes(4.9) })
    await page.getByText(/^4:\d\d left$/).waitFor()
    say({ kind: 'notice', text: '5 minutes left, until 14:00.', expiresAt: inMinutes(4.9) })
    await page.getByText('5 minutes left, until 14:00.').waitFor()
    await clean('warning')
    t.equal(await page.locator('.grant-clock').getAttribute('data-urgent'), 'true')
    say({ kind: 'notice', text: 'extended: this session may go on.', expiresAt: inMinutes(64.9) })
    await page.getByText(/^1:04:\d\d left$/).waitFor()
    await page.getByRole('button', { name: said.dismiss }).click()
    say({ kind: 'moved' })
    await page.getByRole('button', { name: said.bringBack }).click()
    await arrived(3)
    say({ ...opened, expiresAt: inMinutes(60) })
    await lines.at(-1)?.close()
    await page.getByText(said.lostTitle).waitFor()
    await arrived(4)
    say({ kind: 'ended', cause: 'cut', text: 'Grant 41 has expired.', exitCode: null })
    await page.getByRole('alert').getByText('Grant 41 has expired.').waitFor()
    await clean('end')
    await page.getByRole('button', { name: said.askAgain }).click()
    await arrived(5)
    say({ kind: 'refused', code: 'NO_GRANT', text: 'No live grant for prod-db.', next: null })
    await page.getByText(said.noGrantText).waitFor()
    t.strictSame(complaints, [])
    await close()
  })
