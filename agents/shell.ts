/** A small SSH host for machines without sshd: shell and commands for one account, opened by certificates of one CA. It is reached by the gateway alone. */
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import ssh2, { type AuthContext, type Connection } from 'ssh2'
import { type Account, accountNamed } from './account.ts'
import { type Permit, permitOf } from './certificate.ts'
import { ensureKey } from './key.ts'
import type { Reaper } from './reaper.ts'
import { type Running, serveErrands, serveSession } from './session.ts'
import type { Desk } from './workspace/desk.ts'

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
  /** Where workspaces are made, and remembered when they are over. Left out: logins that ask for one are refused. */
  readonly desk?: Desk | undefined
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

/** The name of no account: errands of the gateway about workspaces. */
const ERRANDS = 'errands@sallyport'

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
    let guest: Guest | undefined
    client.on('error', () => undefined)
    client.on('close', () => live.delete(client))
    client.on('authentication', (context) => {
      guest = decide(options, context)
      if (guest === undefined) context.reject(['publickey'])
      else context.accept()
    })
    client.on('ready', () => {
      if (guest !== undefined) serve(client, guest, options)
    })
  })
  return { line, live, server }
}

/** An account with what its certificate is good for, or an errand of the gateway. */
type Guest =
  | { readonly kind: 'login'; readonly account: Account; readonly permit: Permit & { readonly kind: 'login' } }
  | { readonly kind: 'errand' }

/** Who it is, when the certificate holds and this process can become that account. */
function decide({ account: only, desk, userAuthority }: ShellOptions, context: AuthContext): Guest | undefined {
  const { username } = context
  if (context.method !== 'publickey') return undefined
  const { blob, key, signature } = context
  if (blob === undefined || signature === undefined) return undefined
  const request = { account: username, certificate: key.data, signed: blob, signature }
  const permit = permitOf(userAuthority, request, Date.now())
  if (permit === undefined) return undefined
  if (permit.kind === 'errand') return username === ERRANDS && desk !== undefined ? { kind: 'errand' } : undefined
  // Never without what was asked for.
  if (permit.workspace !== undefined && desk === undefined) return undefined
  const account = only === undefined || username === only ? accountNamed(username) : undefined
  return account && { kind: 'login', account, permit }
}

function serve(client: Connection, guest: Guest, { desk, forwards = false, reaper }: ShellOptions): void {
  if (guest.kind === 'errand') {
    if (desk !== undefined) client.on('session', (accept) => serveErrands(accept(), desk))
    return
  }
  const programs = new Set<Running>()
  const { account, permit } = guest
  client.on('close', () => {
    for (const program of programs) program.kill()
  })
  client.on('session', (accept) =>
    serveSession(accept(), programs, { account, reaper, desk, workspace: permit.workspace }),
  )
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
