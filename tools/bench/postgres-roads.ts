/** What the PostgreSQL bench compares: a server, PgBouncer before it, the gateway before it; and clients to load them with. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { WORKER_FLAGS } from '../../gateway/worker-flags.ts'
import { type PostgresServer, startPostgres } from '../../test/fixtures/postgres.ts'
import { cpuSeconds, pause } from './measure.ts'
import { freePort } from '../free-port.ts'

type Teardown = { teardown(fn: () => unknown): void }

/** One way to the same database. `pid`: whose CPU and memory are counted; 0 for nobody's. */
export type Road = {
  readonly name: 'direct' | 'pgbouncer' | 'gateway'
  readonly port: number
  readonly pid: number
  readonly user: string
  readonly database: string
}

export type Roads = {
  readonly server: PostgresServer
  readonly direct: Road
  /** Undefined where PgBouncer is missing and may not be installed. */
  readonly pgbouncer: Road | undefined
  readonly gateway: Road
}

const USER = 'bench'
const PASSWORD = 'bench'
const DATABASE = 'bench'
const PGBOUNCER = '/usr/sbin/pgbouncer'
const PGBENCH = '/usr/bin/pgbench'

/** Programs of Debian that the bench drives; installed where that is allowed. Says which are missing after all. */
export function installed(say: (line: string) => void): readonly string[] {
  const wanted = { [PGBENCH]: 'postgresql-client', [PGBOUNCER]: 'pgbouncer' }
  const missing = () => Object.entries(wanted).filter(([path]) => !existsSync(path))
  const names = missing().map(([, name]) => name)
  if (names.length > 0 && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    say(`installing ${names.join(' ')} …`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
    spawnSync('apt-get', ['update', '-qq'], { env, stdio: 'ignore' })
    spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names], { env, stdio: 'ignore' })
  }
  return missing().map(([path]) => path)
}

export async function openRoads(t: Teardown, missing: readonly string[]): Promise<Roads> {
  const server = await startPostgres({ settings: { max_connections: '120', shared_buffers: '128MB' } })
  if (server === undefined) throw new Error('there is no PostgreSQL for this machine in node_modules')
  t.teardown(() => server.stop())
  const root = new Client({ host: '127.0.0.1', port: server.port, user: 'postgres', password: server.password })
  await root.connect()
  await root.query(`CREATE ROLE ${USER} LOGIN PASSWORD '${PASSWORD}'`)
  await root.query(`CREATE DATABASE ${DATABASE} OWNER ${USER}`)
  await root.end()
  const direct: Road = { name: 'direct', port: server.port, pid: 0, user: USER, database: DATABASE }
  const gateway = await startGateway(t, server)
  const pgbouncer = missing.includes(PGBOUNCER) ? undefined : await startPgbouncer(t, server, gateway)
  return { server, direct, gateway: gateway.road, pgbouncer }
}

type StartedGateway = { readonly road: Road; readonly key: string; readonly cert: string }

async function startGateway(t: Teardown, server: PostgresServer): Promise<StartedGateway> {
  const asked = {
    target: 'prod-db',
    username: 'alice',
    server: { port: server.port, database: DATABASE },
    account: { username: USER, password: PASSWORD },
    allowPlaintext: true,
  }
  const script = new URL('postgres-gateway.ts', import.meta.url).pathname
  const args = [...WORKER_FLAGS, ...process.execArgv, script, JSON.stringify(asked)]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => ended(child))
  let said = ''
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    said += chunk.toString()
    if (said.endsWith('\n')) break
  }
  const { port, key, cert } = JSON.parse(said) as { port: number; key: string; cert: string }
  return {
    key,
    cert,
    road: { name: 'gateway', port, pid: child.pid ?? 0, user: 'alice', database: 'prod-db%read-only' },
  }
}

async function startPgbouncer(t: Teardown, server: PostgresServer, { key, cert }: StartedGateway): Promise<Road> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-pgbouncer-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const port = await freePort()
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
    return join(directory, name)
  }
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: port,
    unix_socket_dir: '',
    auth_type: 'trust',
    auth_file: file('users', `"${USER}" "${PASSWORD}"\n`),
    pool_mode: 'session',
    default_pool_size: 50,
    max_client_conn: 100,
    client_tls_sslmode: 'allow',
    client_tls_key_file: file('key', key),
    client_tls_cert_file: file('cert', cert),
    ignore_startup_parameters: 'extra_float_digits',
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  const upstream = `host=127.0.0.1 port=${server.port} dbname=${DATABASE} user=${USER} password=${PASSWORD}`
  file('ini', ['[databases]', `${DATABASE} = ${upstream}`, '[pgbouncer]', ...lines, ''].join('\n'))
  const credentials = ordinaryUser(directory)
  const child = spawn(PGBOUNCER, ['-q', join(directory, 'ini')], { stdio: 'ignore', ...credentials })
  t.teardown(() => ended(child))
  await pause(700)
  if (child.exitCode !== null) throw new Error(`pgbouncer ended with ${child.exitCode}`)
  return { name: 'pgbouncer', port, pid: child.pid ?? 0, user: USER, database: DATABASE }
}

/** PgBouncer refuses root. */
function ordinaryUser(directory: string): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n')
  const entry = lines.map((line) => line.split(':')).find(([name]) => name === 'postgres' || name === 'nobody')
  const [uid, gid] = [Number(entry?.[2]), Number(entry?.[3])]
  chmodSync(directory, 0o700)
  for (const name of ['', 'users', 'key', 'cert', 'ini']) chownSync(join(directory, name), uid, gid)
  return { uid, gid }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill()
  const late = setTimeout(() => child.kill('SIGKILL'), 5000)
  await gone
  clearTimeout(late)
}

const environment = (secure: boolean) => ({
  ...process.env,
  PGPASSWORD: PASSWORD,
  PGSSLMODE: secure ? 'require' : 'disable',
})

/** Fills the database for pgbench, and with a table whose COPY has about that many megabytes. */
export async function fill({ server }: Roads, megabytes: number): Promise<void> {
  const args = ['-i', '-s', '5', '-q', '-h', '127.0.0.1', '-p', `${server.port}`, '-U', USER, DATABASE]
  const { status, stderr } = spawnSync(PGBENCH, args, { env: environment(false) })
  if (status !== 0) throw new Error(`pgbench -i: ${stderr.toString()}`)
  const client = await connect({ name: 'direct', port: server.port, pid: 0, user: USER, database: DATABASE }, false)
  await client.query('CREATE UNLOGGED TABLE wide (id int, a text, b text)')
  await client.query(
    `INSERT INTO wide SELECT i, repeat(md5(i::text), 7), repeat(md5((-i)::text), 8) FROM generate_series(1, ${megabytes * 2000}) i`,
  )
  await client.query('VACUUM wide')
  await client.end()
}

/** `cpu`: microseconds of the one in the middle per transaction, from the first second on, so that connecting is not in it. */
export type Load = { readonly perSecond: number; readonly cpu: number }

export type How = {
  readonly mode: string
  readonly clients: number
  readonly seconds: number
  readonly secure: boolean
}

/** On a busy machine connecting may take all the time there is: then once more, for longer. */
export async function pgbench(road: Road, how: How, tries = 3): Promise<Load> {
  const base = ['-S', '-n', '-P', '1', '-M', how.mode, '-c', `${how.clients}`, '-j', '1', '-T', `${how.seconds + 1}`]
  const where = ['-h', '127.0.0.1', '-p', `${road.port}`, '-U', road.user, road.database]
  const child = spawn(PGBENCH, [...base, ...where], {
    env: environment(how.secure),
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  const marks: { readonly at: number; readonly cpu: number; readonly perSecond: number }[] = []
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000)
    for (const [, at, perSecond] of chunk.toString().matchAll(/progress: ([\d.]+) s, ([\d.]+) tps/g))
      marks.push({ at: Number(at), cpu: cpuSeconds(road.pid), perSecond: Number(perSecond) })
  })
  const [code] = (await once(child, 'close')) as [number]
  const transactions = marks
    .slice(1)
    .reduce((sum, { at, perSecond }, i) => sum + perSecond * (at - (marks[i]?.at ?? 0)), 0)
  const [first, last] = [marks[0], marks.at(-1)]
  if (code !== 0) throw new Error(`pgbench through ${road.name}: ${said}`)
  if (first === undefined || last === undefined || !(transactions > 0)) {
    if (tries <= 1) throw new Error(`pgbench through ${road.name} came to nothing: ${said}`)
    return pgbench(road, { ...how, seconds: how.seconds + 3 }, tries - 1)
  }
  return { perSecond: transactions / (last.at - first.at), cpu: ((last.cpu - first.cpu) * 1e6) / transactions }
}

export async function connect(road: Road, secure: boolean): Promise<Client> {
  const { port, user, database } = road
  const ssl = secure ? { rejectUnauthorized: false } : false
  const client = new Client({ host: '127.0.0.1', port, user, database, password: PASSWORD, ssl })
  await client.connect()
  return client
}

const QUERY = (sql: string): Buffer => {
  const text = Buffer.from(`${sql}\0`)
  const head = Buffer.alloc(5)
  head[0] = 0x51
  head.writeInt32BE(text.length + 4, 1)
  return Buffer.concat([head, text])
}
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])

/** Reads the result of one statement as fast as it comes, without looking at it. Returns how many bytes it had. */
export async function drain(client: Client, sql: string): Promise<number> {
  const { stream } = client.connection
  const readers = stream.listeners('data') as ((chunk: Buffer) => void)[]
  stream.removeAllListeners('data')
  let bytes = 0
  let tail: Buffer = Buffer.alloc(0)
  const over = new Promise<void>((resolve, reject) => {
    stream.once('error', reject)
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      tail = chunk.length >= READY.length ? chunk : Buffer.concat([tail, chunk])
      if (tail.subarray(-READY.length).equals(READY)) resolve()
    })
  })
  stream.write(QUERY(sql))
  await over
  stream.removeAllListeners('data')
  for (const reader of readers) stream.on('data', reader)
  return bytes
}

/** `psql` that copies everything out again and again, until it is ended. */
export function noise(road: Road, sql: string, times: number): ChildProcess {
  const where = ['-h', '127.0.0.1', '-p', `${road.port}`, '-U', road.user, '-d', road.database]
  const commands = Array.from({ length: times }, () => ['-c', sql]).flat()
  return spawn('psql', ['-X', '-q', ...where, ...commands], { env: environment(false), stdio: 'ignore' })
}
