/** The PostgreSQL door with a real server behind it, and small parts of ours around it: people, grants, a recorder in memory. */
import { join } from 'node:path'
import { connect } from 'node:net'
import type { Grants } from '../../gateway/grants/grants.ts'
import type { EventKind, OutcomeRecord, SessionEnd, SessionStart, StatementRecord } from '../../gateway/model/event.ts'
import type { AuditEvent } from '../../gateway/model/event.ts'
import type { GrantId, LiveGrant } from '../../gateway/model/grant.ts'
import type { Identity, Subject, Username } from '../../gateway/model/identity.ts'
import type { LogEvent } from '../../gateway/model/log.ts'
import { after, type Moment, wallClock } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import type { PostgresScope, Role } from '../../gateway/model/role.ts'
import { ALLOW } from '../../gateway/model/statement.ts'
import type { PostgresEndpoint, Target } from '../../gateway/model/target.ts'
import type { GrantChoice } from '../../gateway/model/target-name.ts'
import {
  type BearerTokens,
  type CreateJudge,
  createPostgresTerminator,
  type PostgresParts,
  type PostgresSettings,
  type PostgresTerminator,
  type RoleIntent,
  type SqlJudge,
} from '../../gateway/postgres/postgres.ts'
import type { GrantNotice, Recording, SignInQuestion } from '../../gateway/session/session.ts'
import { createUpstreams } from '../../gateway/upstreams/upstreams.ts'
import { type DemoPostgres, startDemoPostgres } from '../../tools/demo/postgres.ts'
import { selfSigned } from '../fixtures/postgres.ts'

type Test = { teardown(handler: () => unknown): unknown }

type Recorded = { readonly kind: EventKind; readonly data: string }
type Tape = { readonly start: SessionStart; readonly events: Recorded[]; end: SessionEnd | undefined }

/** Keeps everything, and can be told to fail. `log` notes the order in which things happened. */
class MemoryRecorder {
  readonly tapes: Tape[] = []
  broken = false
  /** Takes events, and then cannot write them. */
  failsToWrite = false
  readonly order: string[] = []
  readonly #failed: AbortController[] = []

  open(start: SessionStart): Recording {
    if (this.broken) throw new Refusal('NOT_RECORDED', 'Nothing can be recorded now.')
    const tape: Tape = { start, events: [], end: undefined }
    this.tapes.push(tape)
    const failed = new AbortController()
    this.#failed.push(failed)
    let waiting: ((failure: Refusal | undefined) => void)[] = []
    return {
      id: start.id,
      take: (kind, data) => {
        if (this.broken) throw new Refusal('NOT_RECORDED', 'The journal is broken.')
        tape.events.push({ kind, data: typeof data === 'string' ? data : Buffer.from(data).toString('latin1') })
      },
      written: (then) => {
        waiting.push(then)
        if (waiting.length > 1) return
        setImmediate(() => {
          const now = waiting
          waiting = []
          const failed = this.broken || this.failsToWrite
          this.order.push(failed ? 'journal failed' : 'journal')
          for (const call of now) call(failed ? new Refusal('NOT_RECORDED', 'The journal is broken.') : undefined)
        })
      },
      durable: async () => undefined,
      failed: failed.signal,
      end: (end) => {
        tape.end = end
      },
    }
  }

  statements(): readonly StatementRecord[] {
    return this.#all('s').map((data) => JSON.parse(data) as StatementRecord)
  }

  /** They come a few milliseconds after the fact, by a timer of this very process. */
  async outcomes(): Promise<readonly OutcomeRecord[]> {
    await new Promise((resolve) => setTimeout(resolve, 20))
    return this.#all('d').map((data) => JSON.parse(data) as OutcomeRecord)
  }

  #all(kind: EventKind): readonly string[] {
    return this.tapes.flatMap(({ events }) => events.filter((event) => event.kind === kind).map(({ data }) => data))
  }
}

export const person = (name: string, authTime: Moment = wallClock.now()): Identity => ({
  subject: `https://idp.example|${name}` as Subject,
  username: name as Username,
  groups: ['engineers'],
  provider: 'test',
  proof: { acr: undefined, amr: ['otp'], authTime },
})

export const scope = (more: Partial<PostgresScope> = {}): PostgresScope => ({
  mode: 'read-only',
  databases: [],
  schemas: [],
  template: 'app_readonly',
  allowFunctions: [],
  denyFunctions: [],
  statementTimeoutMs: 0,
  recordParameters: true,
  sampleRows: 0,
  ...more,
})

export const roleNamed = (name: string, postgres: PostgresScope): Role => ({
  name,
  description: '',
  targets: { labels: {}, names: ['prod-db', 'wall-db', 'static-db', 'socket-db', 'fake-db', 'regression'] },
  endpoints: ['postgres'],
  requesters: ['engineers'],
  approval: { kind: 'auto' },
  defaultMinutes: 30,
  maxMinutes: 60,
  mfaWithinMinutes: 60,
  account: undefined,
  ssh: { shell: 'none', forward: [] },
  postgres,
})

/** Real enough to tell statements apart by their first word; the grammar's judge lives elsewhere. */
export const wordJudge = (role: Role): SqlJudge => {
  const judged = (text: string) => {
    if (role.postgres.mode === 'read-write') return { verdict: ALLOW }
    const words = text
      .split(';')
      .map((part) => part.trim().toLowerCase())
      .filter((part) => part !== '')
    const bad = words.find(
      (part) =>
        !/^(select|show|begin|start|commit|end|rollback|abort|set|reset|fetch|move|declare|close|explain|with|values|table|listen|unlisten|prepare|execute|deallocate|savepoint|release|copy .* to stdout)/s.test(
          part,
        ),
    )
    return bad === undefined
      ? { verdict: ALLOW, fingerprint: 'f' }
      : {
          verdict: {
            decision: 'deny' as const,
            reason: `${bad.split(/\s/)[0]?.toUpperCase()} is not allowed`,
            next: 'Ask for a role that may write.',
          },
        }
  }
  return { query: judged, parse: (_name, text) => judged(text), execute: (_name, text) => judged(text) }
}

type Held = { grant: LiveGrant; readonly stop: AbortController; readonly listeners: Set<(notice: GrantNotice) => void> }

/** Grants in memory. */
class MemoryGrants {
  readonly held: Held[] = []
  readonly #watchers = new Set<() => void>()
  #next = 17

  give(name: string, target: string, role: string, minutes = 30): Held {
    const now = wallClock.now()
    const { subject, username, proof } = person(name)
    const grant: LiveGrant = {
      id: `${this.#next++}` as GrantId,
      subject,
      username,
      target,
      role,
      endpoints: ['postgres'],
      minutes,
      reason: 'INC-42',
      requestedAt: now,
      proof,
      approvalsNeeded: 0,
      approvals: [],
      state: 'live',
      approvedAt: now,
      liveAt: now,
      expiresAt: after(now, minutes * 60_000),
    }
    const held: Held = { grant, stop: new AbortController(), listeners: new Set() }
    this.held.unshift(held)
    for (const watcher of this.#watchers) watcher()
    return held
  }

  revoke(held: Held, text = 'Your access grant was revoked.'): void {
    this.held.splice(this.held.indexOf(held), 1)
    held.stop.abort(new Refusal('GRANT_ENDED', text, { next: 'Ask again.' }))
  }

  notify(held: Held, minutes: 5 | 1): void {
    for (const listener of held.listeners) listener({ kind: 'ending', minutes, grant: held.grant })
  }

  live = async (subject: Subject, target: string, _endpoint: string, under?: GrantChoice) => {
    const held = this.held.find(
      ({ grant }) =>
        grant.subject === subject &&
        grant.target === target &&
        (under === undefined || (under.kind === 'role' ? grant.role === under.role : grant.id === under.grant)),
    )
    if (held === undefined) return undefined
    return {
      grant: () => held.grant,
      ended: held.stop.signal,
      onNotice: (listener: (notice: GrantNotice) => void) => {
        held.listeners.add(listener)
        return () => held.listeners.delete(listener)
      },
    }
  }

  onChange = (listener: () => void) => {
    this.#watchers.add(listener)
    return () => void this.#watchers.delete(listener)
  }
}

type Asked = {
  readonly question: SignInQuestion
  readonly answer: (who: Identity | Refusal) => void
  readonly left: AbortSignal
}

export type Door = {
  readonly port: number
  readonly terminator: PostgresTerminator
  readonly recorder: MemoryRecorder
  readonly grants: MemoryGrants
  readonly roles: Map<string, Role>
  readonly asked: Asked[]
  /** What a person does who is asked to sign in; by default they do. */
  onAsk: (asked: Asked) => void
  readonly verifiers: Map<string, string>
  readonly audit: AuditEvent[]
  readonly logs: LogEvent[]
  readonly intents: Map<string, RoleIntent>
  readonly demo: DemoPostgres
  readonly tls: { readonly key: string; readonly cert: string; readonly file: string }
}

export type DoorOptions = {
  readonly demo: DemoPostgres
  readonly createJudge?: CreateJudge
  /** By target name; see {@link endpointsOf}. */
  readonly endpoints?: ReadonlyMap<string, PostgresEndpoint>
  readonly settings?: Partial<PostgresSettings>
  /** PEM. */
  readonly clientCa?: () => string
  readonly bearer?: BearerTokens
  readonly machines?: PostgresParts['access']['machines']
  readonly dial?: PostgresParts['upstream']['dial']
  readonly cancelElsewhere?: PostgresParts['edge']['cancelElsewhere']
  /** Real ones, in place of those in memory. */
  readonly house?: Grants
}

export function endpointsOf(demo: DemoPostgres): ReadonlyMap<string, PostgresEndpoint> {
  const tls = { mode: 'verify', ca: demo.ca, serverName: 'localhost' } as const
  const base = { host: 'localhost', port: demo.port, database: 'app' }
  const provision = { kind: 'provision', username: 'sallyport_provisioner', password: 'file:provisioner' } as const
  const fixed = { kind: 'static', username: 'postgres', password: 'file:root' } as const
  return new Map<string, PostgresEndpoint>([
    ['prod-db', { ...base, tls, credential: provision }],
    ['wall-db', { ...base, tls: { ...tls, serverName: 'elsewhere.example' }, credential: fixed }],
    ['fake-db', { ...base, host: '127.0.0.1', tls: { mode: 'off' }, credential: fixed }],
    ['static-db', { ...base, tls, credential: fixed }],
    ['socket-db', { ...base, host: demo.server.socketDirectory, tls: { mode: 'off' }, credential: provision }],
  ])
}

const reach = async ({ postgres }: Target) => {
  const socket =
    postgres?.host.startsWith('/') === true
      ? connect(`${postgres.host}/.s.PGSQL.${postgres.port}`)
      : connect(postgres?.port ?? 0, '127.0.0.1')
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return socket
}

export async function openDoor(t: Test, options: DoorOptions): Promise<Door> {
  const { demo } = options
  const file = join(demo.server.directory, `gateway-${Math.random().toString(36).slice(2)}`)
  const tls = { ...(await selfSigned(file)), file: `${file}.crt` }
  const recorder = new MemoryRecorder()
  const grants = new MemoryGrants()
  const roles = new Map<string, Role>([
    ['readonly', roleNamed('readonly', scope())],
    ['readwrite', roleNamed('readwrite', scope({ mode: 'read-write', template: 'app_readwrite' }))],
    ['sampled', roleNamed('sampled', scope({ sampleRows: 2 }))],
    ['owner', roleNamed('owner', scope({ mode: 'read-write', template: undefined, databases: ['app', 'postgres'] }))],
  ])
  const asked: Asked[] = []
  const audit: AuditEvent[] = []
  const logs: LogEvent[] = []
  const verifiers = new Map<string, string>()
  const intents = new Map<string, RoleIntent>()
  const endpoints = options.endpoints ?? endpointsOf(demo)
  const target = (name: string): Target | undefined => {
    const postgres = endpoints.get(name)
    return postgres === undefined
      ? undefined
      : { name, description: '', labels: {}, ssh: undefined, http: undefined, postgres }
  }
  const door: { onAsk: (asked: Asked) => void } = {
    onAsk: ({ question, answer }) => answer(person(question.username)),
  }
  const upstreams = createUpstreams({ log: (event) => logs.push(event), environment: {} })
  const terminator = createPostgresTerminator({
    access: {
      signIns: {
        ask: async (question) => ({
          id: 'x',
          url: 'https://gateway.example/sign-in/x',
          code: 'ABCD-EFGH',
          expiresAt: after(wallClock.now(), 120_000),
          wait: (signal) =>
            new Promise<Identity>((resolve, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason))
              const entry: Asked = {
                question,
                left: signal,
                answer: (who) => (who instanceof Refusal ? reject(who) : resolve(who)),
              }
              asked.push(entry)
              door.onAsk(entry)
            }),
        }),
        askPasskey: () => Promise.reject(new Error('nobody here')),
      },
      tokens: {
        live: async (username) => {
          const verifier = verifiers.get(username)
          return verifier === undefined ? undefined : { verifier, identity: person(username) }
        },
      },
      ...(options.bearer === undefined ? {} : { bearer: options.bearer }),
      ...(options.machines === undefined ? {} : { machines: options.machines }),
      admit: { grants: options.house ?? grants, target, role: (name) => roles.get(name), clock: wallClock },
      desk: options.house ?? {
        onChange: grants.onChange,
        requests: async () => [],
        roles: async () => [],
        request: () => Promise.reject(new Error('nobody here')),
      },
    },
    open: {
      recorder,
      clock: wallClock,
      sessions: options.house ?? {
        enter: async () => ({ killed: new AbortController().signal, leave: async () => undefined }),
      },
      holds: options.house,
    },
    createJudge: options.createJudge ?? wordJudge,
    upstream: {
      dial: options.dial ?? ((admission, signal) => upstreams.dial(admission, signal)),
      reach,
      secret: async (ref) => (ref === 'file:provisioner' ? demo.provisioner.password : demo.server.password),
      intents: {
        put: async (intent) => void intents.set(intent.role, intent),
        list: async (name) => [...intents.values()].filter((intent) => intent.target === name),
        remove: async (_target, role) => void intents.delete(role),
      },
    },
    edge: {
      tls: () => ({ ...tls, clientCa: options.clientCa?.() }),
      log: (event) => logs.push(event),
      audit: (event) => audit.push(event),
      ...(options.cancelElsewhere === undefined ? {} : { cancelElsewhere: options.cancelElsewhere }),
      settings: {
        allowPlaintext: false,
        deployment: 'test',
        holder: 'here',
        worker: 3,
        sshAddress: { host: 'gateway.example', port: 22 },
        portalUrl: 'https://gateway.example',
        leaseMinutes: 5,
        approvalMinutes: 1,
        ...options.settings,
      },
    },
  })
  t.teardown(() => terminator.close())
  const { port } = await terminator.listen({ host: '127.0.0.1', port: 0 })
  return Object.assign(door, {
    port,
    terminator,
    recorder,
    grants,
    roles,
    asked,
    verifiers,
    audit,
    logs,
    intents,
    demo,
    tls,
  })
}

/** A server for all tests of a file; without one they are skipped with the reason. */
export async function demoServer(t: Test, version: 18 | 15 = 18): Promise<DemoPostgres | undefined> {
  const demo = await startDemoPostgres({ version })
  if (demo !== undefined) t.teardown(() => demo.stop())
  return demo
}
