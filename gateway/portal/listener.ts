/** The TLS listener that the portal shares with the proxied web targets: the Host header says whose request it is. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext } from 'node:tls'
import type { Elsewhere, PortalSettings } from './parts.ts'

const OLDEST = { minVersion: 'TLSv1.2' } as const
const HANDSHAKE_MS = 10_000
const HEADERS_MS = 10_000
const REQUEST_MS = 30_000
const KEEP_ALIVE_MS = 60_000
const HEADER_BYTES = 16 * 1024

export type ListenerParts = {
  readonly settings: Pick<PortalSettings, 'tls' | 'publicUrl'>
  readonly portal: RequestListener
  readonly elsewhere: Elsewhere | undefined
}

/** Not yet listening. */
export function createListener({ settings, portal, elsewhere }: ListenerParts): Server {
  const publicUrl = new URL(settings.publicUrl)
  const isOurs = (request: IncomingMessage) => hostOf(request) === publicUrl.hostname
  const server = createServer(
    {
      ...settings.tls,
      ...OLDEST,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: HANDSHAKE_MS,
      headersTimeout: HEADERS_MS,
      connectionsCheckingInterval: HEADERS_MS / 2,
      // Uploads to web targets take their time; the portal's own requests have a timer of their own.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEADER_BYTES,
      // An event stream to a machine that is gone would stay open for ever.
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    },
    (request, response) => {
      if (isOurs(request)) inTime(request, response, portal)
      else if (elsewhere !== undefined) elsewhere.request(request, response)
      else misdirected(response, publicUrl)
    },
  )
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // A socket that breaks before somebody took it must not end the process.
    socket.on('error', () => socket.destroy())
    if (!isOurs(request) && elsewhere !== undefined) elsewhere.upgrade(request, socket, head)
    else socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
  })
  return server
}

/** @returns the port. */
export async function startListening(
  server: Server,
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
export function renewCertificate(server: Server, tls: PortalSettings['tls']): void {
  // Tried first: a server that has taken half of it would refuse everybody.
  createSecureContext({ ...tls, ...OLDEST })
  server.setSecureContext({ ...tls, ...OLDEST })
}

/** Keeps an eye on every connection, in whatever state, so that all of them can be ended. Call it before listening. */
export function watchConnections(server: Server): ReadonlySet<Socket> {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return open
}

/** No new connections; waits for answers under way, then ends what is left: half-made handshakes and upgraded sockets, too. */
export async function stopListening(server: Server, open: ReadonlySet<Socket>, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const grace = setTimeout(() => {
    for (const socket of open) socket.destroy()
  }, graceMs)
  await closed
  clearTimeout(grace)
}

/** Lower case, without port; empty for a header that is no host. */
function hostOf(request: IncomingMessage): string {
  const { host } = request.headers
  return host === undefined || !/^[\w.:[\]-]{1,255}$/.test(host) ? '' : (URL.parse(`https://${host}`)?.hostname ?? '')
}

function inTime(request: IncomingMessage, response: ServerResponse, portal: RequestListener): void {
  const late = setTimeout(() => request.destroy(), REQUEST_MS)
  request.once('end', () => clearTimeout(late))
  request.once('close', () => clearTimeout(late))
  portal(request, response)
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
