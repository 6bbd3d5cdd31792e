/** Who may be an agent: tokens, keys, targets, and the end of all that. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import t from 'tap'
import type { AuditEvent } from '../../gateway/model/event.ts'
import { silent } from '../../gateway/model/log.ts'
import type { Moment } from '../../gateway/model/moment.ts'
import { openState, type State } from '../../gateway/state/state.ts'
import { createTunnels, type Line, type Tunnels } from '../../gateway/tunnels/tunnels.ts'
import type { Teardown } from '../fixtures/sshd.ts'
import { until } from '../fixtures/until.ts'

const SHELL_KEY = `ssh-ed25519 ${'A'.repeat(68)}`
const MINUTE = 60_000

async function house(t: Teardown) {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-tunnels-'))
  const time = { now: Date.now() }
  const clock = { now: () => time.now as Moment }
  const noted: AuditEvent[] = []
  const audit = (event: AuditEvent) => void noted.push(event)
  const url = `sqlite:${join(dir, 'state.db')}`
  const opened: { readonly state: State; readonly tunnels: Tunnels }[] = []
  for (const worker of ['worker-1', 'worker-2']) {
    const state = await openState({ url, clock, log: silent, migrate: true })
    opened.push({ state, tunnels: createTunnels({ state, clock, log: silent, audit, worker }) })
  }
  t.teardown(async () => {
    for (const { state, tunnels } of opened) {
      await tunnels.close()
      await state.close()
    }
    rmSync(dir, { recursive: true, force: true })
  })
  const [one, two] = opened.map(({ tunnels }) => tunnels)
  if (one === undefined || two === undefined) throw new Error('two workers were expected')
  const issue = (agent = 'web', targets = ['prod-web']) => one.issue('bob', { agent, targets, forMs: 15 * MINUTE })
  const enrol = (secret: string, agent = 'web', fingerprint = 'SHA256:x') =>
    two.enrol(agent, { secret, fingerprint, shellKey: SHELL_KEY, address: '192.0.2.1' })
  return { one, two, time, noted, issue, enrol }
}

/** A line that opens a stream and remembers why it was cut. */
function line(): Line & { readonly why: string[]; readonly opened: string[] } {
  const [why, opened]: [string[], string[]] = [[], []]
  return {
    address: '192.0.2.1',
    version: 'test',
    why,
    opened,
    open: async (target, port) => {
      opened.push(`${target}:${port}`)
      return new Duplex({ read: () => undefined, write: (_bytes, _encoding, done) => done() })
    },
    cut: (reason) => void why.push(reason),
  }
}

await t.test('a token works once, in time, and for its own agent', async (t) => {
  const { enrol, issue, noted, one, time, two } = await house(t)
  const secret = await issue()
  t.equal(await two.isAwaited('web'), true)
  t.equal(await two.isAwaited('db'), false)
  t.equal(await enrol(secret, 'db'), undefined, 'another name')
  t.equal(await enrol('x'.repeat(43)), undefined, 'a guess')
  const both = await Promise.all([enrol(secret, 'web', 'SHA256:a'), enrol(secret, 'web', 'SHA256:b')])
  t.equal(both.filter((bound) => bound !== undefined).length, 1, 'once, also at the same time')
  t.equal(await enrol(secret), undefined, 'used')
  t.equal(await two.isAwaited('web'), false)
  t.match(
    both.find((bound) => bound !== undefined),
    { name: 'web', targets: ['prod-web'] },
  )

  const late = await issue('late')
  time.now += 15 * MINUTE
  t.equal(await enrol(late, 'late'), undefined, 'too late')
  const older = await issue('twice')
  const newer = await issue('twice')
  t.equal(await enrol(older, 'twice'), undefined, 'a newer one takes its place')
  t.ok(await enrol(newer, 'twice'))
  t.notMatch(JSON.stringify(noted), new RegExp([secret, late, older, newer].join('|')), 'no secret in the log')
  t.ok(noted.some(({ kind }) => kind === 'agent.refused'))
  t.same(
    (await one.agents()).map(({ name }) => name),
    ['twice', 'web'],
  )
})

await t.test('what cannot be a token or an agent', async (t) => {
  const { one, enrol, issue, two } = await house(t)
  for (const wish of [
    { agent: 'Web', targets: ['prod-web'], forMs: MINUTE },
    { agent: 'a/b', targets: ['prod-web'], forMs: MINUTE },
    { agent: 'web', targets: [], forMs: MINUTE },
    { agent: 'web', targets: ['prod-web'], forMs: 0 },
    { agent: 'web', targets: ['prod-web'], forMs: Number.NaN },
    { agent: 'web', targets: ['prod-web'], forMs: 25 * 60 * MINUTE },
  ])
    await t.rejects(one.issue('bob', wish), { code: 'BAD_INPUT' })
  const secret = await issue()
  for (const shellKey of ['', 'ssh-rsa AAAA', `${SHELL_KEY}\nssh-ed25519 ${'B'.repeat(68)}`])
    t.equal(await two.enrol('web', { secret, fingerprint: 'SHA256:x', shellKey, address: '' }), undefined)
  t.ok(await enrol(secret), 'and the token is still good')
})

await t.test('an agent reaches nothing but its own targets, and only what it offers', async (t) => {
  const { enrol, issue, one } = await house(t)
  const bound = await enrol(await issue())
  if (bound === undefined) throw new Error('not enrolled')
  await t.rejects(one.dial('web', 'prod-web', 'ssh'), { code: 'TARGET_UNREACHABLE', message: /not connected/ })
  const held = line()
  const joined = one.join(bound, held)
  await t.rejects(one.dial('web', 'prod-web', 'ssh'), { message: /does not offer ssh/ })
  t.equal(joined.offer('prod-db', 22), false, 'the target of another')
  t.equal(joined.offer('prod-web', 2222), false, 'no protocol')
  t.equal(joined.offer('prod-web', 22), true)
  const stream = await one.dial('web', 'prod-web', 'ssh')
  stream.destroy()
  t.same(held.opened, ['prod-web:22'])
  await t.rejects(one.dial('web', 'prod-web', 'postgres'), { code: 'TARGET_UNREACHABLE' })
  await t.rejects(one.dial('web', 'prod-db', 'ssh'), { code: 'TARGET_UNREACHABLE' })
  await t.rejects(one.dial('db', 'prod-web', 'ssh'), { code: 'TARGET_UNREACHABLE' })
  joined.leave()
  await t.rejects(one.dial('web', 'prod-web', 'ssh'), { message: /not connected/ })
})

await t.test('revoking, and a new key, cut on every worker', async (t) => {
  const { enrol, issue, one, two } = await house(t)
  const bound = await enrol(await issue(), 'web', 'SHA256:old')
  if (bound === undefined) throw new Error('not enrolled')
  const [first, second] = [line(), line()]
  one.join(bound, first)
  two.join(bound, second)
  t.ok(await one.known('web', 'SHA256:old'))
  const renewed = await enrol(await issue(), 'web', 'SHA256:new')
  if (renewed === undefined) throw new Error('not enrolled')
  await until(() => first.why.length > 0 && second.why.length > 0, 'the old key is out')
  t.equal(await one.known('web', 'SHA256:old'), undefined)
  const third = line()
  two.join(renewed, third)
  await one.revoke('bob', 'web')
  await until(() => third.why.length > 0, 'it is out')
  t.equal(await two.known('web', 'SHA256:new'), undefined)
  t.equal(await two.shellKey('web'), undefined)
  await t.rejects(one.revoke('bob', 'web'), { code: 'NOT_FOUND' })
})
