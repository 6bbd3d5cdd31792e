/** WebSockets of the web terminal (RFC 6455): who may open one, and frames on one side, typed messages on the other. */
import { hash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import type { Log } from '../model/log.ts'
import { MalformedMessage } from '../model/refusal.ts'
import type { FromPage, PageGuest, PageWire, Terminals, ToPage } from '../session/session.ts'
import { cookieOf, SESSION_COOKIE } from './cookies.ts'
import type { BrowserSession, FrontDesk } from './parts.ts'
import { fromPage, MOST_MESSAGE, TERMINAL_PATH, type ToPage as Written, terminalHello } from './schema/terminal.ts'
import { iso } from './views.ts'
import { addressOf, isToken } from './visitor.ts'

const HELLO_MS = 10_000
/** A line that does not answer twice in a row is lost. */
const PING_MS = 15_000
const MOST_OPEN = 1000
const GOING_AWAY = 1001
const POLICY = 1008

export type TerminalSocketsParts = {
  readonly identity: Pick<FrontDesk, 'session'>
  readonly terminals: Terminals
  readonly publicUrl: URL
  readonly log: Log
}

type Arrival = { readonly cookie: string; readonly session: BrowserSession; readonly request: IncomingMessage }

export class TerminalSockets {
  readonly #parts: TerminalSocketsParts
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: MOST_MESSAGE, perMessageDeflate: false })
  readonly #open = new Set<WebSocket>()

  constructor(parts: TerminalSocketsParts) {
    this.#parts = parts
  }

  /** The socket is TLS already, and the host name ours. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    void this.#upgrade(request, socket, head).catch((error: unknown) => {
      this.#parts.log({ level: 'error', room: 'portal', message: 'a terminal could not be opened', error })
      turnAway(socket, 503)
    })
  }

  close(): void {
    for (const line of this.#open) line.close(GOING_AWAY)
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const arrival = await this.#recognise(request)
    if (socket.destroyed) return
    if (typeof arrival === 'number') turnAway(socket, arrival)
    else this.#server.handleUpgrade(request, socket, head, (line) => this.#welcome(line, arrival))
  }

  /** Cookies alone prove nothing about the page that asks: browsers send them along with sockets of any site. */
  async #recognise(request: IncomingMessage): Promise<Arrival | number> {
    const { identity, publicUrl } = this.#parts
    const { headers, method, url = '' } = request
    if (url !== TERMINAL_PATH || method !== 'GET') return 404
    const site = headers['sec-fetch-site']
    if (headers.origin !== publicUrl.origin || (site !== undefined && site !== 'same-origin')) return 403
    const cookie = cookieOf(headers.cookie, SESSION_COOKIE)
    const session = cookie === undefined ? undefined : await identity.session(cookie, { quiet: true })
    if (cookie === undefined || session === undefined) return 401
    return this.#open.size >= MOST_OPEN ? 503 : { cookie, session, request }
  }

  #welcome(line: WebSocket, arrival: Arrival): void {
    this.#open.add(line)
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
    line.once('close', () => {
      clearInterval(pings)
      clearTimeout(late)
      this.#open.delete(line)
    })
    line.once('message', (data, isBinary) => {
      clearTimeout(late)
      const hello = isBinary ? undefined : terminalHello.safeParse(jsonOf(data)).data
      if (hello === undefined || !isToken(hello.csrf, arrival.session)) return line.close(POLICY, 'Reload the page.')
      return this.#lead(new SocketWire(line), this.#guest(arrival), hello)
    })
  }

  #lead(
    wire: PageWire,
    guest: PageGuest,
    hello: NonNullable<ReturnType<typeof terminalHello.safeParse>['data']>,
  ): void {
    const { terminals } = this.#parts
    const { columns, rows } = hello
    if (hello.kind === 'open')
      return terminals.open(wire, guest, { target: hello.target, role: hello.role, columns, rows })
    const { subject } = guest.identity
    return terminals.back(
      wire,
      { subject, seat: guest.seat, address: guest.address },
      { shell: hello.shell, from: hello.from, columns, rows },
    )
  }

  #guest({ cookie, session, request }: Arrival): PageGuest {
    return guestOf(this.#parts.identity, { cookie, session, address: addressOf(request), headers: request.headers })
  }
}

/** A visitor as ssh/ knows one. */
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

function turnAway(socket: Duplex, status: number): void {
  const words = { 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found' }[status] ?? 'Service Unavailable'
  socket.end(`HTTP/1.1 ${status} ${words}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}

function jsonOf(data: RawData): unknown {
  try {
    return Buffer.isBuffer(data) ? JSON.parse(data.toString('utf8')) : undefined
  } catch {
    return undefined
  }
}

/** @throws {MalformedMessage} */
function read(data: RawData, isBinary: boolean): FromPage | { readonly kind: 'beat' } {
  if (isBinary && Buffer.isBuffer(data)) return { kind: 'input', bytes: data }
  const { data: message } = fromPage.safeParse(isBinary ? undefined : jsonOf(data))
  if (message === undefined) throw new MalformedMessage('A message of a page that is none.')
  return message
}

function written(message: Exclude<ToPage, { kind: 'output' }>): Written {
  switch (message.kind) {
    case 'opened':
    case 'passkey':
      return { ...message, expiresAt: iso(message.expiresAt) }
    case 'notice':
      return { ...message, expiresAt: message.expiresAt === undefined ? null : iso(message.expiresAt) }
    case 'ended':
      return { ...message, exitCode: message.exitCode ?? null }
    case 'refused':
      return { ...message, next: message.next ?? null }
    case 'moved':
    case 'taken':
      return message
  }
  return message satisfies never
}

class SocketWire implements PageWire {
  readonly #line: WebSocket

  constructor(line: WebSocket) {
    this.#line = line
  }

  send(message: ToPage): void {
    if (this.#line.readyState !== this.#line.OPEN) return
    this.#line.send(message.kind === 'output' ? message.bytes : JSON.stringify(written(message)))
  }

  close(): void {
    this.#line.close(1000)
  }

  onMessage(listener: (message: FromPage) => void): void {
    this.#line.on('message', (data, isBinary) => {
      try {
        const message = read(data, isBinary)
        if (message.kind === 'beat') this.#line.send('{"kind":"beat"}')
        else listener(message)
      } catch (failure) {
        if (!(failure instanceof MalformedMessage)) throw failure
        this.#line.close(POLICY, failure.message)
      }
    })
  }

  onClose(listener: () => void): void {
    if (this.#line.readyState === this.#line.CLOSED) listener()
    else this.#line.once('close', listener)
  }
}
