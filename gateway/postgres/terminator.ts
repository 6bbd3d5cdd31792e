/** Listens for PostgreSQL clients and leads each through start-up, sign-in and admission to the relay. */
import { createServer, type Server, type Socket } from 'node:net'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import type { Target } from '../model/target.ts'
import { SharedReads, type SqlAsk, type PageGuest, type SqlPages, type SqlWire } from '../session/session.ts'
import { isLoopback } from './address.ts'
import { CancelKeys } from './cancel.ts'
import { Connection, type ConnectionParts } from './connection.ts'
import { fatal } from './deny.ts'
import { greet, type Line } from './greeting.ts'
import { MachineGrants } from './machine-grant.ts'
import type { PostgresParts, RoleIntent } from './parts.ts'
import { PageSession } from './page/page-session.ts'
import { Provisioner } from './provision.ts'
import { Closed } from './reader.ts'
import { ownLeases, SignInDoor } from './sign-in.ts'
import { TlsDoor } from './tls-door.ts'

export type ListenOptions = { readonly host: string; readonly port: number; readonly reusePort?: boolean }

export type PostgresTerminator = SqlPages & {
  /** Resolves with the port. */
  listen(options: ListenOptions): Promise<{ readonly port: number }>
  /** A CancelRequest that came to another worker. Wrong keys do nothing. */
  cancel(processId: number, key: Buffer): void
  /**
   * Drops roles that a dead process left behind on the targets that are provisioned. `keep` says whether an intent is still somebody's
   * (its holder is alive and its grant is live); roles of this deployment without any intent are dropped too. A target that cannot be
   * reached is logged and left for the next time.
   * @returns the names of the roles dropped.
   */
  sweep(
    targets: readonly Target[],
    keep: (intent: RoleIntent) => boolean | Promise<boolean>,
  ): Promise<readonly string[]>
  /** Stops listening; sessions may go on for `graceMs`, then every client is told why. Drops the roles that this process made. */
  close(graceMs?: number): Promise<void>
}

const READ = 64 * 1024
/** From the first byte to the end of the login; waiting for a person does not count. */
const LOGIN_MS = 60_000
/** Connections that have not signed in yet. */
const MAX_STRANGERS = 500
const MAX_STRANGERS_PER_ADDRESS = 60

export function createPostgresTerminator(parts: PostgresParts): PostgresTerminator {
  return new Terminator(parts)
}

class Terminator implements PostgresTerminator {
  readonly #parts: PostgresParts
  readonly #tls: TlsDoor
  readonly #cancels: CancelKeys
  readonly #reads = new SharedReads({ bytes: READ, lends: false })
  readonly #machineGrants: MachineGrants
  readonly #signIns: SignInDoor
  readonly #provisioner: Provisioner
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #strangers = new Map<string, number>()
  #strangerCount = 0
  #servers: Server[] = []

  constructor(parts: PostgresParts) {
    const { access, open, edge, upstream } = parts
    const { settings, log, audit } = edge
    this.#parts = parts
    this.#tls = new TlsDoor(() => edge.tls())
    this.#cancels = new CancelKeys(settings.worker)
    const leases = access.leases ?? ownLeases(open.clock)
    const { signIns, tokens, bearer, machines } = access
    const { clock } = open
    this.#signIns = new SignInDoor({
      signIns,
      tokens,
      leases,
      bearer,
      machines,
      clock,
      leaseMinutes: settings.leaseMinutes,
    })
    this.#machineGrants = new MachineGrants({ desk: access.desk, target: access.admit.target })
    this.#provisioner = new Provisioner({ upstream, clock: open.clock, log, audit, settings })
  }

  async listen({ host, port, reusePort = false }: ListenOptions): Promise<{ readonly port: number }> {
    const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (socket) =>
      this.#accept(socket),
    )
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, reusePort }, () => {
        server.off('error', reject)
        resolve()
      })
    })
    server.on('error', (error) =>
      this.#parts.edge.log({ level: 'error', room: 'postgres', message: 'listener', error }),
    )
    this.#servers.push(server)
    const address = server.address()
    return { port: typeof address === 'object' && address !== null ? address.port : port }
  }

  open(wire: SqlWire, guest: PageGuest, ask: SqlAsk): void {
    const { open, edge } = this.#parts
    const page = new PageSession({
      wire,
      guest,
      ask,
      clock: open.clock,
      log: edge.log,
      connect: (client) => this.#connection({ ...client, signedIn: () => undefined, waits: () => undefined }),
      cancel: (processId, key) => this.#cancels.use(processId, key),
    })
    const run = page.run()
    this.#running.add(run)
    void run.finally(() => this.#running.delete(run))
  }

  cancel(processId: number, key: Buffer): void {
    this.#cancels.use(processId, key)
  }

  async sweep(
    targets: readonly Target[],
    keep: (intent: RoleIntent) => boolean | Promise<boolean>,
  ): Promise<readonly string[]> {
    const dropped = await Promise.all(
      targets.map((target) =>
        this.#provisioner.sweep(target, keep).catch((error: unknown) => {
          const details = { target: target.name }
          this.#parts.edge.log({ level: 'warn', room: 'postgres', message: 'a sweep failed', details, error })
          return []
        }),
      ),
    )
    return dropped.flat()
  }

  async close(graceMs = 0): Promise<void> {
    const closed = this.#servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve())
        }),
    )
    if (graceMs > 0) await this.#drained(graceMs)
    this.#closing.abort(new Refusal('UNAVAILABLE', 'The gateway is stopping.', { next: 'Connect again.' }))
    await Promise.all(this.#running)
    await this.#provisioner.close()
    await Promise.all(closed)
  }

  /** All connections have ended, or the time is over. */
  async #drained(graceMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs)
    })
    await Promise.race([Promise.all(this.#running), late])
    clearTimeout(timer)
  }

  #accept(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    const address = (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
    const here = this.#strangers.get(address) ?? 0
    if (this.#strangerCount >= MAX_STRANGERS || here >= MAX_STRANGERS_PER_ADDRESS || this.#closing.signal.aborted) {
      socket.destroy()
      return
    }
    this.#strangerCount += 1
    this.#strangers.set(address, here + 1)
    let isStranger = true
    const known = () => {
      if (!isStranger) return
      isStranger = false
      this.#strangerCount -= 1
      const left = (this.#strangers.get(address) ?? 1) - 1
      if (left > 0) this.#strangers.set(address, left)
      else this.#strangers.delete(address)
    }
    const run = this.#meet(socket, address, known).finally(known)
    this.#running.add(run)
    void run.finally(() => this.#running.delete(run))
  }

  /** Never throws: whatever goes wrong with one connection ends that connection. */
  async #meet(socket: Socket, address: string, known: () => void): Promise<void> {
    const line: Line = { stream: socket }
    const deadline = setTimeout(() => line.stream.destroy(), LOGIN_MS)
    try {
      const plaintextIsFine = this.#parts.edge.settings.allowPlaintext && isLoopback(address)
      const greeted = await greet(line, this.#tls, plaintextIsFine)
      if (greeted.type === 'cancel') {
        this.#cancelRequest(greeted.processId, greeted.key)
        socket.end()
        return
      }
      const connection = this.#connection({
        client: greeted,
        address,
        signedIn: () => {
          clearTimeout(deadline)
          known()
        },
        waits: () => clearTimeout(deadline),
      })
      await connection.run()
    } catch (failure) {
      this.#part(line.stream, failure)
    } finally {
      clearTimeout(deadline)
    }
  }

  #connection(client: Pick<ConnectionParts, 'client' | 'address' | 'known' | 'signedIn' | 'waits'>): Connection {
    return new Connection({
      ...client,
      parts: this.#parts,
      cancels: this.#cancels,
      reads: this.#reads,
      machineGrants: this.#machineGrants,
      signIns: this.#signIns,
      provisioner: this.#provisioner,
      closing: this.#closing.signal,
    })
  }

  #cancelRequest(processId: number, key: Buffer): void {
    const { edge } = this.#parts
    const worker = CancelKeys.workerOf(processId)
    if (worker === edge.settings.worker) this.#cancels.use(processId, key)
    else edge.cancelElsewhere?.(worker, processId, key)
  }

  #part(stream: Socket, failure: unknown): void {
    if (failure instanceof Closed || stream.destroyed) {
      stream.destroy()
      return
    }
    const expected = failure instanceof Refusal || failure instanceof MalformedMessage
    if (!expected || failure.cause !== undefined)
      this.#parts.edge.log({
        level: expected ? 'warn' : 'error',
        room: 'postgres',
        message: expected ? 'a connection was refused' : 'a connection failed',
        error: failure,
      })
    stream.resume()
    stream.end(fatal(failure))
    const destroy = setTimeout(() => stream.destroy(), 1000)
    stream.once('close', () => clearTimeout(destroy))
  }
}
