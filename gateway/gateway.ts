/** Wires the rooms of one worker: the only place, beside the supervisor, that sees everybody. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/load.ts'
import { type Counters, counted, newCounters, noteCut, type SessionWatcher } from './counters.ts'
import { type AlertFinder, alertFinder, shellJudge } from './filters/filters.ts'
import { createGrants, type Policy, RoleIntents } from './grants/grants.ts'
import { type HouseNumbers, healthOf } from './health.ts'
import {
  createIdentity,
  createWebSessions,
  endSignIns,
  type IdentityHooks,
  type IdentitySettings,
  PATHS,
} from './identity/identity.ts'
import { openInnerDoor } from './inner-door.ts'
import type { Audit } from './model/event.ts'
import type { Role, SshScope } from './model/role.ts'
import type { Target } from './model/target.ts'
import { agentToken } from './model/agent-token.ts'
import type { Log } from './model/log.ts'
import type { Clock } from './model/moment.ts'
import { carry, wireOver } from './page-wires.ts'
import { createNotifier } from './notifier.ts'
import { createPortal } from './portal/portal.ts'
import { openPostgresDoor, type PostgresDoor } from './postgres-door.ts'
import { type AuditStore, openJournal, openLibrary } from './recorder/recorder.ts'
import { createBrowserShells, createEngine, createSshTerminator, keptDesk, type SshParts } from './ssh/ssh.ts'
import { openState } from './state/state.ts'
import { createTunnels } from './tunnels/tunnels.ts'
import { createUpstreams } from './upstreams/upstreams.ts'
import { openWebDoor } from './web-door.ts'

export type GatewayParts = {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** Made by the supervisor: keys, state and journal live below it. */
  readonly dataDir: string
  readonly worker: { readonly number: number; readonly name: string }
  /** ClickHouse, as somebody who can only read. */
  readonly auditor: AuditStore
  /** Bound addresses; port 0 takes a free one. */
  readonly listen: Listen
  readonly tls: { readonly key: string; readonly cert: string }
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly watcher: SessionWatcher | undefined
}

type HostPort = { readonly host: string; readonly port: number }
export type Listen = {
  readonly ssh: HostPort
  readonly https: HostPort
  readonly postgres: HostPort | undefined
}

export type Gateway = {
  readonly ports: { readonly ssh: number; readonly https: number; readonly postgres: number | undefined }
  readonly counters: Counters
  /** The public lines of the ssh keys; see ssh/. */
  readonly keys: { readonly host: string; readonly hostAuthority: string; readonly userAuthority: string }
  /** What config/reload.ts follows counts from now on, for live sessions too: what a role no longer opens as it did is cut. */
  reload(config: Config): void
  /** What the supervisor knows, for the pages of administrators. */
  hear(numbers: HouseNumbers): void
  /** New connections are refused at once; live sessions are told and cut after `graceMs`. */
  close(graceMs: number): Promise<void>
}

export const policyOf = (config: Config): Policy => ({
  targets: config.targets,
  roles: config.roles,
  admins: config.admins,
  auditors: config.auditors,
})

/** Asked before each thing that is forwarded. */
const namedIn = ({ machines, roles, targets }: Config) => ({
  machines: Object.entries(machines?.names ?? {}).map(([name, machine]) => ({ name, ...machine })),
  roles: new Map<string, Role>(roles.map((role) => [role.name, role])),
  targets: new Map<string, Target>(targets.map((target) => [target.name, target])),
})

/** Whoever types into a full shell, or has it run a command. */
function alertsOf(config: Config, role: string, channel: string): AlertFinder | undefined {
  const { shell, alerts = [] }: SshScope = config.roles.find(({ name }) => name === role)?.ssh ?? NO_SHELL
  const isWatched = shell === 'full' && (channel === 'shell' || channel === 'exec')
  return isWatched && alerts.length > 0 ? alertFinder(alerts) : undefined
}
const NO_SHELL: SshScope = { shell: 'none', forward: [] }

export const stateUrl = (config: Config, dataDir: string): string =>
  config.state === 'embedded' ? `sqlite:${join(dataDir, 'state.db')}` : config.state

export async function openGateway(parts: GatewayParts): Promise<Gateway> {
  const { clock, log, dataDir } = parts
  let { config } = parts
  let named = namedIn(config)
  const counters = newCounters()
  await using opened = new AsyncDisposableStack()

  const state = await openState({ url: stateUrl(config, dataDir), clock, log })
  opened.defer(() => state.close())
  const journal = openJournal({
    dir: join(dataDir, 'journal'),
    worker: parts.worker.name,
    clock,
    log,
    limits: {
      maxJournalBytes: config.journal.max_megabytes * 2 ** 20,
      minFreeBytes: config.journal.min_free_megabytes * 2 ** 20,
    },
    alerts: ({ role, channel }) => alertsOf(config, role, channel),
    onAlert: (event) => {
      counters.alerts += 1
      notified(event)
    },
  })
  opened.defer(() => journal.close())
  const notified = createNotifier({
    settings: () => config.notify,
    secret: async (ref) => (await upstreams.secret(ref)).toString('utf8').trim(),
    publicUrl: config.public_url,
    log,
  })
  const audit: Audit = (event) => {
    journal.audit(event)
    notified(event)
  }
  const grants = createGrants(
    { state, clock, log, audit, policy: () => policyOf(config), endSignIns },
    { staleAfterMs: config.stale_after },
  )
  opened.defer(() => grants.close())
  const library = openLibrary(parts.auditor, join(dataDir, 'journal'))
  opened.defer(() => library.close())
  const tunnels = createTunnels({ state, clock, log, audit, worker: parts.worker.name })
  opened.defer(() => tunnels.close())
  const upstreams = createUpstreams({ log, environment: parts.environment, agents: tunnels })
  const { identity: i } = config
  const identitySettings: IdentitySettings = {
    publicUrl: config.public_url,
    providers: i.providers,
    keyBoundForMs: i.key_bound_for,
    approvalWithinMs: i.approval_within,
    allowOtherAddress: i.allow_other_address,
    signInWaitMs: i.sign_in_wait,
    sessionIdleMs: i.session_idle,
    sessionMostMs: i.session_most,
    groupsHoldMs: i.groups_hold_for,
    machines: () => named.machines,
  }
  const hooks: IdentityHooks = {
    secret: async (ref) => (await upstreams.secret(ref)).toString('utf8').trim(),
    lockOf: async (subject, username) => {
      const lock = await grants.lockOf({ subject, username })
      return lock === undefined ? undefined : `Locked by ${lock.by}${lock.note === '' ? '' : `: ${lock.note}`}.`
    },
    signedOut: () => undefined, // live sessions go on to their grant's end; `lock` is what cuts a person off
  }
  const identity = createIdentity({ state, clock, log, audit, settings: identitySettings, hooks })

  const recorder = counted(journal, counters, parts.watcher)
  const admit = {
    grants,
    target: (name: string) => named.targets.get(name),
    role: (name: string) => named.roles.get(name),
    clock,
  }
  const reloads = new Set<() => void>()
  const open = {
    recorder,
    sessions: grants,
    holds: grants,
    clock,
    onReload: (listener: () => void) => {
      reloads.add(listener)
      return () => void reloads.delete(listener)
    },
    onCut: (_why: unknown, ms: number) => noteCut(counters, ms),
  }

  const publicHost = new URL(config.public_url).hostname
  const engine = createEngine({
    log,
    clock,
    version: parts.version,
    keyDirectory: join(dataDir, 'keys'),
    userAuthorities: () => config.identity.user_authorities,
    hostNames: [publicHost],
    judge: shellJudge,
    upstreams,
  })
  log({ level: 'info', room: 'ssh', message: 'engine', details: engine.report })
  const kept = keptDesk({
    engine,
    library,
    targets: () => config.targets,
    roles: () => config.roles,
    notes: { clock, audit },
  })
  const sshParts: SshParts = {
    engine,
    people: {
      signIns: identity,
      desk: grants,
      library,
      tokens: parts.listen.postgres === undefined ? undefined : identity.tokens,
    },
    road: { admit, open },
    agents: {
      book: tunnels,
      kept,
      worker: () => ({ number: parts.worker.number, count: config.workers }),
      userAuthority: engine.keys.userAuthority,
      log,
    },
    settings: {
      address: { host: publicHost, port: parts.listen.ssh.port },
      publicUrl: config.public_url,
      keyBoundForMs: i.key_bound_for,
    },
    notes: { clock, log, audit },
  }
  const ssh = createSshTerminator(sshParts)
  const sshDoor = await ssh.listen({ ...parts.listen.ssh, reusePort: true })
  let grace = 0
  opened.defer(() => sshDoor.close(grace))

  const { number: worker } = parts.worker
  const shells = createBrowserShells({
    ssh: sshParts,
    worker,
    elsewhere: (other, wire, claim, ask) => carry(wire, inner.open(other, { kind: 'return', claim, ask })),
  })
  let cancel: PostgresDoor['cancel'] | undefined
  const inner = await openInnerDoor({
    dir: join(dataDir, 'inner'),
    worker,
    log,
    onErrand: ({ processId, key }) => cancel?.(processId, key),
    onReturn: ({ claim, ask }, stream) => shells.back(wireOver(stream), claim, ask),
  })
  opened.defer(() => inner.close())

  const postgresDoor =
    parts.listen.postgres === undefined
      ? undefined
      : await openPostgresDoor({
          config: () => config,
          inner,
          worker,
          where: parts.listen.postgres,
          tls: parts.tls,
          ownLine: engine.keys.userAuthority,
          sshPort: sshDoor.port,
          rooms: { identity, grants, intents: new RoleIntents(state), upstreams },
          road: { admit, open },
          notes: { log, audit },
        })
  if (postgresDoor !== undefined) {
    cancel = (processId, key) => postgresDoor.cancel(processId, key)
    opened.defer(() => postgresDoor.close(grace))
  }

  const webSessions = createWebSessions({ state, clock, settings: identitySettings, hooks })
  const webDoor = openWebDoor({
    config,
    sessions: webSessions,
    grants,
    upstreams,
    road: { admit, open },
    notes: { log, audit },
  })

  let numbers: HouseNumbers | undefined
  const room = {
    targets: () => config.targets,
    roles: () => config.roles,
    people: identity.roster,
    agents: {
      agents: () => tunnels.agents(),
      revoke: (by: string, agent: string) => tunnels.revoke(by, agent),
      issue: async (by: string, wish: Parameters<typeof tunnels.issue>[1]) =>
        agentToken({
          gateway: `${publicHost}:${sshDoor.port}`,
          hostKey: engine.keys.host,
          agent: wish.agent,
          targets: wish.targets,
          secret: await tunnels.issue(by, wish),
        }),
    },
    health: () =>
      healthOf({
        version: parts.version,
        wanted: config.workers,
        kinds: {
          audit: config.audit.kind === 'server' ? 'server' : 'embedded',
          state: config.state === 'embedded' ? 'embedded' : 'server',
        },
        journal: {
          isOpen: () => journal.stats().state === 'open',
          mostBytes: config.journal.max_megabytes * 2 ** 20,
        },
        numbers: () => numbers,
        library,
        state: () => state.health(),
        providers: () => identity.health(),
      }),
  }
  const portal = createPortal({
    room,
    elsewhere: webDoor,
    web: config.web === undefined ? undefined : { sessions: webSessions, domain: config.web.domain },
    identity,
    passkeys: identity.passkeys,
    tokens: postgresDoor === undefined ? undefined : identity.tokens,
    desk: grants,
    library,
    kept,
    terminals: shells,
    sqlPages: postgresDoor?.pages,
    role: admit.role,
    settings: {
      publicUrl: config.public_url,
      tls: parts.tls,
      doors: {
        ssh: { host: publicHost, port: sshDoor.port },
        postgres: postgresDoor === undefined ? undefined : { host: publicHost, port: postgresDoor.port },
      },
      dist: join(import.meta.dirname, '../web-terminal/dist'),
      paths: PATHS,
    },
    audit,
    clock,
    log,
  })
  const web = await portal.listen({ ...parts.listen.https, reusePort: true })
  opened.defer(() => web.close())
  // Before the portal's listener goes: open WebSockets are told why they end.
  opened.defer(() => shells.close(grace))
  if (webDoor !== undefined) opened.defer(() => webDoor.close())

  const closing = opened.move()
  return {
    ports: { ssh: sshDoor.port, https: web.port, postgres: postgresDoor?.port },
    counters,
    keys: engine.keys,
    reload: (next) => {
      config = next
      named = namedIn(next)
      for (const listener of reloads) listener()
      log({ level: 'info', room: 'gateway', message: 'the configuration was taken' })
    },
    hear: (told) => {
      numbers = told
    },
    close: async (graceMs) => {
      grace = graceMs
      await closing.disposeAsync()
    },
  }
}

/** The version in package.json. */
export const productVersion = (): string =>
  String(JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')).version)
