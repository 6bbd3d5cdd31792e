/**
 * Ends what a session left running: everything in its terminal session, and everything that carries its mark. A second process does the same
 * for all sessions when the agent itself is killed. A program that hides both escapes it: an aid, not a boundary.
 */
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** A session leader, and `NAME=value` in the environment of all that it starts. */
export type Group = { readonly leader: number; readonly mark: string | undefined }

export type Reaper = {
  watch(group: Group): void
  forget(leader: number): void
  close(): void
}

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
  let text = ''
  for await (const chunk of process.stdin) {
    text += String(chunk)
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      const said = JSON.parse(line) as { leader?: number; mark?: string; forget?: number }
      if (said.forget !== undefined) groups.delete(said.forget)
      else if (said.leader !== undefined) groups.set(said.leader, { leader: said.leader, mark: said.mark })
    }
  }
  for (const group of groups.values()) reap(group)
}

if (import.meta.main) await wait()
