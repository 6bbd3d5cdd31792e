/** A host that nobody can dial, with the real ssh and the real agent process, in a network of its own where that can be made. */
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { agentDirectory, startAgent } from '../fixtures/agent.ts'
import { type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { doorAt, ownNetwork } from '../fixtures/network.ts'
import { until } from '../fixtures/until.ts'

const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()
const sha = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const isRunning = (words: string): boolean => execFileSync('ps', ['-eo', 'args']).toString().split('\n').includes(words)

async function granted(asker: DemoPerson, approver: DemoPerson, role: string): Promise<string> {
  const asked = await asker.ssh(['@', 'request', 'prod-app', '--role', role, '--reason', 'flow test', '--json'])
  const { id } = JSON.parse(said(asked)) as { id: string }
  if (role !== 'logs') await approver.ssh(['@', 'approve', id])
  return id
}

if (!existsSync('/usr/bin/ssh')) t.plan(0, 'no OpenSSH client here')
else {
  const demo = await startDemo(t)
  const [alice, bob] = [demo.person('alice'), demo.person('bob')] as const
  const { host, port } = demo.report.ssh
  const dir = alice.client.directory
  const direct = ['-o', 'LogLevel=ERROR']
  const agentsNow = async (): Promise<readonly { name: string; isRevoked: boolean; lines: readonly object[] }[]> =>
    JSON.parse(said(await bob.ssh(['@', 'agents', '--json'])))
  const lines = async (): Promise<number> =>
    (await agentsNow()).find(({ name }) => name === 'prod-app')?.lines.length ?? 0
  const token = async (name: string, targets: string): Promise<string> => {
    const run = await bob.ssh(['@', 'agent-token', name, '--targets', targets, '--for', '5m'])
    if (run.code !== 0) throw new Error(run.stderr)
    return said(run).trim()
  }

  await t.test('agents are an affair of admins', async (t) => {
    await alice.ssh(['@', 'whoami'])
    for (const command of ['agents', 'agent-token x --targets prod-app', 'agent-revoke prod-app'])
      t.match(await alice.ssh(['@', command]), { code: 1, stderr: /affair of admins/ })
    await until(async () => (await lines()) === 2, 'a line to each worker')
  })

  await t.test('the shell of an agent: output, exit codes, signals, terminal, environment', async (t) => {
    await granted(alice, bob, 'operator')
    const run = await alice.ssh(['@', 'prod-app', 'echo out; echo err >&2; exit 7'])
    t.match({ code: run.code, out: said(run), err: run.stderr }, { code: 7, out: 'out\n', err: /err\n/ })
    t.equal((await alice.ssh(['@', 'prod-app', 'kill -TERM $$'])).code, 255)
    t.match(
      said(await alice.ssh(['-tt', '@', 'prod-app'], { input: 'stty size; echo sum $((20+22)); exit 5\n' })),
      /sum 42/,
    )
    t.notMatch(said(await alice.ssh(['@', 'prod-app', 'env'])), /NODE|npm_|SUDO|SSH_AUTH/)
    const bulk = randomBytes(10 * 2 ** 20)
    t.equal(sha((await alice.ssh(['@', 'prod-app', 'cat'], { input: bulk })).stdout), sha(bulk))
  })

  await t.test(
    'files through an agent',
    { skip: existsSync('/usr/lib/openssh/sftp-server') ? false : 'no sftp-server here' },
    async (t) => {
      const file = randomBytes(1_000_003)
      writeFileSync(join(dir, 'up'), file)
      const there = `alice%prod-app@${host}:${dir}/there`
      t.equal((await alice.client.scp([...direct, 'up', there])).code, 0)
      t.equal(sha(readFileSync(join(dir, 'there'))), sha(file))
      t.equal((await alice.client.scp([...direct, there, 'down'])).code, 0)
      t.equal(sha(readFileSync(join(dir, 'down'))), sha(file))
    },
  )

  await t.test('forwarding through an agent leads nowhere, whatever the role says', async (t) => {
    const run = await alice.client.ssh([...direct, '-W', '127.0.0.1:22', `alice%prod-app@${host}`])
    t.not(run.code, 0)
  })

  await t.test('a granted command reaches the host as words, not as a line for a shell', async (t) => {
    await granted(alice, bob, 'logs')
    const run = await alice.ssh([`alice%prod-app%logs@${host}`, 'logs app=orders lines=2'])
    t.match({ code: run.code, out: said(run) }, { code: 0, out: /orders ERROR/ })
    t.not((await alice.ssh([`alice%prod-app%logs@${host}`, 'id'])).code, 0)
  })

  const network = ownNetwork(t)
  const at = network === undefined ? undefined : `${network.address}:${await doorAt(t, network.address, port)}`
  const before = network?.before ?? []
  const reach = at === undefined ? ['--gateway', `${host}:${port}`] : ['--gateway', at]
  t.comment(network === undefined ? 'no network namespace here: the agent shares ours' : 'the agent is in a namespace')
  const data = agentDirectory(t)

  await t.test('revoking an agent ends its sessions at once', async (t) => {
    await granted(alice, bob, 'operator')
    const session = alice.ssh(['@', 'prod-app', 'exec sleep 31411'])
    await until(() => isRunning('sleep 31411'), 'the session runs')
    t.equal((await bob.ssh(['@', 'agent-revoke', 'prod-app'])).code, 0)
    t.not((await session).code, 0)
    await until(() => !isRunning('sleep 31411'), 'nothing runs')
    t.equal((await agentsNow()).find(({ name }) => name === 'prod-app')?.isRevoked, true)
    t.match(await alice.ssh(['@', 'prod-app', 'id']), { stderr: /agent.*not (enrolled|connected)/ })
  })

  await t.test('a token enrols one agent once', async (t) => {
    const text = await token('prod-app', 'prod-app')
    const agent = startAgent(t, data, ['--enroll', text, ...reach], before)
    await agent.says(/worker [12] of 2[\s\S]*worker [12] of 2/)
    await until(async () => (await lines()) === 2, 'a line to each worker')
    t.equal(said(await alice.ssh(['@', 'prod-app', 'echo again'])), 'again\n')
    if (network !== undefined)
      t.match(said(await alice.ssh(['@', 'prod-app', 'ip -o -4 addr'])), /10\.231\./, 'the shell is in its network')
    const thief = startAgent(t, agentDirectory(t), ['--enroll', text, ...reach], before)
    t.equal(await thief.end('SIGCONT'), 1)
    t.match(thief.said(), /does not let this agent in/)
    t.equal(said(await alice.ssh(['@', 'prod-app', 'echo still'])), 'still\n')
    t.equal(await agent.end(), 0)
    t.notMatch(agent.said() + thief.said(), text.slice(20, 60), 'the token is never said')
  })

  await t.test('an agent refuses a key that others can read, and a gateway that is another', async (t) => {
    const key = join(data, 'agent_key')
    chmodSync(key, 0o640)
    const open = startAgent(t, data, [], before)
    t.equal(await open.end('SIGCONT'), 1)
    t.match(open.said(), /may be read by others/)
    chmodSync(key, 0o600)
    const settings = join(data, 'agent.json')
    const good = readFileSync(settings, 'utf8')
    writeFileSync(settings, good.replace(/ssh-ed25519 [^"]+/, `ssh-ed25519 ${'A'.repeat(68)}`))
    const lost = startAgent(t, data, [], before)
    await lost.says(/host key is not the one that was pinned/)
    await lost.end()
    writeFileSync(settings, good)
  })

  const as = (user: string, ...args: readonly string[]) => {
    const key = ['-i', join(data, 'agent_key')]
    return alice.client.ssh([...direct, ...key, ...args], { first: [...key, '-l', user] })
  }
  await t.test('its key is nobody’s: no command, no shell, no way through, no other name', async (t) => {
    for (const rest of [
      [host, 'id'],
      [host, 'prod-app', 'id'],
      [host],
      ['-s', host, 'sftp'],
      ['-W', 'prod-app:22', host],
      ['-W', '127.0.0.1:22', host],
    ]) {
      const run = await as('agent/prod-app', ...rest)
      t.not(run.code, 0, rest.join(' '))
      t.notMatch(said(run), /uid=|SSH-2/)
    }
    t.match(await as('agent/prod-db', host, 'id'), { code: 255 }, 'another agent')
    const forwards = ['-o', 'ExitOnForwardFailure=yes', '-N']
    for (const offer of ['prod-db:22', 'prod-web:5432', 'prod-app:2222', '127.0.0.1:8080'])
      t.match(await as('agent/prod-app', ...forwards, '-R', `${offer}:127.0.0.1:1`, host), { code: 255 }, offer)
  })

  await t.test('kill -9 of the agent: the session ends, nothing stays, and it comes back', async (t) => {
    const agent = startAgent(t, data, [], before)
    await until(async () => (await lines()) === 2, 'it is back')
    const session = alice.ssh(['@', 'prod-app', '(setsid sleep 31413 &) ; (sleep 31412 &) ; exec sleep 31414'])
    await until(() => isRunning('sleep 31414') && isRunning('sleep 31413'), 'the session runs')
    agent.process.kill('SIGKILL')
    t.match(await session, { code: /[^0]/, stderr: /connection to the target was lost/ })
    await until(() => ![31_412, 31_413, 31_414].some((n) => isRunning(`sleep ${n}`)), 'nothing runs')
    const again = startAgent(t, data, [], before)
    await again.says(/worker [12] of 2[\s\S]*worker [12] of 2/)
    t.equal(said(await alice.ssh(['@', 'prod-app', 'echo back'])), 'back\n')
    await again.end()
  })

  await t.test('kill -9 of the gateway: the agent kills what ran, waits, and is there again', async (t) => {
    const agent = startAgent(t, data, [], before)
    await until(async () => (await lines()) === 2, 'it is back')
    const session = alice.ssh(['@', 'prod-app', 'exec sleep 31415'])
    await until(() => isRunning('sleep 31415'), 'the session runs')
    await demo.end('SIGKILL')
    await session
    await until(() => !isRunning('sleep 31415'), 'nothing runs')
    await demo.again()
    await until(async () => (await lines()) === 2, 'it is back')
    t.equal(said(await alice.ssh(['@', 'prod-app', 'echo after'])), 'after\n')
    t.equal(await agent.end(), 0)
  })
}
