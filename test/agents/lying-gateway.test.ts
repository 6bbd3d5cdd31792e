/** A gateway that was taken over: it has the key that agents pinned, and says what it likes. An agent opens what its own settings say and nothing else, mixes no streams, and does not grow. */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { newKey as agentKey } from '../../agents/key.ts'
import { readOffers } from '../../agents/settings.ts'
import { openLine } from '../../agents/tunnel.ts'
import { serverOffer } from '../../gateway/ssh/engine/algorithms.ts'
import type { ChannelEvents } from '../../gateway/ssh/engine/channel.ts'
import { Channels } from '../../gateway/ssh/engine/channels.ts'
import { loadSsh2 } from '../../gateway/ssh/engine/ssh2.ts'
import { Transport } from '../../gateway/ssh/engine/transport.ts'
import { byte, message, string, uint32 } from '../../gateway/ssh/engine/wire.ts'
import { newKey } from '../fixtures/ssh-raw.ts'
import { until } from '../fixtures/until.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

const PLAIN = 'ssh-ed25519'
const SERVICE_ACCEPT = message(6, string('ssh-userauth'))
const SUCCESS = message(52)
const banner = (text: string): Buffer => message(53, string(text), string(''))
const opening = (name: string, port: number, window = 2 ** 21): Buffer =>
  message(90, string('forwarded-tcpip'), uint32(0), uint32(window), uint32(32_768), string(name), uint32(port))

type Liar = {
  readonly transport: Transport
  readonly channels: Channels
  /** What came and is not data. */
  readonly got: Buffer[]
  readonly gone: Promise<void>
}

async function listening(t: Test, server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Answers each message of a login with what `says` returns. */
async function gateway(t: Test, says: (type: number, liar: Liar) => void) {
  const key = newKey()
  const liars: Liar[] = []
  const port = await listening(
    t,
    createServer((socket) => {
      socket.on('error', () => undefined)
      t.teardown(() => socket.destroy())
      const over = Promise.withResolvers<void>()
      const got: Buffer[] = []
      const transport = new Transport({
        ssh2: loadSsh2(),
        stream: socket,
        ident: 'Sallyport',
        offer: serverOffer([PLAIN]),
        role: {
          kind: 'server',
          hostKeys: () => ({
            [PLAIN]: { type: PLAIN, getPublicSSH: () => key.blob, sign: (data) => key.signRaw(data) },
          }),
        },
        onReady: () => undefined,
        onMessage: (payload) => {
          const type = payload[0] ?? 0
          if (type !== 94) got.push(Buffer.from(payload))
          if (type < 80) says(type, liar)
          else channels.receive(payload)
        },
        onDrain: () => channels.pump(),
        onClose: () => {
          channels.lose()
          over.resolve()
        },
      })
      const channels: Channels = new Channels({ transport, most: 10, onOpen: (request) => request.refuse(1, 'no') })
      const liar: Liar = { transport, channels, got, gone: over.promise }
      liars.push(liar)
    }),
  )
  const dial = (offered: readonly string[] = []) => openLine(parts(port, key, offered))
  return { dial, liars }
}

const parts = (port: number, pinned: { readonly blob: Buffer }, offered: readonly string[] = []) => ({
  gateway: { host: '127.0.0.1', port, hostKey: `${PLAIN} ${pinned.blob.toString('base64')}` },
  agent: 'db',
  key: agentKey(),
  version: 'test',
  offers: readOffers(offered),
  shell: (stream: Duplex) => void stream.destroy(),
  say: () => undefined,
})

const lettingIn = (type: number, { transport }: Liar): void => {
  if (type === 5) transport.send(SERVICE_ACCEPT)
  if (type === 50) {
    transport.send(banner('sallyport worker 1 of 2'))
    transport.send(SUCCESS)
  }
}

/** A database as far as bytes go; `met` are its connections. */
async function database(t: Test, serve: (socket: Socket) => void) {
  const met: Socket[] = []
  const port = await listening(
    t,
    createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined)
      t.teardown(() => socket.destroy())
      met.push(socket)
      serve(socket)
    }),
  )
  return { port, met }
}

t.test('before it let the agent in, a gateway opens nothing', async (t) => {
  const { met, port } = await database(t, () => undefined)
  const { dial, liars } = await gateway(t, (type, { transport }) => {
    if (type === 5) transport.send(opening('prod-db', 5432))
  })
  await t.rejects(dial([`prod-db.postgres=127.0.0.1:${port}`]), /out of its turn/)
  await liars[0]?.gone
  t.equal(met.length, 0)
})

t.test('banners without end, and logins after the login, end the line', async (t) => {
  const endless = await gateway(t, (type, { transport }) => {
    if (type !== 5) return
    for (let i = 0; i < 1000; i++) transport.send(banner('x'.repeat(1000)))
  })
  await t.rejects(endless.dial())
  for (const late of [banner('late'), SERVICE_ACCEPT, SUCCESS, message(51, string('keyboard-interactive'), byte(1))]) {
    const { dial, liars } = await gateway(t, lettingIn)
    const line = await dial()
    liars[0]?.transport.send(late)
    t.type(await line.gone, 'string', `${late[0]}`)
    t.equal(liars[0]?.got.filter(([type]) => type === 50).length, 1, 'it signs one login')
  }
})

const CLOSED: Pick<ChannelEvents, 'eof' | 'request' | 'closed'> = {
  eof: () => undefined,
  request: () => false,
  closed: () => undefined,
}

t.test('its last words are one short line of text', async (t) => {
  const words = `\u001b]0;x\u0007bye\nConnected to worker 1 of 1.\u202e${'x'.repeat(900)}`
  const goodbye = message(1, uint32(2), string(words), string(''))
  const seen = /^[^\p{Cc}\p{Cf}]{1,201}$/u
  const { dial, liars } = await gateway(t, lettingIn)
  const line = await dial()
  liars[0]?.transport.send(goodbye)
  t.match(await line.gone, seen)
  t.match(await line.gone, /bye/)
})

t.test('nothing but what was offered is opened, and only as a stream', async (t) => {
  const { met, port } = await database(t, () => undefined)
  const { dial, liars } = await gateway(t, lettingIn)
  const line = await dial([`prod-db.postgres=127.0.0.1:${port}`])
  const [liar] = liars
  if (liar === undefined) throw new Error('nobody dialled')
  const { channels, transport } = liar
  const events = { ...CLOSED, data: () => undefined }
  const stream = (name: string, on: number) =>
    channels.open('forwarded-tcpip', events, string(name), uint32(on), string('gateway'), uint32(0))
  for (const [name, on] of [
    ['prod-db', port],
    ['prod-db', 22],
    ['prod-db', 80],
    ['127.0.0.1', 5432],
    ['127.0.0.1', port],
    ['prod-db\0', 5432],
    ['PROD-DB', 5432],
    ['__proto__', 5432],
    ['constructor', 22],
    ['', 0],
  ] as const)
    await t.rejects(stream(name, on), /not offered/, JSON.stringify([name, on]))
  for (const type of ['session', 'direct-tcpip', 'direct-streamlocal@openssh.com', 'x11', 'auth-agent@openssh.com'])
    await t.rejects(channels.open(type, events, string('127.0.0.1'), uint32(port)), /Refused/, type)
  t.equal(met.length, 0)
  const small = stream('prod-db', 5432)
  t.ok((await small).isOpen, 'what was offered is there all the time')
  transport.send(message(90, string('forwarded-tcpip'), uint32(7), uint32(0), uint32(1), string('x'), uint32(1)))
  transport.send(message(94, uint32(4_000_000), string('x')))
  t.type(await line.gone, 'string', 'data for a stream that was never opened ends the line')
})

t.test(
  'packets of nothing cost nothing, tiny ones what they are long, and data after the end ends the line',
  async (t) => {
    const { met, port } = await database(t, (socket) => socket.pause())
    const { dial, liars } = await gateway(t, lettingIn)
    const line = await dial([`prod-db.postgres=127.0.0.1:${port}`])
    const [liar] = liars
    if (liar === undefined) throw new Error('nobody dialled')
    const { channels, transport } = liar
    const body = [string('prod-db'), uint32(5432), string('gateway'), uint32(0)]
    const channel = await channels.open('forwarded-tcpip', { ...CLOSED, data: () => undefined }, ...body)
    await until(() => met.length === 1, 'it to connect')
    const answered = () => new Promise<void>((resolve) => channels.ask('keepalive@openssh.com', () => resolve()))
    // The database reads nothing: all that follows waits.
    channel.send(Buffer.alloc(2 ** 25), 0)
    let windows = -1
    await until(async () => {
      await answered()
      return windows === (windows = liar.got.filter(([type]) => type === 93).length)
    }, 'its socket is full')
    collect()
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < 200; i++) {
      for (let j = 0; j < 1000; j++) transport.send(message(94, uint32(0), string('')))
      await answered()
    }
    collect()
    const more = process.memoryUsage().heapUsed - before
    t.ok(more < 2 ** 24, `${more} bytes for 200,000 of them`)
    // Room for a megabyte in tiny packets.
    channel.drop()
    const [socket] = met
    if (socket === undefined) throw new Error('nobody connected')
    let taken = 0
    socket.on('data', (bytes: Buffer) => {
      taken += bytes.length
      if (taken > 2 ** 20) socket.pause()
    })
    socket.resume()
    const tiny = Buffer.alloc(1)
    await until(async () => {
      await answered()
      return channel.takes(2 ** 18)
    }, 'room in its window')
    let sent = 0
    for (; sent < 200_000; sent++) channel.send(tiny, 0)
    await answered()
    collect()
    const tinies = process.memoryUsage().heapUsed - before
    t.ok(tinies < 2 ** 24, `${tinies} bytes for ${sent} tiny ones`)
    transport.send(message(96, uint32(0)))
    transport.send(message(94, uint32(0), string('late')))
    t.type(await line.gone, 'string')
  },
)

/** Bytes by which their stream and their place in it can be told. */
function pattern(stream: number, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = (stream * 37 + ((from + i) >> 8) * 11 + from + i) & 0xff
  return bytes
}

t.test('streams that stall, break and go on while keys change: each gets its own bytes, in order', async (t) => {
  const TOTAL = 3 * 2 ** 20
  const { met, port } = await database(t, (socket) => {
    socket.pipe(socket)
    // Some are slow, so that windows fill up at both ends.
    const slow = met.length % 3 === 0 && setInterval(() => (socket.isPaused() ? socket.resume() : socket.pause()), 5)
    if (slow) socket.once('close', () => clearInterval(slow))
  })
  const { dial, liars } = await gateway(t, lettingIn)
  await dial([`prod-db.postgres=127.0.0.1:${port}`])
  const [liar] = liars
  if (liar === undefined) throw new Error('nobody dialled')
  const { channels, transport } = liar
  const body = [string('prod-db'), uint32(5432), string('gateway'), uint32(0)]
  let wrong = 0
  let whole = 0
  const rekeys = setInterval(() => transport.rekey(), 20)
  t.teardown(() => clearInterval(rekeys))
  const run = async (n: number): Promise<void> => {
    const isBroken = n % 4 === 3
    let back = 0
    const over = Promise.withResolvers<void>()
    const held: number[] = []
    const opened = channels.open(
      'forwarded-tcpip',
      {
        ...CLOSED,
        borrows: true,
        data: (bytes) => {
          if (!bytes.equals(pattern(n, back, bytes.length))) wrong += 1
          back += bytes.length
          // Every other one reads in jerks.
          if (n % 2 === 0) channel?.credit(bytes.length)
          else held.push(bytes.length)
          if (isBroken && back > TOTAL / 3) channel?.closeNow()
        },
        closed: () => {
          channel?.closeNow()
          over.resolve()
        },
      },
      ...body,
    )
    let channel: Awaited<typeof opened> | undefined
    channel = await opened
    const jerks = setInterval(() => {
      for (const length of held.splice(0)) channel?.credit(length)
    }, 15)
    const sizes = [1, 17, 4095, 4096, 9000, 32_768, 60_000]
    for (let at = 0, i = n; at < TOTAL; i++) {
      const length = Math.min(sizes[i % sizes.length] ?? 1, TOTAL - at)
      channel.send(pattern(n, at, length), 0)
      at += length
    }
    channel.eof()
    await over.promise
    clearInterval(jerks)
    if (back === TOTAL) whole += 1
    else if (!isBroken) t.equal(back, TOTAL, `stream ${n}`)
  }
  await Promise.all(Array.from({ length: 16 }, (_, n) => run(n)))
  t.same({ wrong, whole }, { wrong: 0, whole: 12 })
})
