/** One session channel of an agent's shell: a program on this host or in a workspace of it, or an errand of the gateway. */
import { existsSync } from 'node:fs'
import type { ServerChannel, Session } from 'ssh2'
import { MARK, type Program, startProgram, type Window, type Wish } from './program.ts'
import type { Desk, Room } from './workspace/desk.ts'
import type { WorkspaceWish } from './workspace/wish.ts'

/** A program that can be ended, whether it runs already or not. */
export type Running = Pick<Program, 'kill'>

export type Who = Pick<Wish, 'account' | 'reaper'> & {
  readonly desk: Desk | undefined
  /** What the login's certificate asks for. */
  readonly workspace: WorkspaceWish | undefined
}

const ENVIRONMENT = /^(LANG|LC_[A-Z_]+|COLORTERM)$/
const SFTP_SERVERS = ['/usr/lib/openssh/sftp-server', '/usr/libexec/openssh/sftp-server', '/usr/lib/ssh/sftp-server']
/** Exact words of a granted command, as JSON behind this name. */
const WORDS = 'argv@sallyport '
/** sh(1): found, and not to be run. */
const CANNOT_RUN = 126

export function serveSession(session: Session, programs: Set<Running>, who: Who): void {
  const environment = new Map<string, string>()
  let terminal: (Window & { readonly type: string }) | undefined
  let program: Program | undefined
  let isClosed = false
  session.on('pty', (accept, _reject, { cols, rows, ...info }) => {
    terminal = { columns: cols, rows, type: 'term' in info && typeof info.term === 'string' ? info.term : 'xterm' }
    answer(accept)
  })
  session.on('env', (accept, reject, { key, val }) => {
    if (ENVIRONMENT.test(key)) environment.set(key, val)
    answer(ENVIRONMENT.test(key) ? accept : reject)
  })
  session.on('window-change', (accept, _reject, { cols, rows }) => {
    if (terminal !== undefined) terminal = { ...terminal, columns: cols, rows }
    program?.resize({ columns: cols, rows })
    answer(accept)
  })
  session.on('signal', (accept, _reject, { name }) => {
    program?.signal(name)
    answer(accept)
  })
  session.on('shell', (accept) => void begin(accept(), { kind: 'shell' }))
  session.on('exec', (accept, _reject, { command }) => void begin(accept(), { kind: 'line', line: command }))
  session.on('subsystem', (accept, reject, { name }) => {
    const words = name === 'sftp' ? sftpServer() : wordsOf(name)
    if (words === undefined) answer(reject)
    else void begin(accept(), { kind: 'words', words, atHome: name === 'sftp' })
  })
  session.on('close', () => {
    isClosed = true
    program?.kill()
  })

  async function begin(channel: ServerChannel, what: Wish['what']): Promise<void> {
    const say = writer(channel)
    const end = (code: number | undefined, signal?: string): void =>
      // Of ssh2 1.17.0: an exit status is sent only before the end of output.
      say(Buffer.alloc(0), false, () => {
        if (code !== undefined) channel.exit(code)
        else channel.exit(signal ?? 'TERM')
        channel.end()
      })
    channel.pause()
    channel.on('error', () => program?.kill())
    channel.stderr.on('error', () => program?.kill())
    let room: Room | undefined
    try {
      room = await enter(who, environment.get(MARK))
    } catch (failure) {
      const why = failure instanceof Error ? failure.message : String(failure)
      return say(Buffer.from(`[sallyport] ${why}\r\n`), true, () => end(CANNOT_RUN))
    }
    if (isClosed) {
      await room?.leave()
      return undefined
    }
    start(channel, what, { say, end, room })
    return undefined
  }

  function start(
    channel: ServerChannel,
    what: Wish['what'],
    {
      end,
      room,
      say,
    }: { readonly say: Say; readonly end: (code?: number, signal?: string) => void; readonly room: Room | undefined },
  ): void {
    let isOver = false
    const { account, reaper } = who
    const started = startProgram(
      { account, reaper, what, terminal, environment, workspace: room?.workspace },
      {
        output: say,
        exited: (code, signal) => {
          isOver = true
          programs.delete(running)
          void over(code, signal)
        },
      },
    )
    const running: Running = {
      kill: () => {
        started.kill()
        void room?.leave()
      },
    }
    program = { ...started, ...running }
    programs.add(running)
    channel.on('close', () => {
      if (!isOver) running.kill()
    })
    channel.on('data', (bytes: Buffer) => {
      channel.pause()
      started.input(bytes, () => channel.resume())
    })
    channel.on('end', () => started.endInput())
    channel.resume()

    async function over(code: number | undefined, signal: string | undefined): Promise<void> {
      const told = await room?.leave()
      if (told === undefined) end(code, signal)
      else
        say(Buffer.from(told.replaceAll(/\n/g, terminal === undefined ? '\n' : '\r\n')), terminal === undefined, () =>
          end(code, signal),
        )
    }
  }
}

/** Undefined: no workspace was asked for. @throws {Error} with a sentence. */
async function enter({ account, desk, workspace }: Who, mark: string | undefined): Promise<Room | undefined> {
  if (workspace === undefined) return undefined
  if (desk === undefined) throw new Error('This session needs a workspace, and there are none here.')
  return desk.enter(workspace, account, mark)
}

/** Questions of the gateway: each a subsystem, each answered by one JSON document. */
export function serveErrands(session: Session, desk: Desk): void {
  session.on('subsystem', (accept, _reject, { name }) => void answerErrand(accept(), name))

  async function answerErrand(channel: ServerChannel, name: string): Promise<void> {
    channel.on('error', () => undefined)
    channel.resume()
    const said = JSON.stringify(await desk.errand(name))
    writer(channel)(Buffer.from(said), false, () => {
      channel.exit(0)
      channel.end()
    })
  }
}

/** The peer may not want an answer; then there is none to give. */
const answer = (give: unknown): void => {
  if (typeof give === 'function') give()
}

type Say = (bytes: Buffer, isError: boolean, taken: () => void) => void

/**
 * Writes one piece at a time. ssh2 1.17.0 never forgets a piece that had to wait for the window and sends it again when the other of the
 * two outputs waits later: so it is made to forget, and both never wait at once.
 */
function writer(channel: ServerChannel): Say {
  const waiting: (() => void)[] = []
  const next = () => waiting[0]?.()
  return (bytes, isError, taken) => {
    const done = () => {
      for (const name of ['_chunk', '_chunkcb', '_chunkErr', '_chunkcbErr']) Reflect.set(channel, name, undefined)
      taken()
      waiting.shift()
      next()
    }
    waiting.push(() => {
      if (bytes.length === 0 || !channel.writable) done()
      else (isError ? channel.stderr : channel).write(bytes, done)
    })
    if (waiting.length === 1) next()
  }
}

function sftpServer(): readonly string[] | undefined {
  const found = SFTP_SERVERS.find((path) => existsSync(path))
  return found === undefined ? undefined : [found]
}

/** Undefined for anything odd. */
function wordsOf(name: string): readonly string[] | undefined {
  if (!name.startsWith(WORDS)) return undefined
  try {
    const words: unknown = JSON.parse(name.slice(WORDS.length))
    return Array.isArray(words) && words.length > 0 && words.every(isWord) ? words : undefined
  } catch {
    return undefined
  }
}

const isWord = (word: unknown): word is string => typeof word === 'string' && !word.includes('\0')
