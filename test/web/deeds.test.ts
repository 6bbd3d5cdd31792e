/** What people do on the pages of the portal, in a real Chromium, against canned answers of its API. */
import t from 'tap'
import { RIGHT_CODE, startCannedPortal } from '../fixtures/canned-portal.ts'
import { barriers, LIVE, SHELL, windows } from '../fixtures/windows.ts'

t.setTimeout(55_000)
const { open, portal, dist } = await windows(t)
if (open === undefined)
  await t.test('deeds in a browser', { skip: 'no Chromium, and none can be installed' }, () => undefined)
else {
  await t.test('a person asks for access in place, by keyboard alone', async (t) => {
    const { page, close } = await open('/')
    await page.getByRole('button', { name: 'Ask for access to staging-db' }).focus()
    await page.keyboard.press('Enter')
    const form = page.getByRole('form', { name: 'Ask for access to staging-db' })
    await form.getByRole('button', { name: 'Open access now' }).click()
    t.ok(await form.getByText('Say in a few words why.').isVisible(), 'a reason is needed')
    await form.getByLabel('Reason').fill('Slow queries')
    await form.getByLabel('Ticket').fill('INC-7')
    await form.getByText('15 min', { exact: true }).click()
    await page.keyboard.press('Tab')
    await form.getByRole('button', { name: 'Open access now' }).press('Enter')
    await form.waitFor({ state: 'detached' })
    t.equal(
      portal.posted.at(-1),
      'POST /requests {"target":"staging-db","role":"readonly","minutes":15,"reason":"Slow queries","ticket":"INC-7"}',
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
    await page.getByText('Last sessions of erin there').waitFor()
    await page.getByText('30 min', { exact: true }).click()
    await page.getByLabel('For looking only').check()
    await page.getByText('A shell as deploy for looking').waitFor()
    const button = page.getByRole('button', { name: 'Approve for 30 min' })
    t.ok(((await button.boundingBox())?.height ?? 0) >= 44, 'large enough for a thumb')
    await button.click()
    await page.waitForTimeout(100)
    t.equal(portal.posted.at(-1), 'POST /requests/44/approve {"minutes":30,"readOnly":true}')
    await page.getByRole('button', { name: 'Deny' }).click()
    await page.getByRole('button', { name: 'Deny now' }).click()
    t.ok(await page.getByText('Say in a few words why.').isVisible(), 'a reason is needed')
    t.strictSame(await barriers(page), [], 'accessible with an error, too')
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
