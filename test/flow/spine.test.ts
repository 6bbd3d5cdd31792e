/** The spine with the real OpenSSH client and sshd: sign-in, request, approval, sessions of every kind, the cut, the replay. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Demo, type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { until } from '../fixtures/until.ts'

const sha256 = (data: Buffer): string => createHash('sha256').update(data).digest('hex')
const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()

/** Asks and approves; returns the grant's number. */
async function granted(asker: DemoPerson, approver: DemoPerson, target: string, time = '10m'): Promise<string> {
  const asked = await asker.ssh([
    '@',
    'request',
    target,
    '--role',
    'operator',
    '--for',
    time,
    '--reason',
    'flow',
    'test',
    '--json',
  ])
  const { id } = JSON.parse(said(asked)) as { id: string }
  const yes = await approver.ssh(['@', 'approve', id])
  if (yes.code !== 0) throw new Error(yes.stderr)
  return id
}

if (!existsSync('/usr/bin/ssh') || !existsSync('/usr/sbin/sshd')) t.plan(0, 'no OpenSSH client or sshd here')
else {
  const demo: Demo = await startDemo(t)
  const [alice, erin, bob, frank, carol, dave, mallory] = [
    'alice',
    'erin',
    'bob',
    'frank',
    'carol',
    'dave',
    'mallory',
  ].map((name) => demo.person(name)) as [
    DemoPerson,
    DemoPerson,
    DemoPerson,
    DemoPerson,
    DemoPerson,
    DemoPerson,
    DemoPerson,
  ]
  const dir = alice.client.directory
  const direct = ['-o', 'LogLevel=ERROR']

  await t.test('a first sign-in works in BatchMode, and the key is known from then on', async (t) => {
    const first = await alice.ssh(['@', 'whoami'])
    t.equal(first.code, 0)
    t.match(first.stderr, /Signed in as alice/)
    t.match(said(first), /alice \(engineers\)/)
    const second = await alice.ssh(['@', 'whoami'])
    t.equal(second.code, 0)
    t.notMatch(second.stderr, /approve/)
  })

  await t.test('without a grant the answer says what to type; unknown and forbidden look alike', async (t) => {
    const none = await alice.ssh(['@', 'prod-db', 'id'])
    t.equal(none.code, 1)
    t.equal(said(none), '')
    t.match(none.stderr, /No live grant for prod-db\.[\s\S]*request prod-db --role/)
    const [forbidden, unknown] = [await mallory.ssh(['@', 'prod-db', 'id']), await mallory.ssh(['@', 'prod-xy', 'id'])]
    const [a, b] = [forbidden, unknown].map((r) =>
      r.stderr.slice(r.stderr.indexOf('No live grant')).replaceAll(/prod-(db|xy)/g, 'TARGET'),
    )
    t.equal(a, b)
    t.equal(forbidden.code, unknown.code)
    const asked = await mallory.ssh(['@', 'request', 'prod-db', '--role', 'operator', '--reason', 'let me in'])
    t.equal(asked.code, 1)
  })

  await t.test('somebody without a second factor is refused', async (t) => {
    await t.rejects(dave.visit(), /second factor|could not sign in/)
  })

  await t.test('asking, and approving oneself, and being approved by a lead', async (t) => {
    const asked = await alice.ssh([
      '@',
      'request',
      'prod-db',
      '--role',
      'operator',
      '--for',
      '10m',
      '--reason',
      'INC-42',
      'disk',
      'full',
    ])
    t.equal(asked.code, 0)
    const self = await alice.ssh(['@', 'approve', '1'])
    t.equal(self.code, 1)
    const engineer = await erin.ssh(['@', 'approve', '1'])
    t.equal(engineer.code, 1, 'an engineer is no approver')
    const list = JSON.parse(said(await bob.ssh(['@', 'requests', '--json']))) as unknown
    t.match(JSON.stringify(list), /INC-42 disk full/)
    t.equal((await bob.ssh(['@', 'approve', '1'])).code, 0)
    const other = await erin.ssh(['@', 'prod-db', 'id'])
    t.equal(other.code, 1, "somebody else's grant opens nothing")
    t.match(other.stderr, /No live grant/)
  })

  await t.test('commands: output, errors, exit codes and signals are those of the target', async (t) => {
    const run = await alice.ssh(['@', 'prod-db', 'echo out; echo err >&2; exit 7'])
    t.match({ code: run.code, out: said(run), err: run.stderr }, { code: 7, out: 'out\n', err: /err\n/ })
    t.equal((await alice.ssh(['@', 'prod-db', 'kill -TERM $$'])).code, 255, 'ended by a signal, as ssh itself says it')
    t.equal((await alice.ssh(['@', 'prod-db', 'cat'], { input: 'half-close' })).stdout.toString(), 'half-close')
    const head = await alice.ssh(['@', 'prod-db', 'yes | head -c 100000; echo done >&2'])
    t.match(head, { code: 0, stderr: /done/ })
    t.equal(head.stdout.length, 100_000)
  })

  await t.test('a terminal: size, prompt, exit code', async (t) => {
    const run = await alice.ssh(['-tt', '@', 'prod-db'], { input: 'stty size; echo sum $((20+22)); exit 5\n' })
    t.equal(run.code, 5)
    t.match(said(run), /sum 42/)
  })

  await t.test('files: scp both ways by both protocols and sftp, byte for byte', async (t) => {
    const file = randomBytes(3_000_017)
    writeFileSync(join(dir, 'up'), file)
    const host = `alice%prod-db@${demo.report.ssh.host}`
    const there = `${dir}/there`
    for (const mode of [[], ['-O']]) {
      t.equal((await alice.client.scp([...direct, ...mode, 'up', `${host}:${there}`])).code, 0)
      t.equal(sha256(readFileSync(there)), sha256(file))
      t.equal((await alice.client.scp([...direct, ...mode, `${host}:${there}`, 'down'])).code, 0)
      t.equal(sha256(readFileSync(join(dir, 'down'))), sha256(file))
    }
    t.equal(
      (await alice.client.sftp([...direct, host], `put up ${there}2\nget ${there}2 down2\nls -l ${there}2\n`)).code,
      0,
    )
    t.equal(sha256(readFileSync(join(dir, 'down2'))), sha256(file))
  })

  await t.test('40 MB each way under constant rekeying arrive whole', async (t) => {
    const bulk = randomBytes(40 * 2 ** 20)
    const run = await alice.ssh(['-o', 'RekeyLimit=1M', '@', 'prod-db', 'cat'], { input: bulk })
    t.equal(run.code, 0)
    t.equal(sha256(run.stdout), sha256(bulk))
  })

  await t.test('a reader who stops both streams for a while loses nothing', async (t) => {
    const child = alice.start([
      '@',
      'prod-db',
      'head -c 6000000 /dev/zero | tr "\\0" o; head -c 6000000 /dev/zero | tr "\\0" e >&2',
    ])
    child.stdin?.end()
    let [out, err] = [0, 0]
    child.stdout?.pause()
    child.stderr?.pause()
    await new Promise((wake) => setTimeout(wake, 700))
    child.stdout?.on('data', (chunk: Buffer) => (out += chunk.length)).resume()
    child.stderr?.on('data', (chunk: Buffer) => (err += chunk.length)).resume()
    t.equal(await new Promise((resolve) => child.once('close', resolve)), 0)
    t.equal(out, 6_000_000)
    t.equal(err, 6_000_000)
  })

  await t.test('ssh -J and -L work and are recorded', async (t) => {
    alice.client.trust(
      `@cert-authority * ${readFileSync(join(demo.report.dataDir, 'gateway/keys/host_ca.pub'), 'utf8').trim()}`,
    )
    const jump = `alice@${demo.report.ssh.host}:${demo.report.ssh.port}`
    const config = join(dir, 'jump.conf')
    writeFileSync(
      config,
      `Host *\n  IdentityFile ${alice.client.privateKeyPath}\n  IdentitiesOnly yes\n  BatchMode yes\n  UserKnownHostsFile ${dir}/known_hosts\n  LogLevel ERROR\n`,
    )
    const { spawn } = await import('node:child_process')
    const { finished } = await import('../fixtures/ssh-client.ts')
    const run = await finished(
      spawn('ssh', ['-F', config, '-J', jump, 'alice@prod-db', 'echo through $((1+1))'], {
        env: { PATH: process.env['PATH'] ?? '', HOME: dir },
        cwd: dir,
      }),
    )
    t.match({ code: run.code, out: said(run), err: run.stderr }, { code: 0, out: 'through 2\n' })
  })

  await t.test('revoking cuts a running session, with a sentence, and nothing stays behind on the host', async (t) => {
    const mark = `sallyport-flow-${process.pid}`
    const child = alice.start(['-tt', '@', 'prod-db', `exec -a ${mark} yes`])
    child.stdin?.end()
    let [seen, tail] = [0, '']
    child.stdout?.on('data', (chunk: Buffer) => {
      seen += chunk.length
      tail = (tail + chunk.toString()).slice(-2000)
    })
    let complaint = ''
    child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
    await until(() => seen > 100_000, 'output flows')
    const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
    const cut = await bob.ssh(['@', 'revoke', '1', '--note', 'enough'])
    t.equal(cut.code, 0)
    t.equal(await closed, 255)
    t.match(tail + complaint, /\[sallyport\][^\n]*(revoked|ended)[\s\S]*/)
    const { execFileSync } = await import('node:child_process')
    await until(() => {
      try {
        return execFileSync('pgrep', ['-f', mark]).length === 0
      } catch {
        return true
      }
    }, 'the remote process is gone')
    const after = await alice.ssh(['@', 'prod-db', 'id'])
    t.equal(after.code, 1)
  })

  await t.test('a grant that expires cuts the session by itself', async (t) => {
    await granted(alice, bob, 'prod-web', '4s')
    const run = await alice.ssh(['@', 'prod-web', 'sleep 60'])
    t.equal(run.code, 255)
    t.match(run.stderr, /\[sallyport\].*expired/)
    t.equal((await alice.ssh(['@', 'prod-web', 'id'])).code, 1)
  })

  await t.test('a role that only reads changes nothing', async (t) => {
    const asked = await erin.ssh([
      '@',
      'request',
      'prod-db',
      '--role',
      'readonly',
      '--reason',
      'look',
      'only',
      '--json',
    ])
    const { id } = JSON.parse(said(asked)) as { id: string }
    t.equal((await frank.ssh(['@', 'approve', id])).code, 0)
    const run = await erin.ssh(['@', 'prod-db', 'touch /tmp/never'])
    t.not(run.code, 0)
    t.equal(said(run), '')
    t.match(run.stderr, /readonly|read-only/)
    t.notOk(existsSync('/tmp/never'))
  })

  await t.test('an auditor finds the sessions, replays them, and sees what was typed and shown', async (t) => {
    const list = JSON.parse(said(await carol.ssh(['@', 'sessions', '--person', 'alice', '--json']))) as readonly {
      id: string
      channel: string
      command: string
    }[]
    t.ok(list.length >= 10)
    const shell = list.find((session) => session.channel === 'shell')
    const replay = await carol.ssh(['@', 'replay', shell?.id ?? ''])
    t.match(said(replay), /sum 42/)
    const notHers = await alice.ssh(['@', 'sessions', '--person', 'bob', '--json'])
    t.notMatch(said(notHers), /"username": "bob"/)
    const foreign = await erin.ssh(['@', 'replay', shell?.id ?? ''])
    t.equal(foreign.code, 1)
  })

  await t.test('wrong usage is one clear line and exit code 2', async (t) => {
    for (const words of [
      ['request'],
      ['approve'],
      ['approve', 'x1'],
      ['request', 'prod-db', '--for', 'soon', '--reason', 'abc'],
      ['sessions', '--nope'],
      ['help', 'nonsense'],
    ]) {
      const run = await bob.ssh(['@', ...words])
      t.equal(run.code, 2, words.join(' '))
      t.ok(run.stderr.trim().split('\n')[0]?.length, words.join(' '))
    }
  })

  await t.test('SIGTERM ends everything the demo started', async (t) => {
    const { execFileSync } = await import('node:child_process')
    const children = execFileSync('pgrep', ['-P', String(demo.process.pid)])
      .toString()
      .trim()
      .split('\n')
    t.ok(children.length >= 4, 'workers, ClickHouse, hosts')
    await demo.end('SIGTERM')
    t.equal(demo.process.exitCode, 0)
    for (const pid of children) t.throws(() => process.kill(Number(pid), 0), `process ${pid} is gone`)
  })
}
