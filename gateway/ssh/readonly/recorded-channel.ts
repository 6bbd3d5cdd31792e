/** A client's channel whose every word goes through the session's road: keys are recorded before anybody sees them, output before it is shown. */
import type { Session } from '../../session/session.ts'
import type { SessionChannel, SessionRequest, Terminal } from '../engine/contract.ts'

export class RecordedChannel implements SessionChannel {
  readonly #channel: SessionChannel
  readonly #session: Session
  /** Recorded, and put back. */
  readonly #ahead: Buffer[] = []

  constructor(channel: SessionChannel, session: Session) {
    this.#channel = channel
    this.#session = session
  }

  get request(): SessionRequest {
    return this.#channel.request
  }
  get terminal(): Terminal | undefined {
    return this.#channel.terminal
  }
  get environment(): ReadonlyMap<string, string> {
    return this.#channel.environment
  }
  get closed(): AbortSignal {
    return this.#channel.closed
  }

  async read(signal?: AbortSignal): Promise<Buffer | undefined> {
    const ahead = this.#ahead.shift()
    if (ahead !== undefined) return ahead
    const { ended } = this.#session
    ended.throwIfAborted()
    const stop = new AbortController()
    const atEnd = () => stop.abort(ended.reason)
    const atSignal = () => stop.abort(signal?.reason)
    ended.addEventListener('abort', atEnd, { once: true })
    signal?.addEventListener('abort', atSignal, { once: true })
    if (signal?.aborted) atSignal()
    try {
      const bytes = await this.#channel.read(stop.signal)
      if (bytes !== undefined) await passed(this.#session, (go) => this.#session.road.bytes('i', bytes, go))
      return bytes
    } finally {
      ended.removeEventListener('abort', atEnd)
      signal?.removeEventListener('abort', atSignal)
    }
  }

  unread(bytes: Buffer): void {
    if (bytes.length > 0) this.#ahead.unshift(bytes)
  }

  write(data: string | Uint8Array): Promise<void> {
    return this.#say('o', data)
  }

  writeError(data: string | Uint8Array): Promise<void> {
    return this.#say('e', data)
  }

  onResize(listener: (terminal: Terminal) => void): () => void {
    return this.#channel.onResize(listener)
  }
  onSignal(listener: (name: string) => void): () => void {
    return this.#channel.onSignal(listener)
  }
  end(exitCode: number): Promise<void> {
    return this.#channel.end(exitCode)
  }

  async #say(kind: 'o' | 'e', data: string | Uint8Array): Promise<void> {
    const bytes = Buffer.from(data as Uint8Array)
    if (bytes.length === 0) return
    let taken: Promise<void> | undefined
    await passed(this.#session, (go) =>
      this.#session.road.bytes(kind, bytes, () => {
        taken = kind === 'o' ? this.#channel.write(bytes) : this.#channel.writeError(bytes)
        go()
      }),
    )
    await taken
  }
}

/** Resolves when the road let it pass. Rejects with the reason when the session ends instead. */
export function passed(session: Session, send: (go: () => void) => void): Promise<void> {
  const { ended } = session
  return new Promise((resolve, reject) => {
    const cut = () => reject(ended.reason)
    if (ended.aborted) return cut()
    ended.addEventListener('abort', cut, { once: true })
    send(() => {
      ended.removeEventListener('abort', cut)
      resolve()
    })
  })
}
