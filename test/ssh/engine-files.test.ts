/** Files, jumps and forwards: scp, sftp, ssh -J and ssh -L by the real programs. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { Refusal } from '../../gateway/model/refusal.ts'
import { ALLOW } from '../../gateway/model/statement.ts'
import { Frames } from '../../gateway/ssh/engine/sftp-frames.ts'
import { message, Reader, string, uint32 } from '../../gateway/ssh/engine/wire.ts'
import { newKey, openSessionChannel, rawClient, signIn } from '../fixtures/ssh-raw.ts'
import { sshClient } from '../fixtures/ssh-client.ts'
import { startGateway } from '../fixtures/ssh-engine.ts'
import { freePort } from '../../tools/free-port.ts'
import { missingClient, missingSshd, type Sshd, startSshd, type Teardown } from '../fixtures/sshd.ts'
import { until } from '../fixtures/until.ts'

const skip = missingSshd() ?? missingClient() ?? false
const ME = 'alice%prod-db@127.0.0.1'
const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

async function house(t: Teardown, options: Parameters<typeof startGateway>[2] = {}, config: readonly string[] = []) {
  let sshd: Sshd | undefined
  const gateway = await startGateway(t, () => sshd, options)
  sshd = await startSshd(t, { userAuthority: gateway.engine.keys.userAuthority, config })
  const client = sshClient(t, gateway.port)
  client.trust(...gateway.knownHosts)
  gateway.allowed.add(client.fingerprint)
  const file = (name: string) => join(client.directory, name)
  return { gateway, sshd, client, recorder: gateway.recorder, file }
}

t.test('scp and sftp', { skip }, async (t) => {
  const { client, recorder, file, gateway } = await house(t)
  const data = randomBytes(3_000_000)
  writeFileSync(file('here'), data)

  for (const [name, options] of [
    ['scp', []],
    ['scp -O', ['-O']],
  ] as const) {
    t.test(`${name} brings files both ways as they are`, async (t) => {
      const up = await client.scp([...options, file('here'), `${ME}:${file('there')}`])
      t.equal(up.code, 0, up.stderr)
      t.equal(sha(readFileSync(file('there'))), sha(data))
      const down = await client.scp([...options, `${ME}:${file('there')}`, file('back')])
      t.equal(down.code, 0, down.stderr)
      t.equal(sha(readFileSync(file('back'))), sha(data))
    })
  }

  t.test('each file operation is one event, with bytes and sha256', async (t) => {
    await client.scp([file('here'), `${ME}:${file('there')}`])
    t.match(
      recorder.json('f').find((record) => record['operation'] === 'write'),
      { path: file('there'), bytes: data.length, sha256: sha(data), result: 'done' },
    )
    t.match(
      recorder.json('s').map((record) => record['text']),
      [`write ${file('there')}`],
    )
    t.equal(recorder.bytes('i').length, 0, 'contents are not in the recording')
    await client.scp([`${ME}:${file('there')}`, file('back')])
    t.match(
      recorder.json('f').find((record) => record['operation'] === 'read'),
      { path: file('there'), bytes: data.length, sha256: sha(data), result: 'done' },
    )
  })

  t.test('sftp: directories, renames, removals', async (t) => {
    const at = file('tree')
    const batch = `mkdir ${at}\nput ${file('here')} ${at}/a\nrename ${at}/a ${at}/b\nls ${at}\nchmod 600 ${at}/b\nrm ${at}/b\nrmdir ${at}\n`
    const ran = await client.sftp([ME], batch)
    t.equal(ran.code, 0, ran.stderr)
    t.notOk(existsSync(at))
    const done = recorder.json('f').map(({ operation, result }) => `${String(operation)} ${String(result)}`)
    for (const operation of ['mkdir', 'write', 'rename', 'list', 'setstat', 'remove', 'rmdir'])
      t.ok(done.includes(`${operation} done`), operation)
    t.match(
      recorder.json('f').find((record) => record['operation'] === 'rename'),
      { path: `${at}/a`, to: `${at}/b` },
    )
  })

  t.test('what fails on the target is recorded as failed', async (t) => {
    const ran = await client.sftp([ME], `get ${file('missing')} ${file('x')}\n`)
    t.not(ran.code, 0)
    t.ok(recorder.json('f').some((record) => record['result'] === 'failed'))
  })
  t.test('nothing went wrong inside', async (t) => t.same(gateway.failures, []))
})

t.test('files that a rule keeps closed', { skip }, async (t) => {
  const { client, file, recorder } = await house(t, {
    files: (operation, path) =>
      operation === 'read' || operation === 'list' || !path.includes('closed')
        ? ALLOW
        : { decision: 'deny', reason: 'This role may only read there.' },
  })
  writeFileSync(file('here'), 'content')
  writeFileSync(file('closed'), 'secret')
  const batch = [
    `-put ${file('here')} ${file('closed')}`,
    `-rm ${file('closed')}`,
    `-rename ${file('closed')} ${file('moved')}`,
    `-chmod 777 ${file('closed')}`,
    `-mkdir ${file('closed-too')}`,
    `get ${file('closed')} ${file('read')}`,
    `put ${file('here')} ${file('open')}`,
  ]
  const ran = await client.sftp([ME], `${batch.join('\n')}\n`)
  t.equal(ran.code, 0, 'the connection goes on after each refusal')
  t.match(ran.stderr, /Permission denied|may only read/)
  t.equal(readFileSync(file('closed'), 'utf8'), 'secret')
  t.equal(readFileSync(file('read'), 'utf8'), 'secret')
  t.equal(readFileSync(file('open'), 'utf8'), 'content')
  t.notOk(existsSync(file('moved')) || existsSync(file('closed-too')))
  t.same(
    recorder
      .json('f')
      .filter(({ result }) => result === 'denied')
      .map(({ operation }) => operation),
    ['write', 'remove', 'rename', 'setstat', 'mkdir'],
  )
  t.equal(recorder.json('s').filter(({ verdict }) => JSON.stringify(verdict).includes('deny')).length, 5)
})

t.test('SFTP that cannot be read ends the session, and none of it reaches the target', { skip }, async (t) => {
  for (const rubbish of [
    Buffer.from([0xff, 0xff, 0xff, 0xff, 1]),
    Buffer.from([0, 0, 0, 0]),
    string(Buffer.concat([Buffer.from([250]), uint32(1)])),
    string(Buffer.concat([Buffer.from([3]), uint32(1), uint32(9999)])),
    string(Buffer.concat([Buffer.from([200]), uint32(1)])),
  ]) {
    const { gateway, recorder } = await house(t, { allowAll: true })
    const raw = await rawClient(t, gateway.port)
    await signIn(raw, 'alice%prod-db', newKey())
    raw.send(openSessionChannel(0))
    const id = new Reader((await raw.nextOf(91)) ?? Buffer.alloc(0), 5).uint32()
    raw.send(message(98, uint32(id), string('subsystem'), Buffer.from([1]), string('sftp')))
    await raw.nextOf(99)
    raw.send(message(94, uint32(id), string(rubbish)))
    t.ok(await raw.nextOf(97), 'the channel is closed')
    await until(() => recorder.sessions.at(-1)?.end)
    t.match(recorder.sessions.at(-1)?.end, { cause: 'cut' })
    raw.destroy()
  }
})

t.test('SFTP cut at every byte is read alike', async (t) => {
  const frames = [message(1, uint32(3)), message(3, uint32(1), string('/etc/passwd'), uint32(1), uint32(0))].map(string)
  const all = Buffer.concat(frames)
  for (let at = 0; at <= all.length; at += 1) {
    const reader = new Frames()
    const got = [...reader.push(all.subarray(0, at)), ...reader.push(all.subarray(at))]
    t.same(got.map(String), frames.map(String))
  }
  const reader = new Frames()
  const got = Array.from(all, (_, at) => [...reader.push(all.subarray(at, at + 1))]).flat()
  t.same(got.map(String), frames.map(String))
})

t.test('forty megabytes both ways while both legs agree on new keys all the time', { skip }, async (t) => {
  const { client, file } = await house(t, {}, ['RekeyLimit 1M'])
  const data = randomBytes(40 * 1024 * 1024)
  const options = ['-o', 'RekeyLimit=1M']
  const both = await client.ssh([...options, ME, 'cat'], { input: data })
  t.equal(both.code, 0, both.stderr)
  t.equal(sha(both.stdout), sha(data))
  writeFileSync(file('big'), data)
  const up = await client.scp([...options, file('big'), `${ME}:${file('big2')}`])
  t.equal(up.code, 0, up.stderr)
  t.equal(sha(readFileSync(file('big2'))), sha(data))
})

t.test('ssh -J', { skip }, async (t) => {
  const { client, gateway, recorder, file } = await house(t)
  const jump = `ssh ${client.options.join(' ')} -W %h:%p alice@127.0.0.1`
  const first = ['-o', `ProxyCommand=${jump}`, '-o', 'Port=22']

  t.test('the inner connection is ours: recorded, and certified for the name of the target', async (t) => {
    const ran = await client.ssh(['anybody@prod-db', 'echo inner'], { first })
    t.equal(ran.code, 0, ran.stderr)
    t.equal(ran.stdout.toString(), 'inner\n')
    t.equal(recorder.bytes('o').toString(), 'inner\n')
  })

  t.test('who did not jump signs in with a proof', async (t) => {
    const stranger = sshClient(t, gateway.port)
    stranger.trust(...gateway.knownHosts)
    const ran = await stranger.ssh([ME, 'echo hi'])
    t.equal(ran.code, 255)
    t.match(ran.stderr, /Permission denied/)
  })

  t.test('scp through a jump', async (t) => {
    const data = randomBytes(5_000_000)
    writeFileSync(file('jumped'), data)
    const ran = await client.scp([file('jumped'), `x@prod-db:${file('landed')}`], { first })
    t.equal(ran.code, 0, ran.stderr)
    t.equal(sha(readFileSync(file('landed'))), sha(data))
  })
})

t.test('ssh -L', { skip }, async (t) => {
  const server = createServer((socket) => socket.on('data', (chunk) => socket.end(`got ${chunk.toString()}`)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const { client, gateway, recorder } = await house(t, { forward: [`127.0.0.1:${port}`] })

  t.test('where the role says so, recorded with its bytes', async (t) => {
    const ran = await client.ssh(['-W', `127.0.0.1:${port}`, ME], { input: 'hello' })
    t.equal(ran.stdout.toString(), 'got hello', ran.stderr)
    await until(() => recorder.sessions.at(-1)?.end)
    t.equal(recorder.sessions.at(-1)?.start.channel, 'forward')
    t.equal(recorder.bytes('i').toString(), 'hello')
    t.equal(recorder.bytes('o').toString(), 'got hello')
    t.match(recorder.json('s'), [{ kind: 'forward', text: `127.0.0.1:${port}`, verdict: { decision: 'allow' } }])
    t.match(recorder.json('d'), [{ n: 1, result: 'done', bytes: 14 }])
  })

  t.test('nowhere else, and the attempt is recorded', async (t) => {
    const ran = await client.ssh(['-W', '127.0.0.1:1', ME], { input: 'hello' })
    t.equal(ran.code, 255)
    t.match(recorder.json('s'), [{ text: '127.0.0.1:1', verdict: { decision: 'deny' } }])
    t.ok(gateway.failures.at(-1) instanceof Refusal)
  })

  t.test('a whole listener', async (t) => {
    const local = await freePort()
    mkdirSync(join(client.directory, 'x'))
    const ran = client.ssh(['-L', `${local}:127.0.0.1:${port}`, ME, 'sleep 4; echo done'])
    const answer = () =>
      new Promise<string | undefined>((resolve) => {
        const socket = connect(local, '127.0.0.1', () => socket.write('over'))
        socket.on('error', () => resolve(undefined))
        socket.on('data', (chunk) => resolve(chunk.toString()))
      })
    t.equal(await until(answer, 'an answer through the listener'), 'got over')
    t.equal((await ran).stdout.toString(), 'done\n')
  })
})
