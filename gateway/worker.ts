/** One worker process: builds the gateway and serves every door on ports it shares with the others. Started by the supervisor only. */
import { inspect } from 'node:util'
import type { Config } from '../config/load.ts'
import type { Counters } from './counters.ts'
import { type Gateway, type Listen, openGateway, productVersion } from './gateway.ts'
import type { HouseNumbers } from './health.ts'
import type { LogEvent } from './model/log.ts'
import { wallClock } from './model/moment.ts'
import type { AuditStore } from './recorder/recorder.ts'

/** What the supervisor says to a worker. */
export type ToWorker =
  | {
      readonly kind: 'boot'
      readonly config: Config
      readonly dataDir: string
      readonly worker: { readonly number: number; readonly name: string }
      readonly auditor: AuditStore
      readonly listen: Listen
      readonly tls: { readonly key: string; readonly cert: string }
    }
  | { readonly kind: 'reload'; readonly config: Config }
  | { readonly kind: 'numbers'; readonly numbers: HouseNumbers }
  | { readonly kind: 'close'; readonly graceMs: number }

/** What a worker says to the supervisor. */
export type FromWorker =
  | { readonly kind: 'ready'; readonly ports: Gateway['ports']; readonly keys: Gateway['keys'] }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'alive'; readonly counters: Counters }
  | { readonly kind: 'log'; readonly event: LogEvent }

const HEARTBEAT_MS = 200

const say = (message: FromWorker): void => {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
}
const log = (event: LogEvent): void => {
  const { error, ...rest } = event
  say({ kind: 'log', event: error === undefined ? rest : { ...rest, error: inspect(error, { depth: 4 }) } })
}

let gateway: Gateway | undefined
let closing = false

async function boot(message: Extract<ToWorker, { kind: 'boot' }>): Promise<void> {
  const { kind: _kind, ...parts } = message
  const { telemetry } = message.config
  const tracing =
    telemetry?.otlp === undefined
      ? undefined
      : (await import('./telemetry.ts')).startTracing(telemetry.otlp, telemetry.service_name)
  gateway = await openGateway({
    ...parts,
    clock: wallClock,
    log,
    version: productVersion(),
    environment: process.env,
    watcher: tracing,
  })
  const { counters } = gateway
  setInterval(() => say({ kind: 'alive', counters }), HEARTBEAT_MS)
  say({ kind: 'ready', ports: gateway.ports, keys: gateway.keys })
}

async function close(graceMs: number): Promise<void> {
  if (closing) return
  closing = true
  await gateway
    ?.close(graceMs)
    .catch((error: unknown) => log({ level: 'error', room: 'worker', message: 'closing failed', error }))
  process.exit(0)
}

process.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'boot':
      boot(message).catch((error: unknown) => {
        log({ level: 'error', room: 'worker', message: 'the worker could not start', error })
        say({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
        setTimeout(() => process.exit(1), 100)
      })
      break
    case 'reload':
      gateway?.reload(message.config)
      break
    case 'numbers':
      gateway?.hear(message.numbers)
      break
    case 'close':
      void close(message.graceMs)
      break
  }
})
// The supervisor is gone: nobody ships, watches or sweeps any more, so nothing may run.
process.on('disconnect', () => void close(0))
// Signals of a terminal reach the whole group; the supervisor decides when we go.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)
process.on('SIGHUP', () => undefined)
for (const name of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(name, (error: unknown) => {
    // State that a throw left half done must not serve people: the supervisor starts a fresh worker.
    log({ level: 'error', room: 'worker', message: name, error })
    setTimeout(() => process.exit(1), 50)
  })
