/** PostgreSQL: the gateway (filter and recording on) against PgBouncer in session mode, and both against none. */
import { once } from 'node:events'
import { cpuSeconds, median, pause, percentile, residentKilobytes, round, teardowns } from './measure.ts'
import { connect, drain, fill, installed, noise, openRoads, pgbench, type Road } from './postgres-roads.ts'

const COPY = 'COPY wide TO STDOUT'
const SELECT = 'SELECT id, a, b FROM wide'
const MODES = ['simple', 'extended', 'prepared'] as const

type Bulk = { wall: number; cpu: number }

export async function run(say: (line: string) => void, quick: boolean): Promise<object> {
  const missing = installed(say)
  if (missing.some((path) => path.endsWith('pgbench')))
    throw new Error('pgbench is missing: apt-get install postgresql-client')
  const t = teardowns()
  try {
    return await measure(t, say, quick, missing)
  } finally {
    await t.end()
  }
}

async function measure(
  t: ReturnType<typeof teardowns>,
  say: (line: string) => void,
  quick: boolean,
  missing: readonly string[],
): Promise<object> {
  const roads = await openRoads(t, missing)
  const { direct, pgbouncer, gateway } = roads
  if (pgbouncer === undefined) say('pgbouncer is missing and may not be installed here: there are no ratios against it')
  const megabytes = quick ? 60 : 500
  say('filling the database …')
  await fill(roads, megabytes)
  const all = [direct, ...(pgbouncer === undefined ? [] : [pgbouncer]), gateway]
  // What a process does once, it does before.
  for (const mode of MODES) await pgbench(gateway, { mode, clients: 8, seconds: 3, secure: mode === 'simple' })

  const small = await smallTransactions(all, quick, say)
  const bulk = await bulkTransfers(all, quick, say)
  const beside = await smallBesideCopy(all, quick, say)
  const rss = await sixCopies(gateway, say)
  return {
    cpu_vs_pgbouncer_median: orNull(median(small.ratios)),
    cpu_vs_pgbouncer_worst: orNull(Math.max(...small.ratios)),
    copy_speed_vs_pgbouncer: orNull(bulk.speed),
    copy_cpu_vs_pgbouncer: orNull(bulk.cpu),
    small_p99_beside_copy_vs_pgbouncer: orNull(beside),
    rss_mb_six_copies: rss,
    cpu_vs_pgbouncer: small.each,
    pgbouncer: pgbouncer === undefined ? 'missing' : 'found',
  }
}

const orNull = (value: number): number | null => (Number.isFinite(value) ? round(value) : null)

/** CPU of the one in the middle per transaction of `pgbench -S`. */
async function smallTransactions(all: readonly Road[], quick: boolean, say: (line: string) => void) {
  const ratios: number[] = []
  const each: Record<string, number> = {}
  const seconds = 2
  for (const secure of [false, true])
    for (const mode of MODES)
      for (const clients of secure && quick ? [8] : [1, 8, 32]) {
        const cpu = new Map<string, number[]>()
        const speed = new Map<string, number[]>()
        for (let round = 0; round < (quick ? 1 : 3); round++)
          for (const road of round % 2 === 0 ? all : all.toReversed()) {
            if (road.name === 'direct' && round > 0) continue
            const load = await pgbench(road, { mode, clients, seconds, secure })
            add(cpu, road.name, load.cpu)
            add(speed, road.name, load.perSecond)
          }
        const [ours, theirs] = [median(cpu.get('gateway') ?? []), median(cpu.get('pgbouncer') ?? [])]
        const name = `${mode}-${clients}${secure ? '-tls' : ''}`
        const tps = (of: string) => round(median(speed.get(of) ?? []) / median(speed.get('direct') ?? []))
        if (theirs > 0) {
          ratios.push(ours / theirs)
          each[name] = round(ours / theirs)
        }
        say(
          `${name}: gateway ${round(ours, 1)} µs, pgbouncer ${round(theirs, 1)} µs, ratio ${round(ours / theirs)}; speed against direct: gateway ${tps('gateway')}, pgbouncer ${tps('pgbouncer')}`,
        )
      }
  return { ratios, each }
}

function add(map: Map<string, number[]>, name: string, value: number): void {
  const list = map.get(name) ?? []
  list.push(value)
  map.set(name, list)
}

async function bulkTransfers(all: readonly Road[], quick: boolean, say: (line: string) => void) {
  const speeds: number[] = []
  const cpus: number[] = []
  for (const secure of [false, true])
    for (const sql of [COPY, SELECT]) {
      const results = new Map<string, Bulk[]>()
      for (let round = 0; round < (quick ? 2 : 5); round++)
        for (const road of round % 2 === 0 ? all : all.toReversed())
          results.set(road.name, [...(results.get(road.name) ?? []), await transfer(road, sql, secure)])
      const of = (name: string, what: keyof Bulk) => median((results.get(name) ?? []).map((result) => result[what]))
      speeds.push(of('pgbouncer', 'wall') / of('gateway', 'wall'))
      cpus.push(of('gateway', 'cpu') / of('pgbouncer', 'cpu'))
      const line = all.map(({ name }) => `${name} ${round(of(name, 'wall'))} s (${round(of(name, 'cpu'))} CPU s)`)
      say(`${sql}${secure ? ', TLS' : ''}: ${line.join(', ')}`)
    }
  return { speed: median(speeds), cpu: median(cpus) }
}

async function transfer(road: Road, sql: string, secure: boolean): Promise<Bulk> {
  const client = await connect(road, secure)
  const before = cpuSeconds(road.pid)
  const from = performance.now()
  await drain(client, sql)
  const wall = (performance.now() - from) / 1000
  const cpu = cpuSeconds(road.pid) - before
  await client.end()
  return { wall, cpu }
}

/** p99 of a small query, one at a time, while another session of the same process copies. */
async function smallBesideCopy(all: readonly Road[], quick: boolean, say: (line: string) => void): Promise<number> {
  const times = new Map<string, number[]>()
  for (let round = 0; round < (quick ? 1 : 3); round++)
    for (const road of all) {
      const copying = noise(road, COPY, 1000)
      const gone = once(copying, 'exit')
      await pause(700)
      const client = await connect(road, false)
      for (let i = 0; i < (quick ? 300 : 1500); i++) {
        const from = performance.now()
        await client.query(`SELECT abalance FROM pgbench_accounts WHERE aid = ${1 + ((i * 7919) % 500_000)}`)
        add(times, road.name, performance.now() - from)
      }
      await client.end()
      copying.kill()
      await gone
    }
  const p99 = (name: string) => percentile(times.get(name) ?? [], 0.99)
  for (const { name } of all)
    say(`beside a COPY, ${name}: p50 ${round(median(times.get(name) ?? []), 3)} ms, p99 ${round(p99(name), 3)} ms`)
  return p99('gateway') / p99('pgbouncer')
}

/** Most memory of the gateway while six copy, and two more have stopped reading in the middle. */
async function sixCopies(gateway: Road, say: (line: string) => void): Promise<number> {
  const stalled = await Promise.all([connect(gateway, true), connect(gateway, false)])
  for (const client of stalled) {
    client.on('error', () => undefined)
    client.query(COPY).catch(() => undefined)
    client.connection.stream.pause()
  }
  let most = 0
  const watch = setInterval(() => (most = Math.max(most, residentKilobytes(gateway.pid))), 20)
  const clients = await Promise.all(Array.from({ length: 6 }, (_, i) => connect(gateway, i % 2 === 0)))
  await Promise.all(clients.map((client) => drain(client, COPY)))
  clearInterval(watch)
  for (const client of clients) await client.end()
  for (const client of stalled) client.connection.stream.destroy()
  const megabytes = Math.round(most / 1024)
  say(`memory with six copies and two stalled readers: ${megabytes} MB`)
  return megabytes
}
