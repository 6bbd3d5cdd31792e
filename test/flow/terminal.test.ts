/** The web terminal's frames against the real product: who gets a shell, what a lost line costs, and files. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Authenticator } from '../fixtures/authenticator.ts'
import { type DemoPerson, signedInAgain, startDemo } from '../fixtures/demo.ts'
import { csrfOf, type Line, type LineOptions, openLine } from '../fixtures/web-terminal.ts'
import { until } from '../fixtures/until.ts'

const SIZE = { columns: 100, rows: 30 }
const MEGABYTE = 2 ** 20
const query = (more: Record<string, string>) => new URLSearchParams({ target: 'prod-db', ...more }).toString()
/** The connection below a line. */
const wireOf = ({ socket }: Line): Socket => Reflect.get(socket, '_socket') as Socket
const within = <T>(wanted: Promise<T>): Promise<T | undefined> =>
  Promise.race([wanted, new Promise<undefined>((late) => setTimeout(late, 10_000, undefined))])
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

t.setTimeout(150_000)
if (!existsSync('/usr/sbin/sshd')) await t.test('terminal', { skip: 'no sshd here' }, async () => undefined)
else {
  const demo = await startDemo(t)
  const origin = demo.report.https.url
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => demo.person(name)) as [
    DemoPerson,
    DemoPerson,
    DemoPerson,
  ]
  await Promise.all([alice, bob, carol].map((person) => person.visit()))
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-files-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))

  const granted = async (target: string, role: string): Promise<string> => {
    const ask = { target, role, minutes: 30, reason: 'INC-42 terminal' }
    const asked = (await alice.browser.api(origin, 'POST', '/requests', ask)).json()
    if (asked.state !== 'live') await bob.browser.api(origin, 'POST', `/requests/${asked.id}/approve`, {})
    return String(asked.id)
  }
  const revoke = (id: string) => bob.browser.api(origin, 'POST', `/grants/${id}/revoke`, { note: 'enough for today' })
  const open = (target: string, options?: LineOptions, person = alice): Promise<Line> =>
    openLine(t, person.browser, origin, { kind: 'open', target, ...SIZE }, options)
  const back = (shell: string, from: number | undefined, person = alice): Promise<Line> =>
    openLine(t, person.browser, origin, { kind: 'back', shell, ...(from === undefined ? {} : { from }), ...SIZE })
  type Listed = { readonly id: string; readonly channel: string; readonly clientVersion: string }
  /** The session of that kind whose recording says this; what is recorded is shipped a moment later. */
  const recorded = async (channel: string, wanted: RegExp): Promise<Listed | undefined> => {
    for (let i = 0; i < 100; i++) {
      const { sessions } = (await carol.browser.api(origin, 'GET', '/sessions')).json()
      for (const session of sessions as readonly Listed[]) {
        if (session.channel !== channel) continue
        const { text } = await carol.browser.api(origin, 'GET', `/sessions/${session.id}/events?limit=1000`)
        if (wanted.test(text)) return session
      }
      await new Promise((wake) => setTimeout(wake, 300))
    }
    return undefined
  }

  let operator = ''
  await t.test('an unknown target, a forbidden one and one without a grant answer the same', async (t) => {
    const answers = await Promise.all(
      ['prod-db', 'nowhere-at-all'].map(async (target) => {
        const { code, next, text } = await (await open(target)).hears('refused')
        return { code, next, text: text.replace(target, 'TARGET') }
      }),
    )
    t.strictSame(answers[0], { code: 'NO_GRANT', next: null, text: 'No live grant for TARGET.' })
    t.strictSame(answers[0], answers[1])
  })

  await t.test('no page of another origin, no stranger and no page without the token gets a line', async (t) => {
    await t.rejects(open('prod-db', { origin: 'https://evil.example' }), { message: 'status 403' })
    await t.rejects(open('prod-db', { origin: origin.replace('localhost', 'grafana.apps.localhost') }), {
      message: 'status 403',
    })
    await t.rejects(open('prod-db', { headers: { 'sec-fetch-site': 'same-site' } }), { message: 'status 403' })
    await t.rejects(open('prod-db', { headers: { cookie: '__Host-sallyport=x' } }), { message: 'status 401' })
    t.equal(await (await open('prod-db', { csrf: 'wrong' })).closed, 1008)
    t.equal(await (await open('prod-db', { csrf: await csrfOf(bob.browser, origin) })).closed, 1008, 'somebody else’s')
    const line = await open('prod-db')
    line.socket.send('{"kind":"drawn","bytes":-1}')
    await line.closed
    const loud = await open('prod-db')
    loud.socket.send(Buffer.alloc(100_000))
    t.ok([1009, 1000].includes(await loud.closed), 'a message that is too long')
  })

  await t.test(
    'a shell has the size of the page, its letters and its keys, and is recorded as a browser’s',
    async (t) => {
      operator = await granted('prod-db', 'operator')
      const line = await open('prod-db')
      await line.hears('opened')
      line.type('stty size; echo "Grüße 🎉 $((40 + 2))"\r')
      await line.shows('30 100')
      await line.shows('Grüße 🎉 42')
      line.say({ kind: 'resize', columns: 133, rows: 44 })
      line.type('stty size\r')
      await line.shows('44 133')
      line.type('sleep 100\r')
      await line.shows('sleep 100\r\n')
      line.say({ kind: 'signal', name: 'INT' })
      line.type('\u0003')
      line.type('exit 3\r')
      const ended = await line.hears('ended')
      t.match(ended, { cause: 'exited', exitCode: 3 })
      t.match(await recorded('shell', /133x44/), { channel: 'shell', clientVersion: 'browser Firefox/145.0' })
    },
  )

  await t.test('who comes back finds the same shell, and everything it wrote meanwhile, once', async (t) => {
    const line = await open('prod-db')
    const { shell } = await line.hears('opened')
    line.type('tty; for i in $(seq 1 40); do echo line-$i-of-40; sleep 0.02; done; echo "<$(seq -s- 1 3)>"\r')
    await line.shows('line-5-of-40')
    line.cut()
    const first = line.text()
    const seen = line.bytes()
    // Several times, because workers share the port: some of these land at the other one.
    for (let i = 0; i < 6; i++) {
      const again = await back(shell, seen)
      const opened = await again.hears('opened')
      t.equal(opened.at, seen, 'goes on where it was')
      await again.shows('<1-2-3>')
      const whole = first + again.text()
      for (const n of [1, 5, 6, 7, 20, 40]) t.equal(whole.split(`line-${n}-of-40\r\n`).length, 2, `line ${n} came once`)
      again.cut()
    }
    const reloaded = await back(shell, undefined)
    const opened = await reloaded.hears('opened')
    t.equal(opened.at, 0)
    t.ok(opened.drawn >= seen, 'a page that was loaded anew knows what is old')
    await reloaded.shows('line-1-of-40')
    reloaded.type('echo "same $PPID $$"; tty\r')
    await reloaded.shows(/same \d+ \d+/)
    const other = await back(shell, undefined)
    await other.hears('opened')
    await reloaded.hears('moved')
    t.equal(await reloaded.closed, 1000, 'one window at a time')
    other.say({ kind: 'leave' })
    t.match(await other.hears('ended'), { cause: 'closed' })
    t.match(await (await back(shell, undefined)).hears('refused'), { code: 'NOT_FOUND', text: 'This shell is gone.' })
  })

  await t.test('nobody else comes back to it: the same answer as for a shell that is gone', async (t) => {
    const line = await open('prod-db')
    const { shell } = await line.hears('opened')
    await line.shows('#')
    line.cut()
    for (let i = 0; i < 3; i++)
      t.match(await (await back(shell, 0, bob)).hears('refused'), { code: 'NOT_FOUND', text: 'This shell is gone.' })
    // The same person in another browser has another cookie.
    const second = await signedInAgain(t, demo, 'alice')
    const other = await openLine(t, second, origin, { kind: 'back', shell, ...SIZE })
    t.match(await other.hears('refused'), { code: 'NOT_FOUND' })
    const wrong = `${shell.slice(0, -4)}${shell.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`
    t.match(await (await back(wrong, 0)).hears('refused'), { code: 'NOT_FOUND' })
    t.match(await (await back(shell, 0)).hears('opened'), { shell }, 'its owner does')
  })

  await t.test('a page that draws nothing makes the host wait, and loses nothing', async (t) => {
    const blind = await open('prod-db', { isBlind: true })
    const { shell } = await blind.hears('opened')
    blind.type('seq 1 200000 | tail -n 200000; echo end-of-it\r')
    await blind.shows('20000')
    let before = -1
    while (before !== blind.bytes()) {
      before = blind.bytes()
      await new Promise((wake) => setTimeout(wake, 300))
    }
    t.ok(before <= 600_000, `${before} bytes are on their way, no more`)
    blind.cut()
    const seeing = await back(shell, before)
    await seeing.shows(/^end-of-it/m)
    const numbers = (blind.text() + seeing.text()).match(/^\d+(?=\r?$)/gm) ?? []
    t.equal(numbers.length, 200_000)
    t.ok(
      numbers.every((number, at) => Number(number) === at + 1),
      'every number, in order',
    )
    seeing.say({ kind: 'leave' })
  })

  await t.test(
    'a page that reads nothing, whatever it says it has drawn, fills no memory: its line ends',
    async (t) => {
      const liar = await open('prod-db', { isBlind: true })
      await liar.hears('opened')
      liar.type('yes "a line that nobody reads"\r')
      await liar.shows('nobody reads')
      const { bytesRead: before } = wireOf(liar)
      wireOf(liar).pause()
      for (let i = 0; i < 500 && liar.socket.readyState === liar.socket.OPEN; i++) {
        // It does not know how much was written; what cannot be true is ignored, the rest opens the window.
        for (let drawn = 0; drawn < 48 * MEGABYTE; drawn += 256 * 1024) liar.say({ kind: 'drawn', bytes: drawn })
        await new Promise((wake) => setTimeout(wake, 20))
      }
      wireOf(liar).resume()
      t.equal(await within(liar.closed), 1006, 'cut, without a word')
      const kept = wireOf(liar).bytesRead - before
      t.ok(kept < 24 * MEGABYTE, `${kept} bytes were kept for it and in the network`)
    },
  )

  await t.test('nor does a page that rings all the time and takes no answer', async (t) => {
    const beats = await open('prod-db', { isBlind: true })
    await beats.hears('opened')
    wireOf(beats).pause()
    const ringing = (async () => {
      for (let i = 0; i < 600 && beats.socket.readyState === beats.socket.OPEN; i++) {
        for (let j = 0; j < 2000; j++) beats.say({ kind: 'beat' })
        await new Promise((wake) => setTimeout(wake, 10))
      }
      wireOf(beats).resume()
    })()
    await ringing
    t.equal(await within(beats.closed), 1006)
    t.ok(beats.messages.filter(({ kind }) => kind === 'beat').length < 1_200_000, 'not all were answered')
  })

  await t.test('files go both ways unchanged, are recorded, and paths that are none are refused', async (t) => {
    const content = randomBytes(3_000_000)
    const path = join(dir, 'Grüße & more.bin')
    const sent = await transfer(alice, 'PUT', query({ path }), content)
    t.equal(sent.status, 200, sent.text())
    t.equal(JSON.parse(sent.text()).sha256, sha256(content))
    t.equal(sha256(readFileSync(path)), sha256(content))
    const twice = await transfer(alice, 'PUT', query({ path }), content)
    t.match(JSON.parse(twice.text()).error, { code: 'CONFLICT' }, 'nothing is replaced by accident')
    const smaller = await transfer(alice, 'PUT', query({ path, replace: '1' }), content.subarray(0, 70_001))
    t.equal(smaller.status, 200)
    const got = await transfer(alice, 'GET', query({ path }))
    t.equal(sha256(got.body), sha256(content.subarray(0, 70_001)))
    t.equal(got.headers['x-sallyport-file-size'], '70001')
    t.equal(
      got.headers['content-disposition'],
      `attachment; filename="Gr__e___more.bin"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20%26%20more.bin`,
    )
    t.match(
      await recorded('sftp', new RegExp(sha256(content.subarray(0, 70_001)))),
      { clientVersion: /^browser/ },
      'with its hash',
    )
    for (const [asked, code] of [
      [join(dir, 'not-there'), 'NOT_FOUND'],
      [dir, 'BAD_INPUT'],
      [`${dir}/`, 'BAD_INPUT'],
      ['/etc/pass\u0000wd', 'BAD_INPUT'],
      ['a\nb', 'BAD_INPUT'],
    ] as const)
      t.match(JSON.parse((await transfer(alice, 'GET', query({ path: asked }))).text()).error, { code }, asked)
    const stranger = await transfer(bob, 'GET', query({ path }))
    t.match(JSON.parse(stranger.text()).error, { code: 'NO_GRANT' })
    const unforged = await transfer(alice, 'PUT', query({ path, replace: '1' }), content, { 'x-sallyport-csrf': 'no' })
    t.equal(unforged.status, 403)
    writeFileSync(join(dir, 'empty'), '')
    t.equal((await transfer(alice, 'GET', query({ path: join(dir, 'empty') }))).body.length, 0)
    t.ok(
      (await transfer(alice, 'GET', query({ path: '/proc/self/status' }))).body.length > 100,
      'what says it is empty',
    )
  })

  await t.test('a revoked grant ends shells within a second, those whose browser is away included', async (t) => {
    const line = await open('prod-db')
    await line.hears('opened')
    await line.shows('#')
    const away = await open('prod-db')
    const { shell } = await away.hears('opened')
    away.type(`trap '' HUP; echo $$ > ${join(dir, 'pid')}; sleep 300\r`)
    await away.shows('sleep 300')
    while (!existsSync(join(dir, 'pid'))) await new Promise((wake) => setTimeout(wake, 20))
    away.cut()
    await revoke(operator)
    t.match(await line.hears('ended'), {
      cause: 'cut',
      text: `Grant ${operator} was revoked by bob: enough for today.`,
    })
    const late = await back(shell, undefined)
    t.match(await late.hears('ended'), { cause: 'cut' }, 'who comes back is told why')
    const pid = readFileSync(join(dir, 'pid'), 'utf8').trim()
    await until(() => !existsSync(`/proc/${pid}`), 'nothing of it runs on')
  })

  await t.test('a read-only shell is the gateway’s own reader, in a browser too; files go by its rule', async (t) => {
    const id = await granted('prod-db', 'readonly')
    const line = await open('prod-db')
    await line.hears('opened')
    await line.shows(/prod-db/)
    line.type(`touch ${join(dir, 'x')}\r`)
    await line.shows(/touch.*(not|refused|cannot|no )/is)
    t.notOk(existsSync(join(dir, 'x')))
    line.type('uname\r')
    await line.shows('Linux')
    const refused = await transfer(
      alice,
      'PUT',
      new URLSearchParams({ target: 'prod-db', path: join(dir, 'y') }).toString(),
      Buffer.from('x'),
    )
    t.match(JSON.parse(refused.text()).error, { code: 'NOT_ALLOWED' })
    t.notOk(existsSync(join(dir, 'y')))
    const read = await transfer(
      alice,
      'GET',
      new URLSearchParams({ target: 'prod-db', path: '/etc/hostname' }).toString(),
    )
    t.equal(read.status, 200)
    await revoke(id)
    await line.hears('ended')
  })

  await t.test('a role with nothing but commands shows its menu; an agent’s host works like any other', async (t) => {
    const commands = await granted('prod-web', 'logs')
    const menu = await open('prod-web')
    await menu.hears('opened')
    await menu.shows('logs on prod-web')
    menu.type('q')
    t.match(await menu.hears('ended'), { cause: 'closed' })
    await revoke(commands)
    const target = 'prod-app'
    await granted(target, 'operator')
    const line = await open(target)
    await line.hears('opened')
    await line.shows(/[#$] $/)
    line.type('echo on-$((3 * 14)); stty size\r')
    await line.shows('on-42')
    await line.shows('30 100')
    const path = join(dir, 'through the agent')
    const query = new URLSearchParams({ target, path }).toString()
    const content = randomBytes(200_000)
    t.equal((await transfer(alice, 'PUT', query, content)).status, 200)
    t.equal(sha256((await transfer(alice, 'GET', query)).body), sha256(content))
    line.cut()
  })

  await t.test('a role that asks for a passkey takes one touch for one session, be it a shell or a file', async (t) => {
    const id = await granted('prod-db', 'sensitive')
    const key = new Authenticator(origin)
    const post = async (path: string, body: object) => (await alice.browser.api(origin, 'POST', path, body)).json()
    const made = key.create(await post('/passkeys/options', {}))
    await post('/passkeys', { name: 'blue key', answer: made })
    const touch = async (target = 'prod-db'): Promise<string> => {
      const answer = key.get(await post('/passkeys/confirm/options', { target }))
      return String((await post('/passkeys/confirm', { target, answer })).confirmation)
    }
    const shell = (confirmation?: string) =>
      openLine(t, alice.browser, origin, {
        kind: 'open',
        target: 'prod-db',
        under: id,
        ...(confirmation === undefined ? {} : { confirmation }),
        ...SIZE,
      })
    const used = await touch()
    const line = await shell(used)
    t.equal((await line.hears('opened')).role, 'sensitive')
    line.type('echo on-$((3 * 14))\r')
    await line.shows('on-42')
    for (const [what, confirmation] of [
      ['none', undefined],
      ['one that was used', used],
      ['one for another target', await touch('prod-web')],
      ['something else', 'x'.repeat(43)],
    ] as const) {
      const refused = await shell(confirmation)
      t.match(await refused.hears('refused'), { code: 'PASSKEY_MISSING' }, what)
      t.strictSame(refused.text(), '', 'nothing is open')
    }
    const file = query({ under: 'sensitive', path: join(dir, 'touched') })
    const proof = async () => ({ 'x-sallyport-passkey': await touch() })
    const refused = await transfer(alice, 'PUT', file, Buffer.from('no'))
    t.match(JSON.parse(refused.text()).error, { code: 'PASSKEY_MISSING' })
    t.notOk(existsSync(join(dir, 'touched')))
    const once = await proof()
    t.equal((await transfer(alice, 'PUT', file, Buffer.from('yes'), once)).status, 200)
    t.match(JSON.parse((await transfer(alice, 'GET', file, undefined, once)).text()).error, { code: 'PASSKEY_MISSING' })
    t.equal((await transfer(alice, 'GET', file, undefined, await proof())).text(), 'yes')
    line.cut()
  })

  await t.test('signing out ends the shells of that browser', async (t) => {
    await granted('prod-db', 'operator')
    const line = await open('prod-db')
    await line.hears('opened')
    await alice.browser.api(origin, 'POST', '/sign-out', {})
    t.match(await line.hears('ended'), { cause: 'cut', text: 'You have signed out.' })
  })

  async function transfer(
    person: DemoPerson,
    method: 'GET' | 'PUT',
    query: string,
    body?: Buffer,
    headers: Record<string, string> = {},
  ) {
    const cookie = `__Host-sallyport=${person.browser.cookie('localhost', '__Host-sallyport')?.value ?? ''}`
    const csrf = await csrfOf(person.browser, origin)
    return new Promise<{ status: number; headers: Record<string, unknown>; body: Buffer; text: () => string }>(
      (resolve, reject) => {
        const call = httpsRequest(
          `${origin}/api/v1/terminal/file?${query}`,
          {
            method,
            rejectUnauthorized: false,
            headers: {
              cookie,
              origin,
              'x-sallyport-csrf': csrf,
              'content-type': 'application/octet-stream',
              ...headers,
            },
          },
          (response) => {
            const chunks: Buffer[] = []
            response.on('data', (chunk: Buffer) => chunks.push(chunk))
            response.on('error', reject)
            response.on('end', () => {
              const bytes = Buffer.concat(chunks)
              resolve({
                status: response.statusCode ?? 0,
                headers: response.headers,
                body: bytes,
                text: () => bytes.toString(),
              })
            })
          },
        )
        call.on('error', reject)
        call.end(body)
      },
    )
  }
  await demo.end()
}
