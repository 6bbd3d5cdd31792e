/** Promises under failure: the gateway killed, ClickHouse killed, the journal's disk full, a worker lost. With real ssh all the way. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { isStuck } from '../../gateway/watchdog.ts'
import { type Demo, type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { until } from '../fixtures/until.ts'

const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()
const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
const childrenOf = (pid: number): readonly number[] =>
  spawnSync('pgrep', ['-P', String(pid)])
    .stdout.toString()
    .trim()
    .split('\n')
    .filter(Boolean)
    .map(Number)
const workersOf = (demo: Demo): readonly number[] =>
  childrenOf(demo.process.pid ?? 0).filter((pid) => commandOf(pid).includes('gateway/worker.ts'))
const clickhouseOf = (demo: Demo): number | undefined =>
  childrenOf(demo.process.pid ?? 0).find((pid) => commandOf(pid).includes('clickhouse-child'))

async function granted(demo: Demo, target: string): Promise<void> {
  const asked = await demo
    .person('alice')
    .ssh(['@', 'request', target, '--role', 'operator', '--for', '30m', '--reason', 'failure', 'drill', '--json'])
  const { id } = JSON.parse(said(asked)) as { id: string }
  const yes = await demo.person('bob').ssh(['@', 'approve', id])
  if (yes.code !== 0) throw new Error(yes.stderr)
}

type Listed = { readonly id: string; readonly command: string; readonly cause: string | null; readonly live: boolean }
const sessionsOf = async (carol: DemoPerson): Promise<readonly Listed[]> =>
  JSON.parse(said(await carol.ssh(['@', 'sessions', '--json'])))

/** All bytes of one kind, as an auditor gets them from the API. */
async function recorded(demo: Demo, id: string, kind: string): Promise<Buffer> {
  const carol = demo.person('carol')
  const parts: Buffer[] = []
  const seen = new Set<number>()
  for (let after = 0; ; ) {
    const answer = await carol.browser.api(
      demo.report.https.url,
      'GET',
      `/sessions/${id}/events?after=${after}&limit=500&kinds=${kind}`,
    )
    const { events } = answer.json() as {
      events: readonly { seq: number; kind: string; base64?: string; text?: string }[]
    }
    for (const event of events) {
      if (seen.has(event.seq)) throw new Error(`event ${event.seq} twice`)
      seen.add(event.seq)
      if (event.kind === kind) parts.push(Buffer.from(event.text ?? '', 'utf8'))
    }
    const last = events.at(-1)
    if (last === undefined) return Buffer.concat(parts)
    after = last.seq
  }
}

await t.test('a worker is stuck when it is silent and burns its core, and not when it is starved', async (t) => {
  t.equal(isStuck({ silentMs: 2100, cpuMs: 2000 }), true)
  t.equal(isStuck({ silentMs: 2100, cpuMs: 100 }), false)
  t.equal(isStuck({ silentMs: 16_000, cpuMs: 0 }), true)
  t.equal(isStuck({ silentMs: 1900, cpuMs: 1900 }), false)
})

const isPossible = spawnSync('ssh', ['-V']).status === 0 && spawnSync('/usr/sbin/sshd', ['-V']).error === undefined
if (!isPossible) await t.test('failure drills', { skip: 'no OpenSSH client or sshd here' }, async () => undefined)
else {
  await t.test(
    'kill -9 of the whole gateway in mid-session: every byte the target saw is in the recording',
    async (t) => {
      const first = await startDemo(t)
      await granted(first, 'prod-db')
      const log = join(first.report.dataDir, 'target.log')
      const child = first.person('alice').start(['@', 'prod-db', `cat >> ${log}`])
      let n = 0
      const typing = setInterval(() => child.stdin?.write(`line ${(n += 1)} ${'x'.repeat(n % 97)}\n`), 3)
      child.stdin?.on('error', () => undefined)
      await until(() => {
        try {
          return readFileSync(log).length > 40_000
        } catch {
          return false
        }
      }, 'the target sees input')
      const doomed = [...workersOf(first), first.process.pid ?? 0]
      for (const pid of doomed) process.kill(pid, 'SIGKILL')
      clearInterval(typing)
      await until(() => doomed.every((pid) => commandOf(pid) === ''), 'all of it is gone')
      child.kill('SIGKILL')

      const second = await first.again()
      const carol = second.person('carol')
      let session: Listed | undefined
      await until(async () => {
        session = (await sessionsOf(carol)).find(({ command }) => command.includes('target.log'))
        return session?.cause === 'crashed'
      }, 'the session is closed as crashed')
      const there = readFileSync(log)
      let kept: Buffer = Buffer.alloc(0)
      await carol.visit()
      await until(
        async () => (kept = await recorded(second, session?.id ?? '', 'i')).length >= there.length,
        'the journal is shipped',
      )
      t.ok(kept.subarray(0, there.length).equals(there), 'the recording begins with all that the target saw')
      t.ok(there.length > 40_000)
      await second.end()
    },
  )

  await t.test(
    'ClickHouse killed in mid-session: the session goes on; nothing is lost, nothing is doubled',
    async (t) => {
      const demo = await startDemo(t)
      await granted(demo, 'prod-db')
      const child = demo
        .person('alice')
        .start(['@', 'prod-db', 'for i in $(seq 1 400); do echo out-$i; sleep 0.01; done'])
      child.stdin?.end()
      let out = ''
      child.stdout?.on('data', (chunk: Buffer) => (out += chunk.toString()))
      await until(() => out.includes('out-50\n'), 'output flows')
      const before = clickhouseOf(demo)
      t.ok(before, 'there is a ClickHouse to kill')
      process.kill(before ?? 0, 'SIGKILL')
      t.equal(await new Promise((resolve) => child.once('close', resolve)), 0, 'the session never noticed')
      await until(() => clickhouseOf(demo) !== undefined && clickhouseOf(demo) !== before, 'ClickHouse is back')
      const carol = demo.person('carol')
      let id: string | undefined
      await until(
        async () => (id = (await sessionsOf(carol)).find(({ cause }) => cause === 'exited')?.id) !== undefined,
        'the session is listed',
      )
      await carol.visit()
      await until(async () => (await recorded(demo, id ?? '', 'o')).length >= out.length, 'everything is shipped')
      t.equal((await recorded(demo, id ?? '', 'o')).toString(), out)
      await demo.end()
    },
  )

  await t.test('a worker that dies is replaced; the other one serves on', async (t) => {
    const demo = await startDemo(t)
    const alice = demo.person('alice')
    t.equal((await alice.ssh(['@', 'whoami'])).code, 0)
    const [victim = 0] = workersOf(demo)
    process.kill(victim, 'SIGKILL')
    await until(() => !existsSync(`/proc/${victim}`), 'it is gone')
    for (let i = 0; i < 6; i++) t.equal((await alice.ssh(['@', 'whoami'])).code, 0)
    await until(() => workersOf(demo).length === 2 && !workersOf(demo).includes(victim), 'there are two again')
    const page = await (await fetch(`${demo.report.admin.url}/metrics`)).text()
    t.match(page, /sallyport_worker_restarts_total[^\n]* 1/)
    t.match(page, /sallyport_sessions_open/)
    await demo.end()
  })

  await t.test(
    'the disk of the journal is full: sessions stop with a sentence, new ones are refused, and with space all is well again',
    async (t) => {
      const dataDir = mkdtempSync(join(tmpdir(), 'sallyport-full-'))
      const journal = join(dataDir, 'gateway/journal')
      mkdirSync(journal, { recursive: true, mode: 0o700 })
      execFileSync('chmod', ['0700', join(dataDir, 'gateway')])
      const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=160m,mode=0700', 'tmpfs', journal])
      t.teardown(() => {
        spawnSync('umount', ['-l', journal])
        rmSync(dataDir, { recursive: true, force: true })
      })
      if (mounted.status !== 0) {
        t.pass('skipped: no right to mount a small disk here')
        return
      }
      const demo = await startDemo(t, dataDir)
      await granted(demo, 'prod-db')
      const alice = demo.person('alice')
      const log = join(dataDir, 'target.log')
      const child = alice.start(['@', 'prod-db', `cat >> ${log}`])
      let complaint = ''
      child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
      child.stdin?.on('error', () => undefined)
      const typing = setInterval(() => child.stdin?.write('still here\n'), 5)
      t.teardown(() => clearInterval(typing))
      await until(
        () => readdirSync(dataDir).includes('target.log') && readFileSync(log).length > 200,
        'the target sees input',
      )
      const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
      const { bavail, bsize } = statfsSync(journal)
      spawnSync('dd', [
        'if=/dev/zero',
        `of=${journal}/filler`,
        'bs=1M',
        `count=${Math.ceil((bavail * bsize) / 2 ** 20) + 1}`,
      ])
      t.equal(await closed, 255)
      t.match(complaint, /\[sallyport\][^\n]*record/i)
      const refused = await alice.ssh(['@', 'prod-db', 'id'])
      t.not(refused.code, 0)
      t.match(refused.stderr, /record/i)
      t.equal(said(refused), '')
      rmSync(join(journal, 'filler'))
      await until(async () => (await alice.ssh(['@', 'prod-db', 'echo back'])).code === 0, 'sessions open again')
      await demo.end()
    },
  )
}
