/** The embedded ClickHouse: the real engine from npm as a child process that speaks ClickHouse's own HTTP on loopback. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../model/log.ts'
import { type Passwords, writeConfig } from './clickhouse-config.ts'
import { migrate } from './migrate.ts'
import type { AuditStore } from './store.ts'

/** Its url and users stay the same when the child is restarted. */
export type ClickHouse = {
  readonly url: string
  /** INSERT and SELECT on audit.*. */
  readonly shipper: AuditStore
  /** SELECT on audit.*. */
  readonly auditor: AuditStore
  /** The child's, for operators; undefined between a death and the next start. */
  pid(): number | undefined
  stop(): Promise<void>
}

const AUDITOR = 'auditor.json'
const START_MS = 15_000
const AGAIN_MS = 500
const STOP_MS = 2_000
const FIRST_PAUSE_MS = 200
const LONGEST_PAUSE_MS = 10_000

/**
 * `dir` is `<dataDir>/clickhouse`; one process per directory. Passwords are new at each start.
 * @throws when the engine is not installed or does not come up.
 */
export async function startClickHouse(parts: {
  readonly dir: string
  readonly log: Log
  /** How long recordings are kept; undefined: as before. */
  readonly days?: number | undefined
}): Promise<ClickHouse> {
  const { log } = parts
  const dir = path.resolve(parts.dir)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const passwords = { migrator: password(), shipper: password(), auditor: password() }
  const { engine, port } = await comeUp(dir, passwords, log)
  const url = `http://127.0.0.1:${port}`
  try {
    await migrate({ url, username: 'migrator', password: passwords.migrator }, parts.days)
  } catch (error) {
    await engine.stop()
    throw error
  }
  // From its next start on, the engine knows no user any more who may change a table.
  writeConfig(dir, port, { ...passwords, migrator: undefined })
  const auditor: AuditStore = { url, username: 'auditor', password: passwords.auditor }
  // For tools of whoever owns the directory: they may read what is recorded, and no more.
  writeFileSync(path.join(dir, AUDITOR), JSON.stringify(auditor), { mode: 0o600 })
  return {
    url,
    shipper: { url, username: 'shipper', password: passwords.shipper },
    auditor,
    pid: () => engine.pid,
    stop: () => {
      rmSync(path.join(dir, AUDITOR), { force: true })
      return engine.stop()
    },
  }
}

/** Who may read a running engine's store, by its directory; what was left by one that was killed does not answer any more. */
export function readAuditor(dir: string): AuditStore | undefined {
  try {
    return JSON.parse(readFileSync(path.join(dir, AUDITOR), 'utf8')) as AuditStore
  } catch {
    return undefined
  }
}

/** An engine whose parent was killed needs a moment to end, and a free port may be gone: so more than one try. */
async function comeUp(dir: string, passwords: Passwords, log: Log) {
  const library = libraryPath()
  const deadline = performance.now() + START_MS
  for (;;) {
    const port = await freePort()
    const engine = new Engine({ library, dir, config: writeConfig(dir, port, passwords), port, log })
    try {
      await engine.start()
      return { engine, port }
    } catch (error) {
      if (performance.now() > deadline) throw error
      log({ level: 'warn', room: 'recorder', message: 'the embedded ClickHouse did not start; trying again', error })
      await sleep(AGAIN_MS)
    }
  }
}

type EngineParts = {
  readonly library: string
  readonly dir: string
  readonly config: string
  readonly port: number
  readonly log: Log
}

class Engine {
  readonly #parts: EngineParts
  readonly #stopping = new AbortController()
  #child: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()
  #pauseMs = FIRST_PAUSE_MS

  constructor(parts: EngineParts) {
    this.#parts = parts
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  async start(): Promise<void> {
    const { library, dir, config, port, log } = this.#parts
    const args = [
      `--config-file=${config}`,
      `--path=${dir}/data`,
      `--http_port=${port}`,
      '--listen_host=127.0.0.1',
      '--log-level=warning',
      // The second statement waits for standard input, so the engine ends when its parent does.
      "--query=SYSTEM START LISTEN HTTP; SELECT count() FROM file('-','LineAsString','l String') FORMAT Null",
    ]
    const child = spawn(process.execPath, [path.join(import.meta.dirname, 'clickhouse-child.ts'), library, ...args], {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: {},
      cwd: dir,
    })
    this.#child = child
    let words = ''
    child.stderr?.on('data', (bytes: Buffer) => {
      words = (words + bytes.toString()).slice(-2_000)
    })
    child.stdin?.on('error', () => undefined)
    this.#exited = new Promise((resolve) => {
      child.once('error', () => resolve())
      child.once('close', () => resolve())
    })
    let up = false
    child.once('close', () => {
      this.#child = undefined
      if (up && !this.#stopping.signal.aborted) {
        log({ level: 'error', room: 'recorder', message: 'the embedded ClickHouse died', details: { words } })
        void this.#restart()
      }
    })
    const deadline = performance.now() + START_MS
    while (!(await answers(port))) {
      if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline) {
        child.kill('SIGKILL')
        await this.#exited
        throw new Error('The embedded ClickHouse did not start', { cause: new Error(words.trim()) })
      }
      await sleep(25)
    }
    up = true
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    const child = this.#child
    if (child === undefined) return
    child.stdin?.end()
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await this.#exited
    clearTimeout(late)
  }

  async #restart(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await sleep(this.#pauseMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return
      try {
        await this.start()
        this.#pauseMs = FIRST_PAUSE_MS
        this.#parts.log({ level: 'info', room: 'recorder', message: 'the embedded ClickHouse runs again' })
        return
      } catch (error) {
        if (signal.aborted) return
        this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS)
        this.#parts.log({ level: 'error', room: 'recorder', message: 'the embedded ClickHouse does not start', error })
      }
    }
  }
}

const password = (): string => randomBytes(24).toString('base64url')

/** @throws where npm has no build of the engine for this machine. */
function libraryPath(): string {
  const name = `@chdb/lib-${process.platform}-${process.arch}${process.platform === 'linux' ? '-gnu' : ''}`
  try {
    return path.join(path.dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'libchdb.so')
  } catch (cause) {
    throw new Error(`The embedded ClickHouse (${name}) is not installed here: name a ClickHouse server in the config`, {
      cause,
    })
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** Keeps no connection: an open one would delay the end of the engine. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path: '/ping', agent: false, timeout: 1_000 }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => resolve(false))
  })
}
