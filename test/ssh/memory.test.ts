/** Memory that is used again: nobody ever sees bytes of somebody else in it. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { Blocks } from '../../gateway/ssh/engine/blocks.ts'
import { sshClient } from '../fixtures/ssh-client.ts'
import { startGateway } from '../fixtures/ssh-engine.ts'
import { missingClient, missingSshd, type Sshd, startSshd } from '../fixtures/sshd.ts'

const skip = missingSshd() ?? missingClient() ?? false
const MEGABYTES = 12

t.test('a block is lent once, and comes back only when it was lent', async (t) => {
  const blocks = new Blocks()
  const first = blocks.take(30_000)
  t.not(blocks.take(30_000).buffer, first.buffer, 'two at a time are two')
  blocks.release(first.subarray(9, 20_000))
  blocks.release(first)
  const again = [blocks.take(20_000), blocks.take(20_000)]
  t.equal(again[0]?.buffer, first.buffer, 'what came back is used again')
  t.not(again[1]?.buffer, first.buffer, 'but not twice')
  const foreign = Buffer.alloc(30_000)
  blocks.release(foreign)
  t.not(blocks.take(30_000).buffer, foreign.buffer, 'what was never lent is never lent out')
})

t.test('what is kept is a copy', async (t) => {
  const blocks = new Blocks()
  const lent = blocks.take(8_000).fill('a')
  const kept = blocks.keep(lent)
  blocks.take(8_000).fill('b')
  t.ok(kept.every((byte) => byte === 0x61))
  const small = Buffer.from('small')
  t.equal(blocks.keep(small), small)
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
