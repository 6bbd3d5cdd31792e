/** The supervisor: owns ClickHouse, the shipper, the sweeps and the workers; kills a worker whose event loop is stuck. */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/load.ts'
import { followed, waiting } from '../config/reload.ts'
import { openAdmin } from './admin.ts'
import { addCounters, type Counters, newCounters } from './counters.ts'
import { takeDataDirectory, tlsOf } from './data-directory.ts'
import { type Gateway, type Listen, policyOf, stateUrl } from './gateway.ts'
import { createGrants } from './grants/grants.ts'
import { endSignIns } from './identity/identity.ts'
import type { HouseNumbers } from './health.ts'
import type { AuditEvent } from './model/event.ts'
import type { Log } from './model/log.ts'
import type { Clock } from './model/moment.ts'
import { Fault } from './model/refusal.ts'
import {
  type AuditStore,
  migrate,
  openJournal,
  type Shipper,
  startClickHouse,
  startShipper,
} from './recorder/recorder.ts'
import { openState } from './state/state.ts'
import { isStuck } from './watchdog.ts'
import { WORKER_FLAGS } from './worker-flags.ts'
import type { FromWorker, ToWorker } from './worker.ts'

export type SupervisorParts = {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly environment: Readonly<Record<string, string | undefined>>
}

export type Supervisor = {
  readonly ports: Gateway['ports'] & { readonly admin: number | undefined }
  readonly keys: Gateway['keys']
  readonly dataDir: string
  /** PEM of the certificate that browsers see. */
  readonly certificate: string
  reload(config: Config): void
  close(graceMs: number): Promise<void>
}

type Worker = {
  readonly process: ChildProcess
  readonly number: number
  heardAt: number
  cpuAt: number | undefined
  counters: Counters
  ready: boolean
}

const SWEEP_MS = 2000
const WATCH_MS = 250
const TELL_MS = 1000
const DAY_MS = 24 * 3_600_000

/** @throws {Fault} when another gateway holds the data directory, a port is taken, or a store cannot be opened. */
export async function startSupervisor(parts: SupervisorParts): Promise<Supervisor> {
  const { clock, log } = parts
  let { config } = parts
  await using opened = new AsyncDisposableStack()

  const dataDir = await takeDataDirectory(config.data)
  opened.defer(() => dataDir.release())
  mkdirSync(join(dataDir.path, 'keys'), { recursive: true, mode: 0o700 })
  const tls = tlsOf(config, dataDir.path, clock)

  const state = await openState({ url: stateUrl(config, dataDir.path), clock, log, migrate: true })
  opened.defer(() => state.close())
  const { shipperStore, auditor } = await openAudit(parts, dataDir.path, opened)
  const shipper: Shipper = startShipper({ dir: join(dataDir.path, 'journal'), store: shipperStore, clock, log })
  opened.defer(() => shipper.stop(2500))
  const journal = openJournal({
    dir: join(dataDir.path, 'journal'),
    worker: 'supervisor',
    clock,
    log,
    limits: {
      maxJournalBytes: config.journal.max_megabytes * 2 ** 20,
      minFreeBytes: config.journal.min_free_megabytes * 2 ** 20,
    },
  })
  opened.defer(() => journal.close())
  const note = (kind: Extract<AuditEvent['kind'], `gateway.${string}`>, text: string, details = {}): void =>
    journal.audit({
      id: crypto.randomUUID(),
      at: clock.now(),
      kind,
      actor: '',
      grant: undefined,
      session: undefined,
      target: '',
      text,
      details,
    })
  const grants = createGrants({
    state,
    clock,
    log,
    audit: (e) => journal.audit(e),
    policy: () => policyOf(config),
    endSignIns,
  })
  opened.defer(() => grants.close())
  const sweep = setInterval(
    () =>
      void grants
        .sweep()
        .catch((error: unknown) => log({ level: 'warn', room: 'supervisor', message: 'sweep failed', error })),
    SWEEP_MS,
  )
  opened.defer(() => clearInterval(sweep))

  const workers = new Map<number, Worker>()
  let restarts = 0
  let closing = false
  let listen: Listen = { ssh: config.listen.ssh, https: config.listen.https, postgres: config.listen.postgres }
  let past = newCounters()

  const start = (number: number): Promise<Extract<FromWorker, { kind: 'ready' }>> =>
    new Promise((resolve, reject) => {
      const child = fork(join(import.meta.dirname, 'worker.ts'), [], {
        execArgv: [...WORKER_FLAGS],
        serialization: 'advanced',
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      })
      const worker: Worker = {
        process: child,
        number,
        heardAt: performance.now(),
        cpuAt: undefined,
        counters: newCounters(),
        ready: false,
      }
      workers.set(number, worker)
      child.on('message', (message: FromWorker) => {
        worker.heardAt = performance.now()
        worker.cpuAt = undefined
        switch (message.kind) {
          case 'ready':
            worker.ready = true
            resolve(message)
            break
          case 'failed':
            reject(new Fault(message.message))
            break
          case 'alive':
            worker.counters = message.counters
            break
          case 'log':
            log({ ...message.event, details: { worker: number, ...message.event.details } })
            break
        }
      })
      child.on('exit', (code, signal) => {
        workers.delete(number)
        past = addCounters(past, { ...worker.counters, sessionsOpen: { ssh: 0, postgres: 0, http: 0 } })
        reject(new Fault(`worker ${number} ended while it started (${signal ?? code})`))
        if (closing || !worker.ready) return
        restarts += 1
        log({
          level: 'error',
          room: 'supervisor',
          message: 'a worker died and is started again',
          details: { worker: number, code, signal },
        })
        note('gateway.worker-killed', `Worker ${number} died (${signal ?? `exit ${code}`}) and was started again.`)
        start(number).catch((error: unknown) =>
          log({ level: 'error', room: 'supervisor', message: 'a worker could not be started again', error }),
        )
      })
      send(child, {
        kind: 'boot',
        config,
        dataDir: dataDir.path,
        worker: { number, name: `worker-${number}` },
        auditor,
        listen,
        tls,
      })
    })

  opened.defer(async () => {
    closing = true
    await Promise.all([...workers.values()].map((worker) => ended(worker.process, graceMs)))
  })
  let graceMs = 0
  const first = await start(1)
  const { ports } = first
  listen = {
    ssh: { ...listen.ssh, port: ports.ssh },
    https: { ...listen.https, port: ports.https },
    postgres: listen.postgres === undefined ? undefined : { ...listen.postgres, port: ports.postgres ?? 0 },
  }
  for (let number = 2; number <= config.workers; number++) await start(number)

  const watch = setInterval(() => {
    for (const worker of workers.values()) {
      const silentMs = performance.now() - worker.heardAt
      if (!worker.ready || silentMs < 2 * WATCH_MS) continue
      const cpu = cpuMs(worker.process.pid)
      worker.cpuAt ??= cpu
      if (
        !isStuck({ silentMs, cpuMs: cpu === undefined || worker.cpuAt === undefined ? undefined : cpu - worker.cpuAt })
      )
        continue
      log({
        level: 'error',
        room: 'supervisor',
        message: 'a worker is stuck and is killed',
        details: { worker: worker.number, silentMs },
      })
      worker.process.kill('SIGKILL')
    }
  }, WATCH_MS)
  opened.defer(() => clearInterval(watch))

  const numbers = (): HouseNumbers => {
    const audit = shipper.stats()
    return {
      workers: [...workers.values()].filter((worker) => worker.ready).length,
      workerRestarts: restarts,
      journalBacklogBytes: audit.backlogBytes,
      journalOldestSeconds: audit.oldestMs / 1000,
      auditReachable: audit.state !== 'down',
    }
  }
  const telling = setInterval(() => {
    for (const worker of workers.values()) send(worker.process, { kind: 'numbers', numbers: numbers() })
  }, TELL_MS)
  opened.defer(() => clearInterval(telling))

  const admin = await openAdmin(config.listen.admin, () => ({
    ...numbers(),
    counters: [...workers.values()].map((worker) => worker.counters).reduce(addCounters, past),
  }))
  if (admin !== undefined) opened.defer(() => admin.close())

  // What administrators of targets and clients are asked to trust: public lines, easy to find.
  writeFileSync(join(dataDir.path, 'keys/user_ca.pub'), `${first.keys.userAuthority}\n`)
  writeFileSync(join(dataDir.path, 'keys/host_ca.pub'), `${first.keys.hostAuthority}\n`)
  note('gateway.started', 'The gateway started.', { workers: config.workers, ports })
  const closer = opened.move()
  return {
    ports: { ...ports, admin: admin?.port },
    keys: first.keys,
    dataDir: dataDir.path,
    certificate: tls.cert,
    reload: (next) => {
      const later = waiting(config, next)
      config = followed(config, next)
      if (later.length > 0)
        log({
          level: 'warn',
          room: 'supervisor',
          message: 'some of what was changed counts from the next start only',
          details: { keys: later },
        })
      for (const worker of workers.values()) send(worker.process, { kind: 'reload', config })
      note('gateway.reloaded', 'The configuration was read again.', later.length > 0 ? { later } : {})
    },
    close: async (ms) => {
      graceMs = ms
      note('gateway.stopped', 'The gateway was asked to stop.')
      await closer.disposeAsync()
    },
  }
}

async function openAudit(
  { config, log, environment }: SupervisorParts,
  dataDir: string,
  opened: AsyncDisposableStack,
): Promise<{ shipperStore: AuditStore; auditor: AuditStore }> {
  const days = Math.ceil(config.retention / DAY_MS)
  if (config.audit.kind === 'server') {
    const { url, username, password } = config.audit
    const secret = password.startsWith('env:')
      ? environment[password.slice(4)]
      : readFileSync(password.slice(5), 'utf8').trim()
    if (secret === undefined || secret === '') throw new Fault(`audit.password: ${password} is not set`)
    const store = { url, username, password: secret }
    await migrate(store, days)
    return { shipperStore: store, auditor: store }
  }
  const engine = await startClickHouse({ dir: join(dataDir, 'clickhouse'), log, days })
  opened.defer(() => engine.stop())
  return { shipperStore: engine.shipper, auditor: engine.auditor }
}

const send = (child: ChildProcess, message: ToWorker): void => {
  if (child.connected) child.send(message, () => undefined)
}

/** Asks a worker to go, and makes it go when it does not. */
async function ended(child: ChildProcess, graceMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  send(child, { kind: 'close', graceMs })
  const late = setTimeout(() => child.kill('SIGKILL'), graceMs + 2000)
  await gone
  clearTimeout(late)
}

/** User and system time of a process so far; undefined where /proc is not there. */
function cpuMs(pid: number | undefined): number | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10 // clock ticks of 10 ms
  } catch {
    return undefined
  }
}
