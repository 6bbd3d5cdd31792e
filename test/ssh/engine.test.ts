/** A person's ssh, through the gateway, to a real sshd: what they type arrives, what they see is recorded, and the end is the end. */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { byte, message, Reader, string, uint32 } from '../../gateway/ssh/engine/wire.ts'
import { finished, sshClient } from '../fixtures/ssh-client.ts'
import { startGateway } from '../fixtures/ssh-engine.ts'
import { execRequest, newKey, openSessionChannel, rawClient, signIn } from '../fixtures/ssh-raw.ts'
import { missingClient, missingSshd, type Sshd, startSshd, type Teardown } from '../fixtures/sshd.ts'
import { until } from '../fixtures/until.ts'

const missing = missingSshd() ?? missingClient()
const skip = missing ?? false
const ME = 'alice%prod-db@127.0.0.1'

async function house(
  t: Teardown,
  { ordinary = false, ...options }: Parameters<typeof startGateway>[2] & { readonly ordinary?: boolean } = {},
) {
  let sshd: Sshd | undefined
  const gateway = await startGateway(t, () => sshd, options)
  sshd = await startSshd(t, { userAuthority: gateway.engine.keys.userAuthority, ordinary })
  const client = sshClient(t, gateway.port)
  client.trust(...gateway.knownHosts)
  gateway.allowed.add(client.fingerprint)
  return { gateway, sshd, client, recorder: gateway.recorder }
}

const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

const byName = (one: string, other: string) => one.localeCompare(other)
const isRunning = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/State:\s+Z/.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

t.test('commands', { skip }, async (t) => {
  const { client, gateway, recorder, sshd } = await house(t)

  t.test('a command runs, its two outputs stay apart, its exit code comes back', async (t) => {
    const ran = await client.ssh([ME, 'echo out; echo err >&2; exit 7'])
    t.equal(ran.code, 7)
    t.equal(ran.stdout.toString(), 'out\n')
    t.equal(ran.stderr, 'err\n')
    t.equal(recorder.bytes('o').toString(), 'out\n')
    t.equal(recorder.bytes('e').toString(), 'err\n')
    t.equal(recorder.bytes('x').toString(), '7')
    t.match(recorder.sessions.at(-1)?.end, { cause: 'exited', exitCode: 7 })
  })

  t.test('the target knows whom to thank: its log names the person and the grant', async (t) => {
    t.ok(await until(() => /ID alice grant=7 session=/.test(sshd.log())))
  })

  t.test('ssh gateway target command, without the target in the user name', async (t) => {
    const ran = await client.ssh(['alice@127.0.0.1', 'prod-db', 'echo', 'hello'])
    t.equal(ran.stdout.toString(), 'hello\n')
  })

  t.test('a program that dies of a signal says so', async (t) => {
    const ran = await client.ssh([ME, 'kill -TERM $$'])
    t.equal(ran.code, 255, 'OpenSSH shows a signal as 255')
    t.equal(recorder.bytes('x').toString(), '143')
    t.match(recorder.sessions.at(-1)?.end, { cause: 'exited', exitCode: 143 })
  })

  t.test('input ends, output goes on', async (t) => {
    const ran = await client.ssh([ME, 'cat; sleep 0.2; echo after'], { input: 'typed\n' })
    t.equal(ran.stdout.toString(), 'typed\nafter\n')
    t.equal(recorder.bytes('i').toString(), 'typed\n')
  })

  t.test('cat big | head ends at once', async (t) => {
    const child = client.start([ME, 'yes'])
    await new Promise((resolve) => child.stdout?.once('data', resolve))
    child.stdout?.destroy()
    const [code] = await new Promise<[number | null]>((resolve) => child.once('exit', (code) => resolve([code])))
    t.not(code, 0)
  })

  t.test('only harmless variables pass', async (t) => {
    const env = { LANG: 'C.UTF-8', LC_TIME: 'de_DE', SECRET_TOKEN: 'x' }
    const ran = await client.ssh(['-o', 'SendEnv=LANG LC_* SECRET_*', ME, 'echo $LANG $LC_TIME $SECRET_TOKEN.'], {
      env,
    })
    t.equal(ran.stdout.toString(), 'C.UTF-8 de_DE .\n')
  })

  t.test('nobody gives their programs the mark of another session, by which a cut finds them', async (t) => {
    const env = { LC_SALLYPORT_SESSION: 'of-somebody-else' }
    const ran = await client.ssh(['-o', 'SendEnv=LC_*', ME, 'echo $LC_SALLYPORT_SESSION'], { env })
    t.match(ran.stdout.toString(), /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/)
  })

  t.test('five megabytes there and back are the same', async (t) => {
    const data = randomBytes(5 * 1024 * 1024)
    const ran = await client.ssh([ME, 'cat'], { input: data })
    t.equal(sha(ran.stdout), sha(data))
    t.equal(sha(recorder.bytes('i')), sha(data))
    t.equal(sha(recorder.bytes('o')), sha(data))
  })

  t.test('several commands of one connection share one login on the target', async (t) => {
    const socket = join(client.directory, 'mux')
    const master = client.start(['-N', '-M', '-S', socket, ME])
    t.ok(await until(() => existsSync(socket)))
    const before = sshd.log().match(/Accepted publickey/g)?.length ?? 0
    const all = await Promise.all([1, 2, 3].map((n) => client.ssh(['-S', socket, ME, `echo ${n}`])))
    t.same(
      all.map((ran) => ran.stdout.toString()),
      ['1\n', '2\n', '3\n'],
    )
    t.equal((sshd.log().match(/Accepted publickey/g)?.length ?? 0) - before, 1)
    master.kill()
    await finished(master)
  })

  t.test('agents, X11 and remote forwards are refused, the command runs all the same', async (t) => {
    const ran = await client.ssh(['-R', '0:127.0.0.1:1', '-o', 'ExitOnForwardFailure=no', ME, 'echo ok'])
    t.equal(ran.stdout.toString(), 'ok\n')
  })
  t.same(gateway.failures, [])
})

t.test('terminals', { skip }, async (t) => {
  const { client, recorder } = await house(t)

  t.test('a terminal with its size, its type and its modes', async (t) => {
    const inner = `ssh ${client.options.join(' ')} -tt ${ME} 'tty; stty -a; stty size; echo $TERM'`
    const ran = await finished(
      spawn('script', ['-qec', `stty rows 31 cols 97 erase ^H -ixon; ${inner}`, '/dev/null'], {
        env: { PATH: process.env['PATH'] ?? '', HOME: client.directory, TERM: 'xterm-256color' },
      }),
    )
    const shown = ran.stdout.toString()
    t.match(shown, /\/dev\/pts\/\d+/)
    t.match(shown, /31 97/)
    t.match(shown, /erase = \^H/)
    t.match(shown, /-ixon/)
    t.match(shown, /xterm-256color/)
    t.same(recorder.sessions.at(-1)?.start.terminal, { columns: 97, rows: 31, type: 'xterm-256color' })
  })
})

t.test('what a client asks for while a program runs', { skip }, async (t) => {
  // sshd passes no signals on to programs of root.
  const { gateway, recorder, sshd } = await house(t, { allowAll: true, ordinary: true })
  const start = async (command: string) => {
    const raw = await rawClient(t, gateway.port)
    await signIn(raw, 'alice%prod-db', newKey())
    raw.send(openSessionChannel(0))
    const id = new Reader((await raw.nextOf(91)) ?? Buffer.alloc(0), 5).uint32()
    const size = [uint32(80), uint32(24), uint32(0), uint32(0)]
    raw.send(message(98, uint32(id), string('pty-req'), byte(1), string('vt100'), ...size, string(byte(0))))
    raw.send(execRequest(id, command))
    await raw.nextOf(94)
    const request = (type: string, ...fields: readonly Buffer[]) =>
      raw.send(message(98, uint32(id), string(type), byte(0), ...fields))
    const data = async () => new Reader((await raw.nextOf(94)) ?? Buffer.alloc(0), 5).text()
    return { raw, request, data }
  }

  t.test('another size of its window', async (t) => {
    const { raw, request, data } = await start('echo ready; read line; stty size')
    request('window-change', uint32(120), uint32(50), uint32(0), uint32(0))
    t.ok(await until(() => recorder.bytes('r').toString() === '120x50'))
    raw.send(message(94, uint32(0), string('\n')))
    let shown = ''
    while (!shown.includes('50 120')) shown += await data()
    t.pass('the program sees it')
    raw.destroy()
  })

  const skipSignal = sshd.account === 'root' ? 'sshd passes no signals on to programs of root' : false
  t.test('a signal', { skip: skipSignal }, async (t) => {
    const { raw, request, data } = await start('trap "echo got; exit 9" USR1; echo ready; while :; do sleep 0.05; done')
    request('signal', string('USR1'))
    // The whole group gets it, and the shell may tell of its `sleep` first.
    let said = ''
    while (!said.includes('got')) said += await data()
    t.pass('the program hears it')
    t.ok(await until(() => recorder.sessions.at(-1)?.end?.exitCode === 9))
    t.match(recorder.bytes('m').toString(), /signal USR1/)
    raw.destroy()
  })
})

t.test('slow readers', { skip }, async (t) => {
  const { client } = await house(t)

  t.test('both outputs stalled: nothing is lost, nothing doubled, nothing hangs', async (t) => {
    const make =
      'for i in 1 2; do head -c 6000000 /dev/zero | tr "\\0" a; head -c 6000000 /dev/zero | tr "\\0" b >&2; done'
    const child = client.start([ME, make])
    const [out, err]: [Buffer[], Buffer[]] = [[], []]
    await sleep(700)
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
    await sleep(700)
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
    const code = await new Promise((resolve) => child.once('close', resolve))
    t.equal(code, 0)
    t.equal(sha(Buffer.concat(out)), sha(Buffer.alloc(12_000_000, 'a')))
    t.equal(sha(Buffer.concat(err)), sha(Buffer.alloc(12_000_000, 'b')))
  })
})

t.test('many quick commands over one connection', { skip }, async (t) => {
  const { client, gateway, recorder } = await house(t)
  const socket = join(client.directory, 'mux')
  const master = client.start(['-N', '-M', '-S', socket, ME])
  t.ok(await until(() => existsSync(socket)))
  const kinds: readonly (readonly [command: string, code: number, recorded: number, bytes: number])[] = [
    ['true', 0, 0, 0],
    ['exit 3', 3, 3, 0],
    ['echo out; exit 255', 255, 255, 4],
    ['head -c 300000 /dev/zero; exit 4', 4, 4, 300_000],
    // A client behind ControlMaster is not told of signals by its own master.
    ['kill -TERM $$', 255, 143, 0],
    ['exec >&- 2>&-; sleep 1; exit 5', 5, 5, 0],
  ]
  for (let round = 0; round < 10; round += 1) {
    recorder.lagMs = round % 2 === 0 ? 0 : 20
    const ran = await Promise.all(kinds.map(([command]) => client.ssh(['-S', socket, ME, command])))
    t.same(
      ran.map(({ code, stdout }) => [code, stdout.length]),
      kinds.map(([, code, , bytes]) => [code, bytes]),
    )
  }
  t.ok(await until(() => recorder.sessions.every(({ end }) => end !== undefined)))
  t.same(
    recorder.sessions.map(({ end }) => String(end?.exitCode)).toSorted(byName),
    kinds.flatMap(([, , recorded]) => Array<string>(10).fill(String(recorded))).toSorted(byName),
  )
  t.same(gateway.failures, [])
  master.kill()
  await finished(master)
})

t.test('who leaves before reading the last output leaves no session behind', { skip }, async (t) => {
  const { client, recorder, sshd } = await house(t)
  const child = client.start([ME, 'head -c 3000000 /dev/zero; exit 3'])
  t.ok(await until(() => /exit|Close session/.test(sshd.log()) && recorder.bytes('o').length === 3_000_000))
  await sleep(300)
  child.kill('SIGKILL')
  t.ok(await until(() => recorder.sessions.at(-1)?.end !== undefined))
})

t.test('the end of a grant', { skip }, async (t) => {
  for (const [name, args] of [
    ['a command without a terminal', []],
    ['a terminal', ['-tt']],
  ] as const) {
    t.test(`${name}: a sentence, and the remote process is gone`, async (t) => {
      const { client, gateway, recorder } = await house(t)
      const pidFile = join(client.directory, 'pid')
      const child = client.start([...args, ME, `sleep 600 & echo $! > ${pidFile}-2; echo $$ > ${pidFile}; yes`])
      child.stdout?.resume()
      let said = ''
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString()
      })
      const gone = new Promise((resolve) => child.once('exit', resolve))
      t.ok(await until(() => recorder.bytes('o').length > 1_000_000))
      const pid = Number(readFileSync(pidFile, 'utf8'))
      t.ok(isRunning(pid))
      gateway.endGrant()
      t.equal(await gone, 255)
      t.match(said, /\[sallyport\] Grant 7 was revoked by bob\./)
      t.ok(await until(() => !isRunning(pid)))
      const background = Number(readFileSync(`${pidFile}-2`, 'utf8'))
      t.ok(await until(() => !isRunning(background)), 'what it left in the background is gone, too')
      t.ok(await until(() => recorder.sessions.at(-1)?.end !== undefined))
      t.match(recorder.sessions.at(-1)?.end, { cause: 'cut', detail: 'Grant 7 was revoked by bob.' })
      t.match(recorder.bytes('m').toString(), /revoked by bob/)
    })
  }

  t.test('nobody gets in afterwards', async (t) => {
    const { client, gateway } = await house(t)
    gateway.endGrant()
    const ran = await client.ssh([ME, 'echo secret'])
    t.equal(ran.code, 255)
    t.equal(ran.stdout.toString(), '')
    t.match(ran.stderr, /No live grant/)
  })
})

t.test('what cannot be recorded does not run', { skip }, async (t) => {
  t.test('first the journal, then the target: while the journal is busy nothing goes on', async (t) => {
    const { client, recorder } = await house(t)
    const seen = join(client.directory, 'seen')
    const child = client.start([ME, `cat > ${seen}`])
    t.ok(await until(() => existsSync(seen)))
    recorder.hold()
    child.stdin?.write('typed\n')
    t.ok(await until(() => recorder.bytes('i').toString() === 'typed\n'))
    await sleep(200)
    t.equal(readFileSync(seen, 'utf8'), '')
    recorder.release()
    t.ok(await until(() => readFileSync(seen, 'utf8') === 'typed\n'))
    child.stdin?.end()
    await finished(child, { endInput: false })
  })

  t.test('a slow journal delays, and loses nothing', async (t) => {
    const { client, recorder } = await house(t)
    recorder.lagMs = 20
    const data = randomBytes(1024 * 1024)
    const ran = await client.ssh([ME, 'cat'], { input: data })
    t.equal(sha(ran.stdout), sha(data))
  })

  t.test('a broken journal: the target sees nothing of what was typed, and the person is told', async (t) => {
    const { client, recorder } = await house(t)
    const seen = join(client.directory, 'seen')
    const child = client.start([ME, `cat > ${seen}`])
    child.stdin?.write('before\n')
    t.ok(await until(() => existsSync(seen) && readFileSync(seen, 'utf8') === 'before\n'))
    recorder.fail({ quietly: true })
    child.stdin?.write('after\n')
    const ran = await finished(child, { endInput: false })
    t.equal(ran.code, 255)
    t.match(ran.stderr, /cannot be written any more/)
    t.equal(readFileSync(seen, 'utf8'), 'before\n')
  })
})

t.test('a host that is not the host', { skip }, async (t) => {
  const other = 'SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
  t.test('both fingerprints are named and nothing is sent', async (t) => {
    const { client, sshd, recorder } = await house(t, { trust: [other] })
    const ran = await client.ssh([ME, 'echo hi'])
    t.equal(ran.code, 255)
    t.ok(ran.stderr.includes(sshd.fingerprint), ran.stderr)
    t.ok(ran.stderr.includes(other))
    t.equal(recorder.bytes('o').length, 0)
  })

  t.test('nothing listens there', async (t) => {
    const { client } = await house(t, { targetPort: 1 })
    const ran = await client.ssh([ME, 'echo hi'])
    t.equal(ran.code, 255)
    t.match(ran.stderr, /prod-db cannot be reached: nothing listens there\./)
  })

  t.test('the target does not know the account', async (t) => {
    const { client } = await house(t, { account: 'nobody-here' })
    const ran = await client.ssh([ME, 'echo hi'])
    t.equal(ran.code, 255)
    t.match(ran.stderr, /does not let nobody-here in/)
  })

  t.test('a role without a shell gets none', async (t) => {
    const { client, sshd } = await house(t, { shell: 'none' })
    const ran = await client.ssh([ME, 'echo hi'])
    t.equal(ran.code, 255)
    t.match(ran.stderr, /no full shell/)
    t.notMatch(sshd.log(), /Accepted/)
  })

  t.test('a read-only shell that nobody can judge is none', async (t) => {
    const { client, sshd } = await house(t, { shell: 'read-only', judge: false })
    for (const wish of [['echo hi'], [], ['-s', 'sftp']]) {
      const ran = await client.ssh([...wish.slice(0, -1), ME, ...wish.slice(-1)])
      t.match(ran, { code: 255, stdout: Buffer.alloc(0), stderr: /no full shell/ })
    }
    t.notMatch(sshd.log(), /Accepted/, 'the target is not even reached')
  })
})

t.test('a private key by reference instead of a certificate', { skip }, async (t) => {
  const keys = sshClient(t, 1)
  const { client, sshd } = await house(t, { credential: { kind: 'key', privateKey: `file:${keys.privateKeyPath}` } })
  writeFileSync(join(sshd.directory, 'authorized_keys'), `${keys.publicKey}\n`)
  const ran = await client.ssh([ME, 'echo in'])
  t.equal(ran.stdout.toString(), 'in\n', ran.stderr)
})

t.test('our own command line reads, writes and ends a channel', { skip }, async (t) => {
  const { client } = await house(t)
  const ran = await client.ssh(['alice@127.0.0.1', 'echo-input'], { input: 'a menu\n' })
  t.equal(ran.stdout.toString(), 'a menu\n')
  t.equal(ran.code, 3)
})
