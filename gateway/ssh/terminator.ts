/** The ssh door: takes connections from the engine, lets people in, and leads each channel to where it belongs. */
import { readTargetName, type TargetName } from '../model/target-name.ts'
import { admit, openSession } from '../session/session.ts'
import { AgentGuest, isAgent } from './agents.ts'
import { Authentication, type Person, stillSignedIn } from './auth.ts'
import { Doorstep, Entrance, Grace } from './auth-limits.ts'
import { serveChannel } from './channels.ts'
import { denial, noteRefused } from './deny.ts'
import type { Connection, Outcome, TcpipRequest } from './engine/contract.ts'
import { spanOf } from './commands/spans.ts'
import { DEFAULTS, type SshParts, type SshSettings } from './parts.ts'
import { tcpipRouteOf } from './route.ts'
import { plain } from './screen/text.ts'

export type SshDoor = {
  readonly port: number
  /** Stops listening, tells everybody, waits at most `graceMs` for sessions to end, then disconnects the rest. */
  close(graceMs: number): Promise<void>
}

export type SshTerminator = {
  listen(where: {
    readonly host: string
    readonly port: number
    readonly reusePort?: boolean | undefined
  }): Promise<SshDoor>
}

export function createSshTerminator(parts: SshParts): SshTerminator {
  const settings: SshSettings = { ...DEFAULTS, ...parts.settings }
  return {
    async listen({ host, port, reusePort = false }) {
      const house = new House(parts, settings)
      const server = parts.engine.server((connection) => house.receive(connection))
      const taken = await server.listen({ host, port, reusePort })
      house.isAt(taken)
      return {
        port: taken,
        async close(graceMs) {
          // Resolves only when the last connection is gone.
          const stopped = server.close()
          await house.close(graceMs)
          await stopped
        },
      }
    },
  }
}

const LAST_WORDS_MS = 2000
const CROWDED = 'Too many are signing in just now. Try again later.'
const FULL = 'Too many channels are open on this connection.'

/** Who is inside through one listening door. */
class House {
  #parts: SshParts
  readonly #settings: SshSettings
  readonly #entrance: Entrance
  readonly #guests = new Map<Connection, { readonly grace: Grace; busy: number; person: Person | undefined }>()
  readonly #closing = new AbortController()
  /** Channels on all connections, those included whose client has just left. */
  #running = 0
  #oneLess: () => void = () => undefined

  constructor(parts: SshParts, settings: SshSettings) {
    this.#parts = parts
    this.#settings = settings
    this.#entrance = new Entrance(settings.unsigned)
  }

  /** Where people reach us: what the config says, or the port that was free. */
  isAt(port: number): void {
    const { address } = this.#parts.settings
    if (address.port === 0)
      this.#parts = { ...this.#parts, settings: { ...this.#parts.settings, address: { ...address, port } } }
  }

  receive(connection: Connection): void {
    if (this.#closing.signal.aborted) return connection.disconnect('The gateway is closing.')
    const doorstep =
      connection.jump === undefined
        ? new Doorstep(this.#entrance, connection.origin.address, () => connection.disconnect(CROWDED))
        : undefined
    const grace = new Grace(this.#settings.graceMs, () => connection.disconnect('Signing in took too long.'))
    this.#guests.set(connection, { grace, busy: 0, person: undefined })
    const { agents } = this.#parts
    const agent = agents === undefined || connection.jump !== undefined ? undefined : new AgentGuest(agents, connection)
    connection.onReady(() => {
      grace.end()
      doorstep?.leave()
      agent?.ready()
    })
    connection.closed.addEventListener('abort', () => {
      grace.end()
      doorstep?.leave()
      this.#guests.delete(connection)
    })
    this.#authenticate(connection, doorstep, agent)
    connection.onSession((channel) => {
      const guest = this.#guests.get(connection)
      if (guest?.person === undefined || this.#closing.signal.aborted) {
        void channel.end(255)
        return
      }
      const { person } = guest
      void this.#busy(
        connection,
        guest,
        () => serveChannel(this.#parts, { connection, channel, person, closing: this.#closing.signal }),
        async () => {
          await channel.writeError(`No more than ${this.#settings.channels} channels at a time on one connection.\n`)
          await channel.end(1)
        },
      )
    })
    connection.onDirectTcpip((request) => this.#tcpip(connection, request))
  }

  async close(graceMs: number): Promise<void> {
    this.#closing.abort(`[sallyport] the gateway is closing. This session ends in ${spanOf(graceMs)}.`)
    await this.#quiet(graceMs)
    for (const connection of this.#guests.keys()) connection.disconnect('The gateway is closing.')
    // Recordings get their last words before the journal behind them closes.
    await this.#quiet(LAST_WORDS_MS)
  }

  /** Until nothing runs any more, at most so long. */
  async #quiet(ms: number): Promise<void> {
    const until = performance.now() + ms
    for (let left = ms; this.#running > 0 && left > 0; left = until - performance.now())
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#oneLess = () => {
          clearTimeout(timer)
          resolve()
        }
      })
  }

  #authenticate(connection: Connection, doorstep: Doorstep | undefined, agent: AgentGuest | undefined): void {
    const { jump } = connection
    if (jump !== undefined) {
      // The inner connection of ssh -J runs inside the outer one: whoever is there, is here.
      connection.onAuthentication(async () => {
        const outer = this.#guests.get(jump.outer)?.person
        const guest = this.#guests.get(connection)
        if (outer === undefined || guest === undefined) return { accept: false, methods: ['publickey'] }
        guest.person = { ...outer, named: { ...outer.named, place: readTargetName(jump.target) } }
        return { accept: true }
      })
      return
    }
    const { people, notes } = this.#parts
    const authentication = new Authentication(
      {
        signIns: people.signIns,
        clock: notes.clock,
        log: notes.log,
        boundForMs: this.#settings.keyBoundForMs,
        stillWaiting: () => {
          this.#guests.get(connection)?.grace.extend(this.#settings.graceMs)
          connection.extendGrace(this.#settings.graceMs)
        },
      },
      connection,
      this.#settings.maxFailures,
      (person) => {
        const guest = this.#guests.get(connection)
        if (guest !== undefined) guest.person = person
      },
    )
    connection.onAuthentication(async (attempt, signal) => {
      if ((await doorstep?.room(this.#settings.unsigned.patienceMs)) !== false)
        return agent !== undefined && isAgent(attempt.username)
          ? agent.attempt(attempt, signal)
          : authentication.attempt(attempt, signal)
      connection.disconnect(CROWDED)
      return { accept: false, methods: [] }
    })
  }

  #tcpip(connection: Connection, request: TcpipRequest): void {
    const guest = this.#guests.get(connection)
    if (guest?.person === undefined || this.#closing.signal.aborted) return request.refuse('Not now.')
    const { person } = guest
    const route = tcpipRouteOf(person.named.place, request.host, request.port)
    if (route.to === 'nowhere') return request.refuse(route.why)
    const inner = [...this.#guests.keys()].filter(({ jump }) => jump?.outer === connection).length
    if (route.to === 'jump' && inner < this.#settings.channels) return request.jump(route.host)
    if (route.to === 'jump') return request.refuse(FULL)
    void this.#busy(
      connection,
      guest,
      () => this.#forward(connection, person, request, route.place),
      async () => request.refuse(FULL),
    )
  }

  async #forward(connection: Connection, person: Person, request: TcpipRequest, place: TargetName): Promise<void> {
    const { road, engine, notes } = this.#parts
    try {
      await stillSignedIn(person)
      const { identity } = person
      const admission = await admit(road.admit, { identity, ...place, protocol: 'ssh' })
      const session = await openSession(road.open, admission, {
        account: engine.account(admission),
        channel: 'forward',
        command: plain(`${request.host}:${request.port}`, 300),
        clientAddress: connection.origin.address,
        clientVersion: connection.clientVersion,
        terminal: undefined,
      })
      let outcome: Outcome = { cause: 'failed', detail: '', exitCode: undefined }
      try {
        outcome = await engine.forward({ connection, request, session })
      } finally {
        await session.close(outcome)
      }
    } catch (failure) {
      const denied = denial(failure, notes.log)
      noteRefused(notes, person, place.target, failure)
      // Does nothing where the engine has answered already.
      request.refuse(denied.sentence)
    }
  }

  async #busy(
    connection: Connection,
    guest: { busy: number },
    work: () => Promise<void>,
    full: () => Promise<void>,
  ): Promise<void> {
    const hasRoom = guest.busy < this.#settings.channels
    guest.busy += 1
    this.#running += 1
    try {
      await (hasRoom ? work() : full())
    } catch (failure) {
      this.#parts.notes.log({ level: 'error', room: 'ssh', message: 'A channel broke.', error: failure })
      connection.disconnect('Something broke on our side.')
    } finally {
      guest.busy -= 1
      this.#running -= 1
      this.#oneLess()
    }
  }
}
