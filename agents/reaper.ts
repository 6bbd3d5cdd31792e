/**
 * Ends what a session left running: everything in its terminal session, and everything that carries its mark. A second process does the same
 * for all sessions when the agent itself is killed. A program that hides both escapes it: an aid, not a boundary.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A session leader, `NAME=value` in the environment of all that it starts, and the directory of the cgroup that was made for it. */
export type Group = { readonly leader: number; readonly mark: string | undefined; readonly cgroup?: string | undefined }

export type Reaper = {
  watch(group: Group): void
  forget(leader: number): void
  close(): void
}

const REMOVE_MS = 100
/** Later, the next agent does it when it starts. */
const REMOVE_TRIES = 600
const MARK = /^[A-Z_]{1,40}=[0-9a-f-]{36}$/

/** Kills at once. Never throws. */
export function reap({ leader, mark }: Group): void {
  if (leader <= 1) return
  const isMarked = mark !== undefined && MARK.test(mark)
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue
    try {
      // Field 6 is the session; what stands in parentheses may hold anything.
      const session = Number(
        readFileSync(`/proc/${name}/stat`, 'latin1')
          .replace(/^.*\) /s, '')
          .split(' ')[3],
      )
      const isOurs =
        session === leader || (isMarked && readFileSync(`/proc/${name}/environ`, 'latin1').split('\0').includes(mark))
      if (isOurs) process.kill(Number(name), 'SIGKILL')
    } catch {
      // Gone already, or not ours to look at.
    }
  }
}

/** Kills what is in a cgroup. @returns whether the group is gone, which it is a moment later than what was in it. */
export function removeGroup(path: string): boolean {
  try {
    writeFileSync(join(path, 'cgroup.kill'), '1')
  } catch {
    // Before Linux 5.14 there is no such file; the namespace of processes ends them.
  }
  try {
    rmdirSync(path)
    return true
  } catch {
    return !existsSync(path)
  }
}

/** Starts the second process: it waits for the end of its input. */
export function startReaper(): Reaper {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', import.meta.filename], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    env: {},
    cwd: '/',
  })
  child.on('error', () => undefined)
  child.stdin.on('error', () => undefined)
  child.unref()
  return {
    watch: (group) => void child.stdin.write(`${JSON.stringify(group)}\n`),
    forget: (leader) => void child.stdin.write(`${JSON.stringify({ forget: leader })}\n`),
    close: () => child.stdin.end(),
  }
}

/** The second process. */
async function wait(): Promise<void> {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined)
  const groups = new Map<number, Group>()
  /** Of holders that are gone: what was in them may still be going. */
  const left = new Set<string>()
  let text = ''
  for await (const chunk of process.stdin) {
    text += String(chunk)
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const said = JSON.parse(line) as Partial<Group> & { forget?: number }
      if (said.forget !== undefined) {
        for (const path of left) if (!existsSync(path)) left.delete(path)
        const { cgroup } = groups.get(said.forget) ?? {}
        if (cgroup !== undefined) left.add(cgroup)
        groups.delete(said.forget)
      } else if (said.leader !== undefined) groups.set(said.leader, { mark: undefined, ...said, leader: said.leader })
    }
  }
  for (const group of groups.values()) reap(group)
  for (const { cgroup } of groups.values()) if (cgroup !== undefined) left.add(cgroup)
  for (let tries = 0; left.size > 0 && tries < REMOVE_TRIES; tries++) {
    for (const path of left) if (removeGroup(path)) left.delete(path)
    if (left.size > 0) await new Promise((wake) => setTimeout(wake, REMOVE_MS))
  }
}

if (import.meta.main) await wait()
