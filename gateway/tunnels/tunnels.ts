/** Front door: agents, and the lines that they hold to this worker. A target behind an agent is reached through one of them. */
import type { Duplex } from 'node:stream'
import type { Audit, AuditEvent } from '../model/event.ts'
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Protocol } from '../model/target.ts'
import type { State } from '../state/state.ts'
import {
  type Bound,
  boundAgent,
  type Enrolment,
  enrol,
  isAwaited,
  issueToken,
  revokeAgent,
  shellKeyOf,
  targetsOf,
} from './enrolment.ts'

export type TunnelsParts = {
  readonly state: State
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
  /** Whose lines these are. */
  readonly worker: string
}

/** An agent's connection to this worker. */
export type Line = {
  readonly address: string
  readonly version: string
  open(target: string, port: number): Promise<Duplex>
  /** Ends the connection, and with it every stream. */
  cut(why: string): void
}

export type Joined = {
  /** The agent offers a target on the usual port of a protocol. False: not this agent. */
  offer(target: string, port: number): boolean
  leave(): void
}

export type AgentRow = {
  readonly name: string
  readonly fingerprint: string
  readonly targets: readonly string[]
  readonly enrolledBy: string
  readonly enrolledAt: Moment
  readonly isRevoked: boolean
  /** One per worker that it holds a line to. */
  readonly lines: readonly {
    readonly worker: string
    readonly address: string
    readonly version: string
    /** What it says about workspaces on its host. */
    readonly workspaces: string
    readonly offers: readonly string[]
    readonly since: Moment
    readonly seenAt: Moment
  }[]
}

export type Tunnels = {
  /** @returns the secret of the token. @throws {Refusal} BAD_INPUT */
  issue(
    by: string,
    wish: { readonly agent: string; readonly targets: readonly string[]; readonly forMs: number },
  ): Promise<string>
  isAwaited(agent: string): Promise<boolean>
  enrol(agent: string, enrolment: Enrolment): Promise<Bound | undefined>
  /** The agent behind a proven key; undefined for everybody else. */
  known(agent: string, fingerprint: string): Promise<Bound | undefined>
  join(bound: Bound, line: Line): Joined
  agents(): Promise<readonly AgentRow[]>
  /** Its lines are cut on every worker. @throws {Refusal} NOT_FOUND */
  revoke(by: string, agent: string): Promise<void>
  /** A stream to what the agent itself calls by that name. @throws {Refusal} TARGET_UNREACHABLE */
  dial(agent: string, target: string, protocol: Protocol): Promise<Duplex>
  /** The host key of the agent's own shell, pinned when it was enrolled. */
  shellKey(agent: string): Promise<string | undefined>
  /** What an agent with a line to this worker says about workspaces; undefined without a line. */
  workspaces(agent: string): string | undefined
  close(): Promise<void>
}

/** What an agent's offer of a protocol is called on the wire: a forwarded port. */
export const PORTS: Readonly<Record<Protocol, number>> = { ssh: 22, postgres: 5432, http: 80 }
const NAMES: Readonly<Record<number, Protocol>> = { 22: 'ssh', 5432: 'postgres', 80: 'http' }
const HEARTBEAT_MS = 30_000
/** A row that nobody has touched for so long is of a worker that died. */
const STALE_MS = 3 * HEARTBEAT_MS
const OPEN_MS = 10_000
/** Of one agent to this worker. It needs one; another comes where the first is lost and not known to be. */
const MOST_LINES = 8

type Live = { bound: Bound; readonly line: Line; readonly offers: Set<string>; readonly since: Moment }

export function createTunnels(parts: TunnelsParts): Tunnels {
  const { audit, clock, log, state, worker } = parts
  const live = new Set<Live>()
  const enrolment = {
    state,
    clock,
    note: (kind: AuditEvent['kind'], actor: string, text: string) =>
      audit({
        id: crypto.randomUUID(),
        at: clock.now(),
        kind,
        actor,
        grant: undefined,
        session: undefined,
        target: '',
        text,
        details: { worker },
      }),
  }
  let writing: Promise<unknown> = Promise.resolve()
  const later = (work: () => Promise<unknown>): void => {
    writing = writing
      .then(work)
      .catch((error: unknown) =>
        log({ level: 'warn', room: 'tunnels', message: 'Lines of agents could not be noted.', error }),
      )
  }
  const linesOf = (agent: string): readonly Live[] => [...live].filter(({ bound }) => bound.name === agent)

  const noted = (agent: string): void =>
    later(async () => {
      const newest = linesOf(agent).at(-1)
      if (newest === undefined) {
        await state.run('delete from agent_lines where agent = $1 and worker = $2', [agent, worker])
        return
      }
      const { line, offers, since } = newest
      await state.run(
        `insert into agent_lines (agent, worker, address, version, offers, since, seen_at) values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (agent, worker) do update set address = $3, version = $4, offers = $5, since = $6, seen_at = $7`,
        [agent, worker, line.address, line.version, JSON.stringify([...offers]), since, clock.now()],
      )
    })

  /** Somebody may have been revoked, or got a new key or other targets, on any worker. */
  const look = (): void => {
    if (live.size > 0)
      later(async () => {
        for (const one of live) {
          const now = await boundAgent({ state }, one.bound.name, one.bound.fingerprint)
          if (now === undefined) one.line.cut('This agent was revoked, or has a new key.')
          else one.bound = now
        }
      })
  }
  const deaf = state.onChange(look)
  const heartbeat = setInterval(() => {
    for (const name of new Set([...live].map(({ bound }) => bound.name))) noted(name)
  }, HEARTBEAT_MS)
  later(() => state.run('delete from agent_lines where worker = $1', [worker]))

  return {
    issue: (by, wish) => issueToken(enrolment, by, wish),
    isAwaited: (agent) => isAwaited(enrolment, agent),
    enrol: (agent, how) => enrol(enrolment, agent, how),
    known: (agent, fingerprint) => boundAgent({ state }, agent, fingerprint),
    revoke: (by, agent) => revokeAgent(enrolment, by, agent),
    shellKey: (agent) => shellKeyOf({ state }, agent),
    workspaces: (agent) => {
      const line = linesOf(agent).at(-1)?.line
      return line && saidBy(line.version).workspaces
    },
    join: (bound, line) => {
      const [oldest, ...others] = linesOf(bound.name)
      if (others.length + 1 >= MOST_LINES) oldest?.line.cut('This agent holds too many lines.')
      const one: Live = { bound, line, offers: new Set(), since: clock.now() }
      live.add(one)
      noted(bound.name)
      // Between the sign-in and now it may have been revoked.
      look()
      return {
        offer: (target, port) => {
          const protocol = NAMES[port]
          if (protocol === undefined || !one.bound.targets.includes(target)) return false
          const offer = `${target}/${protocol}`
          if (one.offers.has(offer)) return true
          one.offers.add(offer)
          noted(bound.name)
          return true
        },
        leave: () => {
          if (live.delete(one)) noted(bound.name)
        },
      }
    },
    dial: async (agent, target, protocol) => {
      const offer = `${target}/${protocol}`
      const lines = linesOf(agent)
      const one = lines.findLast(({ bound, offers }) => offers.has(offer) && bound.targets.includes(target))
      if (one === undefined)
        throw new Refusal(
          'TARGET_UNREACHABLE',
          lines.length === 0
            ? `${target} cannot be reached: its agent ${agent} is not connected.`
            : `${target} cannot be reached: its agent ${agent} does not offer ${protocol} there.`,
          { next: 'Agents come back by themselves. Try again in a moment.' },
        )
      return inTime(one.line.open(target, PORTS[protocol]), target)
    },
    agents: async () => {
      const rows = await state.all<{
        name: string
        fingerprint: string
        targets: string
        enrolled_by: string
        enrolled_at: Moment
        revoked_at: number | null
      }>('select name, fingerprint, targets, enrolled_by, enrolled_at, revoked_at from agents order by name')
      const lines = await state.all<{
        agent: string
        worker: string
        address: string
        version: string
        offers: string
        since: Moment
        seen_at: Moment
      }>(
        'select agent, worker, address, version, offers, since, seen_at from agent_lines where seen_at > $1 order by worker',
        [clock.now() - STALE_MS],
      )
      return rows.map((row) => ({
        name: row.name,
        fingerprint: row.fingerprint,
        targets: targetsOf(row.targets),
        enrolledBy: row.enrolled_by,
        enrolledAt: row.enrolled_at,
        isRevoked: row.revoked_at !== null,
        lines: lines
          .filter(({ agent }) => agent === row.name && row.revoked_at === null)
          .map(({ address, offers, seen_at, since, version, worker: at }) => ({
            worker: at,
            address,
            ...saidBy(version),
            offers: targetsOf(offers),
            since,
            seenAt: seen_at,
          })),
      }))
    },
    close: async () => {
      deaf()
      clearInterval(heartbeat)
      for (const one of live) one.line.cut('The gateway is closing.')
      live.clear()
      later(() => state.run('delete from agent_lines where worker = $1', [worker]))
      await writing
    },
  }
}

/** RFC 4253 §4.2: behind the version, an agent says what its host can do. */
function saidBy(identification: string): { readonly version: string; readonly workspaces: string } {
  const cut = identification.indexOf(' ')
  return cut < 0
    ? { version: identification, workspaces: 'no workspaces: this agent is too old for them' }
    : { version: identification.slice(0, cut), workspaces: identification.slice(cut + 1) }
}

/** An agent that does not answer must not keep a person waiting. */
async function inTime(opening: Promise<Duplex>, target: string): Promise<Duplex> {
  let isLate = false
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), OPEN_MS)
  const tooLate = new Promise<never>((_resolve, reject) => {
    late.signal.addEventListener('abort', () => reject(new Error('The agent did not answer in time.')), { once: true })
  })
  const arrived = opening.then((stream) => {
    stream.on('error', () => undefined)
    if (isLate) stream.destroy()
    return stream
  })
  try {
    return await Promise.race([arrived, tooLate])
  } catch (cause) {
    isLate = true
    throw new Refusal('TARGET_UNREACHABLE', `${target} cannot be reached: its agent does not open it.`, { cause })
  } finally {
    clearTimeout(timer)
  }
}
