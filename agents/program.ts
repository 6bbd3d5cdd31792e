/** A program on this host, with or without a terminal, and the end of its whole process group. */
import { spawn as spawnProcess } from 'node:child_process'
import { spawn as spawnTerminal } from '@lydell/node-pty'
import type { Account } from './account.ts'
import { readToTheEnd } from './last-words.ts'
import { reap, type Reaper } from './reaper.ts'
import type { Workspace } from './workspace/workspace.ts'

export type Window = { readonly columns: number; readonly rows: number }

export type Wish = {
  readonly account: Account
  readonly what:
    | { readonly kind: 'shell' }
    /** A line for the account's shell. */
    | { readonly kind: 'line'; readonly line: string }
    /** Exactly these words, without a shell; in an environment that nobody chooses, unless `atHome` says otherwise. */
    | { readonly kind: 'words'; readonly words: readonly string[]; readonly atHome?: boolean }
  readonly terminal: (Window & { readonly type: string }) | undefined
  readonly environment: ReadonlyMap<string, string>
  /** Where it runs; left out, on the host as it is. */
  readonly workspace?: Pick<Workspace, 'before'> | undefined
  /** Ends it when this process is killed; left out, nobody does. */
  readonly reaper?: Reaper | undefined
}

export type Listener = {
  /** `taken` says that the next piece may come. */
  output(bytes: Buffer, isError: boolean, taken: () => void): void
  /** After all output. One of both is set. */
  exited(code: number | undefined, signal: string | undefined): void
}

export type Program = {
  input(bytes: Buffer, taken: () => void): void
  endInput(): void
  resize(window: Window): void
  signal(name: string): void
  /** Hangs up, and kills what is left a moment later. */
  kill(): void
}

const PATIENCE_MS = 200

export function startProgram(wish: Wish, listener: Listener): Program {
  return wish.terminal === undefined ? withPipes(wish, listener) : withTerminal(wish, wish.terminal, listener)
}

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
export const MARK = 'LC_SALLYPORT_SESSION'

/** What sshd gives a login: nothing of this process's own environment. */
function login({ account, environment, terminal, what, workspace }: Wish) {
  const { become, home, name, shell } = account
  const mark = environment.get(MARK)
  const own = {
    PATH,
    HOME: home,
    USER: name,
    LOGNAME: name,
    SHELL: shell,
    ...Object.fromEntries(environment),
    ...(terminal === undefined ? {} : { TERM: terminal.type }),
  }
  const fixed = { PATH, HOME: '/', LANG: 'C.UTF-8', ...(mark === undefined ? {} : { [MARK]: mark }) }
  const words = what.kind === 'words' ? what.words : what.kind === 'line' ? [shell, '-c', what.line] : [shell, '-l']
  const isFixed = what.kind === 'words' && what.atHome !== true
  const [program = '/bin/false', ...args] = [...(workspace?.before(isFixed ? '/' : home) ?? become), ...words]
  return {
    program,
    args,
    env: isFixed ? fixed : own,
    // A workspace brings a program home by itself; outside nobody stands there.
    cwd: isFixed || workspace !== undefined ? '/' : home,
    mark: mark === undefined ? undefined : `${MARK}=${mark}`,
  }
}

function withTerminal(wish: Wish, terminal: NonNullable<Wish['terminal']>, listener: Listener): Program {
  const { args, cwd, env, mark, program } = login(wish)
  // Bytes, not text: output need not be UTF-8.
  const pty = spawnTerminal(program, args, {
    name: terminal.type,
    cols: Math.max(1, terminal.columns),
    rows: Math.max(1, terminal.rows),
    cwd,
    env,
    encoding: null,
  })
  let isOver = false
  let isEnding = false
  let isKilled = false
  readToTheEnd(pty, () => {
    isEnding = true
    pty.resume()
  })
  const group = { leader: pty.pid, mark }
  wish.reaper?.watch(group)
  pty.onData((data) => {
    // Nobody reads it any more, but its end is only seen behind it.
    if (isKilled) return
    if (!isEnding) pty.pause()
    listener.output(Buffer.from(data), false, () => {
      if (!isOver) pty.resume()
    })
  })
  pty.onExit(({ exitCode, signal }) => {
    isOver = true
    reap(group)
    wish.reaper?.forget(pty.pid)
    if (signal !== undefined && signal !== 0) listener.exited(undefined, nameOf(signal))
    else listener.exited(exitCode, undefined)
  })
  return {
    input: (bytes, taken) => {
      // The type knows text only; with no encoding bytes pass as they are.
      if (!isOver) pty.write(bytes as never)
      taken()
    },
    endInput: () => {
      if (!isOver) pty.write('\u0004')
    },
    resize: ({ columns, rows }) => {
      if (!isOver) pty.resize(Math.max(1, columns), Math.max(1, rows))
    },
    signal: (name) => send(pty.pid, name),
    kill: () => {
      if (isOver) return
      isKilled = true
      send(pty.pid, 'HUP')
      pty.resume()
      pty.kill('SIGHUP')
      setTimeout(() => {
        if (!isOver) reap(group)
      }, PATIENCE_MS)
    },
  }
}

function withPipes(wish: Wish, listener: Listener): Program {
  const { args, cwd, env, mark, program } = login(wish)
  const child = spawnProcess(program, args, { cwd, env, detached: true, stdio: 'pipe' })
  const pid = child.pid ?? 0
  const group = { leader: pid, mark }
  if (pid > 0) wish.reaper?.watch(group)
  let isOver = false
  let isKilled = false
  child.stdin.on('error', () => undefined)
  for (const [stream, isError] of [
    [child.stdout, false],
    [child.stderr, true],
  ] as const) {
    stream.on('error', () => undefined)
    stream.on('data', (bytes: Buffer) => {
      if (isKilled) return
      stream.pause()
      listener.output(bytes, isError, () => stream.resume())
    })
  }
  child.on('error', () => {
    isOver = true
    listener.exited(127, undefined)
  })
  child.on('close', (code, signal) => {
    if (isOver) return
    isOver = true
    reap(group)
    wish.reaper?.forget(pid)
    listener.exited(code ?? undefined, signal?.slice('SIG'.length))
  })
  return {
    input: (bytes, taken) => {
      child.stdin.write(bytes, () => taken())
    },
    endInput: () => child.stdin.end(),
    resize: () => undefined,
    signal: (name) => send(pid, name),
    kill: () => {
      isKilled = true
      child.stdout.resume()
      child.stderr.resume()
      send(pid, 'HUP')
      setTimeout(() => reap(group), PATIENCE_MS)
    },
  }
}

/** To the whole group; a group that is gone is what was wanted. */
function send(pid: number, name: string): void {
  if (pid <= 1 || !/^[A-Z0-9]{1,8}$/.test(name)) return
  try {
    process.kill(-pid, `SIG${name}`)
  } catch {
    // Gone already.
  }
}

const NAMES: Readonly<Record<number, string>> = {
  1: 'HUP',
  2: 'INT',
  3: 'QUIT',
  6: 'ABRT',
  9: 'KILL',
  11: 'SEGV',
  13: 'PIPE',
  14: 'ALRM',
  15: 'TERM',
}

const nameOf = (signal: number): string => NAMES[signal] ?? 'TERM'
