/** Ten thousand broken streams from both sides over the real wire, and statements that are made to be expensive: nobody else notices. */
import { once } from 'node:events'
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import t from 'tap'
import { openSqlFilter } from '../../gateway/filters/filters.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import {
  AUTHENTICATION_OK,
  authenticationSasl,
  authenticationSaslContinue,
  authenticationSaslFinal,
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
import { demoServer, type Door, type DoorOptions, endpointsOf, openDoor } from './door.ts'
import { Reading, startup, tcp } from './wire.ts'

t.setTimeout(180_000)
const demo = await demoServer(t)
const skip = demo === undefined ? 'no PostgreSQL 18 for this machine' : false
type Test = Parameters<typeof openDoor>[0]

/** Without TLS on the way: what is attacked here lies behind it. */
async function opened(t: Test, options: Partial<DoorOptions> = {}): Promise<Door> {
  if (demo === undefined) throw new Error('no server')
  const endpoints = new Map(
    [...endpointsOf(demo)].map(([name, endpoint]) => [name, { ...endpoint, tls: { mode: 'off' } as const }]),
  )
  const door = await openDoor(t, { demo, endpoints, settings: { allowPlaintext: true, leaseMinutes: 60 }, ...options })
  for (const target of ['prod-db', 'fake-db']) door.grants.give('alice', target, 'readonly')
  return door
}

/** Seeded, so that a failure can be had again. */
function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const query = (text: string) => message('Q', cstring(text))
const TYPES = 'QPBEDCSHFXdcfpZ?'

/** Many at a time, all of them to their end. */
async function crowd(count: number, one: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let i = next++; i < count; i = next++) await one(i)
  }
  await Promise.all(Array.from({ length: 20 }, worker))
}

async function plainSession(door: Door, target: string): Promise<{ socket: Socket; reading: Reading }> {
  const socket = await tcp(door)
  const reading = new Reading(socket)
  socket.write(startup('alice', target))
  if ((await reading.next('Z')) === undefined) throw new Error(`no session: ${await reading.error()}`)
  return { socket, reading }
}

const isOver = async (socket: Socket): Promise<void> => {
  socket.resume()
  if (!socket.destroyed) await once(socket, 'close')
}

/** The door has closed every book, broke nowhere, and serves the next person. */
async function stands(
  t: Test & { equal(a: unknown, b: unknown, why: string): unknown; notOk(a: unknown, why: string): unknown },
  door: Door,
): Promise<void> {
  const open = () => door.recorder.tapes.filter(({ end }) => end === undefined).length
  for (let tries = 0; tries < 400 && open() > 0; tries++) await new Promise((wake) => setTimeout(wake, 25))
  t.equal(open(), 0, 'each session has an end')
  t.notOk(
    door.logs.find(({ level }) => level === 'error'),
    'nothing broke on our side',
  )
}

t.test('six thousand broken beginnings end by themselves', { skip }, async (t) => {
  const door = await opened(t)
  const roll = dice(1)
  const good = startup('alice', 'prod-db')
  const beginnings: (() => Buffer)[] = [
    () => Buffer.from(Array.from({ length: 1 + roll(80) }, () => roll(256))),
    () => {
      const copy = Buffer.from(good)
      for (let change = 0; change <= roll(4); change++) copy[roll(copy.length)] = roll(256)
      return copy
    },
    () => good.subarray(0, roll(good.length)),
    () =>
      Buffer.concat([
        int32(8 + roll(20_000)),
        int32([80877103, 80877102, 80877104, 196608, 196610, 0][roll(6)] ?? 0),
        Buffer.alloc(roll(40), roll(256)),
      ]),
    () => Buffer.concat([int32(8), int32(80877103), message('p', Buffer.alloc(roll(30), 65))]),
  ]
  let closed = 0
  await crowd(6000, async (i) => {
    const socket = await tcp(door)
    socket.end(beginnings[i % beginnings.length]?.() ?? good)
    await isOver(socket)
    closed += 1
  })
  t.equal(closed, 6000)
  await stands(t, door)
  const { socket, reading } = await plainSession(door, 'prod-db')
  socket.write(query('select 42'))
  t.ok((await reading.next('D'))?.body.includes('42'))
  socket.destroy()
})

t.test('two thousand broken sessions end in a protocol error, or with their client', { skip }, async (t) => {
  const door = await opened(t)
  const roll = dice(2)
  const words = ['select 1', 'begin', 'copy orders to stdout', 'select $1::text', 'fetch all from x', "'", '/*', '']
  const word = () => cstring(words[roll(words.length)] ?? '')
  const piece = (): Buffer => {
    const type = TYPES[roll(TYPES.length)] ?? 'Q'
    switch (roll(4)) {
      case 0:
        return message(type, Buffer.from(Array.from({ length: roll(40) }, () => roll(256))))
      case 1:
        return Buffer.concat([
          Buffer.from(type),
          int32([0, 3, 4, -1, 0x7fffffff, roll(100)][roll(6)] ?? 0),
          Buffer.alloc(roll(50)),
        ])
      case 2:
        return message('P', word(), word(), int16(roll(3)), int32(roll(100)))
      default:
        return (
          [
            query(words[roll(words.length)] ?? ''),
            message('P', cstring(''), word(), int16(0)),
            message('B', cstring(''), cstring(''), int16(0), int16(0), int16(0)),
            message('E', cstring(''), int32(0)),
            message('S'),
            message('C', Buffer.from('S'), cstring('')),
          ][roll(6)] ?? message('S')
        )
    }
  }
  let refused = 0
  await crowd(2000, async () => {
    const { socket, reading } = await plainSession(door, 'prod-db')
    socket.end(Buffer.concat(Array.from({ length: 1 + roll(12) }, piece)))
    await isOver(socket)
    const errors = reading.messages.filter(({ type }) => type === 'E')
    if (errors.some(({ body }) => body.includes('C08P01'))) refused += 1
    if (reading.rest > 0) t.fail('the last message was not whole')
  })
  t.ok(refused > 500, `${refused} ended in a protocol error`)
  await stands(t, door)
})

t.test('two thousand hostile servers: whole messages, then an error, and the door stands', { skip }, async (t) => {
  const verifier = await scramVerifier(demo?.server.password ?? '')
  const roll = dice(3)
  const fine = Buffer.concat([
    message('T', int16(1), cstring('a'), Buffer.alloc(18)),
    message('D', int16(1), int32(1), Buffer.from('1')),
    message('N', cstring('SNOTICE'), Buffer.from([0])),
    message('G', Buffer.alloc(3)),
    message('C', cstring('SELECT 1')),
    readyForQuery('I'),
  ])
  const act = async (socket: Socket): Promise<void> => {
    const reader = new ByteReader(socket)
    await reader.take((await reader.take(4)).readInt32BE() - 4)
    const scram = new ScramServer(verifier, undefined)
    socket.write(authenticationSasl(scram.mechanisms))
    const fields = new FieldReader((await reader.message(10_000)).body)
    socket.write(authenticationSaslContinue(scram.first(fields.string(), fields.value()?.toString() ?? '')))
    const last = scram.final((await reader.message(10_000)).body.toString())
    const greeting = [
      parameterStatus('server_version', '18.0'),
      parameterStatus('standard_conforming_strings', 'on'),
      parameterStatus('default_transaction_read_only', 'on'),
      backendKeyData(7, Buffer.alloc(4)),
      readyForQuery('I'),
    ]
    socket.write(Buffer.concat([authenticationSaslFinal(last ?? ''), AUTHENTICATION_OK, ...greeting]))
    await reader.message(10_000)
    const bytes = Buffer.from(roll(5) === 0 ? Array.from({ length: 1 + roll(200) }, () => roll(256)) : fine)
    if (roll(8) > 0) for (let change = 0; change <= roll(5); change++) bytes[roll(bytes.length)] = roll(256)
    const at = roll(bytes.length)
    socket.write(bytes.subarray(0, at))
    setImmediate(() => socket.end(bytes.subarray(at)))
  }
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    void act(socket).catch(() => socket.destroy())
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
  const door = await opened(t, { dial })
  await crowd(2000, async () => {
    const { socket, reading } = await plainSession(door, 'fake-db')
    socket.write(query('select 1'))
    await reading.end()
    socket.destroy()
  })
  t.equal(door.recorder.tapes.length, 2000)
  await stands(t, door)
})

t.test('statements that are made to be expensive slow nobody else down', { skip }, async (t) => {
  const filter = await openSqlFilter({ clock: wallClock })
  t.teardown(() => filter.close())
  const door = await opened(t, { createJudge: (role, context) => filter.createJudge(role, context) })
  const [attacker, bystander] = [await plainSession(door, 'prod-db'), await plainSession(door, 'prod-db')]
  let done = 0
  const ask = async () => {
    bystander.socket.write(query(`select id from orders where id = ${1 + (done % 100)}`))
    await bystander.reading.next('C', done + 1)
    done += 1
  }
  const texts = {
    'a megabyte of parentheses': `select ${'('.repeat(500_000)}1${')'.repeat(500_000)}`,
    'comments in comments': `select ${'/*'.repeat(100_000)}`,
    'a sum of thirty thousand terms': `select 1${'+1'.repeat(30_000)}`,
    'half a million constants': `select 1 where 1 in (${'1,'.repeat(500_000)}1)`,
    'deep cases': `select ${'case when true then '.repeat(20_000)}1`,
  }
  let answers = 0
  for (const [what, text] of Object.entries(texts)) {
    const wait = { isOver: false }
    attacker.socket.write(query(text))
    const answered = (async () => {
      await attacker.reading.next('Z', answers + 2)
      wait.isOver = true
    })()
    answers += 1
    const before = done
    for (let i = 0; i < 3 || !wait.isOver; i++) await ask()
    await answered
    t.comment(`${what}: ${done - before} queries of somebody else meanwhile`)
  }
  t.ok(done > 5 * Object.keys(texts).length, 'more than the few that are asked for in any case')
  t.equal(attacker.reading.messages.filter(({ type }) => type === 'E').length, answers, 'each of them was refused')
  attacker.socket.write(query('select 7'))
  t.ok((await attacker.reading.next('D'))?.body.includes('7'), 'and the session goes on')
  attacker.socket.destroy()
  bystander.socket.destroy()
})
