/** Listens for SSH connections: caps on those that have not signed in, and no connection that the front half does not know of. */
import { createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../../model/log.ts'
import { serverOffer } from './algorithms.ts'
import type { OwnKeys } from './authority.ts'
import { Incoming } from './connection.ts'
import type { Connection, Jump, Origin, SshServer } from './contract.ts'
import { HOST_KEY_TYPES, hostKeysFor } from './host-keys.ts'
import type { PublicKey } from './keys.ts'
import type { Ssh2 } from './ssh2.ts'

export type ServerParts = {
  readonly log: Log
  readonly ssh2: Ssh2
  readonly keys: OwnKeys
  readonly naming: { readonly ident: string; readonly hostNames: readonly string[] }
  readonly trust: { readonly authorities: readonly PublicKey[]; readonly now: () => number; readonly graceMs: number }
}

/** Connections that have not signed in: of all, and of one address. */
const MAX_UNKNOWN = 200
const MAX_UNKNOWN_PER_ADDRESS = 20

export function createSshServer(parts: ServerParts, onConnection: (connection: Connection) => void): SshServer {
  const unknown = new Map<string, number>()
  let total = 0

  const serve = (stream: Duplex, origin: Origin, jump?: Jump): void => {
    stream.on('error', () => undefined)
    const waiting = unknown.get(origin.address) ?? 0
    if (jump === undefined && (total >= MAX_UNKNOWN || waiting >= MAX_UNKNOWN_PER_ADDRESS)) {
      parts.log({ level: 'warn', room: 'ssh', message: 'Too many connections wait to sign in.', details: origin })
      stream.destroy()
      return
    }
    const release = jump === undefined ? count(origin.address) : () => undefined
    const names = jump === undefined ? parts.naming.hostNames : [jump.target]
    const { authorities, graceMs, now } = parts.trust
    const connection: Incoming = new Incoming(
      {
        stream,
        origin,
        jump,
        authorities,
        now,
        graceMs,
        serveInner: serve,
        transport: {
          ssh2: parts.ssh2,
          ident: parts.naming.ident,
          offer: serverOffer(names.length === 0 ? HOST_KEY_TYPES.slice(1) : HOST_KEY_TYPES),
          role: { kind: 'server', hostKeys: hostKeysFor(parts.keys, names, now) },
        },
        onSignedIn: release,
      },
      onConnection,
    )
    connection.closed.addEventListener('abort', release, { once: true })
  }

  function count(address: string): () => void {
    let counted = true
    total += 1
    unknown.set(address, (unknown.get(address) ?? 0) + 1)
    return () => {
      if (!counted) return
      counted = false
      total -= 1
      const left = (unknown.get(address) ?? 1) - 1
      if (left > 0) unknown.set(address, left)
      else unknown.delete(address)
    }
  }

  const listener = createServer({ noDelay: true }, (socket: Socket) => {
    serve(socket, { address: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 })
  })

  return {
    listen: ({ host, port, reusePort = false }) =>
      new Promise((resolve, reject) => {
        listener.once('error', reject)
        listener.listen({ host, port, reusePort }, () => {
          listener.off('error', reject)
          listener.on('error', (error) =>
            parts.log({ level: 'error', room: 'ssh', message: 'The listener failed.', error }),
          )
          const address = listener.address()
          resolve(typeof address === 'object' && address !== null ? address.port : port)
        })
      }),
    serve: (stream, origin) => serve(stream, origin),
    close: () => {
      if (listener.listening) listener.close()
      return Promise.resolve()
    },
  }
}

const plainAddress = (address = ''): string => (address.startsWith('::ffff:') ? address.slice(7) : address)
