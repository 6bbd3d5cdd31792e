/** Passkeys at each session, narrowed grants, and a configuration that is read again, attacked over every road that ssh and psql have. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { WebSocket } from 'ws'
import { parse, stringify } from 'yaml'
import { Authenticator } from '../fixtures/authenticator.ts'
import { type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { finished, type Ran } from '../fixtures/ssh-client.ts'
import { until } from '../fixtures/until.ts'

/** So many answers of one browser are taken in a minute; a quick machine is through with them sooner. */
const inTurn = async <Sent extends { readonly status: number }>(send: () => Promise<Sent>): Promise<Sent> => {
  let answer = await send()
  while (answer.status === 429) {
    await sleep(7_000)
    answer = await send()
  }
  return answer
}

const said = (run: Ran): string => run.stdout.toString()

type Roles = { readonly operator: object }
/** What a waiting client shows. */
type Asked = { readonly id: string; readonly code: string }
const asks = (child: ChildProcess): Promise<Asked> =>
  new Promise((resolve, reject) => {
    let seen = ''
    const hear = (chunk: Buffer) => {
      seen += chunk.toString()
      const [id, code] = [/\/approve\/([\w-]+)/.exec(seen)?.[1], /\b([A-Z0-9]{4}-[A-Z0-9]{4})\b/.exec(seen)?.[1]]
      if (id !== undefined && code !== undefined) resolve({ id, code })
    }
    child.stderr?.on('data', hear)
    // In a terminal there is only one of both.
    child.stdout?.on('data', hear)
    child.once('close', () => reject(new Error(`it did not ask for a passkey: ${seen}`)))
  })

if (!existsSync('/usr/bin/ssh') || !existsSync('/usr/sbin/sshd')) t.plan(0, 'no OpenSSH client or sshd here')
else {
  t.setTimeout(150_000)
  const demo = await startDemo(t)
  const { ssh: door, https, dataDir } = demo.report
  const [alice, erin, bob] = ['alice', 'erin', 'bob'].map((name) => demo.person(name)) as [
    DemoPerson,
    DemoPerson,
    DemoPerson,
  ]
  const key = new Authenticator(https.url)
  const dir = alice.client.directory
  const api = async (method: string, path: string, json?: unknown, who = alice) => {
    const answer = await who.browser.api(https.url, method, path, json)
    if (answer.status >= 400) throw new Error(`${path}: ${answer.status} ${answer.text}`)
    return answer.json()
  }
  const granted = async (who: DemoPerson, target: string, role: string, ...cut: string[]): Promise<string> => {
    const words = ['@', 'request', target, '--role', role, '--for', '30m', '--reason', 'an', 'attack', '--json']
    const { id } = JSON.parse(said(await who.ssh(words))) as { id: string }
    const yes = await bob.ssh(['@', 'approve', id, ...cut])
    if (yes.code !== 0) throw new Error(yes.stderr)
    return id
  }
  /** A client of OpenSSH under alice's key and with the host keys that she knows. */
  const program = (who: DemoPerson, name: string, args: readonly string[]): ChildProcess => {
    const options = who.client.options.map((option) => option.replace('LogLevel=ERROR', 'LogLevel=INFO'))
    const port = name === 'ssh' ? '-p' : '-P'
    const mine = options.map((option) => (option === '-p' ? port : option))
    const child = spawn(name, [...mine, ...args], { cwd: dir, env: { PATH: process.env['PATH'] ?? '', HOME: dir } })
    t.teardown(() => child.kill('SIGKILL'))
    return child
  }
  const optionsFor = async ({ id }: Asked) => {
    const answer = await inTurn(() => alice.browser.api(https.url, 'POST', `/sign-ins/${id}/passkey`, {}))
    if (answer.status >= 400) throw new Error(`passkey: ${answer.status} ${answer.text}`)
    return answer.json()
  }
  const touch = async (asked: Asked) => {
    const passkey = key.get(await optionsFor(asked))
    return inTurn(() =>
      alice.browser.api(https.url, 'POST', `/sign-ins/${asked.id}/answer`, { code: asked.code, passkey }),
    )
  }
  const configFile = join(dataDir, 'sallyport.yaml')
  const original = readFileSync(configFile, 'utf8')
  const times = () => readFileSync(join(dataDir, 'sallyport.log'), 'utf8').split('configuration was taken').length
  const reload = async (change: (roles: Roles) => void): Promise<void> => {
    const config = parse(original) as { readonly roles: Roles }
    const roles = structuredClone(config.roles)
    change(roles)
    writeFileSync(configFile, stringify({ ...config, roles }))
    const before = times()
    demo.process.kill('SIGHUP')
    await until(() => times() >= before + 2, 'both workers have it')
  }

  for (const who of [alice, erin, bob])
    if ((await who.ssh(['@', 'whoami'])).code !== 0) throw new Error(`${who.username} could not sign in`)
  await alice.visit('/me')
  const fresh = await api('POST', '/passkeys/options', {})
  await api('POST', '/passkeys', { name: 'blue key', answer: key.create(fresh) })
  const host = `alice%prod-db%sensitive@${door.host}`

  await t.test(
    'each session asks for a touch: command, sftp, scp, -J, and each channel of one connection',
    async (t) => {
      await granted(alice, 'prod-db', 'sensitive')
      writeFileSync(join(dir, 'up'), 'a file')
      const roads: readonly (readonly [string, string, readonly string[], string])[] = [
        ['a command', 'ssh', [host, 'echo inside'], ''],
        ['sftp', 'sftp', ['-b', '-', host], `put up ${dir}/by-sftp\n`],
        ['scp', 'scp', ['up', `${host}:${dir}/by-scp`], ''],
        ['the old scp', 'scp', ['-O', 'up', `${host}:${dir}/by-old-scp`], ''],
      ]
      for (const [what, name, args, input] of roads) {
        const child = program(alice, name, args)
        const over = finished(child, { input })
        const asked = await asks(child)
        t.equal((await touch(asked)).status, 200, what)
        t.equal((await over).code, 0, what)
      }
      for (const file of ['by-sftp', 'by-scp', 'by-old-scp']) t.ok(existsSync(join(dir, file)), file)

      const jump = join(dir, 'jump.conf')
      const ca = readFileSync(join(dataDir, 'gateway/keys/host_ca.pub'), 'utf8').trim()
      alice.client.trust(`@cert-authority * ${ca}`)
      writeFileSync(
        jump,
        `Host *\n  IdentityFile ${alice.client.privateKeyPath}\n  IdentitiesOnly yes\n  BatchMode yes\n  UserKnownHostsFile ${dir}/known_hosts\n`,
      )
      const inner = spawn(
        'ssh',
        ['-F', jump, '-J', `alice@${door.host}:${door.port}`, 'alice%prod-db%sensitive@prod-db', 'echo inside'],
        {
          cwd: dir,
          env: { PATH: process.env['PATH'] ?? '', HOME: dir },
        },
      )
      t.teardown(() => inner.kill('SIGKILL'))
      const through = finished(inner)
      t.equal((await touch(await asks(inner))).status, 200)
      t.match(await through, { code: 0 }, '-J')

      const socket = join(dir, 'mux')
      program(alice, 'ssh', ['-M', '-N', '-S', socket, host])
      await until(() => existsSync(socket), 'the connection is open')
      for (let n = 0; n < 2; n += 1) {
        const channel = program(alice, 'ssh', ['-S', socket, host, 'echo inside'])
        const over = finished(channel)
        t.equal((await touch(await asks(channel))).status, 200, `channel ${n + 1}`)
        t.match(await over, { code: 0 })
      }
    },
  )

  await t.test('-L has nobody who could be asked, and opens nothing', async (t) => {
    const target = createServer((one) => one.end('reached'))
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
    t.teardown(() => target.close())
    const { port } = target.address() as { port: number }
    const run = await finished(program(alice, 'ssh', ['-W', `127.0.0.1:${port}`, host]))
    t.not(run.code, 0)
    t.equal(said(run), '')
  })

  await t.test(
    'an approval is for one session: not used twice, not by another connection, not by another person',
    async (t) => {
      const [one, two] = [program(alice, 'ssh', [host, 'echo one']), program(alice, 'ssh', [host, 'echo two'])]
      const [ranOne, ranTwo] = [finished(one), finished(two)]
      const [first, second] = await Promise.all([asks(one), asks(two)])
      const answer = key.get(await optionsFor(first))
      const crossed = await alice.browser.api(https.url, 'POST', `/sign-ins/${second.id}/answer`, {
        code: second.code,
        passkey: answer,
      })
      t.equal(crossed.status, 403, 'a touch for one of two')
      const codes = await alice.browser.api(https.url, 'POST', `/sign-ins/${first.id}/answer`, {
        code: second.code,
        passkey: key.get(await optionsFor(first)),
      })
      t.match(codes.json(), { result: 'wrong-code' }, 'the code of the other one')
      await erin.visit('/me')
      const hers = await erin.browser.api(https.url, 'POST', `/sign-ins/${first.id}/passkey`, {})
      t.equal(hers.status, 404, "another person's page")
      const good = key.get(await optionsFor(first))
      const send = () =>
        alice.browser.api(https.url, 'POST', `/sign-ins/${first.id}/answer`, { code: first.code, passkey: good })
      const both = await Promise.all([send(), send()])
      t.same(both.map(({ status }) => status).filter((status) => status === 200).length, 1, 'twice at once: once')
      t.match(await ranOne, { code: 0 })
      t.not((await send()).status, 200, 'and once more afterwards')
      t.equal(two.exitCode, null, 'the other one still waits')
      await api('POST', `/sign-ins/${second.id}/deny`, {})
      t.not((await ranTwo).code, 0)
    },
  )

  await t.test('Ctrl-C leaves the wait for a touch; what else is typed is there once it is over', async (t) => {
    const left = program(alice, 'ssh', ['-tt', host])
    const over = finished(left, { endInput: false })
    const asked = await asks(left)
    await optionsFor(asked)
    left.stdin?.write('typed ahead \u0003')
    const { code, stdout } = await over
    t.equal(code, 1)
    t.match(stdout.toString(), /Ctrl-C leaves\.[^]*Left before it was answered: no session was opened\./)
    await t.rejects(optionsFor(asked), 'its page is over, too')

    const child = program(alice, 'ssh', ['-tt', host])
    const ran = finished(child, { input: 'echo typed $((20+22)) ahead; exit 5\n' })
    t.equal((await touch(await asks(child))).status, 200)
    t.match(await ran, { code: 5, stdout: /typed 42 ahead/ })
  })

  await t.test('a touch that comes after the grant has ended opens nothing', async (t) => {
    const child = program(alice, 'ssh', [host, 'echo inside'])
    const over = finished(child)
    const asked = await asks(child)
    t.equal((await bob.ssh(['@', 'revoke', '--person', 'alice', '--note', 'enough'])).code, 0)
    t.equal((await touch(asked)).status, 200)
    const { code, stderr, stdout } = await over
    t.not(code, 0)
    t.equal(stdout.toString(), '')
    t.match(stderr, /No live grant/)
  })

  await t.test('what was narrowed to looking stays so on every road', async (t) => {
    await granted(erin, 'prod-web', 'operator', '--read-only')
    const there = `erin%prod-web@${door.host}`
    const [up, down] = [join(dir, 'erins'), join(dir, 'got')]
    writeFileSync(up, 'her file')
    const run = (name: string, args: readonly string[], input = '') => finished(program(erin, name, args), { input })
    t.match(await run('ssh', [there, 'uname']), { code: 0 })
    for (const [what, name, args, input] of [
      ['a command', 'ssh', [there, `touch ${dir}/never`], ''],
      ['a shell', 'ssh', ['-tt', there], `touch ${dir}/never\nexit\n`],
      ['sftp', 'sftp', ['-b', '-', there], `put ${up} ${dir}/never\n`],
      ['sftp, a directory', 'sftp', ['-b', '-', there], `mkdir ${dir}/never\n`],
      ['scp', 'scp', [up, `${there}:${dir}/never`], ''],
      ['the old scp', 'scp', ['-O', up, `${there}:${dir}/never`], ''],
    ] as const) {
      await run(name, args, input)
      t.notOk(existsSync(join(dir, 'never')), what)
    }
    t.match(await run('scp', [`${there}:${up}`, down]), { code: 0 }, 'reading goes on')
    t.equal(readFileSync(down, 'utf8'), 'her file')
    const forwarded = await run('ssh', ['-W', `127.0.0.1:${door.port}`, there])
    t.not(forwarded.code, 0)
    t.equal(said(forwarded), '', 'role operator forwards; narrowed, it does not')
    const socket = join(dir, 'mux-erin')
    program(erin, 'ssh', ['-M', '-N', '-S', socket, there])
    await until(() => existsSync(socket), 'the connection is open')
    const second = await run('ssh', ['-S', socket, there, `touch ${dir}/never`])
    t.not(second.code, 0)
    t.notOk(existsSync(join(dir, 'never')), 'a second channel')
    await bob.ssh(['@', 'revoke', '--person', 'erin'])
  })

  await t.test('what was narrowed to the database opens no ssh, whatever asks', async (t) => {
    await granted(erin, 'prod-db', 'operator', '--endpoints', 'postgres')
    const there = `erin%prod-db@${door.host}`
    for (const [what, name, args] of [
      ['a command', 'ssh', [there, 'uname']],
      ['sftp', 'sftp', ['-b', '-', there]],
      ['scp', 'scp', [`${there}:/etc/hostname`, join(dir, 'never')]],
      ['-W', 'ssh', ['-W', `127.0.0.1:${door.port}`, there]],
    ] as const) {
      const run = await finished(program(erin, name, args), { input: '' })
      t.not(run.code, 0, what)
      t.equal(said(run).replaceAll(/sftp>.*\n/g, ''), '', what)
    }
    await bob.ssh(['@', 'revoke', '--person', 'erin'])
  })

  await t.test('a configuration that is read again counts for those who are in', async (t) => {
    await granted(erin, 'prod-web', 'operator')
    const there = `erin%prod-web@${door.host}`
    const socket = join(dir, 'mux-reload')
    program(erin, 'ssh', ['-M', '-N', '-S', socket, there])
    await until(() => existsSync(socket), 'the connection is open')
    const inside = (...words: string[]) => finished(program(erin, 'ssh', ['-S', socket, there, ...words]))
    t.match(await inside('uname'), { code: 0 })
    const idle = program(erin, 'ssh', ['-S', socket, there, 'echo up; sleep 600'])
    const cut = finished(idle)
    await new Promise((resolve) => idle.stdout?.once('data', resolve))

    await reload(({ operator }) => Object.assign(operator, { description: 'In other words' }))
    await reload(({ operator }) => Object.assign(operator, { approval: { groups: ['leads'], people: 2 } }))
    t.equal(idle.exitCode, null, 'what only concerns requests cuts nobody')

    await reload(({ operator }) => Object.assign(operator, { ssh: { shell: 'read-only' } }))
    t.match(await cut, { code: 255, stderr: /The rules of role operator on prod-web have changed: connect again/ })
    t.not((await inside(`touch ${dir}/never`)).code, 0)
    t.notOk(existsSync(join(dir, 'never')), 'the connection that was there before has the new rules')
    t.match(await inside('uname'), { code: 0 })

    await reload(({ operator }) => Object.assign(operator, { step_up: 'passkey' }))
    const stepped = program(erin, 'ssh', ['-S', socket, there, 'uname'])
    t.ok(await asks(stepped), 'a role that asks for a passkey now asks on connections of before')
    stepped.kill('SIGTERM')

    await reload((roles) => Object.assign(roles, { operator: undefined }))
    const gone = await inside('uname')
    t.match(gone, { stderr: /No live grant/ })
    await reload(() => undefined)
    t.match(await inside('uname'), { code: 0 }, 'and all of it comes back with the old file')
  })

  const home = `https://prod-web.apps.localhost:${new URL(https.url).port}`
  const page = { headers: { accept: 'text/html' } }

  await t.test('a web application: one touch, and both workers let that browser in', async (t) => {
    const grant = await granted(alice, 'prod-web', 'sensitive')
    await alice.visit('/me')
    const { browser } = alice
    const handedOver = await browser.open(`${home}/api/orders`, page)
    const begun = /content="0; url=([^"]+)"/.exec(handedOver.text)?.[1]?.replaceAll('&#38;', '&')
    const asking = new URL((await browser.open(begun ?? '', page)).url)
    t.match(asking, { origin: https.url, pathname: '/web-touch' })
    t.equal(asking.searchParams.get('grant'), grant)
    const script = {
      headers: { accept: '*/*', 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin' },
      redirects: 0,
    }
    const often = () => Promise.all(Array.from({ length: 8 }, async () => browser.open(`${home}/api/orders`, script)))
    for (const answer of await often()) t.match(answer.json().error, { code: 'PASSKEY_MISSING' })
    const answer = key.get(await api('POST', '/passkeys/confirm/options', { target: 'prod-web' }))
    const { confirmation } = await api('POST', '/passkeys/confirm', { target: 'prod-web', answer })
    const asked = Object.fromEntries(asking.searchParams)
    const { onward } = await api('POST', '/web-visits', { ...asked, confirmation })
    t.match(await browser.open(onward, page), { status: 200, url: `${home}/api/orders` })
    for (const { status } of await often()) t.equal(status, 200)
    await bob.ssh(['@', 'revoke', '--person', 'alice'])
  })

  await t.test('and for a WebSocket that stood open: the page goes on under the new rules', async (t) => {
    await erin.visit()
    const handedOver = await erin.browser.open(`${home}/`, page)
    const onward = /content="0; url=([^"]+)"/.exec(handedOver.text)?.[1]?.replaceAll('&#38;', '&')
    t.match(await erin.browser.open(onward ?? '', page), { status: 200 })
    const { hostname: servername, host: authority, port } = new URL(home)
    const cookie = `__Host-sallyport-web=${erin.browser.cookie(servername, '__Host-sallyport-web')?.value}`
    const headers = { cookie, origin: home, host: authority, 'sec-fetch-site': 'same-origin' }
    const how = { ca: demo.certificate, servername, headers }
    const line = new WebSocket(`wss://127.0.0.1:${port}/echo`, how)
    t.teardown(() => line.terminate())
    const closed = new Promise((resolve) => line.once('close', resolve))
    line.on('error', () => undefined)
    await new Promise((resolve) => line.once('open', resolve))
    await reload(({ operator }) => Object.assign(operator, { http: { mode: 'read-only' } }))
    await closed
    t.match(await erin.browser.open(`${home}/api/orders`, { headers }), { status: 200 })
    const changed = await erin.browser.open(`${home}/api/orders/1041`, { method: 'POST', headers, redirects: 0 })
    t.equal(changed.status, 403)

    await reload(({ operator }) => Object.assign(operator, { step_up: 'passkey' }))
    const script = { headers: { ...headers, accept: '*/*', 'sec-fetch-mode': 'cors' }, redirects: 0 }
    const asked = await erin.browser.open(`${home}/api/orders`, script)
    t.match(asked.json().error, { code: 'PASSKEY_MISSING' }, 'a role that asks for a passkey now asks open pages, too')
  })
  await demo.end()
}
