/** Our client side towards a target: one pool of connections per recorded session, so that no connection ever serves two people. */
import type { Duplex } from 'node:stream'
import { Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { Pool } from 'undici'
import { Refusal } from '../model/refusal.ts'
import type { HttpEndpoint } from '../model/target.ts'
import type { Admission } from '../session/session.ts'
import { HttpRefusal } from './deny.ts'
import { KeptLine } from './kept-line.ts'
import type { HttpParts } from './parts.ts'

const CONNECT_MS = 10_000
const MOST_CONNECTIONS = 128
/** An answer's headers, as much as a browser is sent by anybody. */
const HEADER_BYTES = 64 * 1024

export type UpstreamParts = Pick<HttpParts, 'upstream' | 'settings'> & {
  readonly admission: Admission
  readonly endpoint: HttpEndpoint
  /** Aborts when the session is over. */
  readonly ended: AbortSignal
}

export class Upstream {
  readonly #parts: UpstreamParts
  readonly pool: Pool
  #fresh: Pool | undefined
  #ownsReads = true
  #tls: Promise<ConnectionOptions> | undefined
  #authorization: Promise<string | undefined> | undefined

  constructor(parts: UpstreamParts) {
    this.#parts = parts
    this.pool = this.#poolOf(1)
  }

  /** Of connections that nothing was asked over before. */
  get fresh(): Pool {
    this.#fresh ??= this.#poolOf(0)
    return this.#fresh
  }

  /** @param pipelining 0: no connection is kept. */
  #poolOf(pipelining: 0 | 1): Pool {
    return new Pool(this.#parts.endpoint.url, {
      connections: MOST_CONNECTIONS,
      pipelining,
      allowH2: false,
      maxHeaderSize: HEADER_BYTES,
      // Whoever asks looks after silence: event streams may be silent, and a timer for each request is dear.
      headersTimeout: 0,
      bodyTimeout: 0,
      ...(pipelining === 0
        ? { connect: (_, callback) => void this.#connect(callback) }
        : {
            factory: (origin, options) => new KeptLine(origin, options, (callback) => void this.#connect(callback)),
          }),
    })
  }

  /** Whether the memory of what was read belongs to nobody else: so it is with sockets, and TLS decrypts into memory of its own. A tunnel's frames are the tunnel's. */
  get ownsReads(): boolean {
    return this.#ownsReads
  }

  async #connect(callback: (...result: [null, Socket] | [Error, null]) => void): Promise<void> {
    let line: Duplex
    try {
      line = await this.line()
    } catch (failure) {
      callback(failure instanceof Error ? failure : new Error(String(failure)), null)
      return
    }
    // Everything that is asked of a socket here, other streams have as well.
    callback(null, line as Socket)
  }

  /** A connection of its own, TLS where the target has it. @throws {Refusal} */
  async line(): Promise<Duplex> {
    const { upstream, settings, admission, endpoint, ended } = this.#parts
    // Ends the attempt, not the line: a line that is there lives as long as the session.
    const attempt = new AbortController()
    const late = setTimeout(() => attempt.abort(tooSlow()), settings.connectMs ?? CONNECT_MS)
    const signal = AbortSignal.any([ended, attempt.signal])
    try {
      const line = await upstream.dial(admission, signal)
      if (endpoint.url.startsWith('https:')) return await secured(line, await this.#options(), signal)
      if (!(line instanceof Socket)) this.#ownsReads = false
      return line
    } finally {
      clearTimeout(late)
    }
  }

  #options(): Promise<ConnectionOptions> {
    this.#tls ??= this.#readOptions()
    return this.#tls
  }

  async #readOptions(): Promise<ConnectionOptions> {
    const { upstream, endpoint } = this.#parts
    const { certificate } = endpoint
    const own =
      certificate === undefined ? {} : { cert: certificate.certificate, key: await upstream.secret(certificate.key) }
    const name = new URL(endpoint.url).hostname.replaceAll(/^\[|\]$/g, '')
    return {
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      host: name,
      // An address is no name for SNI (RFC 6066 §3); the certificate is checked against it all the same.
      ...(/^[\d.]+$|:/.test(name) ? {} : { servername: name }),
      ...(endpoint.ca === undefined ? {} : { ca: endpoint.ca, allowPartialTrustChain: true }),
      ...own,
    }
  }

  /** What the gateway itself shows the application. */
  authorization(): Promise<string | undefined> {
    this.#authorization ??= this.#readAuthorization()
    return this.#authorization
  }

  async #readAuthorization(): Promise<string | undefined> {
    const { upstream, endpoint } = this.#parts
    const { credential } = endpoint
    if (credential === undefined) return undefined
    const read = async (ref: string) => (await upstream.secret(ref)).toString('utf8').trim()
    if (credential.kind === 'bearer') return `Bearer ${await read(credential.token)}`
    const login = `${credential.username}:${await read(credential.password)}`
    return `Basic ${Buffer.from(login).toString('base64')}`
  }

  /** At once. */
  destroy(): void {
    for (const pool of [this.pool, this.#fresh]) void pool?.destroy().catch(() => undefined)
  }
}

function secured(line: Duplex, options: ConnectionOptions, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ ...options, socket: line })
    const done = (failure?: Error) => {
      signal.removeEventListener('abort', abort)
      socket.off('error', done)
      socket.on('error', () => undefined)
      if (failure === undefined) resolve(socket)
      else {
        socket.destroy()
        line.destroy()
        const why = 'its certificate or its TLS cannot be trusted.'
        reject(
          failure instanceof Refusal
            ? failure
            : new Refusal('TARGET_UNREACHABLE', `The application cannot be reached: ${why}`, { cause: failure }),
        )
      }
    }
    const abort = () => done(signal.reason instanceof Refusal ? signal.reason : tooSlow())
    socket.once('error', done)
    socket.once('secureConnect', () => done())
    line.once('close', () => socket.destroy())
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}

/** Closed or reset, as the connection says it; not an answer that cannot be read. */
export const isBroken = (failure: Error): boolean =>
  'code' in failure && ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(String(failure.code))

export const tooSlow = (): Refusal =>
  new HttpRefusal(504, 'TARGET_UNREACHABLE', 'The application did not answer in time.', { next: 'Try again.' })
