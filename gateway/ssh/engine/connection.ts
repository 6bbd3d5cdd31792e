/** One client connection as the front half sees it: transport, sign-in and channels put together, with limits of their own. */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { Authentication } from './authentication.ts'
import { Channels, type OpenRequest, PROHIBITED, UNKNOWN_TYPE } from './channels.ts'
import type { Authenticate, Connection, Jump, Origin, SessionChannel, TcpipRequest } from './contract.ts'
import { ChannelStream } from './duplex.ts'
import type { PublicKey } from './keys.ts'
import { ClientChannel } from './session-channel.ts'
import { Tcpip } from './tcpip.ts'
import { Transport, type TransportParts } from './transport.ts'
import { message, string, uint32 } from './wire.ts'

const MAX_CHANNELS = 10
/** No person is waited for until keys are agreed. */
const KEY_EXCHANGE_MS = 25_000
/** Sessions wait behind an agent's line: that it is gone must be seen soon. */
const AGENT_KEEPALIVE_MS = 8_000

export type IncomingParts = {
  readonly stream: Duplex
  readonly origin: Origin
  readonly jump: Jump | undefined
  readonly transport: Pick<TransportParts, 'ssh2' | 'ident' | 'offer' | 'role'>
  readonly authorities: readonly PublicKey[]
  readonly now: () => number
  readonly graceMs: number
  /** Serves the inner SSH of -J. */
  readonly serveInner: (stream: Duplex, origin: Origin, jump: Jump) => void
  readonly onSignedIn: () => void
}

export class Incoming implements Connection {
  readonly id = randomBytes(8).toString('hex')
  readonly origin: Origin
  readonly jump: Jump | undefined
  readonly #parts: IncomingParts
  readonly #transport: Transport
  readonly #authentication: Authentication
  readonly #channels: Channels
  readonly #gone = new AbortController()
  #grace: NodeJS.Timeout
  #username = ''
  #ready: (() => void) | undefined
  #session: ((channel: SessionChannel) => void) | undefined
  #tcpip: ((request: TcpipRequest) => void) | undefined
  #forwardIn: ((name: string, port: number) => boolean) | undefined

  constructor(parts: IncomingParts, onReady: (connection: Incoming) => void) {
    this.#parts = parts
    this.origin = parts.origin
    this.jump = parts.jump
    this.#transport = new Transport({
      ...parts.transport,
      stream: parts.stream,
      onReady: () => {
        clearTimeout(this.#grace)
        this.#grace = this.#startGrace(parts.graceMs)
        onReady(this)
      },
      onMessage: (payload) => this.#receive(payload),
      onDrain: () => this.#channels.pump(),
      onClose: () => this.#lose(),
    })
    this.#authentication = new Authentication({
      transport: this.#transport,
      proof: () => ({ authorities: parts.authorities, now: parts.now(), address: parts.origin.address }),
      inherits: parts.jump !== undefined,
      onSuccess: (username) => this.#succeeded(username),
    })
    this.#channels = new Channels({
      transport: this.#transport,
      onOpen: (request) => this.#open(request),
      most: MAX_CHANNELS,
      onForwardIn: (name, port) => this.#forwardIn?.(name, port) === true,
    })
    this.#grace = this.#startGrace(Math.min(parts.graceMs, KEY_EXCHANGE_MS))
  }

  get clientVersion(): string {
    return this.#transport.remoteVersion
  }

  get username(): string {
    return this.#username
  }

  get closed(): AbortSignal {
    return this.#gone.signal
  }

  onAuthentication(handler: Authenticate): void {
    this.#authentication.handle(handler)
  }

  onReady(listener: () => void): void {
    this.#ready = listener
  }

  onSession(listener: (channel: SessionChannel) => void): void {
    this.#session = listener
  }

  onDirectTcpip(listener: (request: TcpipRequest) => void): void {
    this.#tcpip = listener
  }

  onForwardIn(listener: (name: string, port: number) => boolean): void {
    this.#forwardIn = listener
  }

  async openForwarded(name: string, port: number): Promise<Duplex> {
    const stream = new ChannelStream()
    const channel = await this.#channels.open(
      'forwarded-tcpip',
      stream.events,
      string(name),
      uint32(port),
      string('gateway'),
      uint32(0),
    )
    stream.attach(channel)
    // It may have been closed in the same breath.
    if (stream.destroyed) channel.closeNow()
    return stream
  }

  sendBanner(text: string): void {
    this.#authentication.banner(text.replace(/\r?\n/g, '\r\n'))
  }

  sendIgnore(): void {
    this.#transport.send(message(2, string('')))
  }

  extendGrace(ms: number): void {
    if (this.#authentication.done || this.#gone.signal.aborted) return
    clearTimeout(this.#grace)
    this.#grace = this.#startGrace(ms)
  }

  disconnect(reason: string): void {
    // SSH_DISCONNECT_BY_APPLICATION
    this.#transport.disconnect(11, reason)
  }

  #startGrace(ms: number): NodeJS.Timeout {
    const timer = setTimeout(() => this.disconnect('Signing in took too long.'), ms)
    timer.unref()
    return timer
  }

  #receive(payload: Buffer): void {
    const type = payload[0] ?? 0
    if (type === 5) this.#authentication.receiveService(payload)
    else if (type === 6) this.disconnect('A message only servers send.')
    else if (type === 7) return
    else if (type < 80) this.#authentication.receive(payload)
    else if (this.#authentication.done) this.#channels.receive(payload)
    else this.disconnect('Sign in first.')
  }

  #succeeded(username: string): void {
    clearTimeout(this.#grace)
    this.#username = username
    this.#transport.keepAlive(username.startsWith('agent/') ? AGENT_KEEPALIVE_MS : undefined)
    this.#parts.onSignedIn()
    this.#ready?.()
  }

  #open(request: OpenRequest): void {
    if (request.type === 'session' && this.#session !== undefined) {
      const channel = new ClientChannel((started) => this.#session?.(started))
      channel.attach(request.accept(channel.events))
    } else if (request.type === 'direct-tcpip' && this.#tcpip !== undefined) {
      this.#tcpip(
        new Tcpip(request, (stream, target) => this.#parts.serveInner(stream, this.origin, { outer: this, target })),
      )
    } else if (request.type === 'session' || request.type === 'direct-tcpip') {
      request.refuse(PROHIBITED, 'Not here.')
    } else request.refuse(UNKNOWN_TYPE, 'Channels of this type are not served.')
  }

  #lose(): void {
    clearTimeout(this.#grace)
    this.#authentication.lose()
    this.#channels.lose()
    this.#gone.abort(new Error('The client left.'))
  }
}
