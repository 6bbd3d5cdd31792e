/** HTTP: the door (signed-in person, live grant, filter, journal) against nginx as a TLS reverse proxy, one worker each, in front of the same application. */
import { execFileSync, fork, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { wallClock } from '../../gateway/model/moment.ts'
import { selfSignedCertificate } from '../../gateway/portal/portal.ts'
import { WORKER_FLAGS } from '../../gateway/worker-flags.ts'
import type { WebSide } from '../../test/fixtures/web-worker.ts'
import { cpuSeconds, median, pause, residentKilobytes, round, teardowns } from './measure.ts'
import { freePort } from '../free-port.ts'

const WORKER = new URL('../../test/fixtures/web-worker.ts', import.meta.url).pathname
const IDLE_WEBSOCKETS = 1000

type Teardowns = ReturnType<typeof teardowns>
/** One way to the application. `pid`: the one process whose CPU counts. */
type Road = {
  readonly name: 'gateway' | 'nginx'
  readonly port: number
  readonly pid: number
  readonly host: string
  readonly cookie: string
}
type Load = { readonly perSecond: number; readonly cpuMicroseconds: number }
type Loads = Record<Road['name'], Load[]>

export async function run(say: (line: string) => void, quick: boolean): Promise<object> {
  const t = teardowns()
  try {
    return await measure(t, say, quick)
  } finally {
    await t.end()
  }
}

async function measure(t: Teardowns, say: (line: string) => void, quick: boolean): Promise<object> {
  for (const [tool, name] of [
    ['nginx', 'nginx-light'],
    ['wrk', 'wrk'],
  ] as const)
    if (!isInstalled(tool)) spawnSync('apt-get', ['install', '-y', name], { stdio: 'ignore' })
  if (!isInstalled('wrk') || !isInstalled('nginx')) throw new Error('missing: apt-get install nginx-light wrk')
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-http-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }))
  say('starting the application, nginx and the gateway, and signing in …')
  const upstream = await worker(t, ['upstream'])
  const door = await worker(t, ['gateway', `http://127.0.0.1:${upstream.port}`, join(dir, 'journal')])
  const gateway: Road = { name: 'gateway', ...door }
  const nginx = await startNginx(t, dir, upstream.port)
  const roads = [nginx, gateway]

  const seconds = quick ? 2 : 4
  const rounds = quick ? 3 : 6
  const small = (road: Road) => wrk(road, '/small', { connections: 32, seconds })
  const large = (road: Road) => wrk(road, '/large', { connections: 8, seconds })
  const sockets = (road: Road) => websockets(road, { connections: 32, seconds })
  // What a process does once, it does before.
  for (const road of roads) for (const load of [small, large, sockets]) await load(road)
  const loads = {
    small: await alternate('small', roads, rounds, small, say),
    large: await alternate('large', roads, rounds, large, say),
    websocket: await alternate('websocket', roads, rounds, sockets, say),
  }
  // A fresh process: what load has left in the heaps would hide what connections cost.
  const idle = await worker(t, ['gateway', `http://127.0.0.1:${upstream.port}`, join(dir, 'idle')])
  const memory = await idleWebSockets({ name: 'gateway', ...idle }, quick ? 3 : 15)
  say(`1000 idle WebSockets: ${memory.before} MB before, ${memory.open} MB open, ${memory.later} MB later`)
  return {
    small_vs_nginx: speedRatio(loads.small),
    large_vs_nginx: speedRatio(loads.large),
    websocket_vs_nginx: speedRatio(loads.websocket),
    rss_mb_1000_websockets: memory.later,
    rss_mb_before_websockets: memory.before,
    rss_mb_1000_websockets_at_once: memory.open,
    small_per_cpu_second_vs_nginx: cpuRatio(loads.small),
    large_per_cpu_second_vs_nginx: cpuRatio(loads.large),
    websocket_per_cpu_second_vs_nginx: cpuRatio(loads.websocket),
    small_cpu_us: round(median(loads.small.gateway.map(({ cpuMicroseconds }) => cpuMicroseconds)), 1),
    rounds,
  }
}

const isInstalled = (name: string): boolean =>
  spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin command -v ${name}`]).status === 0

/** Of neighbours in time, so that what else this machine does touches both. */
const pairs = (loads: Loads, ratio: (ours: Load, theirs: Load) => number): number =>
  round(median(loads.gateway.flatMap((ours, i) => (loads.nginx[i] === undefined ? [] : [ratio(ours, loads.nginx[i])]))))
const speedRatio = (loads: Loads): number => pairs(loads, (ours, theirs) => ours.perSecond / theirs.perSecond)
const cpuRatio = (loads: Loads): number => pairs(loads, (ours, theirs) => theirs.cpuMicroseconds / ours.cpuMicroseconds)

async function alternate(
  name: string,
  roads: readonly Road[],
  rounds: number,
  load: (road: Road) => Promise<Load>,
  say: (line: string) => void,
): Promise<Loads> {
  const loads: Loads = { gateway: [], nginx: [] }
  for (let i = 0; i < rounds; i++)
    for (const road of i % 2 === 0 ? roads : roads.toReversed()) {
      const result = await load(road)
      loads[road.name].push(result)
      say(
        `${name} ${road.name}: ${round(result.perSecond, 0)} per second, ${round(result.cpuMicroseconds, 1)} CPU µs each`,
      )
    }
  return loads
}

function worker(t: Teardowns, args: readonly string[]): Promise<WebSide & { readonly pid: number }> {
  const profile = process.env['BENCH_CPU_PROF']
  const flags = args[0] === 'gateway' ? WORKER_FLAGS : []
  const execArgv =
    profile === undefined || flags.length === 0 ? [...flags] : [...flags, '--cpu-prof', '--cpu-prof-dir', profile]
  const child = fork(WORKER, [...args], { execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  t.teardown(() => {
    if (child.connected) child.disconnect()
    return gone
  })
  return new Promise((resolve, reject) => {
    child.once('message', (said) => resolve({ ...(said as WebSide), pid: child.pid ?? 0 }))
    child.once('exit', () => reject(new Error(`the ${args[0] ?? ''} did not start`)))
  })
}

async function startNginx(t: Teardowns, dir: string, upstream: number): Promise<Road> {
  const port = await freePort()
  const { key, cert } = selfSignedCertificate({ names: ['localhost'], clock: wallClock })
  writeFileSync(join(dir, 'key.pem'), key, { mode: 0o600 })
  writeFileSync(join(dir, 'cert.pem'), cert)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${dir}/${name};`)
    .join('\n')
  writeFileSync(
    join(dir, 'nginx.conf'),
    `worker_processes 1; daemon off; pid ${dir}/nginx.pid; error_log ${dir}/error.log;
events { worker_connections 8192; }
http {
  ${temporary}
  access_log ${dir}/access.log;
  # What it cannot send yet waits in memory, as ours does.
  proxy_max_temp_file_size 0;
  keepalive_requests 100000000;
  upstream application { server 127.0.0.1:${upstream}; keepalive 128; keepalive_requests 100000000; }
  map $http_upgrade $connection_word { default upgrade; '' ''; }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${dir}/cert.pem; ssl_certificate_key ${dir}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_word;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
    }
  }
}
`,
  )
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` }
  const child = spawn('nginx', ['-c', join(dir, 'nginx.conf'), '-e', join(dir, 'error.log')], { stdio: 'inherit', env })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  t.teardown(() => {
    child.kill('SIGTERM')
    return gone
  })
  for (let i = 0; i < 100 && workersOf(child.pid ?? 0).length === 0; i++) await pause(50)
  const [pid] = workersOf(child.pid ?? 0)
  if (pid === undefined) throw new Error('nginx did not start')
  return { name: 'nginx', port, pid, host: 'localhost', cookie: 'a=b' }
}

function workersOf(pid: number): readonly number[] {
  try {
    return execFileSync('pgrep', ['-P', String(pid)])
      .toString()
      .trim()
      .split('\n')
      .map(Number)
  } catch {
    return []
  }
}

/** @throws when an answer was not the application's. */
async function wrk(
  { name, port, pid, host, cookie }: Road,
  path: string,
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<Load> {
  const before = cpuSeconds(pid)
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-H', `Host: ${host}`, '-H', `Cookie: ${cookie}`]
  const child = spawn('wrk', [...args, `https://127.0.0.1:${port}${path}`], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await new Promise((resolve) => child.once('close', resolve))
  const requests = Number(/(\d+) requests in/.exec(said)?.[1] ?? 0)
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(said)?.[1] ?? 0)
  if (requests === 0 || said.includes('Non-2xx')) throw new Error(`${name} ${path}: ${said}`)
  return { perSecond, cpuMicroseconds: ((cpuSeconds(pid) - before) * 1e6) / requests }
}

const PAYLOAD = 64
/** Masked with zeros, final, text. */
const QUESTION = Buffer.concat([Buffer.from([0x81, 0x80 | PAYLOAD, 0, 0, 0, 0]), Buffer.alloc(PAYLOAD, 'e')])
const ECHO_BYTES = 2 + PAYLOAD

/** One message under way on each; what comes back is counted. */
async function websockets(
  road: Road,
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<Load> {
  const open = await openWebSockets(road, connections)
  let bytes = 0
  const before = cpuSeconds(road.pid)
  const from = performance.now()
  for (const socket of open) {
    let left = ECHO_BYTES
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      left -= chunk.length
      if (left > 0) return
      left = ECHO_BYTES
      socket.write(QUESTION)
    })
    socket.write(QUESTION)
  }
  await pause(seconds * 1000)
  const messages = bytes / ECHO_BYTES
  const took = (performance.now() - from) / 1000
  const cpu = cpuSeconds(road.pid) - before
  for (const socket of open) socket.destroy()
  await pause(200)
  return { perSecond: messages / took, cpuMicroseconds: (cpu * 1e6) / messages }
}

async function openWebSockets(road: Road, count: number): Promise<readonly TLSSocket[]> {
  const open: TLSSocket[] = []
  while (open.length < count)
    open.push(
      ...(await Promise.all(Array.from({ length: Math.min(20, count - open.length) }, () => openWebSocket(road)))),
    )
  return open
}

function openWebSocket({ name, port, host, cookie }: Road): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    // Both certificates were made for this bench on this machine.
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
    socket.setNoDelay(true)
    socket.on('error', reject)
    socket.once('secureConnect', () =>
      socket.write(
        `GET /echo HTTP/1.1\r\nHost: ${host}\r\nOrigin: https://${host}\r\nCookie: ${cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
      ),
    )
    socket.once('data', (head: Buffer) => {
      if (head.toString('latin1').startsWith('HTTP/1.1 101 ')) resolve(socket)
      else reject(new Error(`${name}: ${head.toString('latin1').slice(0, 300)}`))
    })
  })
}

/** Megabytes of the gateway before, right after they were opened, and after they did nothing for a while. */
async function idleWebSockets(
  road: Road,
  seconds: number,
): Promise<{ readonly before: number; readonly open: number; readonly later: number }> {
  const resident = () => round(residentKilobytes(road.pid) / 1024, 1)
  const before = resident()
  const sockets = await openWebSockets(road, IDLE_WEBSOCKETS)
  await pause(1000)
  const open = resident()
  await pause(seconds * 1000)
  const later = resident()
  for (const socket of sockets) socket.destroy()
  await pause(500)
  return { before, open, later }
}
