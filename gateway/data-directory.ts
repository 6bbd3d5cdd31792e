/** The data directory: taken by one gateway at a time, readable by its owner only. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Config, ConfigError } from '../config/load.ts'
import type { Clock } from './model/moment.ts'
import { Fault } from './model/refusal.ts'
import { selfSignedCertificate } from './portal/portal.ts'

export type DataDirectory = { readonly path: string; release(): void }

/** How long to wait for a gateway that is just going away (a restart after a crash). */
const WAIT_MS = 5000

/** @throws {Fault} when another gateway that is alive holds it, or others may read it. */
export async function takeDataDirectory(given: string): Promise<DataDirectory> {
  const path = resolve(given)
  mkdirSync(path, { recursive: true, mode: 0o700 })
  if ((statSync(path).mode & 0o077) !== 0) throw new Fault(`${path} can be read by others; run: chmod 0700 ${path}`)
  const lock = join(path, 'gateway.pid')
  const mine = `${process.pid} ${birthOf(process.pid) ?? ''}`
  for (const until = Date.now() + WAIT_MS; ; await new Promise((wake) => setTimeout(wake, 100))) {
    try {
      writeFileSync(lock, mine, { flag: 'wx', mode: 0o600 })
      break
    } catch (cause) {
      if (!existsSync(lock)) continue
      const [pid = '', birth = ''] = readFileSync(lock, 'utf8').split(' ')
      const alive =
        Number(pid) > 0 && birthOf(Number(pid)) !== undefined && (birth === '' || birthOf(Number(pid)) === birth)
      if (!alive) rmSync(lock, { force: true })
      else if (Date.now() > until)
        throw new Fault(
          `${path} is used by the gateway with process id ${pid}; stop it or give another data directory`,
          { cause },
        )
    }
  }
  return { path, release: () => rmSync(lock, { force: true }) }
}

/** Start time of a process in clock ticks since boot: with the pid it names a process for ever. */
export function birthOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[19]
  } catch {
    try {
      process.kill(pid, 0)
      return '' // no /proc here, but it lives
    } catch {
      return undefined
    }
  }
}

function pem(key: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ConfigError(
      `${key}: ${path} cannot be read; give a PEM file, or leave tls out for a certificate of its own`,
      { cause },
    )
  }
}

/** The configured certificate, or one of our own for a year, made anew when it has under a month left. */
export function tlsOf(config: Config, dataDir: string, clock: Clock): { readonly key: string; readonly cert: string } {
  if (config.tls !== undefined)
    return { key: pem('tls.key', config.tls.key), cert: pem('tls.certificate', config.tls.certificate) }
  const at = { key: join(dataDir, 'keys/tls.key'), cert: join(dataDir, 'keys/tls.crt') }
  const month = 30 * 24 * 3_600_000
  if (!existsSync(at.cert) || statSync(at.cert).mtimeMs < clock.now() - 11 * month) {
    const names = [new URL(config.public_url).hostname, ...(config.web === undefined ? [] : [`*.${config.web.domain}`])]
    const made = selfSignedCertificate({ names, clock })
    writeFileSync(at.key, made.key, { mode: 0o600 })
    writeFileSync(at.cert, made.cert, { mode: 0o644 })
  }
  return { key: readFileSync(at.key, 'utf8'), cert: readFileSync(at.cert, 'utf8') }
}
