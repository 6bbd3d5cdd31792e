/** Limits of workspaces where the kernel counts for all processes together: cgroup v2, with its controllers handed down to the agent as systemd does it. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { missingClient } from '../fixtures/sshd.ts'
import { type House, house, leftovers } from '../fixtures/workspaces.ts'

const ROOT = '/sys/fs/cgroup'
const SERVICE = `${ROOT}/sallyport-test-${process.pid}.service`
const OTHER = `${ROOT}/sallyport-test-${process.pid}-2.service`
const CONTROLLERS = ['cpu', 'memory', 'pids']

function handsDown(): boolean {
  const down = readFileSync(`${ROOT}/cgroup.subtree_control`, 'utf8').trim().split(' ')
  return CONTROLLERS.every((name) => down.includes(name))
}

/** Why this machine hands nothing down, or false. */
function missing(): string | false {
  if (process.getuid?.() !== 0) return 'only root hands controllers of cgroups down'
  try {
    if (!handsDown()) writeFileSync(`${ROOT}/cgroup.subtree_control`, CONTROLLERS.map((name) => `+${name}`).join(' '))
    if (handsDown()) return false
  } catch {
    // Said below.
  }
  return 'no cgroup v2 with cpu, memory and pids to hand down: `npm run conformance -- limits` brings a kernel that has it'
}

/** What stands before the agent, so that it is in a group of its own as a service is. */
const within = (group: string) => ({ before: ['/bin/sh', '-c', `echo 0 >${group}/cgroup.procs && exec "$@"`, 'sh'] })
const groups = (service = SERVICE): readonly string[] =>
  readdirSync(service).filter((name) => name.startsWith('workspace-'))
const read = (group: string, name: string): string => readFileSync(join(SERVICE, group, name), 'utf8').trim()
const count = (group: string, name: string, field: string): number =>
  Number(new RegExp(`^${field} (\\d+)$`, 'm').exec(read(group, name))?.[1] ?? 0)

/** A kernel in a process is slow. */
async function eventually(what: string, isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 1200; i++) {
    if (isTrue()) return
    await new Promise((wake) => setTimeout(wake, 100))
  }
  throw new Error(`never: ${what}`)
}

/** Runs the line, and hands over its group as soon as it has said `up`. */
async function started(place: House, line: string) {
  const child = place.client.start(['alice%prod-db@127.0.0.1', line])
  let out = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString()
  })
  const over = new Promise<number | null>((resolve) => child.once('close', resolve))
  await eventually('it is up', () => out.includes('up\n'))
  const [group = ''] = groups()
  const done = async () => {
    child.kill('SIGKILL')
    await over
    await eventually('its group is gone', () => groups().length === 0)
  }
  return { child, over, group, done, out: () => out }
}

t.test('limits by cgroup v2', { skip: missingClient() ?? missing(), timeout: 600_000 }, async (t) => {
  for (const service of [SERVICE, OTHER]) {
    mkdirSync(service)
    t.teardown(async () => {
      await eventually('it is empty', () => !/populated 1/.test(readFileSync(`${service}/cgroup.events`, 'utf8')))
      for (const entry of readdirSync(service, { withFileTypes: true }))
        if (entry.isDirectory()) rmdirSync(join(service, entry.name))
      rmdirSync(service)
    })
  }
  const limits = { memoryMegabytes: 64, tasks: 40, cpus: 0.5, changesMegabytes: 48 }
  const place = await house(t, userInfo().username, limits, within(SERVICE))
  t.match(place.host.words, /limits by cgroup v2$/)
  t.same(groups(), [], 'what was tried out at the start is gone')

  await t.test('each workspace has a group with what its role says, and all of it is in there', async (t) => {
    const { done, group } = await started(place, 'sleep 314159 & setsid sleep 314159 & echo up; wait')
    await eventually('both run', () => leftovers().length === 2)
    t.equal(read(group, 'memory.max'), String(64 * 2 ** 20))
    t.equal(read(group, 'pids.max'), '40')
    t.equal(read(group, 'cpu.max'), '50000 100000')
    const inside = read(group, 'cgroup.procs').split('\n')
    for (const line of leftovers()) t.ok(inside.includes(line.split(' ')[0] ?? ''), line)
    await done()
  })

  await t.test('nobody inside can lift them', async (t) => {
    const lines = [
      `for d in ${ROOT} ${SERVICE} ${SERVICE}/workspace-*; do`,
      'for f in memory.max pids.max cpu.max cgroup.subtree_control; do echo max >$d/$f && echo through; done;',
      'echo $$ >$d/cgroup.procs && echo through; mkdir $d/made && echo through;',
      'done; cat /proc/self/cgroup',
    ]
    const { out } = await place.run(`{ ${lines.join(' ')}; } 2>/dev/null`)
    t.notMatch(out, /through/)
    t.match(out, /workspace-/, 'still in its group')
  })

  await t.test('a fork bomb is stopped, and others go on', async (t) => {
    const bomb = 'echo up; f() { f | f & }; f 2>/dev/null; while :; do sleep 314159; done'
    const { done, group } = await started(place, bomb)
    await eventually('it was stopped', () => count(group, 'pids.events', 'max') > 0)
    t.ok(Number(read(group, 'pids.current')) <= 40)
    t.match(await place.run('echo others run'), { code: 0, out: 'others run\n' })
    await done()
    t.same(leftovers(), [])
  })

  await t.test('who takes too much memory is killed, by one process or many, in files or not', async (t) => {
    const hogs = [
      `perl -e '$x = "x" x (200 * 1024 * 1024); print "through\\n"'`,
      `for n in 1 2 3 4 5 6 7 8; do perl -e '$x = "x" x (20 * 1024 * 1024); print "one\\n"; sleep 5' & done; wait`,
      // What is written to /tmp counts, and so does memory that is a file without a name.
      `head -c 40000000 /dev/zero >/tmp/big; perl -e '$x = "x" x (40 * 1024 * 1024); print "through\\n"'; rm /tmp/big`,
      `perl -e '$fd = syscall(319, my $n = "m", 0); open(F, ">&=", $fd); $x = "x" x 1048576; for (1 .. 200) { print F $x } print "through\\n"'`,
    ]
    const line = hogs.map((hog, n) => `( ${hog} ); echo after ${n}`).join('\n')
    const { done, group, out } = await started(place, `echo up\n${line}\nsleep 314159`)
    await eventually('all were tried', () => out().includes('after 3'))
    t.notMatch(out(), /through/)
    t.ok(out().split('one\n').length - 1 < 8, 'not all of the many')
    t.ok(count(group, 'memory.events', 'oom_kill') >= 4, 'by the kernel, each')
    t.match(await place.run('echo others run'), { code: 0, out: 'others run\n' })
    await done()
  })

  await t.test('a busy loop gets its share of the processors', async (t) => {
    const { done, group } = await started(place, 'echo up; while :; do :; done')
    await eventually('it had to wait', () => count(group, 'cpu.stat', 'nr_throttled') > 3)
    t.ok(count(group, 'cpu.stat', 'throttled_usec') > 0)
    await done()
  })

  await t.test('after kill -9 of the agent nothing is left, and no group either', async (t) => {
    const account = userInfo().username
    const lone = await house(t, account, { ...limits, mode: 'overlay' }, within(OTHER))
    const sleepy = 'setsid sleep 314159 & env -i setsid sleep 314159 & echo up; sleep 314159'
    const child = lone.client.start(['alice%prod-db@127.0.0.1', sleepy])
    const over = new Promise((resolve) => child.once('close', resolve))
    await eventually('it runs', () => leftovers().length === 3 && groups(OTHER).length === 1)
    lone.host.process.kill('SIGKILL')
    await over
    await eventually('nothing runs', () => leftovers().length === 0)
    await eventually('its group is gone', () => groups(OTHER).length === 0)

    // Whoever starts it again was moved along when the first one made room. And that one died together with its helper.
    mkdirSync(join(OTHER, 'workspace-of-before'))
    const next = await house(t, account, limits, within(`${OTHER}/agent`))
    t.match(next.host.words, /limits by cgroup v2$/, 'the next one has its limits, too')
    await eventually('what was left is gone', () => groups(OTHER).length === 0)
    t.match(await next.run('cat /proc/self/cgroup'), { code: 0, out: /workspace-/ })
  })
})
