/** An agent that was taken over: it has its key and its line, and says and does what it likes. The gateway believes it of its own targets only, and never breaks. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import ssh2, { type AnyAuthMethod, type ServerChannel, type Session } from 'ssh2'
import t, { type Test } from 'tap'
import { newKey } from '../../agents/key.ts'
import type { AuditEvent, SessionId } from '../../gateway/model/event.ts'
import { silent } from '../../gateway/model/log.ts'
import { type Moment, wallClock } from '../../gateway/model/moment.ts'
import type { Role } from '../../gateway/model/role.ts'
import type { Target } from '../../gateway/model/target.ts'
import type { SessionRow } from '../../gateway/session/session.ts'
import { AgentGuest } from '../../gateway/ssh/agents.ts'
import { createEngine } from '../../gateway/ssh/engine/engine.ts'
import { keptDesk } from '../../gateway/ssh/kept-changes.ts'
import { openState } from '../../gateway/state/state.ts'
import { createTunnels } from '../../gateway/tunnels/tunnels.ts'
import { createUpstreams } from '../../gateway/upstreams/upstreams.ts'
import { alice } from '../fixtures/ssh-engine.ts'
import { until } from '../fixtures/until.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
function heap(): number {
  collect()
  return process.memoryUsage().heapUsed
}

const never = new AbortController().signal
const DIGEST = 'ab'.repeat(32)
const bob = { ...alice, subject: 'https://idp.test|bob', username: 'bob', groups: ['leads'] } as unknown as typeof alice
const target = (name: string, agent: string): Target =>
  ({
    name,
    labels: {},
    ssh: { host: name, port: 22, agent, trust: { keys: [], knownHosts: [], authorities: [] } },
    http: { url: 'http://x', agent },
  }) as unknown as Target
const role = {
  name: 'rehearse',
  requesters: ['engineers'],
  targets: { names: ['prod-app', 'prod-db'], labels: {} },
  ssh: { shell: 'full', forward: [], workspace: { mode: 'overlay', keep: { minutes: 60, approvers: ['leads'] } } },
} as unknown as Role
const row = (id: string, at: string): SessionRow =>
  ({ ...alice, id, target: at, role: 'rehearse', reason: 'INC-1', grant: '1' }) as unknown as SessionRow
const ids = { app: '01936f5e-0000-7000-8000-00000000000a', db: '01936f5e-0000-7000-8000-00000000000b' }

const worker = () => ({ number: 1, count: 1 })

const offer = (client: ssh2.Client, at: string, on: number): Promise<string> =>
  new Promise((resolve) => {
    client.forwardIn(at, on, (refused) => resolve(refused === undefined ? 'taken' : 'refused'))
  })

async function gateway(t: Test) {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-lying-'))
  const state = await openState({ url: `sqlite:${join(dir, 's.db')}`, clock: wallClock, log: silent, migrate: true })
  let written = 0
  const counting = {
    ...state,
    run: (...words: Parameters<typeof state.run>) => {
      written += 1
      return state.run(...words)
    },
  }
  const parts = { clock: wallClock, log: silent, audit: () => undefined, worker: 'worker-1' }
  const tunnels = createTunnels({ ...parts, state: counting })
  const upstreams = createUpstreams({ log: silent, environment: {}, agents: tunnels })
  const keys = { keyDirectory: join(dir, 'keys'), userAuthorities: () => [], hostNames: [] }
  const engine = createEngine({ log: silent, clock: wallClock, version: 'test', ...keys, upstreams })
  const { userAuthority } = engine.keys
  const server = engine.server((connection) => {
    const guest = new AgentGuest({ book: tunnels, worker, userAuthority, log: silent }, connection)
    connection.onAuthentication((attempt, signal) => guest.attempt(attempt, signal))
    connection.onReady(() => guest.ready())
  })
  const port = await server.listen({ host: '127.0.0.1', port: 0 })
  const ends: (() => void)[] = []
  t.teardown(async () => {
    for (const end of ends) end()
    await server.close()
    await tunnels.close()
    await state.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  })

  /** One that was enrolled as it should be, and is somebody else's since. */
  const enrolled = async (name: string, targets: readonly string[]) => {
    const secret = await tunnels.issue('anna', { agent: name, targets, forMs: 60_000 })
    const [key, shell] = [newKey(), newKey()]
    const parsed = ssh2.utils.parseKey(shell)
    if (parsed instanceof Error) throw parsed
    const shellKey = `ssh-ed25519 ${parsed.getPublicSSH().toString('base64')}`
    const username = `agent/${name}`
    const dial = (ident = 'Sallyport_agent_0.1.0 workspaces: read-only, overlay'): Promise<ssh2.Client> =>
      new Promise((resolve, reject) => {
        const client = new ssh2.Client()
        ends.push(() => client.end())
        client.on('error', reject)
        client.once('ready', () => resolve(client))
        const byToken: AnyAuthMethod = {
          type: 'keyboard-interactive',
          username,
          prompt: (_name, _text, _language, _prompts, finish) => finish([secret, shellKey]),
        }
        const authHandler: AnyAuthMethod[] = [{ type: 'publickey', username, key }, byToken]
        client.connect({ host: '127.0.0.1', port, username, ident, authHandler })
      })
    /** Serves what comes in as its own shell, which answers errands like this. */
    const serve = (client: ssh2.Client, act: (session: Session) => void): void => {
      const lies = new ssh2.Server({ hostKeys: [shell] }, (connection) => {
        connection.on('error', () => undefined)
        connection.on('authentication', (context) => context.accept())
        connection.on('session', (accept) => act(accept()))
      })
      client.on('tcp connection', (_info, accept) => {
        const stream: Duplex = accept()
        stream.on('error', () => undefined)
        lies.injectSocket(stream as Parameters<typeof lies.injectSocket>[0])
      })
    }
    return { dial, offer, serve }
  }
  return { tunnels, upstreams, engine, enrolled, written: () => written }
}

const answering = (text: string | Buffer) => (session: Session) =>
  session.on('subsystem', (accept) => {
    const channel: ServerChannel = accept()
    channel.on('error', () => undefined)
    channel.end(text)
  })

t.test('an agent reaches nothing by its line, and offers nothing that is not its own', async (t) => {
  const { enrolled, tunnels, upstreams, written } = await gateway(t)
  const honest = await enrolled('other', ['prod-db'])
  const other = await honest.dial()
  t.equal(await honest.offer(other, 'prod-db', 22), 'taken')
  const evil = await enrolled('evil', ['prod-app'])
  const client = await evil.dial()
  const tries: readonly (readonly [string, (done: (failure: Error | undefined) => void) => void])[] = [
    ['a shell', (done) => void client.shell(done)],
    ['a command', (done) => void client.exec('agents', done)],
    ['files', (done) => void client.sftp(done)],
    ['a subsystem', (done) => void client.subsys('kept@sallyport', done)],
    ['a connection', (done) => void client.forwardOut('127.0.0.1', 1, 'prod-db', 22, done)],
    ['a unix socket', (done) => void client.openssh_forwardOutStreamLocal('/run/docker.sock', done)],
    [
      'a unix socket of its own',
      (done) => void client.openssh_forwardInStreamLocal('/tmp/x', (failure) => done(failure ?? undefined)),
    ],
  ]
  for (const [what, act] of tries) {
    const refused = await new Promise<boolean>((resolve) => act((failure) => resolve(failure instanceof Error)))
    t.equal(refused, true, what)
  }
  const names = ['prod-db', 'prod-app.', 'PROD-APP', '', '*', '0.0.0.0', '../prod-db', 'prod-app\0']
  for (const name of names) t.equal(await evil.offer(client, name, 22), 'refused', JSON.stringify(name.slice(0, 20)))
  const careless = await evil.dial()
  const end = new Promise<void>((resolve) => void careless.on('close', () => resolve()))
  careless.forwardIn('x'.repeat(300), 22, () => undefined)
  await end
  for (const port of [0, 23, 443, 65_535]) t.equal(await evil.offer(client, 'prod-app', port), 'refused', `${port}`)
  await t.rejects(tunnels.dial('evil', 'prod-db', 'ssh'), { code: 'TARGET_UNREACHABLE' })
  await t.rejects(upstreams.reach(target('prod-db', 'evil'), 'ssh', never), { code: 'TARGET_UNREACHABLE' })

  t.equal(await evil.offer(client, 'prod-app', 22), 'taken')
  const before = written()
  await Promise.all(Array.from({ length: 500 }, () => evil.offer(client, 'prod-app', 22)))
  t.ok(written() - before < 10, 'the same offer again is nothing to write down')
  t.match(
    (await tunnels.agents()).map(({ lines, name }) => `${name} ${lines.flatMap(({ offers }) => offers).join(' ')}`),
    ['evil prod-app/ssh', 'other prod-db/ssh'],
  )
})

t.test('it cannot hold the gateway by many lines, nor speak to a screen by its version', async (t) => {
  const { enrolled, tunnels } = await gateway(t)
  const evil = await enrolled('evil', ['prod-app'])
  let open = 0
  for (let n = 0; n < 20; n++) {
    const client = await evil.dial(`x\u001b[2J ${'y'.repeat(150)}`)
    open += 1
    client.on('close', () => {
      open -= 1
    })
  }
  await until(() => open <= 8, 'the oldest are cut')
  const [agent] = await tunnels.agents()
  t.equal(agent?.lines.length, 1, 'one per worker is known')
  t.match(agent?.lines[0]?.version, /^[\x20-\x7e]*$/)
})

t.test('a stream that is opened with packets of nothing ends its line, and nobody waits for it', async (t) => {
  const { enrolled, tunnels } = await gateway(t)
  const evil = await enrolled('evil', ['prod-app'])
  const client = await evil.dial()
  const gone = new Promise<void>((resolve) => void client.on('close', () => resolve()))
  t.equal(await evil.offer(client, 'prod-app', 80), 'taken')
  const inside: { channelOpenConfirm(remote: number, local: number, window: number, packet: number): void } =
    Reflect.get(client, '_protocol')
  const confirm = inside.channelOpenConfirm.bind(inside)
  inside.channelOpenConfirm = (remote, local, window) => confirm(remote, local, window, 0)
  client.on('tcp connection', (_info, accept) => void accept())
  await t.rejects(tunnels.dial('evil', 'prod-app', 'http'), { code: 'TARGET_UNREACHABLE' })
  await gone
})

t.test(
  'whatever it answers to an errand is a refusal in time, and the worker lives',
  { timeout: 60_000 },
  async (t) => {
    const { engine, enrolled } = await gateway(t)
    const quiet = { code: 'TARGET_UNREACHABLE' }
    const lies: readonly (readonly [string, (session: Session) => void])[] = [
      ['nothing', () => undefined],
      ['an opened question and nothing more', (session) => session.on('subsystem', () => undefined)],
      ['an answer that never comes', (session) => session.on('subsystem', (accept) => void accept())],
      [
        'an answer without end',
        (session) =>
          session.on('subsystem', (accept) => {
            const channel = accept()
            channel.on('error', () => undefined)
            const more = (): void => {
              while (channel.writable && channel.write(Buffer.alloc(65_536, 0x20)));
              if (channel.writable) channel.once('drain', more)
            }
            more()
          }),
      ],
      ['no', (session) => session.on('subsystem', (_accept, reject) => reject())],
    ]
    await Promise.all(
      lies.map(async ([what, act], n) => {
        const evil = await enrolled(`evil-${n}`, [`app-${n}`])
        const client = await evil.dial()
        evil.serve(client, act)
        await evil.offer(client, `app-${n}`, 22)
        await t.rejects(engine.errand(target(`app-${n}`, `evil-${n}`), 'list@sallyport'), quiet, what)
      }),
    )
  },
)

t.test('what it says of kept changes is believed of its own sessions only, and only when it can be read', async (t) => {
  const { engine, enrolled } = await gateway(t)
  const evil = await enrolled('evil', ['prod-app'])
  const client = await evil.dial()
  let text: string | Buffer = ''
  evil.serve(client, (session) => answering(text)(session))
  await evil.offer(client, 'prod-app', 22)
  const noted: AuditEvent[] = []
  const looked: string[] = []
  let now = Date.now()
  const desk = keptDesk({
    engine,
    library: {
      session: async (id) => {
        looked.push(id)
        return id === ids.app ? row(id, 'prod-app') : id === ids.db ? row(id, 'prod-db') : undefined
      },
    },
    targets: () => [target('prod-app', 'evil'), target('prod-db', 'honest')],
    roles: () => [role],
    // A list is remembered for a few seconds.
    notes: { clock: { now: () => (now += 60_000) as Moment }, audit: (event) => void noted.push(event) },
  })
  const id = ids.app as SessionId
  const good = { session: ids.app, digest: DIGEST, expiresAt: Date.now() + 60_000, changes: 1, bytes: 5 }
  const list = async (kept: unknown) => {
    text = JSON.stringify({ kept })
    return (await desk.list(bob)).rows.map(({ session }) => session.id)
  }
  t.same(await list([good, { ...good, session: ids.db }]), [ids.app], 'not of another agent’s target')
  const odd = [{ session: '../../etc' }, { digest: 'x' }, { bytes: -1 }, { changes: 1e300 }, { expiresAt: 9e15 }]
  t.same(await list([null, 1, 'x', [], ...odd.map((one) => ({ ...good, ...one })), good]).catch(() => []), [])
  t.same(await list(odd.map((one) => ({ ...good, ...one }))), [])
  looked.length = 0
  await list(Array.from({ length: 20_000 }, () => ({ ...good, session: crypto.randomUUID() })))
  t.ok(looked.length <= 100, 'what it makes up is not looked up without end')

  const face = { kind: 'file', mode: 0o644, uid: 0, gid: 0, size: 1 }
  const unreadable: readonly (readonly [string, string | Buffer])[] = [
    ['no JSON', 'hello'],
    ['nothing', ''],
    ['bytes', Buffer.from([0xff, 0xfe, 0, 1])],
    ['a number', '1'],
    ['null', 'null'],
    ['depth', '['.repeat(200_000)],
    ['no digest', JSON.stringify({ entries: [] })],
    ['another digest', JSON.stringify({ digest: '\u001b[2J', entries: [] })],
    ['no list', JSON.stringify({ digest: DIGEST, entries: 'x' })],
    ['an odd change', JSON.stringify({ digest: DIGEST, entries: [{ change: 'made', path: '/x' }] })],
    ['an odd face', JSON.stringify({ digest: DIGEST, entries: [{ change: 'added', path: '/x', is: { kind: 1 } }] })],
    [
      'an odd mode',
      JSON.stringify({ digest: DIGEST, entries: [{ change: 'added', path: '/x', is: { ...face, mode: -1 } }] }),
    ],
  ]
  for (const [what, said] of unreadable) {
    text = said
    await t.rejects(desk.show(bob, id), { code: 'TARGET_UNREACHABLE' }, what)
    await t.rejects(desk.apply(bob, id, DIGEST), what)
    t.not(noted.at(-1)?.kind, 'workspace.applied')
  }
  text = JSON.stringify({ failed: `\u001b]0;owned\u0007${'x'.repeat(10_000)}` })
  await t.rejects(desk.show(bob, id), { message: /^\P{Cc}{1,600}$/u })
  for (const said of [{ done: -1 }, { done: '8' }, { done: 1, failed: { text: 'x' } }, { failed: 7 }]) {
    text = JSON.stringify(said)
    await t.rejects(desk.apply(bob, id, DIGEST), { code: 'NOT_ALLOWED' }, text)
    t.match(noted.at(-1), { kind: 'workspace.refused', text: /no readable answer/ })
  }
  const many = Array.from({ length: 3000 }, () => ({ change: 'added', path: '/x'.repeat(300), is: face }))
  text = JSON.stringify({ digest: DIGEST, entries: many })
  t.equal((await desk.show(bob, id)).changes.length, 1000)
})

t.test(
  'a stream that nobody reads takes no more memory than its window, in however tiny packets it comes',
  async (t) => {
    const { enrolled, tunnels } = await gateway(t)
    const evil = await enrolled('evil', ['prod-app'])
    const client = await evil.dial()
    t.equal(await evil.offer(client, 'prod-app', 80), 'taken')
    const accepted = new Promise<Duplex>((resolve) => client.on('tcp connection', (_info, accept) => resolve(accept())))
    const stream = await tunnels.dial('evil', 'prod-app', 'http')
    t.teardown(() => stream.destroy())
    const lies = await accepted
    const tiny = Buffer.alloc(1)
    const before = heap()
    for (let i = 0; i < 600; i++)
      await new Promise<void>((resolve) => {
        for (let j = 1; j < 1000; j++) lies.write(tiny)
        lies.write(tiny, () => resolve())
      })
    await evil.offer(client, 'prod-app', 80)
    const more = heap() - before
    t.ok(more < 64 * 2 ** 20, `${more} bytes`)
    stream.resume()
    let read = 0
    stream.on('data', (bytes: Buffer) => (read += bytes.length))
    await until(() => read === 600_000, 'all of it')
  },
)
