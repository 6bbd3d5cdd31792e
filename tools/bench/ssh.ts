/** SSH: the gateway (recording on) against direct ssh and against `ssh -J` through an OpenSSH jump host. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { startDemo } from '../../test/fixtures/demo.ts'
import { startSshd } from '../../test/fixtures/sshd.ts'
import { agentAgainstDirect } from './ssh-agent.ts'
import { cpuSeconds, median, pause, percentile, residentKilobytes, round, teardowns } from './measure.ts'

/** One way to the same kind of host. `middle`: the processes whose CPU is counted. */
type Road = { readonly name: string; readonly args: readonly string[]; readonly middle: () => readonly number[] }

const MEGABYTES = 256
/** A round through an agent takes half a second, and one alone says nothing. */
const LEAST_ROUNDS = 5

export async function run(say: (line: string) => void, quick: boolean): Promise<object> {
  const t = teardowns()
  try {
    return await measure(t, say, quick)
  } finally {
    await t.end()
  }
}

async function measure(t: ReturnType<typeof teardowns>, say: (line: string) => void, quick: boolean): Promise<object> {
  say('starting the gateway …')
  const demo = await startDemo(t)
  const alice = demo.person('alice')
  const bob = demo.person('bob')
  say('signing in and asking for a grant …')
  const asked = await alice.ssh(['@', 'request', 'prod-db', '--role', 'operator', '--for', '2h', '--reason', 'bench'])
  const id = /Request (\d+)/.exec(asked.stdout.toString())?.[1] ?? '1'
  await bob.ssh(['@', 'approve', id])

  const target = await startSshd(t)
  const jump = await startSshd(t, { config: ['AllowTcpForwarding yes'] })
  for (const { directory } of [target, jump])
    writeFileSync(join(directory, 'authorized_keys'), `${alice.client.publicKey}\n`)
  const config = join(alice.client.directory, 'bench.conf')
  const account = target.account
  const common = `IdentityFile ${alice.client.privateKeyPath}\n  IdentitiesOnly yes\n  BatchMode yes\n  LogLevel ERROR\n  UserKnownHostsFile ${alice.client.directory}/known_hosts`
  alice.client.trust(`[127.0.0.1]:${target.port} ${target.hostKey}`, `[127.0.0.1]:${jump.port} ${jump.hostKey}`)
  writeFileSync(
    config,
    [
      `Host direct\n  HostName 127.0.0.1\n  Port ${target.port}\n  User ${account}\n  ${common}`,
      `Host jump\n  HostName 127.0.0.1\n  Port ${jump.port}\n  User ${account}\n  ${common}`,
      `Host through\n  HostName 127.0.0.1\n  Port ${target.port}\n  User ${account}\n  ProxyJump jump\n  ${common}`,
      `Host gate\n  HostName 127.0.0.1\n  Port ${demo.report.ssh.port}\n  User alice%prod-db\n  ${common}`,
      '',
    ].join('\n'),
  )
  const workers = execFileSync('pgrep', ['-P', String(demo.process.pid), '-f', 'gateway/worker.ts'])
    .toString()
    .trim()
    .split('\n')
    .map(Number)
  const jumpPids = pidsOf(join(jump.directory, 'sshd_config'))
  const ssh = (host: string) => ['-F', config, host]
  const direct: Road = { name: 'direct', args: ssh('direct'), middle: () => [] }
  const through: Road = { name: 'jump', args: ssh('through'), middle: () => jumpPids }
  const gate: Road = { name: 'gateway', args: ssh('gate'), middle: () => workers }

  const rounds = quick ? 1 : 5
  say('keys and their echoes …')
  const keys = quick ? 100 : 400
  const times = quick ? 1 : 3
  const echo = {
    direct: [] as number[],
    gateway: [] as number[],
    directBulk: [] as number[],
    gatewayBulk: [] as number[],
  }
  // Both workers are to have met somebody who types, as they will have had a copy below.
  for (const road of [direct, gate, gate, gate, gate]) await echoes(road, 300)
  for (let i = 0; i < times; i++) {
    echo.direct.push(...(await echoes(direct, keys)))
    echo.gateway.push(...(await echoes(gate, keys)))
  }
  // Afterwards, for what was copied is still being shipped when the copy is over.
  say('the same beside a bulk download …')
  for (let i = 0; i < times; i++) {
    echo.directBulk.push(...(await beside(direct, keys)))
    echo.gatewayBulk.push(...(await beside(gate, keys)))
  }
  for (const [name, values] of Object.entries(echo))
    say(`echo ${name}: p50 ${round(median(values), 3)} ms, p99 ${round(percentile(values, 0.99), 3)} ms`)

  const bulk = {
    gateway: { wall: [] as number[], cpu: [] as number[] },
    jump: { wall: [] as number[], cpu: [] as number[] },
  }
  say('warming up …')
  for (const road of [through, gate, gate, gate])
    for (const direction of ['down', 'up'] as const) await transfer(road, direction, 64)
  for (let i = 0; i < rounds; i++)
    for (const direction of ['down', 'up'] as const)
      for (const road of i % 2 === 0 ? [through, gate] : [gate, through]) {
        const result = await transfer(road, direction, quick ? 64 : MEGABYTES)
        say(
          `round ${i + 1} of ${rounds}, ${road.name} ${direction}: ${round(result.wall)} s, middle ${round(result.cpu)} CPU s per GiB`,
        )
        const into = road === gate ? bulk.gateway : bulk.jump
        into.wall.push(result.wall)
        into.cpu.push(result.cpu)
      }

  const rate = { direct: [] as number[], gateway: [] as number[] }
  for (let i = 0; i < (quick ? 1 : 3); i++) {
    rate.direct.push(await connectsPerSecond(direct, quick ? 5 : 15))
    rate.gateway.push(await connectsPerSecond(gate, quick ? 5 : 15))
  }
  say('idle sessions …')
  // Fewer would measure how the heaps of the workers breathe.
  const idle = await idleSessions(config, workers, quick ? 60 : 100)
  await t.end()
  say('through an agent …')
  const agent = await agentAgainstDirect(t, say, {
    megabytes: quick ? 64 : MEGABYTES,
    rounds: Math.max(rounds, LEAST_ROUNDS),
  })
  return {
    bulk_cpu_vs_jump: round(median(bulk.gateway.cpu) / median(bulk.jump.cpu)),
    bulk_wall_vs_jump: round(median(bulk.gateway.wall) / median(bulk.jump.wall)),
    echo_p50_vs_direct: round(median(echo.gateway) / median(echo.direct)),
    echo_p99_vs_direct: round(percentile(echo.gateway, 0.99) / percentile(echo.direct, 0.99)),
    echo_p50_beside_bulk_vs_direct: round(median(echo.gatewayBulk) / median(echo.directBulk)),
    echo_p99_beside_bulk_vs_direct: round(percentile(echo.gatewayBulk, 0.99) / percentile(echo.directBulk, 0.99)),
    connects_vs_direct: round(median(rate.gateway) / median(rate.direct)),
    idle_kb_per_session: Math.round(idle),
    agent_bulk_vs_direct_upstream: round(agent),
    cipher_addon: cipherAddon(),
    rounds,
  }
}

async function transfer(
  road: Road,
  direction: 'up' | 'down',
  megabytes: number,
): Promise<{ wall: number; cpu: number }> {
  await pause(300)
  const before = road.middle().reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  const from = performance.now()
  const command = direction === 'down' ? `head -c ${megabytes}M /dev/zero` : 'cat > /dev/null'
  const shell = direction === 'down' ? 'exec ssh "$@" >/dev/null' : `head -c ${megabytes}M /dev/zero | ssh "$@"`
  const child = spawn('sh', ['-c', shell, 'sh', ...road.args, command], { stdio: ['ignore', 'ignore', 'inherit'] })
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`${road.name} ${direction} ended with ${String(code)}`)
  const wall = (performance.now() - from) / 1000
  await pause(400) // the processes of a jump host are counted once they have ended
  const after = road.middle().reduce((sum, pid) => sum + cpuSeconds(pid), 0)
  return { wall, cpu: ((after - before) * 1024) / megabytes }
}

/** Milliseconds from a key to its echo by the far terminal, one at a time. */
async function echoes(road: Road, count: number): Promise<number[]> {
  const child = spawn('ssh', ['-tt', ...road.args, 'stty raw -echo; echo ready; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const next = reader(child)
  await next((text) => text.includes('ready'))
  await pause(200)
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    const from = performance.now()
    child.stdin?.write('x')
    await next((text) => text.includes('x'))
    times.push(performance.now() - from)
    await pause(2)
  }
  child.kill()
  await new Promise((resolve) => child.once('close', resolve))
  return times
}

async function beside(road: Road, count: number): Promise<number[]> {
  const noise = spawn('sh', ['-c', 'exec ssh "$@" >/dev/null', 'sh', ...road.args, 'exec cat /dev/zero'], {
    stdio: 'ignore',
  })
  await pause(700)
  const times = await echoes(road, count)
  noise.kill()
  await new Promise((resolve) => noise.once('close', resolve))
  return times
}

const nothing = (): void => undefined

const pidsOf = (pattern: string): readonly number[] =>
  execFileSync('pgrep', ['-f', pattern]).toString().trim().split('\n').map(Number)

function reader(child: ChildProcess): (isThere: (text: string) => boolean) => Promise<void> {
  let seen = ''
  let wake = nothing
  child.stdout?.on('data', (chunk: Buffer) => {
    seen += chunk.toString('latin1')
    wake()
  })
  child.once('close', () => wake())
  return async (isThere) => {
    while (!isThere(seen)) {
      if (child.exitCode !== null) throw new Error('the session ended')
      await new Promise<void>((resolve) => (wake = resolve))
    }
    seen = ''
  }
}

async function connectsPerSecond(road: Road, count: number): Promise<number> {
  const from = performance.now()
  for (let i = 0; i < count; i++) {
    // Nothing waits in between: whoever reads what the hosts say must go on.
    const child = spawn('ssh', [...road.args, 'true'], { stdio: ['ignore', 'ignore', 'inherit'] })
    const code = await new Promise((resolve) => child.once('close', resolve))
    if (code !== 0) throw new Error(`${road.name}: connect ended with ${String(code)}`)
  }
  return (count * 1000) / (performance.now() - from)
}

/** Kilobytes of the workers per idle session with a terminal, each on a connection of its own. */
async function idleSessions(config: string, workers: readonly number[], count: number): Promise<number> {
  const resident = () => workers.reduce((sum, pid) => sum + residentKilobytes(pid), 0)
  const open = (n: number) =>
    Array.from({ length: n }, () =>
      spawn('ssh', ['-tt', '-F', config, 'gate', 'exec sleep 600'], { stdio: ['pipe', 'ignore', 'ignore'] }),
    )
  // A first lot fills the heaps, so that the second one is what sessions cost.
  const first = open(Math.ceil(count / 4))
  await pause(6000)
  const before = resident()
  const second: ChildProcess[] = []
  for (let n = 0; n < count; n += 10) {
    second.push(...open(10))
    await pause(500)
  }
  await pause(5000)
  const after = resident()
  for (const child of [...first, ...second]) child.kill()
  await pause(1000)
  return (after - before) / second.length
}

/** Whether the native cipher addon of ssh2 loads in this Node. */
function cipherAddon(): boolean {
  try {
    createRequire(import.meta.url)('ssh2/lib/protocol/crypto/build/Release/sshcrypto.node')
    return true
  } catch {
    return false
  }
}
