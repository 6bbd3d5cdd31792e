/** A host without sshd, reached through the gateway by the real ssh. */
import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startShellHost } from '../../agents/shell.ts'
import { message, Reader, string, uint32 } from '../../gateway/ssh/engine/wire.ts'
import { finished, sshClient } from '../fixtures/ssh-client.ts'
import { startGateway } from '../fixtures/ssh-engine.ts'
import { execRequest, newKey, openSessionChannel, rawClient, signIn } from '../fixtures/ssh-raw.ts'
import { freePort } from '../../tools/free-port.ts'
import { missingClient, type Teardown } from '../fixtures/sshd.ts'
import { until } from '../fixtures/until.ts'

const skip = missingClient() ?? false
const ME = 'alice%prod-db@127.0.0.1'
const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

async function house(t: Teardown, authority?: string) {
  const keyDirectory = mkdtempSync(join(tmpdir(), 'sallyport-agent-'))
  t.teardown(() => rmSync(keyDirectory, { recursive: true, force: true }))
  const port = await freePort()
  const trust: string[] = []
  const account = userInfo().username
  const gateway = await startGateway(t, () => undefined, { targetPort: port, account, trust })
  const userAuthority = authority ?? gateway.engine.keys.userAuthority
  const host = await startShellHost({ host: '127.0.0.1', port, keyDirectory, userAuthority, account })
  trust.push(host.hostKey)
  t.teardown(() => host.close())
  const client = sshClient(t, gateway.port)
  client.trust(...gateway.knownHosts)
  gateway.allowed.add(client.fingerprint)
  return { gateway, client, recorder: gateway.recorder }
}

const isRunning = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/State:\s+Z/.test(readFileSync(`/proc/${pid}/status`, 'utf8'))

t.test('commands and terminals', { skip }, async (t) => {
  const { client, gateway, recorder } = await house(t)

  await t.test('two outputs, an exit code, a signal', async (t) => {
    const ran = await client.ssh([ME, 'echo out; echo err >&2; exit 7'])
    t.same([ran.code, ran.stdout.toString(), ran.stderr], [7, 'out\n', 'err\n'])
    await client.ssh([ME, 'kill -TERM $$'])
    t.equal(recorder.bytes('x').toString(), '143')
  })

  await t.test('five megabytes there and back, with both outputs stalled on the way', async (t) => {
    const data = randomBytes(5 * 1024 * 1024)
    t.equal(sha((await client.ssh([ME, 'cat'], { input: data })).stdout), sha(data))
    const make =
      'for i in 1 2; do head -c 6000000 /dev/zero | tr "\\0" a; head -c 6000000 /dev/zero | tr "\\0" b >&2; done'
    const child = client.start([ME, make])
    const [out, err]: [Buffer[], Buffer[]] = [[], []]
    await sleep(500)
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
    await sleep(500)
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
    t.equal(await new Promise((resolve) => child.once('close', resolve)), 0)
    t.equal(sha(Buffer.concat(out)), sha(Buffer.alloc(12_000_000, 'a')))
    t.equal(sha(Buffer.concat(err)), sha(Buffer.alloc(12_000_000, 'b')))
  })

  await t.test('a terminal of the right size', async (t) => {
    const inner = `ssh ${client.options.join(' ')} -tt ${ME} 'tty; stty size; echo $TERM'`
    const env = { PATH: process.env['PATH'] ?? '', HOME: client.directory, TERM: 'xterm-256color' }
    const ran = await finished(spawn('script', ['-qec', `stty rows 31 cols 97; ${inner}`, '/dev/null'], { env }))
    t.match(ran.stdout.toString(), /\/dev\/pts\/\d+\s+31 97\s+xterm-256color/)
  })

  await t.test('a signal of the client reaches the program', async (t) => {
    const raw = await rawClient(t, gateway.port)
    const key = newKey()
    gateway.allowed.add(key.fingerprint)
    await signIn(raw, 'alice%prod-db', key)
    raw.send(openSessionChannel(0))
    const id = new Reader((await raw.nextOf(91)) ?? Buffer.alloc(0), 5).uint32()
    raw.send(execRequest(id, 'trap "echo got; exit 9" USR1; echo ready; while :; do sleep 0.05; done'))
    await raw.nextOf(94)
    raw.send(message(98, uint32(id), string('signal'), Buffer.from([0]), string('USR1')))
    t.match((await raw.nextOf(94))?.toString(), /got/)
    raw.destroy()
  })

  await t.test('a typed shell', async (t) => {
    const ran = await client.ssh(['-tt', ME], { input: 'echo $((40+2)); exit 5\n', endInput: true })
    t.match(ran.stdout.toString(), /^42/m)
    t.equal(ran.code, 5)
  })
})

t.test('the end of a grant takes the processes along', { skip }, async (t) => {
  for (const args of [[], ['-tt']]) {
    const { client, gateway } = await house(t)
    const pidFile = join(client.directory, 'pid')
    const child = client.start([...args, ME, `echo $$ > ${pidFile}; sleep 600 & yes`])
    child.stdout?.resume()
    const gone = finished(child, { endInput: false })
    await until(() => gateway.recorder.bytes('o').length >= 100_000)
    const pid = Number(readFileSync(pidFile, 'utf8'))
    t.ok(isRunning(pid))
    gateway.endGrant()
    t.match((await gone).stderr, /revoked by bob/)
    await until(() => !isRunning(pid), 'nothing of it runs on')
  }
})

t.test('a certificate of another CA opens nothing', { skip }, async (t) => {
  const { client } = await house(t, 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA')
  const ran = await client.ssh([ME, 'echo in'])
  t.equal(ran.code, 255)
  t.match(ran.stderr, /does not let/)
})
