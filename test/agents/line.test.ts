/** Bytes of any protocol through the line of an agent: whole, both ways, and only to where the agent's own settings say. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import ssh2, { type AnyAuthMethod } from 'ssh2'
import t from 'tap'
import { enrol, runAgent } from '../../agents/agents.ts'
import { newKey } from '../../agents/key.ts'
import { readOffers } from '../../agents/settings.ts'
import { silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import type { Target } from '../../gateway/model/target.ts'
import { AgentGuest } from '../../gateway/ssh/agents.ts'
import { createEngine } from '../../gateway/ssh/engine/engine.ts'
import { openState } from '../../gateway/state/state.ts'
import { createTunnels } from '../../gateway/tunnels/tunnels.ts'
import { createUpstreams } from '../../gateway/upstreams/upstreams.ts'
import { until } from '../fixtures/until.ts'

const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const never = new AbortController().signal

/** A database as far as bytes go: what it is sent it sends back. */
async function echo(): Promise<{ readonly port: number; close(): void }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return { port: (server.address() as AddressInfo).port, close: () => server.close() }
}

const target = (name: string): Target =>
  ({ name, postgres: { host: 'db', port: 5432, agent: 'db' } }) as unknown as Target

const worker = () => ({ number: 1, count: 1 })

await t.test('a database behind an agent', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-line-'))
  const state = await openState({ url: `sqlite:${join(dir, 's.db')}`, clock: wallClock, log: silent, migrate: true })
  const tunnels = createTunnels({ state, clock: wallClock, log: silent, audit: () => undefined, worker: 'worker-1' })
  const upstreams = createUpstreams({ log: silent, environment: {}, agents: tunnels })
  const engine = createEngine({
    log: silent,
    clock: wallClock,
    version: 'test',
    keyDirectory: join(dir, 'keys'),
    userAuthorities: () => [],
    hostNames: [],
    upstreams,
  })
  const { userAuthority } = engine.keys
  const server = engine.server((connection) => {
    const guest = new AgentGuest({ book: tunnels, worker, userAuthority, log: silent }, connection)
    connection.onAuthentication((attempt, signal) => guest.attempt(attempt, signal))
    connection.onReady(() => guest.ready())
  })
  const port = await server.listen({ host: '127.0.0.1', port: 0 })
  const database = await echo()
  const stop = new AbortController()
  const secret = await tunnels.issue('bob', { agent: 'db', targets: ['prod-db', 'prod-x'], forMs: 60_000 })
  const token = { gateway: `127.0.0.1:${port}`, hostKey: engine.keys.host, agent: 'db', targets: ['prod-db'], secret }
  const text = `sallyport-agent.${Buffer.from(JSON.stringify(token)).toString('base64url')}`
  const parts = { data: join(dir, 'agent'), say: () => undefined }
  const offers = readOffers([`prod-db.postgres=127.0.0.1:${database.port}`, 'prod-x.postgres=127.0.0.1:1'])
  const settings = await enrol(parts, text, { at: undefined, offers })
  const over = runAgent(parts, settings, stop.signal)
  t.teardown(async () => {
    stop.abort()
    await over
    await server.close()
    await tunnels.close()
    await state.close()
    database.close()
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  })
  t.equal(settings.userAuthority, userAuthority, 'it learns which certificates open its shell')

  const reach = async (name: string): Promise<Duplex> => {
    for (let i = 0; ; i++)
      try {
        return await upstreams.reach(target(name), 'postgres', never)
      } catch (failure) {
        if (i === 100 || !/not connected|not offer/.test(String(failure))) throw failure
        await new Promise((wake) => setTimeout(wake, 50))
      }
  }

  await t.test('twenty megabytes there and back, and the end of each direction', async (t) => {
    const stream = await reach('prod-db')
    const bulk = randomBytes(20 * 2 ** 20)
    const back = buffer(stream)
    stream.end(bulk)
    t.equal(sha(await back), sha(bulk))
  })

  await t.test('many at once do not mix', async (t) => {
    const streams = await Promise.all(Array.from({ length: 30 }, () => reach('prod-db')))
    const said = await Promise.all(
      streams.map(async (stream, n) => {
        const back = buffer(stream)
        stream.end(`stream ${n}`)
        return (await back).toString()
      }),
    )
    t.same(
      said,
      streams.map((_, n) => `stream ${n}`),
    )
  })

  await t.test('who does not read stops the other side, and nobody else', async (t) => {
    const stalled = await reach('prod-db')
    const piece = randomBytes(2 ** 20)
    let written = 0
    for (let i = 0; i < 64; i++) stalled.write(piece, () => (written += piece.length))
    stalled.end()
    for (let i = 0; i < 20; i++) {
      const other = await reach('prod-db')
      const back = buffer(other)
      other.end('hello')
      t.equal((await back).toString(), 'hello')
    }
    let seen = -1
    const isStill = (): boolean => seen === (seen = written)
    await until(isStill, 'it stops')
    t.ok(written < 48 * 2 ** 20, `${written} bytes: windows and the sockets of both sides`)
    const all = createHash('sha256')
    for (let i = 0; i < 64; i++) all.update(piece)
    t.equal(sha(await buffer(stalled)), all.digest('hex'))
  })

  await t.test('where nothing listens the answer is a sentence, and other targets are not there', async (t) => {
    await t.rejects(reach('prod-x'), { code: 'TARGET_UNREACHABLE', message: /does not open it/ })
    await t.rejects(tunnels.dial('db', 'prod-db', 'ssh'), { code: 'TARGET_UNREACHABLE' })
    await t.rejects(tunnels.dial('db', '127.0.0.1', 'postgres'), { code: 'TARGET_UNREACHABLE' })
  })

  await t.test('without agents a target behind one is out of reach', async (t) => {
    const none = createUpstreams({ log: silent, environment: {} })
    await t.rejects(none.reach(target('prod-db'), 'postgres', never), { code: 'TARGET_UNREACHABLE' })
  })

  await t.test('a token without a proven key, and a person at this door, get nowhere', async (t) => {
    const good = await tunnels.issue('bob', { agent: 'other', targets: ['prod-db'], forMs: 60_000 })
    const attempt = (username: string, authHandler: AnyAuthMethod[]): Promise<string> =>
      new Promise((resolve) => {
        const client = new ssh2.Client()
        client.once('ready', () => resolve('in'))
        client.on('error', (error) => resolve(error.message))
        client.once('close', () => resolve('closed'))
        t.teardown(() => client.end())
        client.connect({ host: '127.0.0.1', port, username, authHandler })
      })
    const byToken = (username: string): AnyAuthMethod => ({
      type: 'keyboard-interactive',
      username,
      prompt: (_name, _text, _language, _prompts, finish) => finish([good, settings.gateway.hostKey]),
    })
    const key = newKey()
    const byKey = (username: string): AnyAuthMethod => ({ type: 'publickey', username, key })
    t.not(await attempt('agent/other', [byToken('agent/other')]), 'in', 'the token alone')
    t.not(await attempt('agent/db', [byKey('agent/db'), byToken('agent/db')]), 'in', 'the token of another')
    t.not(await attempt('agent/other', [byKey('agent/other')]), 'in', 'a key alone')
    t.not(await attempt('agent/other', [{ type: 'none', username: 'agent/other' }]), 'in')
    t.not(await attempt('agent/other', [{ type: 'password', username: 'agent/other', password: good }]), 'in')
    t.equal(await tunnels.isAwaited('other'), true, 'the token is still good')
    const both = [byKey('agent/other'), byToken('agent/other')]
    t.equal(await attempt('agent/other', both), 'in')
    const stranger = newKey()
    const again: AnyAuthMethod = { type: 'publickey', username: 'agent/other', key: stranger }
    t.not(await attempt('agent/other', [again, byToken('agent/other')]), 'in', 'but only once')
  })

  await t.test('streams end with the line', async (t) => {
    const stream = await reach('prod-db')
    const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()))
    stream.resume()
    await tunnels.revoke('bob', 'db')
    await closed
    await t.rejects(tunnels.dial('db', 'prod-db', 'postgres'), { code: 'TARGET_UNREACHABLE' })
  })
})
