/** Streams to targets: only with an admission, only while it lasts; and secrets that stay secret. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { GrantId, LiveGrant } from '../../gateway/model/grant.ts'
import { silent } from '../../gateway/model/log.ts'
import { after, type Moment, wallClock } from '../../gateway/model/moment.ts'
import { Fault, Refusal } from '../../gateway/model/refusal.ts'
import type { Role } from '../../gateway/model/role.ts'
import type { Protocol, Target } from '../../gateway/model/target.ts'
import { admit } from '../../gateway/session/session.ts'
import { createUpstreams } from '../../gateway/upstreams/upstreams.ts'
import { alice } from '../fixtures/ssh-engine.ts'
import type { Teardown } from '../fixtures/sshd.ts'
import { freePort } from '../../tools/free-port.ts'

const upstreams = createUpstreams({ log: silent, environment: { TOKEN: 'hush', EMPTY: '' } })

async function admission(
  target: Partial<Target>,
  protocol: Protocol,
  expiresAt: Moment = after(wallClock.now(), 60_000),
) {
  const ended = new AbortController()
  const role: Role = {
    name: 'operator',
    description: '',
    targets: { labels: {}, names: ['prod-db'] },
    endpoints: ['ssh', 'postgres', 'http'],
    requesters: [],
    approval: { kind: 'auto' },
    defaultMinutes: 1,
    maxMinutes: 1,
    mfaWithinMinutes: 60,
    account: 'deploy',
    ssh: { shell: 'full', forward: [] },
    postgres: {
      mode: 'read-only',
      databases: [],
      schemas: [],
      template: undefined,
      allowFunctions: [],
      denyFunctions: [],
      statementTimeoutMs: 0,
      recordParameters: false,
      sampleRows: 0,
    },
  }
  const grant: LiveGrant = {
    id: '1' as GrantId,
    subject: alice.subject,
    username: alice.username,
    target: 'prod-db',
    role: 'operator',
    endpoints: ['ssh', 'postgres', 'http'],
    minutes: 1,
    reason: '',
    requestedAt: wallClock.now(),
    proof: alice.proof,
    approvalsNeeded: 0,
    approvals: [],
    state: 'live',
    approvedAt: wallClock.now(),
    liveAt: wallClock.now(),
    expiresAt,
  }
  const whole: Target = {
    name: 'prod-db',
    description: '',
    labels: {},
    ssh: undefined,
    postgres: undefined,
    http: undefined,
    ...target,
  }
  const made = await admit(
    {
      grants: { live: async () => ({ grant: () => grant, ended: ended.signal, onNotice: () => () => undefined }) },
      target: () => whole,
      role: () => role,
      clock: wallClock,
    },
    { identity: alice, target: 'prod-db', protocol },
  )
  return { made, end: () => ended.abort(new Refusal('GRANT_ENDED', 'Grant 1 was revoked.')) }
}

const ssh = (port: number, host = '127.0.0.1'): Partial<Target> => ({
  ssh: { host, port, trust: { keys: [], knownHosts: [], authorities: [] }, credential: { kind: 'ca' }, account: 'x' },
})

async function greeter(t: Teardown, where: number | string = 0): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.write('hello')
  })
  await new Promise<void>((resolve) =>
    typeof where === 'string' ? server.listen(where, resolve) : server.listen(where, '127.0.0.1', resolve),
  )
  t.teardown(() => server.close())
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

t.test('an admission opens a stream, and its end closes it', async (t) => {
  const { made, end } = await admission(ssh(await greeter(t)), 'ssh')
  const stream = await upstreams.dial(made)
  const [chunk] = await new Promise<[Buffer]>((resolve) => stream.once('data', (bytes: Buffer) => resolve([bytes])))
  t.equal(chunk.toString(), 'hello')
  const closed = new Promise((resolve) => stream.once('close', resolve))
  end()
  await closed
  t.ok(stream.destroyed)
  await t.rejects(upstreams.dial(made), { code: 'GRANT_ENDED' }, 'and none is opened afterwards')
})

t.test('a caller who gives up closes it, too', async (t) => {
  const { made } = await admission(ssh(await greeter(t)), 'ssh')
  const stop = new AbortController()
  const stream = await upstreams.dial(made, stop.signal)
  const closed = new Promise((resolve) => stream.once('close', resolve))
  stop.abort()
  await closed
  t.ok(stream.destroyed)
})

t.test('a unix socket for a PostgreSQL directory', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-up-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  await greeter(t, join(directory, '.s.PGSQL.5432'))
  const postgres = {
    host: directory,
    port: 5432,
    database: 'app',
    tls: { mode: 'off' },
    credential: { kind: 'static', username: 'x', password: 'env:TOKEN' },
  } as const
  const { made } = await admission({ postgres }, 'postgres')
  const stream = await upstreams.dial(made)
  await new Promise((resolve) => stream.once('data', resolve))
  stream.destroy()
})

t.test('what cannot be reached says why, without an address of the inside', async (t) => {
  const refused = await admission(ssh(await freePort()), 'ssh')
  await t.rejects(upstreams.dial(refused.made), {
    code: 'TARGET_UNREACHABLE',
    message: 'prod-db cannot be reached: nothing listens there.',
  })
  const unknown = await admission(ssh(22, 'no-such-host.invalid'), 'ssh')
  await t.rejects(upstreams.dial(unknown.made), { code: 'TARGET_UNREACHABLE', message: /^prod-db cannot be reached: / })
})

t.test('an expired admission opens nothing', async (t) => {
  const { made } = await admission(ssh(await greeter(t)), 'ssh', after(wallClock.now(), 30))
  await new Promise((resolve) => setTimeout(resolve, 60))
  await t.rejects(upstreams.dial(made), { code: 'GRANT_ENDED' })
})

t.test('secrets', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-up-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const path = join(directory, 'secret')
  writeFileSync(path, 'from a file', { mode: 0o600 })
  t.equal((await upstreams.secret('env:TOKEN')).toString(), 'hush')
  t.equal((await upstreams.secret(`file:${path}`)).toString(), 'from a file')
  chmodSync(path, 0o640)
  for (const ref of [`file:${path}`, `file:${directory}/none`, 'env:NONE', 'env:EMPTY', 'hush', 'vault:x', ''])
    await t.rejects(upstreams.secret(ref), Fault, ref)
  const failure: unknown = await upstreams.secret(`file:${path}`).catch((error: unknown) => error)
  t.notMatch(String(failure), /from a file/)
})
