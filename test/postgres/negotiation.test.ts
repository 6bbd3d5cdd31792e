/** The first bytes, broken streams, and targets that are not what they say: each ends its own connection and nothing else. */
import { once } from 'node:events'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import {
  authenticationSasl,
  authenticationSaslContinue,
  authenticationSaslFinal,
  AUTHENTICATION_OK,
  backendKeyData,
  cstring,
  FieldReader,
  int16,
  int32,
  message,
  parameterStatus,
  readyForQuery,
} from '../../gateway/postgres/message.ts'
import { ByteReader } from '../../gateway/postgres/reader.ts'
import { ScramServer, scramVerifier } from '../../gateway/postgres/scram.ts'
import { sslRequest } from '../../gateway/postgres/startup.ts'
import { demoServer, type Door, type DoorOptions, openDoor } from './door.ts'
import { Reading, session, startup, tcp, tls } from './wire.ts'

const demo = await demoServer(t)
const skip = demo === undefined ? 'no PostgreSQL 18 for this machine' : false

async function opened(t: Parameters<typeof openDoor>[0], options: Partial<DoorOptions> = {}): Promise<Door> {
  if (demo === undefined) throw new Error('no server')
  const door = await openDoor(t, { demo, ...options })
  for (const target of ['prod-db', 'wall-db', 'fake-db']) door.grants.give('alice', target, 'readonly')
  return door
}

/** What a peer answers to these bytes before it closes. */
async function answer(door: Door, ...chunks: readonly Buffer[]): Promise<Buffer> {
  const socket = await tcp(door)
  const got: Buffer[] = []
  socket.on('data', (chunk: Buffer) => got.push(chunk))
  for (const chunk of chunks) socket.write(chunk)
  if (!socket.destroyed) await once(socket, 'close')
  return Buffer.concat(got)
}

const packet = (code: number, rest: Buffer = Buffer.alloc(0)) =>
  Buffer.concat([int32(8 + rest.length), int32(code), rest])

const words = (...text: string[]) => Buffer.concat([...text.map(cstring), Buffer.from([0])])

t.test('what was sent before TLS is never taken as if it had come through it', { skip }, async (t) => {
  const door = await opened(t)
  const stuffed = Buffer.concat([sslRequest(), startup('alice', 'prod-db')])
  t.match((await answer(door, stuffed)).toString(), /08P01.*received unencrypted data/)
  const gss = Buffer.concat([packet(80877104), startup('alice', 'prod-db')])
  t.match((await answer(door, gss)).toString(), /08P01/)
  t.match((await answer(door, startup('alice', 'prod-db'))).toString(), /FATAL.*28000.*TLS is required/s)
  t.equal(door.asked.length, 0)
})

t.test('what is no PostgreSQL client is sent away', { skip }, async (t) => {
  const door = await opened(t)
  const rubbish: Record<string, Buffer> = {
    'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'an SSH banner': Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
    'a length of zero': int32(0),
    'a length of eight thousand million': Buffer.from([0xff, 0xff, 0xff, 0xff]),
    'a packet too long': Buffer.concat([int32(10_001), int32(3 << 16)]),
    'a short cancel': packet(80877102, Buffer.alloc(4)),
    'TLS twice': Buffer.concat([packet(80877104)]),
  }
  for (const [what, bytes] of Object.entries(rubbish)) {
    if (what === 'TLS twice') continue
    const got = await answer(door, bytes)
    t.ok(got.length === 0 || got.includes('08P01') || got.includes('22023'), what)
  }
  const two = (await answer(door, packet(2 << 16, Buffer.alloc(100)))).toString()
  t.match(two, /Protocol 2\.0 is not spoken here/)
})

t.test('GSSAPI encryption is declined, and TLS follows', { skip }, async (t) => {
  const door = await opened(t)
  const socket = await tcp(door)
  socket.write(packet(80877104))
  t.same((await once(socket, 'data'))[0], Buffer.from('N'))
  socket.write(packet(80877104))
  t.match(((await once(socket, 'data'))[0] as Buffer).toString(), /08P01/, 'but not twice')
})

t.test('direct TLS needs ALPN, so that no other protocol is led here by a certificate', { skip }, async (t) => {
  const door = await opened(t)
  const direct = async (ALPNProtocols: string[] | undefined) => {
    const socket = connectTls({
      host: '127.0.0.1',
      port: door.port,
      ca: door.tls.cert,
      servername: 'localhost',
      ...(ALPNProtocols === undefined ? {} : { ALPNProtocols }),
    })
    socket.on('error', () => undefined)
    const reading = new Reading(socket)
    socket.on('secureConnect', () => socket.write(startup('alice', 'prod-db')))
    const ready = await reading.next('Z')
    socket.destroy()
    return ready !== undefined
  }
  t.ok(await direct(['postgresql']))
  t.notOk(await direct(undefined))
  t.notOk(await direct(['h2']))
})

t.test('a newer protocol is talked down, and double or forbidden parameters are refused', { skip }, async (t) => {
  const door = await opened(t)
  const ask = async (bytes: Buffer) => {
    const socket = await tls(door)
    const reading = new Reading(socket)
    socket.write(bytes)
    await reading.next('Z')
    socket.destroy()
    return reading
  }
  const newest = await ask(packet((3 << 16) | 2, words('user', 'alice', 'database', 'prod-db', '_pq_.new', '1')))
  t.match(newest.types, /^vRN.*Z$/)
  t.ok(newest.messages[0]?.body.includes('_pq_.new'))
  const twice = await ask(packet(3 << 16, words('user', 'alice', 'user', 'bob')))
  t.match(await twice.error(), /08P01.*twice/)
  const replication = await ask(startup('alice', 'prod-db', { replication: 'database' }))
  t.match(await replication.error(), /Replication connections/)
  const off = await ask(startup('alice', 'prod-db', { options: '-c default_transaction_read_only=off' }))
  t.match(await off.error(), /22023 The start-up parameter "default_transaction_read_only" is not permitted/)
  const nobody = await ask(packet(3 << 16, words('database', 'prod-db')))
  t.match(await nobody.error(), /28000/)
})

/** Leaves shortly, and waits until the connection is over. */
const hurry = async (socket: Socket) => {
  socket.on('error', () => undefined)
  socket.resume()
  setTimeout(() => socket.end(), 50)
  if (!socket.destroyed) await once(socket, 'close')
}

/** Seeded, so that a failure can be had again. */
function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

t.test(
  'four hundred broken connections end by themselves, and a good one beside them never notices',
  { skip },
  async (t) => {
    const door = await opened(t)
    const good = await session(door)
    const roll = dice(99)
    const noise = () => Buffer.from(Array.from({ length: 1 + roll(60) }, () => roll(256)))
    const broken = (bytes: Buffer) => {
      const copy = Buffer.from(bytes)
      for (let change = 0; change <= roll(3); change++) copy[roll(copy.length)] = roll(256)
      return copy
    }
    for (let round = 0; round < 30; round++)
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          const socket = await tcp(door)
          socket.write(roll(2) === 0 ? noise() : broken(startup('alice', 'prod-db')))
          await hurry(socket)
        }),
      )
    const messages = Buffer.concat([
      message('P', cstring('a'), cstring('select $1::text'), int16(0)),
      message('B', cstring(''), cstring('a'), int16(0), int16(1), int32(2), Buffer.from('hi'), int16(0)),
      message('E', cstring(''), int32(0)),
      message('S'),
      message('Q', cstring('select 1')),
    ])
    for (let round = 0; round < 20; round++)
      await Promise.all(
        Array.from({ length: 5 }, async () => {
          const { socket } = await session(door)
          socket.write(broken(messages))
          await hurry(socket)
        }),
      )
    good.socket.write(message('Q', cstring('select 42')))
    await good.reading.next('D')
    t.ok(good.reading.messages.at(-1)?.body.includes('42') || (await good.reading.next('C')))
    good.socket.destroy()
    t.notOk(
      door.logs.find(({ level }) => level === 'error'),
      'nothing broke on our side',
    )
  },
)

type Act = (line: ByteReader, socket: Socket) => Promise<void>

/** A server that does what it likes. */
async function impostor(t: Parameters<typeof openDoor>[0], act: () => Act) {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    const reader = new ByteReader(socket)
    void act()(reader, socket).catch(() => socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const dial = async () => {
    const socket = connectTcp(port, '127.0.0.1')
    await once(socket, 'connect')
    return socket
  }
  return dial
}

const readStartup = async (reader: ByteReader) => reader.take((await reader.take(4)).readInt32BE() - 4)

const READ_ONLY = [parameterStatus('default_transaction_read_only', 'on')]

/** A login as it should be. `more`: what the server reports beside its version. */
async function login(reader: ByteReader, socket: Socket, verifier: string, more = READ_ONLY): Promise<void> {
  await readStartup(reader)
  const scram = new ScramServer(verifier, undefined)
  socket.write(authenticationSasl(scram.mechanisms))
  const fields = new FieldReader((await reader.message(10_000)).body)
  socket.write(authenticationSaslContinue(scram.first(fields.string(), fields.value()?.toString() ?? '')))
  const last = scram.final((await reader.message(10_000)).body.toString())
  const version = [parameterStatus('server_version', '18.0'), parameterStatus('standard_conforming_strings', 'on')]
  const status = [...version, ...more]
  socket.write(Buffer.concat([authenticationSaslFinal(last ?? ''), AUTHENTICATION_OK, ...status]))
  socket.write(Buffer.concat([backendKeyData(7, Buffer.alloc(4)), readyForQuery('I')]))
}

t.test(
  'where nobody would tell that a session may write again, a shared login is not read-only',
  { skip },
  async (t) => {
    const verifier = await scramVerifier(demo?.server.password ?? '')
    const dial = await impostor(t, () => (reader, socket) => login(reader, socket, verifier, []))
    const door = await opened(t, { dial })
    const socket = await tls(door)
    const reading = new Reading(socket)
    socket.write(startup('alice', 'fake-db', { application_name: 'x' }))
    t.match(await reading.error(), /FATAL 57P03 A read-only session is not possible: .*older than 14/)
    await reading.end()
  },
)

t.test('a target that is not what it says gets no password, and the person a sentence', { skip }, async (t) => {
  const saw: Buffer[] = []
  const says = (bytes: Buffer): Act => {
    return async (reader, socket) => {
      await readStartup(reader)
      socket.write(bytes)
      saw.push((await reader.message(10_000)).body)
    }
  }
  const acts: Record<string, Act> = {
    'asks for the password in clear': says(message('R', int32(3))),
    'asks for an MD5 of it': says(message('R', int32(5), Buffer.alloc(4))),
    'lets everybody in': says(Buffer.concat([AUTHENTICATION_OK, readyForQuery('I')])),
    'offers an unknown mechanism': says(authenticationSasl(['PLAIN'])),
    'wants endless work': async (reader, socket) => {
      await readStartup(reader)
      socket.write(authenticationSasl(['SCRAM-SHA-256']))
      const first = (await reader.message(10_000)).body.toString()
      const nonce = /r=(\S+)$/.exec(first)?.[1] ?? ''
      socket.write(authenticationSaslContinue(`r=${nonce}more,s=AAAA,i=99999999`))
      saw.push((await reader.message(10_000)).body)
    },
    'sends a long message': says(Buffer.concat([Buffer.from('R'), int32(0x7fffffff)])),
    'hangs up': async (reader, socket) => {
      await readStartup(reader)
      socket.destroy()
    },
  }
  let act: Act = says(Buffer.alloc(0))
  const dial = await impostor(t, () => act)
  const door = await opened(t, { dial })
  for (const [what, how] of Object.entries(acts)) {
    act = how
    const socket = await tls(door)
    const reading = new Reading(socket)
    socket.write(startup('alice', 'fake-db', { application_name: 'x' }))
    t.match(await reading.error(), /FATAL 08006/, what)
    await reading.end()
  }
  t.same(saw, [], 'nothing was said to any of them')
})

t.test(
  'a target whose certificate is for another name, or who talks before TLS, is not talked to',
  { skip },
  async (t) => {
    const door = await opened(t)
    const socket = await tls(door)
    const reading = new Reading(socket)
    socket.write(startup('alice', 'wall-db', { application_name: 'x' }))
    t.match(await reading.error(), /FATAL 08006 The target does not answer/)
    const dial = await impostor(t, () => async (reader, peer) => {
      await reader.take(8)
      peer.write(Buffer.concat([Buffer.from('S'), message('E', cstring('SFATAL'), Buffer.from([0]))]))
    })
    const other = await opened(t, { dial })
    const second = await tls(other)
    const told = new Reading(second)
    second.write(startup('alice', 'prod-db', { application_name: 'x' }))
    t.match(await told.error(), /FATAL 08006/)
  },
)

t.test(
  'two hundred hostile answers: the person gets whole messages, then an error, and the door stands',
  { skip },
  async (t) => {
    const verifier = await scramVerifier(demo?.server.password ?? '')
    const roll = dice(5)
    const fine = Buffer.concat([
      message('T', int16(1), cstring('a'), Buffer.alloc(18)),
      message('D', int16(1), int32(1), Buffer.from('1')),
      message('C', cstring('SELECT 1')),
      readyForQuery('I'),
    ])
    const dial = await impostor(t, () => async (reader, socket) => {
      await login(reader, socket, verifier)
      await reader.message(10_000)
      const bytes = Buffer.from(fine)
      for (let change = 0; change <= roll(4); change++) bytes[roll(bytes.length)] = roll(256)
      const at = roll(bytes.length)
      socket.write(bytes.subarray(0, at))
      await sleep(1)
      socket.end(bytes.subarray(at))
    })
    const door = await opened(t, { dial })
    for (let round = 0; round < 20; round++)
      await Promise.all(
        Array.from({ length: 10 }, async () => {
          const { socket, reading } = await session(door, 'alice', 'fake-db')
          socket.write(message('Q', cstring('select 1')))
          await reading.end()
          socket.destroy()
        }),
      )
    t.equal(door.recorder.tapes.length, 200)
    for (let tries = 0; tries < 200 && door.recorder.tapes.some(({ end }) => end === undefined); tries++)
      await sleep(25)
    t.notOk(
      door.recorder.tapes.some(({ end }) => end === undefined),
      'each session has an end',
    )
    t.notOk(door.logs.find(({ level }) => level === 'error'))
  },
)
