/** A small SSH host for machines without sshd: shell and commands for one account, opened by certificates of one CA. It is reached by the gateway alone. */
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import ssh2, { type AuthContext, type Connection, type ServerChannel, type Session } from 'ssh2'
import { type Account, accountNamed } from './account.ts'
import { mayLogIn } from './certificate.ts'
import { ensureKey } from './key.ts'
import { type Program, startProgram, type Window, type Wish } from './program.ts'
import type { Reaper } from './reaper.ts'

export type ShellOptions = {
  /** Where its host key is kept. */
  readonly keyDirectory: string
  /** Public key line of the CA whose certificates log in. */
  readonly userAuthority: string
  /** The only account; left out, all that this process can become. */
  readonly account?: string | undefined
  /** Whether -L goes anywhere; the gateway judges where. */
  readonly forwards?: boolean
  readonly reaper?: Reaper | undefined
}

export type Shell = {
  /** `ssh-ed25519 AAAA…` */
  readonly hostKey: string
  serve(stream: Duplex): void
  /** Ends every session. */
  close(): void
}

export type ShellHostOptions = ShellOptions & {
  readonly host: string
  /** 0: whichever is free. */
  readonly port: number
}

export type ShellHost = { readonly port: number; readonly hostKey: string; close(): Promise<void> }

const ENVIRONMENT = /^(LANG|LC_[A-Z_]+|COLORTERM)$/
const SFTP_SERVERS = ['/usr/lib/openssh/sftp-server', '/usr/libexec/openssh/sftp-server', '/usr/lib/ssh/sftp-server']
/** Exact words of a granted command, as JSON behind this name. */
const WORDS = 'argv@sallyport '

/** A shell that listens nowhere: it serves the streams that it is handed. */
export function createShell(options: ShellOptions): Shell {
  const { line, server, live } = prepare(options)
  return {
    hostKey: line,
    serve: (stream) => server.injectSocket(stream as Parameters<typeof server.injectSocket>[0]),
    close: () => {
      for (const client of live) client.end()
    },
  }
}

/** The same on a port of its own, for machines of a demo. */
export async function startShellHost(options: ShellHostOptions): Promise<ShellHost> {
  const { line, live, server } = prepare({ forwards: true, ...options })
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : options.port)
    })
  })
  return {
    port,
    hostKey: line,
    close: () =>
      new Promise((resolve) => {
        for (const client of live) client.end()
        server.close(() => resolve())
      }),
  }
}

function prepare(options: ShellOptions) {
  const { line, secret } = ensureKey(join(options.keyDirectory, 'agent_host_key'))
  const live = new Set<Connection>()
  const server = new ssh2.Server({ hostKeys: [secret], ident: 'OpenSSH_compat-Sallyport_agent' }, (client) => {
    live.add(client)
    // Its types do not know this method; without it echo waits for Nagle.
    if ('setNoDelay' in client && typeof client.setNoDelay === 'function') client.setNoDelay(true)
    let account: Account | undefined
    client.on('error', () => undefined)
    client.on('close', () => live.delete(client))
    client.on('authentication', (context) => {
      account = decide(options, context)
      if (account === undefined) context.reject(['publickey'])
      else context.accept()
    })
    client.on('ready', () => {
      if (account !== undefined) serve(client, account, options)
    })
  })
  return { line, live, server }
}

/** Who it is, when the certificate holds and this process can become that account. */
function decide({ account: only, userAuthority }: ShellOptions, context: AuthContext): Account | undefined {
  const { username } = context
  if (context.method !== 'publickey' || (only !== undefined && username !== only)) return undefined
  const { blob, key, signature } = context
  if (blob === undefined || signature === undefined) return undefined
  const request = { account: username, certificate: key.data, signed: blob, signature }
  return mayLogIn(userAuthority, request, Date.now()) ? accountNamed(username) : undefined
}

function serve(client: Connection, account: Account, { forwards = false, reaper }: ShellOptions): void {
  const programs = new Set<Program>()
  client.on('close', () => {
    for (const program of programs) program.kill()
  })
  client.on('session', (accept) => serveSession(accept(), programs, { account, reaper }))
  if (!forwards) return
  // Where -L may go was judged by the gateway.
  client.on('tcpip', (accept, reject, { destIP, destPort }) => {
    const socket = connect(destPort, destIP)
    socket.once('error', () => reject())
    socket.once('connect', () => {
      const channel = accept()
      socket.removeAllListeners('error').on('error', () => channel.end())
      channel.on('error', () => socket.destroy())
      channel.pipe(socket).pipe(channel)
    })
  })
}

function serveSession(session: Session, programs: Set<Program>, who: Pick<Wish, 'account' | 'reaper'>): void {
  const environment = new Map<string, string>()
  let terminal: (Window & { readonly type: string }) | undefined
  let program: Program | undefined
  session.on('pty', (accept, _reject, { cols, rows, ...info }) => {
    terminal = { columns: cols, rows, type: 'term' in info && typeof info.term === 'string' ? info.term : 'xterm' }
    answer(accept)
  })
  session.on('env', (accept, reject, { key, val }) => {
    if (ENVIRONMENT.test(key)) environment.set(key, val)
    answer(ENVIRONMENT.test(key) ? accept : reject)
  })
  session.on('window-change', (accept, _reject, { cols, rows }) => {
    program?.resize({ columns: cols, rows })
    answer(accept)
  })
  session.on('signal', (accept, _reject, { name }) => {
    program?.signal(name)
    answer(accept)
  })
  session.on('shell', (accept) => begin(accept(), { kind: 'shell' }))
  session.on('exec', (accept, _reject, { command }) => begin(accept(), { kind: 'line', line: command }))
  session.on('subsystem', (accept, reject, { name }) => {
    const words = name === 'sftp' ? sftpServer() : wordsOf(name)
    if (words === undefined) answer(reject)
    else begin(accept(), { kind: 'words', words, atHome: name === 'sftp' })
  })
  session.on('close', () => program?.kill())

  function begin(channel: ServerChannel, what: Wish['what']): void {
    const say = writer(channel)
    let isOver = false
    const started = startProgram(
      { ...who, what, terminal, environment },
      {
        output: (bytes, isError, taken) => say(bytes, isError, taken),
        exited: (code, signal) => {
          isOver = true
          programs.delete(started)
          // Of ssh2 1.17.0: an exit status is sent only before the end of output.
          say(Buffer.alloc(0), false, () => {
            if (code !== undefined) channel.exit(code)
            else channel.exit(signal ?? 'TERM')
            channel.end()
          })
        },
      },
    )
    program = started
    programs.add(started)
    channel.on('error', () => started.kill())
    channel.stderr.on('error', () => started.kill())
    channel.on('close', () => {
      if (!isOver) started.kill()
    })
    channel.on('data', (bytes: Buffer) => {
      channel.pause()
      started.input(bytes, () => channel.resume())
    })
    channel.on('end', () => started.endInput())
  }
}

/** The peer may not want an answer; then there is none to give. */
const answer = (give: unknown): void => {
  if (typeof give === 'function') give()
}

/**
 * Writes one piece at a time. ssh2 1.17.0 never forgets a piece that had to wait for the window and sends it again when the other of the
 * two outputs waits later: so it is made to forget, and both never wait at once.
 */
function writer(channel: ServerChannel): (bytes: Buffer, isError: boolean, taken: () => void) => void {
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
