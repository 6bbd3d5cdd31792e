/** WebSockets of our own pages (RFC 6455): who may open one, and that the other end is still there. */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import type { Log } from '../model/log.ts'
import type { PageGuest } from '../session/session.ts'
import { cookieOf, SESSION_COOKIE } from './cookies.ts'
import type { BrowserSession, FrontDesk } from './parts.ts'
import { addressOf, isToken } from './visitor.ts'

const HELLO_MS = 10_000
/** A line that does not answer twice in a row is lost. */
const PING_MS = 15_000
const MOST_OPEN = 1000
const MOST_OF_ONE = 48
/** That a page has not read: what it says of itself opens windows, so what the network says is looked at as well. More than any window of a page. */
const MOST_UNREAD = 4 * 1024 * 1024
const GOING_AWAY = 1001
export const POLICY = 1008

/** What is behind a path. */
export type PageDoor = {
  /** Bytes of one message. */
  readonly most: number
  /** The first message; undefined when it is none of ours. `csrf` proves the page. */
  hello(message: unknown): { readonly csrf: string; lead(line: WebSocket, guest: PageGuest): void } | undefined
}

export type PageSocketsParts = {
  readonly identity: Pick<FrontDesk, 'session'>
  /** By path. */
  readonly doors: Readonly<Record<string, PageDoor>>
  readonly publicUrl: URL
  readonly log: Log
}

type Arrival = { readonly session: BrowserSession; readonly guest: PageGuest }

export class PageSockets {
  readonly #parts: PageSocketsParts
  readonly #servers: ReadonlyMap<string, { readonly door: PageDoor; readonly server: WebSocketServer }>
  /** Lines, and the browser session behind each. */
  readonly #open = new Map<WebSocket, string>()

  constructor(parts: PageSocketsParts) {
    this.#parts = parts
    this.#servers = new Map(
      Object.entries(parts.doors).map(([path, door]) => {
        const server = new WebSocketServer({ noServer: true, maxPayload: door.most, perMessageDeflate: false })
        return [path, { door, server }]
      }),
    )
  }

  /** The socket is TLS already, and the host name ours. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    void this.#upgrade(request, socket, head).catch((error: unknown) => {
      this.#parts.log({ level: 'error', room: 'portal', message: 'a page could not open its socket', error })
      turnAway(socket, 503)
    })
  }

  close(): void {
    for (const line of this.#open.keys()) line.close(GOING_AWAY)
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const behind = this.#servers.get(request.url ?? '')
    const arrival = behind === undefined ? 404 : await this.#recognise(request)
    if (socket.destroyed) return
    if (behind === undefined || typeof arrival === 'number')
      turnAway(socket, typeof arrival === 'number' ? arrival : 404)
    // Counted where the line begins: of several that come at once none is overlooked.
    else if (this.#isFull(arrival.guest.seat)) turnAway(socket, 503)
    else behind.server.handleUpgrade(request, socket, head, (line) => this.#welcome(line, behind.door, arrival))
  }

  /** Cookies alone prove nothing about the page that asks: browsers send them along with sockets of any site. */
  async #recognise(request: IncomingMessage): Promise<Arrival | number> {
    const { identity, publicUrl } = this.#parts
    const { headers, method } = request
    if (method !== 'GET') return 404
    const site = headers['sec-fetch-site']
    if (headers.origin !== publicUrl.origin || (site !== undefined && site !== 'same-origin')) return 403
    const cookie = cookieOf(headers.cookie, SESSION_COOKIE)
    const session = cookie === undefined ? undefined : await identity.session(cookie, { quiet: true })
    if (cookie === undefined || session === undefined) return 401
    return { session, guest: guestOf(identity, { cookie, session, address: addressOf(request), headers }) }
  }

  #isFull(seat: string): boolean {
    const own = [...this.#open.values()].filter((other) => other === seat).length
    return own >= MOST_OF_ONE || this.#open.size >= MOST_OPEN
  }

  #welcome(line: WebSocket, door: PageDoor, { session, guest }: Arrival): void {
    this.#open.set(line, guest.seat)
    // What breaks the protocol is answered and closed by the library; this only keeps it from ending the process.
    line.on('error', () => undefined)
    let answers = true
    const pings = setInterval(() => {
      if (!answers) return line.terminate()
      answers = false
      return line.ping()
    }, PING_MS)
    const late = setTimeout(() => line.close(POLICY, 'Say what you want.'), HELLO_MS)
    line.on('pong', () => {
      answers = true
    })
    // Everything that makes us answer, or send more.
    const heard = () => {
      if (line.bufferedAmount > MOST_UNREAD) line.terminate()
    }
    line.on('message', heard)
    line.on('ping', heard)
    line.once('close', () => {
      clearInterval(pings)
      clearTimeout(late)
      this.#open.delete(line)
    })
    line.once('message', (data, isBinary) => {
      clearTimeout(late)
      const hello = isBinary ? undefined : door.hello(jsonOf(data))
      if (hello === undefined || !isToken(hello.csrf, session)) return line.close(POLICY, 'Reload the page.')
      return hello.lead(line, guest)
    })
  }
}

/** A visitor as other rooms know one. */
export function guestOf(
  identity: Pick<FrontDesk, 'session'>,
  from: {
    readonly cookie: string
    readonly session: BrowserSession
    readonly address: string
    readonly headers: IncomingMessage['headers']
  },
): PageGuest {
  return {
    identity: from.session.identity,
    seat: seatOf(from.cookie),
    address: from.address,
    browser: from.headers['user-agent'] ?? '',
    still: async (isActive) => (await identity.session(from.cookie, { quiet: !isActive }))?.identity,
  }
}

/** Names a browser session without its secret. */
export const seatOf = (cookie: string): string => hash('sha256', `seat ${cookie}`, 'base64url')

/** Undefined for what is no JSON. */
export function jsonOf(data: RawData): unknown {
  try {
    return Buffer.isBuffer(data) ? JSON.parse(data.toString('utf8')) : undefined
  } catch {
    return undefined
  }
}

function turnAway(socket: Duplex, status: number): void {
  const words = { 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found' }[status] ?? 'Service Unavailable'
  socket.end(`HTTP/1.1 ${status} ${words}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
