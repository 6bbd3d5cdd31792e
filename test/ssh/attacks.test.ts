/** What clients must not be able to do: sign in as somebody else, freeze or fill the gateway, or disturb another person's session. */
import type { ChildProcess } from 'node:child_process'
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { fingerprintOf } from '../../gateway/ssh/engine/keys.ts'
import { byte, message, Reader, string, uint32 } from '../../gateway/ssh/engine/wire.ts'
import { sshClient } from '../fixtures/ssh-client.ts'
import { startGateway } from '../fixtures/ssh-engine.ts'
import {
  execRequest,
  newKey,
  noneRequest,
  offer,
  openSessionChannel,
  rawClient,
  SERVICE,
  signed,
  signIn,
} from '../fixtures/ssh-raw.ts'
import { missingClient, missingSshd, type Sshd, startSshd, type Teardown } from '../fixtures/sshd.ts'
import { until } from '../fixtures/until.ts'

const skip = missingSshd() ?? missingClient() ?? false
const ME = 'alice%prod-db'

/** A gateway, an attacker's key that may sign in, and a live session of somebody else. */
async function house(t: Teardown, options: Parameters<typeof startGateway>[2] = {}) {
  let sshd: Sshd | undefined
  const gateway = await startGateway(t, () => sshd, options)
  sshd = await startSshd(t, { userAuthority: gateway.engine.keys.userAuthority })
  const client = sshClient(t, gateway.port)
  client.trust(...gateway.knownHosts)
  const key = newKey()
  gateway.allowed.add(client.fingerprint).add(key.fingerprint)
  const bystander = client.start([`${ME}@127.0.0.1`, 'cat'])
  await echo(bystander, 'hello')
  return { gateway, sshd, client, key, bystander }
}

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest()

/** Another person's session answers. */
async function echo(child: ChildProcess, word: string): Promise<boolean> {
  const answered = new Promise<boolean>((resolve) => {
    child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString() === `${word}\n`))
    child.once('close', () => resolve(false))
  })
  child.stdin?.write(`${word}\n`)
  return answered
}

t.test('signing in', { skip }, async (t) => {
  const { bystander, gateway, key } = await house(t, { graceMs: 3000 })
  const raw = () => rawClient(t, gateway.port)
  const started = async () => {
    const client = await raw()
    client.send(SERVICE)
    return client
  }

  t.test('a key that is only offered signs nobody in', async (t) => {
    const client = await started()
    client.send(offer(ME, key))
    t.equal((await client.nextOf(51, 52, 60))?.[0], 60, 'the key would be taken')
    client.send(openSessionChannel(0))
    await client.gone
    t.equal(gateway.signedIn.length, 1, 'only the bystander')
  })

  t.test('every false signature is refused', async (t) => {
    for (const [what, lie] of [
      ['garbage', { signature: Buffer.concat([string('ssh-ed25519'), string(randomBytes(64))]) }],
      ['empty', { signature: Buffer.alloc(0) }],
      ['of another connection', { sessionId: randomBytes(32) }],
      ['for another name', { signedName: 'bob' }],
      ['of another algorithm', { algorithm: 'rsa-sha2-512' }],
    ] as const) {
      const client = await started()
      client.send(signed(client, ME, key, lie))
      t.equal((await client.nextOf(51, 52))?.[0], 51, what)
      client.destroy()
    }
    t.equal(gateway.signedIn.length, 1)
  })

  t.test('who offers two keys is the one that signed', async (t) => {
    const other = newKey()
    gateway.allowed.add(other.fingerprint)
    const client = await started()
    client.send(offer(ME, key))
    client.send(signed(client, ME, other))
    t.ok(await client.nextOf(52))
    t.equal(gateway.signedIn.at(-1)?.fingerprint, other.fingerprint)
    client.destroy()
  })

  t.test('a security key counts when somebody touched it', async (t) => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
    const type = 'sk-ssh-ed25519@openssh.com'
    const blob = Buffer.concat([string(type), string(raw), string('ssh:')])
    gateway.allowed.add(fingerprintOf(blob))
    for (const [flags, answer] of [
      [1, 52],
      [0, 51],
    ] as const) {
      const client = await started()
      const fields = [string(ME), string('ssh-connection'), string('publickey'), byte(1), string(type), string(blob)]
      const body = message(50, ...fields)
      const data = Buffer.concat([string(client.transport.sessionId), body])
      const tail = Buffer.concat([byte(flags), uint32(7)])
      const signature = sign(null, Buffer.concat([sha256(Buffer.from('ssh:')), tail, sha256(data)]), privateKey)
      client.send(body, string(Buffer.concat([string(type), string(signature), tail])))
      t.equal((await client.nextOf(51, 52))?.[0], answer, `flags ${flags}`)
      client.destroy()
    }
  })

  t.test('a key for which nobody stands is refused', async (t) => {
    const client = await started()
    client.send(signed(client, ME, newKey()))
    t.equal((await client.nextOf(51, 52))?.[0], 51)
    client.destroy()
  })

  t.test('the name cannot change on the way', async (t) => {
    const client = await started()
    client.send(offer('victim', key))
    await client.nextOf(60)
    client.send(signed(client, ME, key))
    t.equal(await client.nextOf(52), undefined)
  })

  t.test('names that need quoting somewhere end the connection', async (t) => {
    for (const name of [
      '',
      'alice;x',
      'alice\0',
      '../x',
      'a b',
      'ä',
      `a${'b'.repeat(300)}`,
      '$(id)',
      '-oProxyCommand=x',
    ]) {
      const client = await started()
      client.send(signed(client, name, key))
      t.equal(await client.nextOf(52), undefined, JSON.stringify(name.slice(0, 20)))
    }
  })

  t.test('a malformed request behind one that waits ends that connection alone', async (t) => {
    const client = await started()
    client.send(signed(client, ME, newKey()))
    client.send(message(50, string(ME), string('ssh-connection'), string('publickey'), byte(1), uint32(99)))
    client.send(message(50, string(ME), string('ssh-connection'), string('keyboard-interactive'), uint32(99)))
    await client.gone
    t.ok(await echo(bystander, 'still'))
  })

  t.test('six failures and no more', async (t) => {
    const client = await started()
    const password = message(
      50,
      string(ME),
      string('ssh-connection'),
      string('password'),
      Buffer.from([0]),
      string('x'),
    )
    let failures = 0
    for (let n = 0; n < 20; n += 1) {
      client.send(password)
      if ((await client.nextOf(51)) === undefined) break
      failures += 1
    }
    t.equal(failures, 5)
  })

  t.test('every message out of place ends the connection or is refused, none signs in', async (t) => {
    for (let type = 5; type < 256; type += 1) {
      if (type >= 20 && type <= 49) continue
      const client = await raw()
      client.send(message(type, randomBytes(type % 40)))
      if (type !== 5 && type !== 7) t.equal(await client.nextOf(52), undefined)
      client.destroy()
    }
    t.equal(gateway.signedIn.length, 3)
  })

  t.test('an idle connection is closed', async (t) => {
    const socket = connect(gateway.port, '127.0.0.1')
    socket.resume()
    await new Promise((resolve) => socket.once('close', resolve))
    const client = await started()
    await client.gone
    t.pass('before and after the key exchange')
  })

  t.test('a hundred strangers of one address, and no more', async (t) => {
    const sockets = Array.from({ length: 110 }, () => connect(gateway.port, '127.0.0.1'))
    let closed = 0
    for (const socket of sockets) {
      socket.resume()
      socket.on('error', () => undefined)
      socket.once('close', () => (closed += 1))
    }
    await until(() => closed >= 10)
    await sleep(300)
    t.equal(closed, 10)
    for (const socket of sockets) socket.destroy()
    await until(() => closed === 110)
  })

  t.test('another session never noticed', async (t) => t.ok(await echo(bystander, 'still')))
})

/** Sockets that connect and say nothing. */
async function crowd(t: Teardown, port: number, addresses: readonly string[]): Promise<readonly Socket[]> {
  const sockets = addresses.map((localAddress) => connect({ port, host: '127.0.0.1', localAddress }))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) socket.resume().on('error', () => undefined)
  await Promise.all(sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))))
  return sockets
}

t.test('a crowd that only connects keeps nobody out', { skip }, async (t) => {
  const { bystander, gateway, key } = await house(t)
  const enters = async () => {
    const client = await rawClient(t, gateway.port)
    await signIn(client, ME, key)
    client.destroy()
  }

  t.test('four hundred sockets of forty addresses', async (t) => {
    const addresses = Array.from({ length: 400 }, (_, n) => `127.0.1.${1 + (n % 40)}`)
    const sockets = await crowd(t, gateway.port, addresses)
    for (let n = 0; n < 5; n += 1) {
      await enters()
      await crowd(t, gateway.port, addresses.slice(0, 40))
    }
    await until(() => sockets.filter(({ destroyed }) => destroyed).length >= 200, 'the oldest of them made room')
  })

  t.test('as many addresses as there are places', async (t) => {
    await crowd(
      t,
      gateway.port,
      Array.from({ length: 250 }, (_, n) => `127.0.2.${1 + n}`),
    )
    for (let n = 0; n < 5; n += 1) await enters()
    t.equal(gateway.signedIn.length, 11)
  })

  t.test('fifty of one host sign in at once', async (t) => {
    await Promise.all(Array.from({ length: 50 }, enters))
    t.equal(gateway.signedIn.length, 61)
    t.ok(await echo(bystander, 'still'))
  })
})

t.test('a front half that accepts everything still lets nobody in without a proof', { skip }, async (t) => {
  const { gateway } = await house(t, { acceptNone: true })
  const client = await rawClient(t, gateway.port)
  client.send(SERVICE, Buffer.alloc(0))
  client.send(noneRequest(ME))
  t.equal((await client.nextOf(51, 52))?.[0], 51)
})

t.test('channels', { skip }, async (t) => {
  const { bystander, gateway, key } = await house(t)
  const signedIn = async () => {
    const client = await rawClient(t, gateway.port)
    await signIn(client, ME, key)
    return client
  }
  const running = async (command: string, window?: number) => {
    const client = await signedIn()
    client.send(openSessionChannel(0, window))
    const id = new Reader((await client.nextOf(91)) ?? Buffer.alloc(0), 5).uint32()
    client.send(execRequest(id, command))
    t.equal((await client.nextOf(99, 100))?.[0], 99)
    return { client, id }
  }

  t.test('packets of no size are refused, and nobody freezes', async (t) => {
    for (const size of [0, 1, 255]) {
      const client = await signedIn()
      client.send(openSessionChannel(0, 2 ** 21, size))
      t.equal((await client.nextOf(91, 92))?.[0], 92, `${size} bytes`)
      client.destroy()
    }
    t.ok(await echo(bystander, 'alive'))
  })

  t.test('who sends more than the window allows is disconnected', async (t) => {
    const { client, id } = await running('echo ready; sleep 30')
    await client.nextOf(94)
    const data = Buffer.alloc(32 * 1024 - 7, 65)
    let sent = 0
    void client.gone.then(() => (sent = Number.NaN))
    for (let n = 0; n < 400 && !Number.isNaN(sent); n += 1) {
      client.send(message(94, uint32(id), string(data)))
      sent += data.length
      if (n % 20 === 0) await sleep(1)
    }
    await client.gone
    const input = gateway.recorder.bytes('i', gateway.recorder.sessions.at(-1)).length
    t.ok(input > 0 && input <= 5 * 1024 * 1024, `${input} bytes: a window for us and one for the target, no more`)
    t.ok(await echo(bystander, 'alive'))
  })

  t.test('who does not read costs a bounded piece of memory', async (t) => {
    const { client } = await running('yes', 0xffff_ffff)
    client.pause()
    await sleep(2000)
    const output = gateway.recorder.bytes('o', gateway.recorder.sessions.at(-1)).length
    t.ok(output < 16 * 1024 * 1024, `${output} bytes were taken from the target`)
    t.ok(await echo(bystander, 'alive'))
    client.destroy()
  })

  t.test('who begins to agree on new keys and never ends costs as little', async (t) => {
    const { client } = await running('yes', 0xffff_ffff)
    client.transport.rekey()
    Reflect.set(client.transport.protocol, 'parse', () => undefined)
    await sleep(1000)
    const output = gateway.recorder.bytes('o', gateway.recorder.sessions.at(-1)).length
    t.ok(output < 16 * 1024 * 1024, `${output} bytes were taken from the target`)
    t.ok(await echo(bystander, 'alive'))
    client.destroy()
  })

  t.test('ten channels and no more', async (t) => {
    const client = await signedIn()
    const answers: (number | undefined)[] = []
    for (let id = 0; id < 12; id += 1) {
      client.send(openSessionChannel(id))
      answers.push((await client.nextOf(91, 92))?.[0])
    }
    t.same(answers, [...Array<number>(10).fill(91), 92, 92])
    client.destroy()
  })

  t.test('commands have a length', async (t) => {
    for (const command of ['x'.repeat(33 * 1024), 'a\0b']) {
      const client = await signedIn()
      client.send(openSessionChannel(0))
      const id = new Reader((await client.nextOf(91)) ?? Buffer.alloc(0), 5).uint32()
      client.send(execRequest(id, command))
      t.equal(await client.nextOf(99), undefined)
    }
  })

  t.test('data for channels that are not there, or after the end', async (t) => {
    const client = await signedIn()
    client.send(message(94, uint32(77), string('x')))
    await client.gone
    const { client: second, id } = await running('cat')
    second.send(message(96, uint32(id)))
    second.send(message(94, uint32(id), string('late')))
    await second.gone
    t.ok(await echo(bystander, 'alive'))
  })

  t.test('other kinds of channels are refused', async (t) => {
    const client = await signedIn()
    for (const type of [
      'x11',
      'auth-agent@openssh.com',
      'direct-streamlocal@openssh.com',
      'tun@openssh.com',
      'forwarded-tcpip',
    ]) {
      client.send(message(90, string(type), uint32(1), uint32(2 ** 21), uint32(32_768)))
      t.equal((await client.nextOf(91, 92))?.[0], 92, type)
    }
    client.send(message(80, string('tcpip-forward'), Buffer.from([1]), string(''), uint32(0)))
    t.equal((await client.nextOf(81, 82))?.[0], 82, 'remote forwards')
    client.destroy()
  })
})

t.test('who does not read is gone as soon as the grant is', { skip }, async (t) => {
  const { gateway, key } = await house(t)
  const client = await rawClient(t, gateway.port)
  await signIn(client, ME, key)
  client.send(openSessionChannel(0, 0xffff_ffff))
  const id = new Reader((await client.nextOf(91)) ?? Buffer.alloc(0), 5).uint32()
  client.send(execRequest(id, 'yes'))
  await client.nextOf(94)
  client.pause()
  const output = () => gateway.recorder.bytes('o', gateway.recorder.sessions.at(-1)).length
  // Busy machines pause, too: stalled is what has not moved for a while.
  for (let [last, still] = [-1, 0]; still < 5; await sleep(250)) {
    still = last === output() && last > 1_000_000 ? still + 1 : 0
    last = output()
  }
  const connection = gateway.connections.at(-1)
  gateway.endGrant()
  await new Promise((resolve) => connection?.closed.addEventListener('abort', resolve))
  await until(() => gateway.recorder.sessions.at(-1)?.end)
  t.match(gateway.recorder.sessions.at(-1)?.end, { cause: 'cut', detail: 'Grant 7 was revoked by bob.' })
})

t.test('the key exchange offers nothing weak', { skip }, async (t) => {
  const { gateway } = await house(t)
  const socket = connect(gateway.port, '127.0.0.1', () => socket.write('SSH-2.0-probe\r\n'))
  let got = Buffer.alloc(0)
  const lists = await new Promise<readonly string[]>((resolve) => {
    socket.on('data', (chunk) => {
      got = Buffer.concat([got, chunk])
      const line = got.indexOf('\r\n')
      if (line < 0 || got.length < line + 200) return
      const reader = new Reader(got, line + 2 + 5 + 17)
      resolve(Array.from({ length: 8 }, () => reader.text()))
    })
  })
  socket.destroy()
  t.match(got.toString('latin1'), /^SSH-2\.0-OpenSSH_compat-Sallyport_/)
  t.same(lists, [
    'mlkem768x25519-sha256,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,kex-strict-s-v00@openssh.com',
    'ssh-ed25519-cert-v01@openssh.com,ssh-ed25519',
    ...Array<string>(2).fill(
      'aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr,aes256-ctr',
    ),
    ...Array<string>(2).fill('hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com'),
    'none',
    'none',
  ])
})

t.test('three thousand connections of rubbish leave it serving', { skip }, async (t) => {
  const { bystander, gateway, key } = await house(t)
  const kinds: readonly ((n: number) => Promise<void>)[] = [
    async (n) => rubbish(gateway.port, randomBytes(1 + ((n * 37) % 3000))),
    async (n) => rubbish(gateway.port, Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), randomBytes(200 + (n % 900))])),
    async () => rubbish(gateway.port, Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')),
    async (n) => {
      const client = await rawClient(t, gateway.port)
      client.send(SERVICE)
      for (let i = 0; i < 15; i += 1) client.send(randomBytes(1 + ((n + i) % 300)))
      await Promise.race([client.gone, sleep(200)])
      client.destroy()
    },
    async (n) => {
      const client = await rawClient(t, gateway.port)
      await signIn(client, ME, key)
      client.send(openSessionChannel(0))
      for (let i = 0; i < 15; i += 1) client.send(message(80 + ((n + i) % 21), randomBytes((n * 7 + i) % 200)))
      await Promise.race([client.gone, sleep(200)])
      client.destroy()
    },
  ]
  const share = [900, 750, 150, 600, 600]
  const all = share.flatMap((count, kind) => Array.from({ length: count }, (_, n) => ({ kind, n })))
  const failures: unknown[] = []
  const worker = async () => {
    for (let next = all.pop(); next !== undefined; next = all.pop()) {
      try {
        await kinds[next.kind]?.(next.n)
      } catch (failure) {
        failures.push(failure)
      }
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  t.same(failures, [])
  t.ok(await echo(bystander, 'alive'))
})

async function rubbish(port: number, bytes: Buffer): Promise<void> {
  const socket: Socket = connect(port, '127.0.0.1', () => socket.end(bytes))
  socket.on('error', () => undefined)
  socket.resume()
  await new Promise((resolve) => socket.once('close', resolve))
}
