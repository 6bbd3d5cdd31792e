/** A gateway for the corpus: the real PostgreSQL door, judge, grants, state and journal, in front of one server. Only the browser is ours. */
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
import type { MaskRule } from '../../gateway/model/mask.ts'
import type { Role } from '../../gateway/model/role.ts'
import type { Target } from '../../gateway/model/target.ts'
import { createPostgresTerminator } from '../../gateway/postgres/postgres.ts'
import { openJournal } from '../../gateway/recorder/recorder.ts'
import { openState } from '../../gateway/state/state.ts'
import { type PostgresServer, selfSigned } from '../../test/fixtures/postgres.ts'
import { PASSWORD } from './sql-fixture.ts'

export type CorpusGateway = {
  readonly port: number
  /** What a client names as its database. */
  name(needs: string, database: string): string
  close(): Promise<void>
}

const TARGET = 'corpus'
const clock = wallClock

const person = (): Identity => ({
  subject: 'https://idp.example|alice' as Subject,
  username: 'alice' as Username,
  groups: ['engineers'],
  provider: 'corpus',
  proof: { acr: undefined, amr: ['otp'], authTime: clock.now() },
})

/** `allowlist:pg_trgm` → a role that may call what the extension brought. */
const roleName = (needs: string): string => `reader${needs.replaceAll(/[^A-Za-z0-9]/g, '-')}`
const allowed = (needs: string): readonly string[] =>
  needs
    .replace(/^allowlist:/, '')
    .replaceAll(/\([^)]*\)/g, '')
    .split(/[,\s]+/)
    .filter((entry) => entry !== '')
    .flatMap((entry) =>
      /[.:]/.test(entry) ? [entry] : [`extension:${entry}`, `public.${entry}`, `app.${entry}`, `pg_catalog.${entry}`],
    )

function role(needs: string, databases: readonly string[], mask: readonly MaskRule[]): Role {
  return {
    name: roleName(needs),
    description: '',
    targets: { labels: {}, names: [TARGET] },
    endpoints: ['postgres'],
    requesters: ['engineers'],
    approval: { kind: 'auto' },
    defaultMinutes: 600,
    maxMinutes: 600,
    mfaWithinMinutes: 600,
    account: undefined,
    ssh: { shell: 'none', forward: [] },
    http: undefined,
    postgres: {
      mode: 'read-only',
      databases,
      schemas: [],
      template: undefined,
      allowFunctions: allowed(needs),
      denyFunctions: [],
      statementTimeoutMs: 0,
      recordParameters: true,
      sampleRows: mask.length === 0 ? 0 : 10,
      mask,
    },
  }
}

/** @param needs every `needs` of the file; '' for none. @param databases that may be named. @param mask what each role masks. */
export async function openCorpusGateway(
  server: PostgresServer,
  needs: readonly string[],
  databases: readonly string[],
  mask: readonly MaskRule[] = [],
): Promise<CorpusGateway> {
  await using opened = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-corpus-'))
  opened.defer(() => rm(directory, { recursive: true, force: true }))
  const roles = needs.map((need) => role(need, databases, mask))
  const target = {
    name: TARGET,
    description: '',
    labels: {},
    ssh: undefined,
    http: undefined,
    postgres: {
      host: '127.0.0.1',
      port: server.port,
      database: 'postgres',
      tls: { mode: 'verify', ca: server.ca, serverName: 'localhost' },
      // Who owns the tables: whatever the gateway lets through can write.
      credential: { kind: 'static', username: 'app_rw', password: 'file:corpus' },
    },
  } satisfies Target
  const log = silent
  const state = await openState({ url: `sqlite:${join(directory, 'state.db')}`, clock, log, migrate: true })
  opened.defer(() => state.close())
  const limits = { maxJournalBytes: 2 ** 30, minFreeBytes: 0 }
  const journal = openJournal({ dir: join(directory, 'journal'), worker: 'corpus', clock, log, limits })
  opened.defer(() => journal.close())
  const policy = () => ({ targets: [target], roles, admins: [], auditors: [] })
  const grants = createGrants(
    { state, clock, log, audit: journal.audit.bind(journal), policy, endSignIns },
    { held: 100 },
  )
  opened.defer(() => grants.close())
  for (const { name } of roles) await grants.request(person(), { target: TARGET, role: name, reason: 'corpus' })
  const filter = await openSqlFilter({ clock })
  opened.defer(() => filter.close())
  const tls = await selfSigned(join(directory, 'gateway'))
  const reach = async () => {
    const socket = connect(server.port, '127.0.0.1')
    await new Promise((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return socket
  }
  const ask = async () => ({
    id: 'corpus',
    url: 'https://gateway.example/sign-in',
    code: 'ABCD-EFGH',
    expiresAt: after(clock.now(), 60_000),
    wait: async () => person(),
  })
  const terminator = createPostgresTerminator({
    access: {
      signIns: {
        ask,
        askPasskey: () => Promise.reject(new Error('nobody here')),
      },
      tokens: { live: async () => undefined },
      admit: {
        grants,
        target: (name) => (name === TARGET ? target : undefined),
        role: (name) => roles.find((r) => r.name === name),
        clock,
      },
      desk: grants,
    },
    open: { recorder: journal, sessions: grants, clock },
    createJudge: (r, context) => filter.createJudge(r, context),
    upstream: {
      dial: reach,
      reach,
      secret: async () => PASSWORD,
      intents: { put: async () => undefined, list: async () => [], remove: async () => undefined },
    },
    edge: {
      tls: () => tls,
      log,
      audit: () => undefined,
      settings: {
        allowPlaintext: true,
        deployment: 'corpus',
        holder: 'corpus',
        worker: 0,
        sshAddress: { host: 'gateway.example', port: 22 },
        portalUrl: 'https://gateway.example',
        leaseMinutes: 600,
        approvalMinutes: 1,
      },
    },
  })
  opened.defer(() => terminator.close())
  const { port } = await terminator.listen({ host: '127.0.0.1', port: 0 })
  const all = opened.move()
  return {
    port,
    name: (need, database) => `${TARGET}%${roleName(need)}/${database}`,
    close: () => all.disposeAsync(),
  }
}
