/** A small SSH host for machines without sshd: shell and commands for one account, opened by certificates of one CA. It is reached by the gateway alone. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import ssh2, { type AuthContext, type Connection, type ServerChannel, type Session } from 'ssh2'
import { mayLogIn } from './certificate.ts'
import { type Program, startProgram, type Window } from './program.ts'

export type ShellHostOptions = {
  readonly host: string
  /** 0: whichever is free. */
  readonly port: number
  /** Where its host key is kept. */
  readonly keyDirectory: string
  /** Public key line of the CA whose certificates log in. */
  readonly userAuthority: string
  /** The login, which is whoever runs this process. */
  readonly account: string
}

export type ShellHost = { readonly port: number; readonly hostKey: string; close(): Promise<void> }

const ENVIRONMENT = /^(LANG|LC_[A-Z_]+|COLORTERM)$/

export async function startShellHost(options: ShellHostOptions): Promise<ShellHost> {
  const { hostKey, line } = ensureHostKey(options.keyDirectory)
  const live = new Set<Connection>()
  const server = new ssh2.Server({ hostKeys: [hostKey], ident: 'OpenSSH_compat-Sallyport_agent' }, (client) => {
    live.add(client)
    // Its types do not know this method; without it echo waits for Nagle.
    if ('setNoDelay' in client && typeof client.setNoDelay === 'function') client.setNoDelay(true)
    client.on('error', () => undefined)
    client.on('close', () => live.delete(client))
    client.on('authentication', (context) => decide(options, context))
    client.on('ready', () => serve(client))
  })
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

function decide({ account, userAuthority }: ShellHostOptions, context: AuthContext): void {
  if (context.method !== 'publickey' || context.username !== account) return context.reject(['publickey'])
  const { blob, key, signature } = context
  if (blob === undefined || signature === undefined) return context.reject(['publickey'])
  const request = { account, certificate: key.data, signed: blob, signature }
  return mayLogIn(userAuthority, request, Date.now()) ? context.accept() : context.reject(['publickey'])
}

function serve(client: Connection): void {
  const programs = new Set<Program>()
  client.on('close', () => {
    for (const program of programs) program.kill()
  })
  client.on('session', (accept) => serveSession(accept(), programs))
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

function serveSession(session: Session, programs: Set<Program>): void {
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
  session.on('shell', (accept) => begin(accept(), undefined))
  session.on('exec', (accept, _reject, { command }) => begin(accept(), command))
  session.on('close', () => program?.kill())

  function begin(channel: ServerChannel, command: string | undefined): void {
    const say = writer(channel)
    let isOver = false
    const started = startProgram(
      { command, terminal, environment },
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

function ensureHostKey(directory: string): { readonly hostKey: string; readonly line: string } {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, 'agent_host_key')
  if (!existsSync(path)) writeFileSync(path, ssh2.utils.generateKeyPairSync('ed25519').private, { mode: 0o600 })
  const hostKey = readFileSync(path, 'utf8')
  const parsed = ssh2.utils.parseKey(hostKey)
  if (parsed instanceof Error) throw new Error(`${path} is not a key.`, { cause: parsed })
  return { hostKey, line: `${parsed.type} ${parsed.getPublicSSH().toString('base64')}` }
}
