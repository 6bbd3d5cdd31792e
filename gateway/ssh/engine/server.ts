/** Listens for SSH connections: caps on those that have not signed in, and no connection that the front half does not know of. */
import { createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../../model/log.ts'
import { Entrance } from '../auth-limits.ts'
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
  readonly trust: {
    readonly authorities: () => readonly PublicKey[]
    readonly now: () => number
    readonly graceMs: number
  }
}

/** Sockets without agreed keys, which cost an attacker nothing. Many programs of one host may begin at once. */
const STRANGERS = { all: 200, perAddress: 100, newestStay: true }
/** Those that have agreed on keys and not signed in yet: people among them may wait for an approval. */
const UNKNOWN = { all: 400, perAddress: 100 }
const CROWDED = 'Too many are signing in just now. Try again later.'
const TELL_EVERY_MS = 10_000

export function createSshServer(parts: ServerParts, onConnection: (connection: Connection) => void): SshServer {
  const strangers = new Entrance(STRANGERS)
  const unknown = new Entrance(UNKNOWN)
  let told = Number.NEGATIVE_INFINITY

  /** Not for each of them: a crowd must not fill the log, too. */
  const tell = (origin: Origin): void => {
    const now = parts.trust.now()
    if (now - told < TELL_EVERY_MS) return
    told = now
    parts.log({ level: 'warn', room: 'ssh', message: 'Too many connections wait to sign in.', details: origin })
  }

  const serve = (stream: Duplex, origin: Origin, jump?: Jump): void => {
    stream.on('error', () => undefined)
    const shown = (out: () => void) => () => {
      tell(origin)
      out()
    }
    const drop = shown(() => stream.destroy())
    // Whoever is inside already takes no other place for the inner connection of -J.
    let leave = jump === undefined ? strangers.enter(origin.address, drop) : () => undefined
    if (leave === undefined) return drop()
    const names = jump === undefined ? parts.naming.hostNames : [jump.target]
    const { authorities, graceMs, now } = parts.trust
    const connection: Incoming = new Incoming(
      {
        stream,
        origin,
        jump,
        authorities: authorities(),
        now,
        graceMs,
        serveInner: serve,
        transport: {
          ssh2: parts.ssh2,
          ident: parts.naming.ident,
          offer: serverOffer(names.length === 0 ? HOST_KEY_TYPES.slice(1) : HOST_KEY_TYPES),
          role: { kind: 'server', hostKeys: hostKeysFor(parts.keys, names, now) },
        },
        onSignedIn: () => leave?.(),
      },
      (ready) => {
        if (jump === undefined) {
          const refuse = shown(() => ready.disconnect(CROWDED))
          leave?.()
          leave = unknown.enter(origin.address, refuse)
          if (leave === undefined) return refuse()
        }
        return onConnection(ready)
      },
    )
    connection.closed.addEventListener('abort', () => leave?.(), { once: true })
    return undefined
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
