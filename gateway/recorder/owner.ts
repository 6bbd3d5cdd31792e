/** Whose journal a directory is, and whether that process still lives. */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const FILE = 'owner.json'
const CLOSED = 'closed'

/** `chain`: the id of the journal's own chain, for audit events. */
export type Owner = { readonly pid: number; readonly ticks: string; readonly boot: string; readonly chain: string }

export function claim(dir: string, chain: string): void {
  const owner: Owner = { pid: process.pid, ticks: startTicks(process.pid) ?? '', boot: bootId(), chain }
  writeFileSync(path.join(dir, FILE), JSON.stringify(owner), { mode: 0o600, flush: true })
}

/** The owner has written its last record. */
export const markClosed = (dir: string): void => writeFileSync(path.join(dir, CLOSED), '', { mode: 0o600, flush: true })

export function readOwner(dir: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(path.join(dir, FILE), 'utf8')) as Owner
  } catch {
    return undefined
  }
}

/** `closed`: ended in order. `dead`: killed. A process id that was given to somebody else does not count as living. */
export function ownerState(dir: string): 'alive' | 'closed' | 'dead' {
  if (exists(path.join(dir, CLOSED))) return 'closed'
  const owner = readOwner(dir)
  if (owner === undefined || owner.boot !== bootId()) return 'dead'
  const ticks = startTicks(owner.pid)
  if (ticks !== undefined) return ticks === owner.ticks ? 'alive' : 'dead'
  if (owner.ticks !== '') return 'dead'
  try {
    process.kill(owner.pid, 0)
    return 'alive'
  } catch {
    return 'dead'
  }
}

/** When the process began, in clock ticks since boot: field 22 of /proc/PID/stat (proc(5)); undefined where there is none. A zombie is dead. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}

function exists(file: string): boolean {
  try {
    readFileSync(file)
    return true
  } catch {
    return false
  }
}
