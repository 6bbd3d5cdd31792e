/** Hangs the PostgreSQL door of one worker: its judge, its tokens, the roles it makes, and the way to other workers' cancel keys. */
import { createHash, randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { Config } from '../config/load.ts'
import { birthOf } from './data-directory.ts'
import { openSqlFilter } from './filters/filters.ts'
import type { Grants, RoleIntent, RoleIntents } from './grants/grants.ts'
import type { IdentityRoom } from './identity/identity.ts'
import type { InnerDoor } from './inner-door.ts'
import type { Audit } from './model/event.ts'
import type { Log } from './model/log.ts'
import { maskWords } from './model/mask.ts'
import { createPostgresTerminator, type PostgresParts } from './postgres/postgres.ts'
import type { AdmitParts, OpenParts, SqlPages } from './session/session.ts'
import type { Upstreams } from './upstreams/upstreams.ts'

export type PostgresDoorParts = {
  readonly config: () => Config
  readonly inner: Pick<InnerDoor, 'send'>
  readonly worker: number
  readonly where: { readonly host: string; readonly port: number }
  readonly tls: { readonly key: string; readonly cert: string }
  /** Tells this deployment's roles on a target from another one's: a public line of its own keys. */
  readonly ownLine: string
  readonly sshPort: number
  readonly rooms: {
    readonly identity: IdentityRoom
    readonly grants: Grants
    readonly intents: RoleIntents
    readonly upstreams: Upstreams
  }
  readonly road: { readonly admit: AdmitParts; readonly open: OpenParts }
  readonly notes: { readonly log: Log; readonly audit: Audit }
}

const SWEEP_MS = 30_000
const LEASE_MINUTES = 15
const APPROVAL_MINUTES = 5

export type PostgresDoor = {
  readonly port: number
  readonly pages: SqlPages
  /** A CancelRequest that arrived at another worker. */
  cancel(processId: number, key: Buffer): void
  close(graceMs: number): Promise<void>
}

export async function openPostgresDoor(parts: PostgresDoorParts): Promise<PostgresDoor> {
  const { config, worker, rooms, road, notes } = parts
  const { clock } = road.open
  const publicHost = new URL(config().public_url).hostname
  const filter = await openSqlFilter({
    clock,
    unfitting: (role, { database, target }, rule) => {
      const text = `Role ${role} masks ${maskWords([rule])}, and no column of database ${database} on ${target} is called so: look at the name.`
      notes.log({ level: 'warn', room: 'filters', message: text })
      notes.audit({
        id: randomUUID(),
        at: clock.now(),
        kind: 'target.mask-unfitting',
        actor: '',
        grant: undefined,
        session: undefined,
        target,
        text,
        details: { role, database, rule: maskWords([rule]) },
      })
    },
  })
  const door = createPostgresTerminator({
    access: {
      signIns: rooms.identity,
      tokens: rooms.identity.tokens,
      machines: rooms.identity.machines,
      leases: rooms.identity.leases,
      ...bearerOf(config(), rooms.identity),
      admit: road.admit,
      desk: rooms.grants,
    },
    open: road.open,
    createJudge: (role, context) => filter.createJudge(role, context),
    upstream: {
      dial: (admission, signal) => rooms.upstreams.dial(admission, signal),
      reach: (target, signal) => rooms.upstreams.reach(target, 'postgres', signal),
      secret: async (ref) => (await rooms.upstreams.secret(ref)).toString('utf8').trim(),
      intents: rooms.intents,
    },
    edge: {
      tls: () => ({ ...parts.tls, clientCa: config().machines?.ca }),
      cancelElsewhere: (other, processId, key) => parts.inner.send(other, { kind: 'cancel', processId, key }),
      log: notes.log,
      audit: notes.audit,
      settings: {
        allowPlaintext: false,
        deployment: createHash('sha256').update(parts.ownLine).digest('hex').slice(0, 8),
        holder: holder(),
        worker,
        sshAddress: { host: publicHost, port: parts.sshPort },
        portalUrl: config().public_url,
        leaseMinutes: LEASE_MINUTES,
        approvalMinutes: APPROVAL_MINUTES,
      },
    },
  })
  const { port } = await door.listen({ ...parts.where, reusePort: true })

  const keep = async (intent: RoleIntent): Promise<boolean> =>
    isHolderAlive(intent.holder) && (await rooms.intents.isLive(intent, clock.now()))
  const sweep = async (): Promise<void> => {
    const provisioned = config().targets.filter((target) => target.postgres?.credential.kind === 'provision')
    await door.sweep(provisioned, keep)
  }
  // One worker is enough; a target's advisory lock keeps several gateways apart.
  const sweeping = worker === 1 ? setInterval(() => void sweep(), SWEEP_MS) : undefined
  if (worker === 1) void sweep()
  return {
    port,
    pages: door,
    cancel: (processId, key) => door.cancel(processId, key),
    close: async (graceMs) => {
      clearInterval(sweeping)
      await door.close(graceMs)
      await filter.close()
    },
  }
}

/** OAUTHBEARER, where the config names a host for it. */
function bearerOf(config: Config, identity: IdentityRoom): Pick<PostgresParts['access'], 'bearer'> {
  const { postgres_oauth: oauth } = config
  const provider = config.identity.providers.find(({ name }) => name === oauth?.provider)
  if (oauth === undefined || provider === undefined) return {}
  const { hostname, scope } = oauth
  const check = identity.bearer.identity.bind(identity.bearer)
  return { bearer: { hostname, issuer: provider.issuer, scope, identity: check } }
}

/** This process for good: host, pid and the time it was born, so that a pid that was given away again is not taken for it. */
const holder = (): string => `${hostname()}:${process.pid}:${birthOf(process.pid) ?? ''}`

function isHolderAlive(of: string): boolean {
  const [host, pid, birth] = of.split(':')
  if (host !== hostname()) return true // another machine's affair: its own sweep knows
  return birthOf(Number(pid)) === birth
}
