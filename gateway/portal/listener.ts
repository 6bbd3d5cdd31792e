/** The TLS listener that the portal shares with the proxied web targets, over HTTP/2 and HTTP/1.1: each request says itself whose it is. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import {
  constants,
  createSecureServer,
  Http2ServerRequest,
  Http2ServerResponse,
  type Http2SecureServer,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext } from 'node:tls'
import { HTTP2_LIMITS, watchSession } from './http2-sessions.ts'
import type { Elsewhere, PortalSettings } from './parts.ts'

const OLDEST = { minVersion: 'TLSv1.2' } as const
const HANDSHAKE_MS = 10_000
const HEADERS_MS = 10_000
const REQUEST_MS = 30_000
const KEEP_ALIVE_MS = 60_000
const HEADER_BYTES = 16 * 1024
const HTTP1_LIMITS = {
  headersTimeout: HEADERS_MS,
  connectionsCheckingInterval: HEADERS_MS / 2,
  // Uploads to web targets take their time; the portal's own requests have a timer of their own.
  requestTimeout: 0,
  keepAliveTimeout: KEEP_ALIVE_MS,
  maxHeaderSize: HEADER_BYTES,
}
const MOST_NAMES = 100
const TAKES_LONG = 'sallyport:takes-long'

export type ListenerParts = {
  readonly settings: Pick<PortalSettings, 'tls' | 'publicUrl' | 'requestMs'>
  readonly portal: RequestListener
  readonly elsewhere: Elsewhere | undefined
  /** WebSockets for our own name. */
  readonly upgrade: Elsewhere['upgrade'] | undefined
}

/** Not yet listening. */
export function createListener({ settings, portal, elsewhere, upgrade }: ListenerParts): Http2SecureServer {
  const publicUrl = new URL(settings.publicUrl)
  const isOurs = remembered((host) => hostOf(host) === publicUrl.hostname)
  const server = createSecureServer({
    ...settings.tls,
    ...OLDEST,
    ...HTTP2_LIMITS,
    allowHTTP1: true,
    handshakeTimeout: HANDSHAKE_MS,
    noDelay: true,
    // An event stream to a machine that is gone would stay open for ever.
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    http1Options: HTTP1_LIMITS,
  })
  const request = (request: IncomingMessage, response: ServerResponse) => {
    if (isOurs(request.headers.host)) {
      inTime(request, settings.requestMs ?? REQUEST_MS)
      portal(request, response)
    } else if (elsewhere !== undefined) elsewhere.request(request, response)
    else misdirected(response, publicUrl)
  }
  server.on('request', request)
  // Who waits for a word before the body gets it from whoever wants the body.
  server.on('checkContinue', (asked: IncomingMessage, response: ServerResponse) => {
    if (isOurs(asked.headers.host)) response.writeContinue()
    request(asked, response)
  })
  server.on('session', (session: ServerHttp2Session) =>
    watchSession(session, { firstMs: HEADERS_MS, idleMs: KEEP_ALIVE_MS }),
  )
  // Node answers streams in the words of HTTP/1 by itself; here only the portal's.
  server.removeAllListeners('stream')
  server.on(
    'stream',
    (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _: number, fields: readonly string[]) => {
      stream.on('error', () => undefined)
      const { ':authority': authority, ':method': method, host = authority, expect } = headers
      // A CONNECT without a path is none that could be forwarded, and two names are two readings.
      if (method === 'CONNECT' || authority === undefined || host !== authority)
        stream.close(constants.NGHTTP2_PROTOCOL_ERROR)
      else if (!isOurs(authority) && elsewhere !== undefined) elsewhere.stream(stream, fields)
      else {
        if (expect?.toLowerCase() === '100-continue') stream.additionalHeaders({ ':status': 100 })
        const asked = new Http2ServerRequest(stream, { ...headers, host: authority }, {}, fields)
        asked.on('error', () => undefined)
        server.emit('request', asked, new Http2ServerResponse(stream))
      }
    },
  )
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // A socket that breaks before somebody took it must not end the process.
    socket.on('error', () => socket.destroy())
    const isForUs = isOurs(request.headers.host)
    if (isForUs && upgrade !== undefined) upgrade(request, socket, head)
    else if (!isForUs && elsewhere !== undefined) elsewhere.upgrade(request, socket, head)
    else socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  })
  return server
}

/** @returns the port. */
export async function startListening(
  server: Http2SecureServer,
  where: { readonly host: string; readonly port: number; readonly reusePort?: boolean },
): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...where }, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return (server.address() as AddressInfo).port
}

/** @throws {Error} when key and certificate do not fit each other. */
export function renewCertificate(server: Http2SecureServer, tls: PortalSettings['tls']): void {
  // Tried first: a server that has taken half of it would refuse everybody.
  createSecureContext({ ...tls, ...OLDEST })
  server.setSecureContext({ ...tls, ...OLDEST })
}

/** Keeps an eye on every connection, in whatever state, so that all of them can be ended. Call it before listening. */
export function watchConnections(server: Http2SecureServer): ReadonlySet<Socket> {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return open
}

/** No new connections; waits for answers under way, then ends what is left: half-made handshakes and upgraded sockets, too. */
export async function stopListening(
  server: Http2SecureServer,
  open: ReadonlySet<Socket>,
  graceMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  const grace = setTimeout(() => {
    for (const socket of open) socket.destroy()
  }, graceMs)
  await closed
  clearTimeout(grace)
}

/** Whoever asks says the same name each time, and to read it as an address is dear. */
function remembered(decide: (host: string | undefined) => boolean): (host: string | undefined) => boolean {
  const answers = new Map<string | undefined, boolean>()
  return (host) => {
    const known = answers.get(host)
    if (known !== undefined) return known
    if (answers.size >= MOST_NAMES) answers.clear()
    const answer = decide(host)
    answers.set(host, answer)
    return answer
  }
}

/** Lower case, without port; empty for a header that is no host. */
function hostOf(host: string | undefined): string {
  return host === undefined || !/^[\w.:[\]-]{1,255}$/.test(host) ? '' : (URL.parse(`https://${host}`)?.hostname ?? '')
}

/** For a body that may take its time: whoever reads it has a timer of its own. */
export const takesLong = (request: IncomingMessage): void => void request.emit(TAKES_LONG)

/** Counts until the request is there; the answer may be an event stream. */
function inTime(request: IncomingMessage | Http2ServerRequest, ms: number): void {
  const isWhole = () =>
    request instanceof Http2ServerRequest
      ? request.stream.endAfterHeaders || request.stream.readableEnded
      : request.complete
  const late = setTimeout(() => {
    if (!isWhole()) request.socket.destroy()
  }, ms)
  request.once(TAKES_LONG, () => clearTimeout(late))
  request.once('end', () => clearTimeout(late))
  request.once('close', () => clearTimeout(late))
}

function misdirected(response: ServerResponse, publicUrl: URL): void {
  response
    .writeHead(421, {
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      connection: 'close',
    })
    .end(`Nothing is served under this name. The gateway is at ${publicUrl.origin}\n`)
}
