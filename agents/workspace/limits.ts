/** What a workspace may use. A cgroup (v2) where this agent may make one; else limits of each process, which is less and is said so. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { removeGroup } from '../reaper.ts'
import type { WorkspaceWish } from './wish.ts'

export type Limits = {
  /** For people. */
  readonly words: string
  /** A cgroup for one workspace; undefined where there are none. */
  group(id: string, wish: WorkspaceWish): Group | undefined
}

export type Group = {
  /** Its directory. */
  readonly path: string
  readonly procs: string
  /** Kills what is in it and takes it away. */
  end(): void
}

const CONTROLLERS = ['cpu', 'memory', 'pids']
const PREFIX = 'workspace-'
/** Where this agent itself goes. */
const OWN = 'agent'
const PERIOD_US = 100_000
const REMOVE_MS = 100
const REMOVE_MOST_MS = 30_000

/** Makes room for cgroups below this agent's own, and takes away what an earlier agent left there. */
export function openLimits(): Limits {
  const base = ownGroup()
  const missing = base === undefined ? CONTROLLERS : CONTROLLERS.filter((name) => !delegated(base).includes(name))
  if (base === undefined || missing.length > 0)
    return {
      words: `limits of each process, not of all together (no cgroup v2 with ${missing.join(', ')} for this agent)`,
      group: () => undefined,
    }
  for (const name of readdirSync(base)) if (name.startsWith(PREFIX)) remove(join(base, name))
  return {
    words: 'limits by cgroup v2',
    group: (id, { cpus, memoryMegabytes, tasks }) => {
      const path = join(base, `${PREFIX}${id}`)
      mkdirSync(path)
      try {
        writeFileSync(join(path, 'memory.max'), String(memoryMegabytes * 2 ** 20))
        writeFileSync(join(path, 'pids.max'), String(tasks))
        writeFileSync(join(path, 'cpu.max'), `${Math.round(cpus * PERIOD_US)} ${PERIOD_US}`)
        if (existsSync(join(path, 'memory.swap.max'))) writeFileSync(join(path, 'memory.swap.max'), '0')
      } catch (failure) {
        remove(path)
        throw failure
      }
      return { path, procs: join(path, 'cgroup.procs'), end: () => remove(path) }
    },
  }
}

function ownGroup(): string | undefined {
  try {
    const now = /^0::(\/.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1]
    // Whoever starts this agent again went below together with the one before.
    const path = now?.endsWith(`/${OWN}`) === true ? now.slice(0, -OWN.length - 1) || '/' : now
    // Of a login or of somebody's shell others live in the same group; a service, or the root of a container, is our own.
    const isOwn = path === '/' || path?.endsWith('.service') === true
    return path === undefined || !isOwn || !existsSync('/sys/fs/cgroup/cgroup.controllers')
      ? undefined
      : join('/sys/fs/cgroup', path)
  } catch {
    return undefined
  }
}

/** A group with processes of its own cannot hand controllers down: this agent goes one level below. */
function delegated(base: string): readonly string[] {
  const read = (name: string) => readFileSync(join(base, name), 'utf8').trim().split(/\s+/)
  try {
    const wanted = CONTROLLERS.filter((name) => read('cgroup.controllers').includes(name))
    if (wanted.some((name) => !read('cgroup.subtree_control').includes(name))) {
      if (existsSync(join(base, 'cgroup.type'))) {
        mkdirSync(join(base, OWN), { recursive: true })
        for (const pid of read('cgroup.procs')) if (pid !== '') writeFileSync(join(base, OWN, 'cgroup.procs'), pid)
      }
      writeFileSync(join(base, 'cgroup.subtree_control'), wanted.map((name) => `+${name}`).join(' '))
    }
    return read('cgroup.subtree_control')
  } catch {
    return []
  }
}

/** What was killed takes a moment to go, and one that hangs in the kernel takes its time. */
function remove(path: string, patience = REMOVE_MS): void {
  if (!removeGroup(path)) setTimeout(() => remove(path, Math.min(REMOVE_MOST_MS, patience * 2)), patience).unref()
}

/** For each process where there is no cgroup for all. */
export const processLimits = ({ memoryMegabytes, tasks }: WorkspaceWish): readonly string[] => [
  `--nproc=${tasks}`,
  `--data=${memoryMegabytes * 2 ** 20}`,
]
