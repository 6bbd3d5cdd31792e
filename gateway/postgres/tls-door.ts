/** Turns accepted sockets into TLS sockets, with the certificate as it is at that moment. */
import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createSecureContext, createServer, type Server, type TLSSocket } from 'node:tls'
import { MalformedMessage } from '../model/refusal.ts'
import { endPointHash } from './scram.ts'

export type Pem = {
  readonly key: string
  readonly cert: string
  /** Of the CAs that sign certificates of machines; undefined: none are asked for. */
  readonly clientCa?: string | undefined
}

export type SecureClient = {
  readonly stream: TLSSocket
  /** Of our certificate on this connection; undefined where its algorithm has no channel binding. */
  readonly binding: Buffer | undefined
}

type Waiting = { readonly resolve: (stream: TLSSocket) => void; readonly reject: (failure: Error) => void }

const HANDSHAKE_MS = 15_000

/**
 * A TLS server that never listens: sockets are handed to it after the start-up negotiation.
 * (A bare `new TLSSocket` would never say whether a client certificate was verified.)
 */
export class TlsDoor {
  readonly #pem: () => Pem
  readonly #waiting = new Map<string, Waiting>()
  #server: Server | undefined
  #now: Pem | undefined
  #binding: Buffer | undefined

  constructor(pem: () => Pem) {
    this.#pem = pem
  }

  /** @throws {MalformedMessage} when the handshake fails; the socket is destroyed then. */
  async upgrade(socket: Socket, demand: { readonly alpn: boolean }): Promise<SecureClient> {
    const server = this.#current()
    const binding = this.#binding
    const place = placeOf(socket)
    try {
      const stream = await new Promise<TLSSocket>((resolve, reject) => {
        this.#waiting.set(place, { resolve, reject })
        socket.once('close', () => reject(new MalformedMessage('closed during the TLS handshake')))
        server.emit('connection', socket)
      })
      if (demand.alpn && stream.alpnProtocol !== 'postgresql') {
        stream.destroy()
        throw new MalformedMessage('direct TLS without ALPN')
      }
      return { stream, binding }
    } finally {
      this.#waiting.delete(place)
    }
  }

  #current(): Server {
    const { cert, clientCa, key } = this.#pem()
    const now = this.#now
    if (this.#server !== undefined && now?.cert === cert && now.key === key && now.clientCa === clientCa)
      return this.#server
    this.#binding = endPointHash(new X509Certificate(cert).raw)
    this.#now = { key, cert, clientCa }
    // A new one, not a new context: the old one's tickets would go on vouching for certificates of a CA that is trusted no more.
    this.#server = this.#create(this.#now)
    return this.#server
  }

  #create({ cert, clientCa, key }: Pem): Server {
    const context = { key, cert, minVersion: 'TLSv1.2', ...(clientCa === undefined ? {} : { ca: clientCa }) } as const
    // Whoever names a CA means that one, also where it is not the root: the root may have signed others. Node 24 lets a server say so by name only.
    const partial = createSecureContext({ ...context, allowPartialTrustChain: true })
    const server = createServer({
      ...context,
      SNICallback: (_name, done) => done(null, partial),
      handshakeTimeout: HANDSHAKE_MS,
      requestCert: clientCa !== undefined,
      // A certificate that does not verify is no certificate; the person may still sign in otherwise.
      rejectUnauthorized: false,
      ALPNCallback: ({ protocols }) => (protocols.includes('postgresql') ? 'postgresql' : undefined),
    })
    server.on('secureConnection', (stream) => {
      stream.on('error', () => stream.destroy())
      const waiting = this.#waiting.get(placeOf(stream))
      if (waiting === undefined) stream.destroy()
      else waiting.resolve(stream)
    })
    server.on('tlsClientError', (failure, stream) => {
      this.#waiting.get(placeOf(stream))?.reject(new MalformedMessage('TLS handshake', { cause: failure }))
      stream.destroy()
    })
    return server
  }
}

const placeOf = (socket: Socket): string =>
  `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress} ${socket.localPort}`
