/**
 * The PostgreSQL door alone, for benches and the conformance run: the real judge, grants, state and journal in front of one server.
 * Only the browser is ours. Run as a process of its own, so that its CPU and memory are nobody else's.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqlFilter } from '../../gateway/filters/filters.ts'
import { createGrants } from '../../gateway/grants/grants.ts'
import { endSignIns } from '../../gateway/identity/identity.ts'
import type { Identity, Subject, Username } from '../../gateway/model/identity.ts'
import { silent } from '../../gateway/model/log.ts'
import { after, wallClock } from '../../gateway/model/moment.ts'
import type { Role } from '../../gateway/model/role.ts'
import type { PostgresEndpoint, Target } from '../../gateway/model/target.ts'
import { createPostgresTerminator } from '../../gateway/postgres/postgres.ts'
import { openJournal } from '../../gateway/recorder/recorder.ts'
import { openState } from '../../gateway/state/state.ts'
import { selfSigned } from '../../test/fixtures/postgres.ts'

/** What is to be served; people are whoever asks, and `TARGET%read-only`, `TARGET%read-write` choose the role. */
export type Asked = {
  readonly target: string
  readonly username: string
  /** TLS to the server where `ca` is given. */
  readonly server: { readonly port: number; readonly database: string; readonly ca?: string }
  readonly account: { readonly username: string; readonly password: string }
  /** Where clients keep away from TLS, too. */
  readonly allowPlaintext: boolean
}

/** Files beside the port: what a client needs to trust it, or a rival to serve the same. */
export type Served = { readonly port: number; readonly key: string; readonly cert: string; close(): Promise<void> }

const MODES = ['read-only', 'read-write'] as const
const clock = wallClock

const person = (username: string): Identity => ({
  subject: `https://idp.example|${username}` as Subject,
  username: username as Username,
  groups: ['engineers'],
  provider: 'bench',
  proof: { acr: undefined, amr: ['otp'], authTime: clock.now() },
})

const role = (mode: (typeof MODES)[number], asked: Asked): Role => ({
  name: mode,
  description: '',
  targets: { labels: {}, names: [asked.target] },
  endpoints: ['postgres'],
  requesters: ['engineers'],
  approval: { kind: 'auto' },
  defaultMinutes: 600,
  maxMinutes: 600,
  mfaWithinMinutes: 600,
  account: undefined,
  ssh: { shell: 'none', forward: [] },
  postgres: {
    mode,
    databases: [],
    schemas: [],
    template: undefined,
    allowFunctions: [],
    denyFunctions: [],
    statementTimeoutMs: 0,
    recordParameters: true,
    sampleRows: 0,
  },
})

async function line(port: number) {
  const socket = connect(port, '127.0.0.1')
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  return socket
}

export async function serve(asked: Asked): Promise<Served> {
  await using opened = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-bench-'))
  opened.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 3 }))
  const { port, database, ca } = asked.server
  const endpoint: PostgresEndpoint = {
    host: '127.0.0.1',
    port,
    database,
    tls: ca === undefined ? { mode: 'off' } : { mode: 'verify', ca, serverName: 'localhost' },
    credential: { kind: 'static', username: asked.account.username, password: 'file:bench' },
  }
  const target: Target = {
    name: asked.target,
    description: '',
    labels: {},
    ssh: undefined,
    http: undefined,
    postgres: endpoint,
  }
  const roles = MODES.map((mode) => role(mode, asked))
  const log = silent
  const state = await openState({ url: `sqlite:${join(directory, 'state.db')}`, clock, log, migrate: true })
  opened.defer(() => state.close())
  const limits = { maxJournalBytes: 2 ** 40, minFreeBytes: 0 }
  const journal = openJournal({ dir: join(directory, 'journal'), worker: 'bench', clock, log, limits })
  opened.defer(() => journal.close())
  const policy = () => ({ targets: [target], roles, admins: [], auditors: [] })
  const grants = createGrants(
    { state, clock, log, audit: journal.audit.bind(journal), policy, endSignIns },
    { held: 100 },
  )
  opened.defer(() => grants.close())
  for (const { name } of roles)
    await grants.request(person(asked.username), { target: target.name, role: name, reason: 'bench' })
  const filter = await openSqlFilter({ clock })
  opened.defer(() => filter.close())
  const tls = await selfSigned(join(directory, 'gateway'))
  const terminator = createPostgresTerminator({
    access: {
      signIns: {
        ask: async (question) => ({
          id: 'bench',
          url: 'https://gateway.example/sign-in',
          code: 'ABCD-EFGH',
          expiresAt: after(clock.now(), 60_000),
          wait: async () => person(question.username),
        }),
        askPasskey: () => Promise.reject(new Error('nobody here')),
      },
      tokens: { live: async () => undefined },
      admit: {
        grants,
        target: (name) => (name === target.name ? target : undefined),
        role: (name) => roles.find((known) => known.name === name),
        clock,
      },
      desk: grants,
    },
    open: { recorder: journal, sessions: grants, clock },
    createJudge: (given, context) => filter.createJudge(given, context),
    upstream: {
      dial: () => line(port),
      reach: () => line(port),
      secret: async () => asked.account.password,
      intents: { put: async () => undefined, list: async () => [], remove: async () => undefined },
    },
    edge: {
      tls: () => tls,
      log,
      audit: () => undefined,
      settings: {
        allowPlaintext: asked.allowPlaintext,
        deployment: 'bench',
        holder: 'bench',
        worker: 0,
        sshAddress: { host: 'gateway.example', port: 22 },
        portalUrl: 'https://gateway.example',
        leaseMinutes: 600,
        approvalMinutes: 1,
      },
    },
  })
  opened.defer(() => terminator.close())
  const { port: own } = await terminator.listen({ host: '127.0.0.1', port: 0 })
  const all = opened.move()
  return { port: own, ...tls, close: () => all.disposeAsync() }
}

if (import.meta.main) {
  const served = await serve(JSON.parse(process.argv[2] ?? '{}') as Asked)
  process.stdout.write(`${JSON.stringify({ port: served.port, key: served.key, cert: served.cert })}\n`)
  const end = () => void served.close().then(() => process.exit(0))
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, end)
  // Whoever started it has gone.
  process.stdin.on('end', end).resume()
}
