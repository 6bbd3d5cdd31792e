/** Attacks on the running product, from outside and by people who are inside: each is tried over the real wire. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Answer } from '../fixtures/browser-agent.ts'
import { type Demo, type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { finished, type Ran, sshClient } from '../fixtures/ssh-client.ts'
import { until } from '../fixtures/until.ts'

const said = (run: Ran): string => run.stdout.toString()
/** Never 0, which would be ourselves. */
const pidIn = (run: Ran): number => {
  const pid = Number(said(run))
  if (!Number.isInteger(pid) || pid < 2) throw new Error(`no process id: ${said(run)} ${run.stderr}`)
  return pid
}

/** A program of OpenSSH that no test person stands behind. */
const loud = (program: string, args: readonly string[]): ChildProcess => {
  const child = spawn(program, args, { env: { PATH: process.env['PATH'] ?? '' } })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}
const whoami = async (who: DemoPerson): Promise<number | null> => (await who.ssh(['@', 'whoami'])).code

/** Everything about one grant and one session. */
const calls = (grantId: string, sessionId: string) =>
  [
    ['GET', `/grants/${grantId}`],
    ['POST', `/requests/${grantId}/approve`, {}],
    ['POST', `/requests/${grantId}/deny`, { reason: 'no no no' }],
    ['POST', `/requests/${grantId}/withdraw`, {}],
    ['POST', `/grants/${grantId}/extend`, {}],
    ['POST', `/grants/${grantId}/release`, {}],
    ['POST', `/grants/${grantId}/revoke`, { note: '' }],
    ['GET', `/sessions/${sessionId}`],
    ['GET', `/sessions/${sessionId}/asciicast`],
    ['GET', `/sessions/${sessionId}/har`],
    ['GET', `/sessions/${sessionId}/events`],
    ['GET', `/sessions/${sessionId}/live`],
    ['POST', `/sessions/${sessionId}/kill`, { note: '' }],
  ] as const

if (!existsSync('/usr/bin/ssh') || !existsSync('/usr/sbin/sshd')) t.plan(0, 'no OpenSSH client or sshd here')
else {
  t.setTimeout(150_000)
  const demo: Demo = await startDemo(t)
  const { ssh: door, dataDir, https } = demo.report
  const origin = https.url
  const [alice, bob, carol, erin, mallory] = ['alice', 'bob', 'carol', 'erin', 'mallory'].map((name) =>
    demo.person(name),
  ) as [DemoPerson, DemoPerson, DemoPerson, DemoPerson, DemoPerson]
  const hostKey = `[${door.host}]:${door.port} ${door.hostKey}`

  /** A connection of that person that stays open, and how to open channels on it. */
  async function master(who: DemoPerson, ...options: string[]) {
    const socket = join(who.client.directory, `mux-${process.hrtime.bigint()}`)
    const child = who.start(['-M', '-N', '-S', socket, ...options, '@'])
    await until(() => existsSync(socket), 'the connection is open')
    const host = `${who.username}@${door.host}`
    const through = (...words: string[]) => finished(loud('ssh', ['-F', 'none', '-S', socket, host, ...words]))
    return { child, through }
  }
  async function granted(asker: DemoPerson, ...more: string[]): Promise<string> {
    const words = ['@', 'request', 'prod-db', '--role', 'operator', '--for', '10m', ...more, '--reason', 'an attack']
    const { id } = JSON.parse(said(await asker.ssh([...words, '--json']))) as { id: string }
    const yes = await bob.ssh(['@', 'approve', id])
    if (yes.code !== 0) throw new Error(yes.stderr)
    return id
  }
  for (const who of [alice, bob, carol, erin])
    if ((await whoami(who)) !== 0) throw new Error(`${who.username} could not sign in`)
  const grant = await granted(alice)

  await t.test('strangers who know a name and wait in a crowd do not keep its owner out', async (t) => {
    const crowd: ChildProcess[] = []
    let waiting = 0
    for (let n = 0; n < 10; n += 1) {
      const client = sshClient(t, door.port)
      client.trust(hostKey)
      const options = client.options.map((option) => option.replace('LogLevel=ERROR', 'LogLevel=INFO'))
      const child = loud('ssh', ['-b', '127.0.0.2', ...options, `mallory@${door.host}`, 'whoami'])
      let seen = ''
      child.stderr?.on('data', (chunk: Buffer) => {
        if (!seen.includes('/approve/') && (seen + chunk.toString()).includes('/approve/')) waiting += 1
        seen += chunk.toString()
      })
      crowd.push(child)
    }
    await until(() => waiting >= 8, 'the crowd waits')
    t.equal(await whoami(mallory), 0)
    for (const child of crowd) child.kill('SIGKILL')
  })

  await t.test('sockets that say nothing keep nobody out', async (t) => {
    const sockets = Array.from({ length: 400 }, (_, n) =>
      connect({ port: door.port, host: door.host, localAddress: `127.0.1.${1 + (n % 40)}` }),
    )
    for (const socket of sockets) socket.resume().on('error', () => undefined)
    await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
    for (let n = 0; n < 3; n += 1) t.equal(await whoami(alice), 0)
    for (const socket of sockets) socket.destroy()
  })

  await t.test('the link of somebody else opens nothing, with the code or without', async (t) => {
    const client = sshClient(t, door.port)
    client.trust(hostKey)
    const options = client.options.map((option) => option.replace('LogLevel=ERROR', 'LogLevel=INFO'))
    const child = loud('ssh', [...options, `alice@${door.host}`, 'whoami'])
    const over = finished(child)
    let seen = ''
    child.stderr?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    await until(() => /[A-Z0-9]{4}-[A-Z0-9]{4}/.test(seen), 'the code')
    const id = /\/approve\/([\w-]+)/.exec(seen)?.[1] ?? ''
    const code = /\b[A-Z0-9]{4}-[A-Z0-9]{4}\b/.exec(seen)?.[0]
    await mallory.visit(`/approve/${id}`)
    const hers: Answer[] = []
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['POST', '/answer', { code }],
      ['POST', '/reveal', {}],
      ['POST', '/deny', {}],
    ] as const)
      hers.push(await mallory.browser.api(origin, method, `/sign-ins/${id}${path}`, body))
    t.same(
      hers.map(({ status }) => status),
      [404, 404, 404, 404],
    )
    t.notMatch(hers.map(({ text }) => text).join(''), /127\.0\.0\.1|OpenSSH/)
    await alice.visit(`/approve/${id}`)
    for (let n = 0; n < 5; n += 1)
      await alice.browser.api(origin, 'POST', `/sign-ins/${id}/answer`, { code: 'AAAA-AAAA' })
    const late = await alice.browser.api(origin, 'POST', `/sign-ins/${id}/answer`, { code })
    t.equal(late.status, 404, 'five wrong codes spend the right one')
    t.match(await over, { code: 255 })
  })

  await t.test('ssh -J brings nobody anywhere but the outer person where she may go', async (t) => {
    const authority = readFileSync(join(dataDir, 'gateway/keys/host_ca.pub'), 'utf8').trim()
    const jump = async (who: DemoPerson, inner: string, hops: string, ...words: string[]) => {
      who.client.trust(`@cert-authority * ${authority}`)
      const config = join(who.client.directory, 'jump.conf')
      writeFileSync(
        config,
        `Host *\n  IdentityFile ${who.client.privateKeyPath}\n  IdentitiesOnly yes\n  BatchMode yes\n  UserKnownHostsFile ${who.client.directory}/known_hosts\n  LogLevel ERROR\n`,
      )
      return finished(loud('ssh', ['-F', config, '-J', hops, inner, ...words]))
    }
    const [hers, mallorys] = [alice, mallory].map(({ username }) => `${username}@${door.host}:${door.port}`) as [
      string,
      string,
    ]
    t.match(await jump(alice, 'root@prod-db', hers, 'echo in'), { code: 0 })
    type Row = { readonly username: string; readonly command: string }
    const rows = async () => JSON.parse(said(await carol.ssh(['@', 'sessions', '--json']))) as readonly Row[]
    let inner: Row | undefined
    for (let n = 0; n < 50 && inner === undefined; n += 1)
      inner = (await rows()).find(({ command }) => command === 'echo in')
    t.equal(inner?.username, 'alice', 'whatever the inner name is')
    t.equal((await jump(mallory, 'alice@prod-db', mallorys, 'echo in')).code, 1)
    t.equal((await jump(alice, 'alice@prod-web', hers, 'echo in')).code, 1, 'no grant there')
    t.equal((await jump(alice, 'x@prod-web', `${hers},alice@prod-db`, 'id')).code, 255, 'nor through the first')
    const wide = await alice.ssh(['-W', '169.254.169.254:80', '@'])
    t.not(wide.code, 0)
  })

  await t.test('an open connection is worth nothing after its key, its grant or its person', async (t) => {
    const forgotten = await master(alice)
    const { keys } = (await alice.browser.api(origin, 'GET', '/keys')).json() as { keys: { fingerprint: string }[] }
    for (const { fingerprint } of keys)
      t.equal((await alice.browser.api(origin, 'DELETE', `/keys/${encodeURIComponent(fingerprint)}`)).status, 200)
    t.match(
      await forgotten.through('whoami'),
      { code: 1, stderr: /Your sign-in has ended/ },
      'not even the first channel',
    )
    t.equal((await forgotten.through('prod-db', 'id')).code, 1)
    forgotten.child.kill()
    t.equal(await whoami(alice), 0)

    const open = await master(alice)
    const pid = pidIn(await open.through('prod-db', 'echo $PPID; sleep 0.3'))
    t.ok(existsSync(`/proc/${pid}`))
    const second = await granted(erin)
    const others = await master(erin)
    t.match(await others.through('prod-db', 'echo fine; sleep 0.3'), { stdout: Buffer.from('fine\n') })
    t.equal((await bob.ssh(['@', 'lock', 'erin', '--note', 'left'])).code, 0)
    for (const words of [
      ['whoami'],
      ['grants'],
      ['sessions'],
      ['prod-db', 'id'],
      ['request', 'prod-db', '--reason', 'again'],
    ])
      t.match(
        await others.through(...words),
        { code: 1, stdout: Buffer.alloc(0), stderr: /Locked by bob/ },
        words.join(' '),
      )
    t.equal((await bob.ssh(['@', 'unlock', 'erin'])).code, 0)
    t.equal((await others.through('prod-db', 'id')).code, 1, 'what ended stays so')
    t.match(
      await others.through('whoami'),
      { code: 1, stderr: /Your sign-in has ended/ },
      'a laptop that was lost is let in by nothing that was on it',
    )
    t.equal((await erin.browser.api(origin, 'GET', '/keys')).status, 401, 'nor is its browser')
    const ended = said(await bob.ssh(['@', 'grants', '--all', '--json']))
    t.match(ended, new RegExp(`"id": "${second}"`))
    t.match(
      await open.through('prod-db', 'echo fine; sleep 0.3'),
      { stdout: Buffer.from('fine\n') },
      'others never notice',
    )
  })

  await t.test('who is locked out while watching sees no more', async (t) => {
    const shell = alice.start(['-tt', '@', 'prod-db', 'while :; do echo tick; sleep 0.1; done'])
    await new Promise((resolve) => shell.stdout?.once('data', resolve))
    const live = JSON.parse(said(await carol.ssh(['@', 'sessions', '--live', '--json']))) as readonly { id: string }[]
    const watch = carol.start(['@', 'watch', live[0]?.id ?? ''])
    const closed = new Promise((resolve) => watch.once('close', resolve))
    let seen = 0
    watch.stdout?.on('data', (chunk: Buffer) => (seen += chunk.length))
    await until(() => seen > 0, 'carol watches')
    t.equal((await bob.ssh(['@', 'lock', 'carol', '--note', 'left'])).code, 0)
    t.equal(await closed, 1)
    t.equal((await bob.ssh(['@', 'unlock', 'carol'])).code, 0)
    shell.kill()
  })

  await t.test('a session that is ended while its channel opens runs nothing on the target', async (t) => {
    const open = await master(alice)
    const pid = pidIn(await open.through('prod-db', 'echo $PPID; sleep 0.3'))
    const mark = join(dataDir, 'never')
    process.kill(pid, 'SIGSTOP')
    const late = open.through('prod-db', `touch ${mark}`)
    const live = async () =>
      JSON.parse(said(await bob.ssh(['@', 'sessions', '--live', '--json']))) as readonly {
        id: string
        command: string
      }[]
    let session: string | undefined
    for (let n = 0; n < 50 && session === undefined; n += 1)
      session = (await live()).find(({ command }) => command.includes(mark))?.id
    t.equal((await bob.ssh(['@', 'kill', session ?? ''])).code, 0)
    // The worker that serves it hears of this a moment later.
    await new Promise((wake) => setTimeout(wake, 1500))
    process.kill(pid, 'SIGCONT')
    t.not((await late).code, 0)
    // Time for what must not happen.
    await new Promise((wake) => setTimeout(wake, 1000))
    t.notOk(existsSync(mark))
  })

  await t.test('the API shows and does nothing of others', async (t) => {
    await erin.visit()
    await mallory.visit()
    const [session] = JSON.parse(said(await carol.ssh(['@', 'sessions', '--person', 'alice', '--json']))) as readonly {
      id: string
    }[]
    const id = session?.id ?? ''
    const nobodys = '01a1f866-0000-7000-8000-000000000000'
    for (const who of [erin, mallory]) {
      const answers = async (grantId: string, sessionId: string) => {
        const list: string[] = []
        for (const [method, path, body] of calls(grantId, sessionId)) {
          const { status, text } = await who.browser.api(origin, method, path, body)
          list.push(`${status} ${text.replaceAll(/"reference":"\w+"/g, '').replaceAll(grantId, 'N')}`)
        }
        return list
      }
      const theirs = await answers(grant, id)
      t.same(theirs, await answers('99999', nobodys), `${who.username}: others’ and nobody’s are the same`)
      t.ok(theirs.every((answer) => answer.startsWith('404')))
      t.equal((await who.browser.api(origin, 'POST', '/identities/bob/lock', { note: '' })).status, 403)
      const lists = await Promise.all(
        [`/grants?person=alice`, `/sessions?person=alice`, `/sessions?live=true&person=alice`, '/requests'].map(
          (path) => who.browser.api(origin, 'GET', path),
        ),
      )
      t.notMatch(lists.map(({ text }) => text).join(), /"username":"alice"/)
    }
  })

  await t.test('bodies, types and origins that are odd change nothing', async (t) => {
    await alice.visit()
    const { csrfToken } = (await alice.browser.api(origin, 'GET', '/me')).json() as { csrfToken: string }
    const own = { origin, 'x-sallyport-csrf': csrfToken, 'content-type': 'application/json' }
    const send = async (headers: Record<string, string>, json: unknown = {}) =>
      (
        await alice.browser.open(`${origin}/api/v1/grants/${grant}/release`, {
          method: 'POST',
          headers,
          json,
          redirects: 0,
        })
      ).status
    const odd: Record<string, string>[] = [
      { ...own, 'content-type': 'text/plain' },
      { ...own, 'content-type': 'application/x-www-form-urlencoded' },
      { ...own, 'content-type': 'multipart/form-data; boundary=x' },
      { ...own, origin: 'null' },
      { ...own, origin: `${origin}.evil.example` },
      { ...own, origin: 'https://grafana.localhost' },
      { 'x-sallyport-csrf': csrfToken },
      { origin },
      { ...own, 'x-sallyport-csrf': `${csrfToken}x` },
      { ...own, 'sec-fetch-site': 'same-site' },
      { ...own, 'sec-fetch-site': 'cross-site' },
    ]
    for (const headers of odd)
      t.ok([400, 403, 415].includes(await send(headers)), JSON.stringify(headers).slice(0, 120))
    const ask = (json: unknown) => alice.browser.api(origin, 'POST', '/requests', json)
    const usual = { target: 'prod-web', role: 'operator', reason: 'an attack' }
    const deep = JSON.parse(`${'['.repeat(3000)}${']'.repeat(3000)}`) as unknown
    for (const more of [
      { minutes: -1 },
      { minutes: 1e308 },
      { minutes: '10' },
      { reason: deep },
      { reason: 'x'.repeat(60_000) },
    ])
      t.equal((await ask({ ...usual, ...more })).status, 400)
    t.equal((await ask(JSON.parse('{"target":"prod-web","__proto__":{"minutes":1},"reason":"an attack"}'))).status, 400)
    t.equal((await ask({ ...usual, constructor: { prototype: { x: 1 } } })).status, 400)
    t.match((await alice.browser.api(origin, 'GET', `/grants/${grant}`)).json(), { grant: { state: 'live' } })
  })

  await t.test('a cookie from before a sign-in, or after a sign-out, is nobody', async (t) => {
    const planted = 'A'.repeat(43)
    mallory.browser.setCookie('localhost', `__Host-sallyport=${planted}; Path=/; Secure; HttpOnly`)
    await mallory.visit()
    const first = mallory.browser.cookie('localhost', '__Host-sallyport')?.value ?? ''
    t.not(first, planted)
    await mallory.browser.open(`${origin}/sign-in?fresh=1`, { redirects: 0 })
    const me = async (value: string) => {
      const headers = { cookie: `__Host-sallyport=${value}` }
      return (await bob.browser.open(`${origin}/api/v1/me`, { headers, redirects: 0 })).status
    }
    t.equal(await me(first), 200)
    t.equal(await me(planted), 401)
    await mallory.browser.api(origin, 'POST', '/sign-out', {})
    t.equal(await me(first), 401)
  })

  await t.test('no secret is at rest or in a log, and nobody else may read what is', async (t) => {
    await alice.visit()
    const typed = alice.start(['-tt', '@', 'prod-db'])
    const closed = new Promise((resolve) => typed.once('close', resolve))
    let seen = ''
    typed.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()))
    typed.stdin?.write('stty -echo; echo rea""dy; read x; stty echo; echo do""ne\n')
    await until(() => seen.includes('ready'), 'the prompt')
    typed.stdin?.write('hunter2-canary-77\n')
    await until(() => seen.includes('done'), 'it was read')
    typed.stdin?.write('exit\n')
    await closed
    await until(() => readFileSync(join(dataDir, 'sallyport.log')).length > 0, 'it is shipped')
    const secrets = [
      'hunter2-canary-77',
      readFileSync(join(dataDir, 'client-secret'), 'utf8').trim(),
      alice.browser.cookie('localhost', '__Host-sallyport')?.value ?? '',
      ...demo.report.people.flatMap(({ password, totpSecret }) => [password, totpSecret ?? password]),
    ]
    t.ok(secrets.every((secret) => secret.length > 8))
    const pattern = join(alice.client.directory, 'secrets')
    writeFileSync(pattern, `${secrets.join('\n')}\n`)
    const found = execFileSync('sh', ['-c', `grep -rlFf '${pattern}' '${dataDir}' || true`])
      .toString()
      .trim()
    t.same(
      found
        .split('\n')
        .map((path) => path.slice(dataDir.length))
        .toSorted(),
      ['/client-secret', '/demo.json'],
      'but for the files that are there to hold them',
    )
    for (const path of [
      'client-secret',
      'demo.json',
      'sallyport.log',
      'gateway',
      'gateway/keys',
      'gateway/keys/ssh-user-ca.pem',
      'gateway/state.db',
      'gateway/journal',
    ])
      t.equal(statSync(join(dataDir, path)).mode & 0o077, 0, path)
    for (const line of readFileSync(join(dataDir, 'sallyport.log'), 'utf8').trim().split('\n'))
      t.doesNotThrow(() => JSON.parse(line), line.slice(0, 200))
  })
}
