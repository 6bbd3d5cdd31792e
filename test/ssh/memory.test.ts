/** Memory that is used again: nobody ever sees bytes of somebody else in it. */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { SharedReads } from '../../gateway/session/session.ts'
import { Blocks } from '../../gateway/ssh/engine/blocks.ts'
import { Typing } from '../../gateway/ssh/engine/typing.ts'
import { sshClient } from '../fixtures/ssh-client.ts'
import { startGateway } from '../fixtures/ssh-engine.ts'
import { missingClient, missingSshd, type Sshd, startSshd } from '../fixtures/sshd.ts'

const skip = missingSshd() ?? missingClient() ?? false
const MEGABYTES = 12

t.test('a block that came back is used again, once, and never more than so many are kept', async (t) => {
  const blocks = new Blocks(30_000, 1)
  const [first, second] = [blocks.take(), blocks.take()]
  t.not(first, second, 'two at a time are two')
  blocks.release(first)
  blocks.release(second)
  t.equal(blocks.take(), first)
  t.not(blocks.take(), second, 'only so many are kept')
})

t.test(
  'busy sessions at the same time, with and without compiled ciphers and new keys: each has its own bytes',
  { skip },
  async (t) => {
    let sshd: Sshd | undefined
    const gateway = await startGateway(t, () => sshd, {})
    sshd = await startSshd(t, { userAuthority: gateway.engine.keys.userAuthority })
    const client = sshClient(t, gateway.port)
    client.trust(...gateway.knownHosts)
    gateway.allowed.add(client.fingerprint)
    const ciphers = ['chacha20-poly1305@openssh.com', 'aes128-gcm@openssh.com', 'aes128-ctr', 'aes256-gcm@openssh.com']
    await Promise.all(
      ciphers.map(async (cipher, n) => {
        const letter = 'abcd'[n] ?? 'z'
        const command = `head -c ${MEGABYTES}M /dev/zero | tr '\\0' ${letter}; cat`
        const input = Buffer.alloc(MEGABYTES * 1024 * 1024, letter.toUpperCase())
        const first = ['-c', cipher, '-o', `RekeyLimit=${n % 2 === 0 ? '3M' : '1G'}`]
        const ran = await client.ssh(['alice%prod-db@127.0.0.1', command], { first, input })
        const expected = createHash('sha256').update(Buffer.alloc(input.length, letter)).update(input).digest('hex')
        t.equal(createHash('sha256').update(ran.stdout).digest('hex'), expected, cipher)
      }),
    )
  },
)

t.test('who copies much is moved to the cipher that costs least, if they offered it', { skip }, async (t) => {
  let sshd: Sshd | undefined
  const gateway = await startGateway(t, () => sshd, {})
  sshd = await startSshd(t, { userAuthority: gateway.engine.keys.userAuthority })
  const client = sshClient(t, gateway.port)
  client.trust(...gateway.knownHosts)
  gateway.allowed.add(client.fingerprint)
  const input = Buffer.alloc(8 * 1024 * 1024, 'bulk that goes there and back\n')
  /** The ciphers towards the client that were agreed on, one after the other. */
  const copy = async (ciphers: string, bytes: Buffer) => {
    const first = ['-o', 'LogLevel=DEBUG1', '-o', `Ciphers=${ciphers}`]
    const { stdout, stderr } = await client.ssh(['alice%prod-db@127.0.0.1', 'cat'], { first, input: bytes })
    t.ok(stdout.equals(bytes), 'nothing is lost')
    return [...stderr.matchAll(/kex: server->client cipher: (\S+)/g)].map(([, cipher]) => cipher)
  }
  const chaCha = 'chacha20-poly1305@openssh.com'
  const gcm = 'aes128-gcm@openssh.com'
  t.same(await copy(`${chaCha},aes128-ctr,${gcm}`, Buffer.from('little')), [chaCha])
  const wanted = gateway.engine.report.cipherAddon ? [chaCha, gcm] : [chaCha]
  t.same(await copy(`${chaCha},aes128-ctr,${gcm}`, input), wanted)
  t.same(await copy(`${chaCha},aes128-ctr`, input), [chaCha], 'what was not offered is not asked for')
})

t.test('while somebody types, a busy socket brings less at once, and loses nothing', async (t) => {
  const typing = new Typing()
  t.equal(typing.isOn, false)
  const [long, short] = [256 * 1024, 16 * 1024]
  const reads = new SharedReads({ bytes: long, lends: true, most: () => (typing.isOn ? short : long) })
  const sent = Buffer.alloc(4 * 1024 * 1024, 'bulk beside somebody who types\n')
  const server = createServer((socket) => socket.end(sent)).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const address = server.address()
  const socket = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1')
  await once(socket, 'connect')
  const pieces: Buffer[] = []
  socket.on('data', (bytes: Buffer) => pieces.push(bytes))
  typing.seen()
  t.equal(typing.isOn, true)
  reads.take(socket, (view) => pieces.push(Buffer.from(view)))
  await once(socket, 'close')
  t.ok(Buffer.concat(pieces).equals(sent))
  t.ok(
    pieces.slice(2).every(({ length }) => length <= short),
    'all but what was read before it was asked',
  )
})
