/**
 * Agents at the ssh port: `agent/NAME`, by a key that was enrolled, and nothing else. An agent is never a person: it opens no session and
 * no connection; it may only offer the targets that it was enrolled for.
 */
import type { Duplex } from 'node:stream'
import type { Log } from '../model/log.ts'
import type { Attempt, Connection, Decision, ProvenKey } from './engine/contract.ts'

/** An agent whose key is bound: its name, and the targets that it may serve. */
export type BoundAgent = { readonly name: string; readonly fingerprint: string; readonly targets: readonly string[] }

/** What the ssh door asks of whoever keeps agents. tunnels/ fits. */
export type AgentBook = {
  isAwaited(agent: string): Promise<boolean>
  enrol(
    agent: string,
    enrolment: {
      readonly secret: string
      readonly fingerprint: string
      readonly shellKey: string
      readonly address: string
    },
  ): Promise<BoundAgent | undefined>
  known(agent: string, fingerprint: string): Promise<BoundAgent | undefined>
  join(
    agent: BoundAgent,
    line: {
      readonly address: string
      readonly version: string
      open(target: string, port: number): Promise<Duplex>
      cut(why: string): void
    },
  ): { offer(target: string, port: number): boolean; leave(): void }
}

export type AgentParts = {
  readonly book: AgentBook
  /** So that an agent knows when it holds a line to each. */
  readonly worker: () => { readonly number: number; readonly count: number }
  readonly userAuthority: string
  readonly log: Log
}

const USERNAME = /^agent\/(?<name>[a-z][a-z0-9-]{0,62})$/
const MAX_FAILURES = 3
const REFUSED: Decision = { accept: false, methods: ['publickey'] }

/** Whether a user name can only be meant for an agent. */
export const isAgent = (username: string): boolean => username.startsWith('agent/')

/** One connection's sign-in, and its line afterwards. */
export class AgentGuest {
  readonly #parts: AgentParts
  readonly #connection: Connection
  #failures = 0
  /** Proven, not bound: only a token can make it more. */
  #candidate: ProvenKey | undefined
  #bound: BoundAgent | undefined

  constructor(parts: AgentParts, connection: Connection) {
    this.#parts = parts
    this.#connection = connection
  }

  async attempt(attempt: Attempt, signal: AbortSignal): Promise<Decision> {
    const name = USERNAME.exec(attempt.username)?.groups?.['name']
    if (attempt.method === 'none') return REFUSED
    if (name === undefined) return this.#no()
    try {
      const decision =
        attempt.method === 'publickey' ? await this.#byKey(name, attempt.key) : await this.#byToken(name, attempt.ask)
      return signal.aborted ? REFUSED : decision
    } catch (failure) {
      this.#parts.log({ level: 'warn', room: 'ssh', message: 'An agent could not sign in.', error: failure })
      return this.#no()
    }
  }

  /** Right after success was sent. */
  ready(): void {
    const bound = this.#bound
    const connection = this.#connection
    if (bound === undefined) return
    const joined = this.#parts.book.join(bound, {
      address: connection.origin.address,
      version: connection.clientVersion,
      open: (target, port) => connection.openForwarded(target, port),
      cut: (why) => connection.disconnect(why),
    })
    connection.onForwardIn((target, port) => joined.offer(target, port))
    if (connection.closed.aborted) joined.leave()
    else connection.closed.addEventListener('abort', () => joined.leave(), { once: true })
  }

  async #byKey(name: string, key: ProvenKey): Promise<Decision> {
    if (key.certificate !== undefined || key.type !== 'ssh-ed25519') return this.#no()
    const bound = await this.#parts.book.known(name, key.fingerprint)
    if (bound !== undefined) return this.#yes(bound)
    if (!(await this.#parts.book.isAwaited(name))) return this.#no()
    this.#candidate = key
    return { accept: false, partial: true, methods: ['keyboard-interactive'] }
  }

  async #byToken(name: string, ask: (Attempt & { readonly method: 'keyboard-interactive' })['ask']): Promise<Decision> {
    const key = this.#candidate
    if (key === undefined) return this.#no()
    const { book, userAuthority } = this.#parts
    const [secret = '', shellKey = ''] = await ask('sallyport-agent', userAuthority, [
      { prompt: 'token', echo: false },
      { prompt: 'shell key', echo: true },
    ])
    const { address } = this.#connection.origin
    const bound = await book.enrol(name, { secret, shellKey, address, fingerprint: key.fingerprint })
    return bound === undefined ? this.#no() : this.#yes(bound)
  }

  #yes(bound: BoundAgent): Decision {
    const { count, number } = this.#parts.worker()
    this.#bound = bound
    this.#connection.sendBanner(`sallyport worker ${number} of ${count}\n`)
    return { accept: true }
  }

  #no(): Decision {
    this.#failures += 1
    if (this.#failures >= MAX_FAILURES) this.#connection.disconnect('This agent is not known here.')
    return REFUSED
  }
}
