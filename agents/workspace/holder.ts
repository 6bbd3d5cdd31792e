/**
 * The process that holds the namespaces of one workspace: a shell as their init, told what to mount line by line. It reads from a pipe of ours,
 * so it ends with us, and with it everything in its namespace of processes, and every mount.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import type { Reaper } from '../reaper.ts'

/** What could not be made, and what the system said about it. */
export class StepFailed extends Error {
  override readonly name = 'StepFailed'
  readonly step: string

  constructor(step: string, said: string) {
    super(`${step}: ${said}`)
    this.step = step
  }
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const STEP_MS = 15_000
const MOST_SAID = 4096
const EVERYBODY = 4_294_967_295

export class Holder {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly gone: Promise<void>
  #said = ''
  #errors = ''
  #wake: () => void = () => undefined
  #isGone = false

  private constructor(child: ChildProcessByStdio<Writable, Readable, Readable>) {
    this.#child = child
    const { promise, resolve } = Promise.withResolvers<void>()
    this.gone = promise
    const over = () => {
      this.#isGone = true
      this.#wake()
      resolve()
    }
    child.stdin.on('error', () => undefined)
    child.stdout.on('data', (chunk: Buffer) => {
      this.#said += chunk.toString()
      this.#wake()
    })
    child.stderr.on('data', (chunk: Buffer) => {
      this.#errors = `${this.#errors}${chunk.toString()}`.slice(0, MOST_SAID)
    })
    child.on('error', (failure) => {
      this.#errors ||= failure.message
      over()
    })
    child.on('close', over)
  }

  /** Its number, whose namespaces are the workspace's. */
  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** @throws {StepFailed} */
  static async start(network: 'none' | 'host', reaper: Reaper): Promise<Holder> {
    const namespaces = ['--mount', '--pid', '--ipc', '--uts', '--cgroup', ...(network === 'none' ? ['--net'] : [])]
    const enter = `echo +; read -r go; exec unshare ${namespaces.join(' ')} --fork --kill-child --propagation private -- /bin/sh`
    // Its own session: a hangup of somebody's terminal is not for it.
    const child = spawn('/usr/bin/unshare', ['--user', '--', '/bin/sh', '-c', enter], {
      detached: true,
      cwd: '/',
      env: { PATH, LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    const holder = new Holder(child)
    // The end of its input ends it, unless it is busy then.
    if (holder.pid > 0) {
      reaper.watch({ leader: holder.pid, mark: undefined })
      void holder.gone.then(() => reaper.forget(holder.pid))
    }
    try {
      await holder.#answer('a namespace of users (unshare --user)')
      holder.#become()
      child.stdin.write('\n')
      await holder.step('namespaces of mounts and processes (unshare)', ':')
      return holder
    } catch (failure) {
      holder.end()
      throw failure
    }
  }

  /** Root stands for everybody, anybody else for themself alone. */
  #become(): void {
    const uid = process.getuid?.() ?? 0
    const gid = process.getgid?.() ?? 0
    const files = [
      ...(uid === 0 ? [] : [['setgroups', 'deny'] as const]),
      ['uid_map', uid === 0 ? `0 0 ${EVERYBODY}` : `0 ${uid} 1`] as const,
      ['gid_map', uid === 0 ? `0 0 ${EVERYBODY}` : `0 ${gid} 1`] as const,
    ]
    for (const [name, text] of files)
      try {
        writeFileSync(`/proc/${this.pid}/${name}`, text)
      } catch (failure) {
        throw new StepFailed(`users of the namespace (${name})`, failure instanceof Error ? failure.message : '')
      }
  }

  /** One line of shell as init. @throws {StepFailed} */
  async step(name: string, line: string): Promise<void> {
    this.#child.stdin.write(
      `if e=$({ ${line}; } 2>&1 </dev/null); then echo +; else echo "-$(echo "$e" | tr '\\n' ' ')"; fi\n`,
    )
    await this.#answer(name)
  }

  async #answer(name: string): Promise<void> {
    const late = new AbortController()
    const timer = setTimeout(() => {
      late.abort()
      this.#wake()
    }, STEP_MS)
    while (!this.#said.includes('\n') && !this.#isGone && !late.signal.aborted)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    clearTimeout(timer)
    const end = this.#said.indexOf('\n')
    const line = this.#said.slice(0, end)
    this.#said = this.#said.slice(end + 1)
    if (end >= 0 && line.startsWith('+')) return
    const said = end >= 0 ? line.slice(1) : late.signal.aborted ? 'it took too long' : this.#errors
    throw new StepFailed(name, said.trim().replaceAll(/\s+/g, ' ').slice(0, 300) || 'it ended without a word')
  }

  /** Words that bring a program in, as root of the namespace. */
  get enter(): readonly string[] {
    const namespaces = ['user', 'mnt', 'ipc', 'uts', 'cgroup', 'net'].map((kind) => {
      const option = kind === 'mnt' ? 'mount' : kind
      return `--${option}=/proc/${this.pid}/ns/${kind}`
    })
    return [
      '/usr/bin/nsenter',
      ...namespaces,
      `--pid=/proc/${this.pid}/ns/pid_for_children`,
      '--preserve-credentials',
      '--',
    ]
  }

  /** Everything that runs in it, but not itself. @throws {StepFailed} */
  async killAll(): Promise<void> {
    // Nobody can fork past a kill of all; what is still in the kernel gets a moment to leave it.
    await this.step('ending what runs', 'kill -9 -1; sleep 0.05; kill -9 -1; true')
  }

  end(): void {
    this.#child.stdin.destroy()
    this.#child.kill('SIGKILL')
  }
}
