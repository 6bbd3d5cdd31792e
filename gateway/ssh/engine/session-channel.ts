/** A client's session channel: first its wishes, then talk with our own command line, then perhaps a hand-over to the relay. */
import type { Seated, SessionChannel, SessionRequest, Terminal } from './contract.ts'
import type { ChannelEvents, Stream } from './channel.ts'
import type { ClientLeg } from './client-leg.ts'
import { isSignal, readRequest, readSignal, readSize, readTerminal, readVariable } from './terminal.ts'
import { type Reader, uint32 } from './wire.ts'

/** What the relay listens to once it has the channel, its data lent until the call returns. */
export type Taker = {
  data(bytes: Buffer): void
  eof(): void
  closed(): void
  /** The client reads no more output. */
  endOfWrite(): void
}

export class ClientChannel implements SessionChannel {
  readonly environment = new Map<string, string>()
  readonly #onStart: (channel: ClientChannel) => void
  readonly #gone = new AbortController()
  readonly #resized = new Set<(terminal: Terminal) => void>()
  readonly #signalled = new Set<(name: string) => void>()
  readonly #input: Buffer[] = []
  #channel: ClientLeg | undefined
  #request: SessionRequest | undefined
  #terminal: Terminal | undefined
  #wake: (() => void) | undefined
  #taker: Taker | undefined
  #ended = false

  constructor(onStart: (channel: ClientChannel) => void) {
    this.#onStart = onStart
  }

  /** To be given to {@link Channels}; then {@link attach}. */
  readonly events: ChannelEvents = {
    borrows: true,
    data: (bytes, stream) => this.#data(bytes, stream),
    eof: () => {
      this.#taker?.eof()
      this.#wake?.()
    },
    request: (type, body) => this.#asked(type, body),
    closed: () => this.#closed(),
  }

  attach(channel: ClientLeg): void {
    this.#channel = channel
  }

  get channel(): ClientLeg {
    if (this.#channel === undefined) throw new Error('The channel is not open yet.')
    return this.#channel
  }

  get request(): SessionRequest {
    if (this.#request === undefined) throw new Error('Nothing was asked for yet.')
    return this.#request
  }

  get terminal(): Terminal | undefined {
    return this.#terminal
  }

  get closed(): AbortSignal {
    return this.#gone.signal
  }

  async read(signal?: AbortSignal): Promise<Buffer | undefined> {
    while (true) {
      signal?.throwIfAborted()
      const bytes = this.#input.shift()
      if (bytes !== undefined) {
        this.channel.credit(bytes.length)
        return bytes
      }
      if (this.#gone.signal.aborted || this.channel.receivedEof) return undefined
      await this.#changed(signal)
    }
  }

  unread(bytes: Buffer): void {
    if (bytes.length === 0) return
    // Its window was given back already; the relay will give back as much again, which the next bytes pay for.
    this.channel.credit(-bytes.length)
    this.#input.unshift(bytes)
  }

  write(data: string | Uint8Array): Promise<void> {
    return this.#say(data, 0)
  }

  writeError(data: string | Uint8Array): Promise<void> {
    return this.#say(data, 1)
  }

  onResize(listener: (terminal: Terminal) => void): () => void {
    this.#resized.add(listener)
    return () => this.#resized.delete(listener)
  }

  onSignal(listener: (name: string) => void): () => void {
    this.#signalled.add(listener)
    return () => this.#signalled.delete(listener)
  }

  end(exitCode: number): Promise<void> {
    if (this.#ended) return Promise.resolve()
    this.#ended = true
    const { channel } = this
    channel.eof()
    channel.after(() => channel.tell('exit-status', uint32(exitCode)))
    channel.close()
    return new Promise((resolve) => {
      if (this.#gone.signal.aborted || !channel.isOpen) resolve()
      else this.#gone.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  /** Everything that arrives goes there from now on, first what was not read yet. */
  take(taker: Taker): void {
    if (this.#taker !== undefined) throw new Error('The channel was handed over before.')
    this.#taker = taker
    this.#ended = true
    for (const bytes of this.#input.splice(0)) taker.data(bytes)
    if (this.channel.receivedEof) taker.eof()
    if (this.#gone.signal.aborted) taker.closed()
  }

  #say(data: string | Uint8Array, stream: Stream): Promise<void> {
    const bytes = Buffer.from(data as Uint8Array)
    const { channel } = this
    if (!channel.isOpen || this.#gone.signal.aborted || bytes.length === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        this.#gone.signal.removeEventListener('abort', done)
        resolve()
      }
      this.#gone.signal.addEventListener('abort', done, { once: true })
      channel.send(bytes, stream, done)
    })
  }

  #data(bytes: Buffer, stream: Stream): void {
    // Clients have no second stream (RFC 4254 §5.2).
    if (stream === 1) return this.channel.credit(bytes.length)
    if (this.#taker !== undefined) return this.#taker.data(bytes)
    // A copy: what is read here may be kept.
    this.#input.push(Buffer.from(bytes))
    this.#wake?.()
    return undefined
  }

  #asked(type: string, body: Reader): boolean {
    switch (type) {
      case 'pty-req':
        if (this.#request !== undefined || this.#terminal !== undefined) return false
        this.#terminal = readTerminal(body)
        return true
      case 'env':
        return this.#request === undefined && readVariable(this.environment, body)
      case 'shell':
      case 'exec':
      case 'subsystem':
        return this.#start(type, body)
      case 'window-change':
        return this.resize(readSize(body))
      case 'signal':
        return this.signal(readSignal(body))
      case 'eow@openssh.com':
        this.#taker?.endOfWrite()
        return true
      default:
        // Agent, X11 and whatever else: refused on purpose.
        return false
    }
  }

  #start(type: string, body: Reader): boolean {
    if (this.#request !== undefined) return false
    const request = readRequest(type, body)
    if (request === undefined) return false
    this.#request = request
    // The answer goes out first.
    queueMicrotask(() => this.#onStart(this))
    return true
  }

  /** What a client that speaks no SSH wants; everything at once. */
  seat({ environment, request, terminal }: Seated): void {
    for (const [name, value] of Object.entries(environment)) this.environment.set(name, value)
    this.#terminal = terminal
    this.#request = request
  }

  signal(name: string | undefined): boolean {
    if (name === undefined || !isSignal(name) || this.#request === undefined) return false
    for (const listener of this.#signalled) listener(name)
    return true
  }

  resize(size: Omit<Terminal, 'type' | 'modes'>): boolean {
    if (this.#terminal === undefined) return false
    this.#terminal = { ...this.#terminal, ...size }
    for (const listener of this.#resized) listener(this.#terminal)
    return true
  }

  #closed(): void {
    this.#gone.abort(new Error('The client closed the channel.'))
    this.#wake?.()
    if (this.#taker === undefined) this.channel.closeNow()
    else this.#taker.closed()
  }

  #changed(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#wake = undefined
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#wake = wake
      signal?.addEventListener('abort', wake, { once: true })
    })
  }
}
