/** Turns accepted sockets into TLS sockets, with the certificate as it is at that moment. */
import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { MalformedMessage } from '../model/refusal.ts'
import { endPointHash } from './scram.ts'

export type Pem = { readonly key: string; readonly cert: string }

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
  readonly #clientCa: string | undefined
  readonly #waiting = new Map<string, Waiting>()
  #server: Server | undefined
  #now: Pem | undefined
  #binding: Buffer | undefined

  constructor(pem: () => Pem, clientCa: string | undefined) {
    this.#pem = pem
    this.#clientCa = clientCa
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
    const pem = this.#pem()
    if (this.#server !== undefined && this.#now?.cert === pem.cert && this.#now.key === pem.key) return this.#server
    this.#binding = endPointHash(new X509Certificate(pem.cert).raw)
    this.#now = { key: pem.key, cert: pem.cert }
    const context = { ...this.#now, ...(this.#clientCa === undefined ? {} : { ca: this.#clientCa }) }
    if (this.#server === undefined) this.#server = this.#create(context)
    else this.#server.setSecureContext({ ...context, minVersion: 'TLSv1.2' })
    return this.#server
  }

  #create(context: Pem & { readonly ca?: string }): Server {
    const server = createServer({
      ...context,
      minVersion: 'TLSv1.2',
      handshakeTimeout: HANDSHAKE_MS,
      requestCert: this.#clientCa !== undefined,
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

const placeOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort} ${socket.localPort}`
