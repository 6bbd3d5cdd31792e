/** PostgreSQL's messages, without a socket: cut at every byte, mutated, hostile. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { Readable } from 'node:stream'
import { parse, serialize } from 'pg-protocol'
import t from 'tap'
import { MalformedMessage, Refusal } from '../../gateway/model/refusal.ts'
import { BackendScanner } from '../../gateway/postgres/backend.ts'
import {
  bytesOf,
  type FrontendMessage,
  FrontendSplitter,
  readParameters as readBind,
} from '../../gateway/postgres/frontend.ts'
import {
  backendKeyData,
  cstring,
  int16,
  int32,
  message,
  parameterStatus,
  readReport,
  readyForQuery,
  report,
} from '../../gateway/postgres/message.ts'
import { Pipeline } from '../../gateway/postgres/pipeline.ts'
import { ScramClient, ScramServer, scramVerifier } from '../../gateway/postgres/scram.ts'
import { readStartupPacket, startupMessage, targetParameters } from '../../gateway/postgres/startup.ts'
import { readDatabaseName } from '../../gateway/postgres/database-name.ts'
import { SharedReads } from '../../gateway/session/session.ts'
import type { OutcomeRecord } from '../../gateway/model/event.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { roleNamed, scope } from './door.ts'

/** Seeded, so that a failure can be had again. */
function dice(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

const bind = message(
  'B',
  cstring('portal'),
  cstring('name'),
  Buffer.concat([int16(2), int16(0), int16(1)]),
  Buffer.concat([int16(3), int32(2), Buffer.from('hi'), int32(-1), int32(2), Buffer.from([0, 255])]),
  int16(1),
  int16(0),
)
const stream = Buffer.concat([
  message('Q', cstring('select 1; select 2')),
  message('P', cstring('name'), cstring('select $1'), int16(1), int32(25)),
  bind,
  message('D', Buffer.from('P'), cstring('portal')),
  message('E', cstring('portal'), int32(0)),
  message('C', Buffer.from('S'), cstring('name')),
  message('H'),
  message('S'),
  message('F', int32(2000), int16(1), int16(1), int16(1), int32(4), int32(7), int16(1)),
  message('d', Buffer.from('1\ta\n')),
  message('c'),
  message('f', cstring('no more')),
  message('X'),
])

const readParameters = (bytes: Buffer, limit: number) => readBind({ memory: bytes, start: 0, end: bytes.length }, limit)

const split = (chunks: readonly Buffer[]): FrontendMessage[] => {
  const splitter = new FrontendSplitter()
  return chunks.flatMap((chunk) => [...splitter.push(chunk)])
}

/** Wherever they lie. */
const plain = (messages: readonly FrontendMessage[]) =>
  messages.map(({ memory, start, end, ...said }) => [said, memory.toString('latin1', start, end)])

t.test('a client stream gives the same messages wherever it is cut', async (t) => {
  const whole = split([stream])
  t.equal(whole.length, 13)
  t.same(Buffer.concat(whole.map(bytesOf)), stream, 'each keeps its exact bytes')
  for (let at = 0; at <= stream.length; at++) {
    const cut = split([stream.subarray(0, at), stream.subarray(at)])
    if (JSON.stringify(plain(cut)) !== JSON.stringify(plain(whole))) t.fail(`cut at ${at}`)
  }
  const single = split([...stream].map((byte) => Buffer.from([byte])))
  t.same(plain(single), plain(whole), 'byte by byte')
  t.same(readParameters(bind, 10), ['hi', null, '\u0000\ufffd'])
})

t.test('messages of another implementation mean the same, both ways', async (t) => {
  const theirs = Buffer.concat([
    serialize.query('select 1'),
    serialize.parse({ name: 'name', text: 'select $1', types: [25] }),
    serialize.bind({ portal: 'portal', statement: 'name', values: ['hi', null, Buffer.from([1])] }),
    serialize.describe({ type: 'P', name: 'portal' }),
    serialize.execute({ portal: 'portal', rows: 5 }),
    serialize.close({ type: 'S', name: 'name' }),
    serialize.flush(),
    serialize.sync(),
    serialize.copyData(Buffer.from('x')),
    serialize.copyDone(),
    serialize.copyFail('no'),
    serialize.end(),
  ])
  const kinds = split([theirs]).map(({ type }) => type)
  const before = ['query', 'parse', 'bind', 'describe', 'execute', 'close', 'flush', 'sync']
  t.same(kinds, [...before, 'copy-data', 'copy-done', 'copy-fail', 'terminate'])
  const said: unknown[] = []
  const ours = Buffer.concat([
    parameterStatus('TimeZone', 'UTC'),
    report({ severity: 'NOTICE', code: '00000', message: 'mind', hint: 'the gap' }),
    report({ severity: 'FATAL', code: '57P01', message: 'over' }),
    readyForQuery('I'),
  ])
  await parse(Readable.from([ours]), (message) => said.push(message))
  t.match(said, [
    { name: 'parameterStatus', parameterName: 'TimeZone', parameterValue: 'UTC' },
    { name: 'notice', message: 'mind', hint: 'the gap' },
    { name: 'error', severity: 'FATAL', code: '57P01', message: 'over' },
    { name: 'readyForQuery', status: 'I' },
  ])
})

t.test('parameter values are text, hexadecimal where they are binary, and never too long', async (t) => {
  const binary = message(
    'B',
    cstring(''),
    cstring(''),
    int16(1),
    int16(1),
    int16(1),
    int32(2),
    Buffer.from([1, 255]),
    int16(0),
  )
  t.same(readParameters(binary, 10), ['\\x01ff'])
  const long = message(
    'B',
    cstring(''),
    cstring(''),
    int16(0),
    int16(1),
    int32(30),
    Buffer.from('a'.repeat(30)),
    int16(0),
  )
  t.same(readParameters(long, 10), [`${'a'.repeat(10)}…`])
  const values = Array.from({ length: 50_000 }, () => Buffer.concat([int32(2), Buffer.from('hi')]))
  const many = message('B', cstring(''), cstring(''), int16(0), int16(50_000), ...values, int16(0))
  const kept = readParameters(many, 10)
  t.ok(kept.length < 10_000 && kept.at(-1) === '…', 'nor too many')
})

t.test('a message that does not say exactly what it holds is refused', async (t) => {
  const bad: Record<string, Buffer> = {
    'a length of zero': Buffer.from([0x51, 0, 0, 0, 0]),
    'a length of three': Buffer.from([0x51, 0, 0, 0, 3]),
    'a negative length': Buffer.from([0x51, 0xff, 0xff, 0xff, 0xff]),
    'a length beyond the limit': Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff]),
    'a Sync with a body': message('S', Buffer.from('x')),
    'an unknown type': message('y'),
    'a second password': message('p', cstring('x')),
    'a text after its end': message('Q', Buffer.from('select 1\0delete from orders\0')),
    'a text without an end': message('Q', Buffer.from('select 1')),
    'no text at all': message('Q'),
    'more types than there are': message('P', cstring(''), cstring('x'), int16(2), int32(1)),
    'fewer types than there are': message('P', cstring(''), cstring('x'), int16(0), int32(1)),
    'a NUL hidden in a Parse': message('P', cstring(''), Buffer.from('select 1\0; drop\0'), int16(0)),
    'a value longer than its message': message('B', cstring(''), cstring(''), int16(0), int16(1), int32(99), int16(0)),
    'a value of length minus two': message('B', cstring(''), cstring(''), int16(0), int16(1), int32(-2), int16(0)),
    'a Describe of nothing': message('D', Buffer.from('Q'), cstring('')),
    'an Execute that goes on': message('E', cstring(''), int32(0), int32(0)),
  }
  for (const [what, bytes] of Object.entries(bad)) t.throws(() => split([bytes]), MalformedMessage, what)
})

t.test('five thousand broken client streams end in a protocol error or in nothing', async (t) => {
  const roll = dice(42)
  let refused = 0
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from(stream)
    for (let change = 0; change <= roll(4); change++) bytes[roll(bytes.length)] = roll(256)
    const splitter = new FrontendSplitter()
    try {
      let total = 0
      for (let at = 0; at < bytes.length; ) {
        const size = 1 + roll(40)
        for (const { start, end } of splitter.push(bytes.subarray(at, at + size))) total += end - start
        at += size
      }
      if (total + splitter.pending !== bytes.length) t.fail('bytes were lost')
    } catch (failure) {
      if (!(failure instanceof MalformedMessage)) throw failure
      refused += 1
    }
  }
  t.ok(refused > 1000, `${refused} refused`)
})

const row = (text: string): Buffer => message('D', int16(1), int32(text.length), Buffer.from(text))
const backend = Buffer.concat([
  message('T', int16(0)),
  row('one'),
  row('two'),
  message('C', cstring('SELECT 2')),
  report({ severity: 'NOTICE', code: '00000', message: 'mind' }),
  report({ severity: 'ERROR', code: '42601', message: 'syntax error at or near "pill"' }),
  parameterStatus('TimeZone', 'UTC'),
  message('d', Buffer.from('copied')),
  readyForQuery('I'),
])

/** What went on, what was seen, and the rows. */
function scan(chunks: readonly Buffer[], hold: boolean) {
  const seen: string[] = []
  const rows: Buffer[] = []
  const counted = { rows: 0, bytes: 0 }
  const scanner = new BackendScanner({
    message: (type, body) => seen.push(String.fromCharCode(type) + body.toString('latin1')),
    held: (_type, bytes) => {
      seen.push(`held ${readReport(bytes.subarray(5)).get('C') ?? ''}`)
      return Buffer.from('[replaced]')
    },
    rows: (count, size, bytes) => {
      counted.rows += count
      counted.bytes += size
      if (bytes !== undefined) rows.push(bytes)
    },
  })
  scanner.watchRows = true
  scanner.holdErrors(hold)
  const out = chunks.flatMap((chunk) => [...scanner.push(chunk)])
  return { out: Buffer.concat(out), seen, rows: Buffer.concat(rows), counted, left: scanner.left }
}

t.test('a server stream goes on unchanged wherever it is cut, and its rows are counted', async (t) => {
  const whole = scan([backend], false)
  t.same(whole.out, backend)
  t.equal(whole.counted.rows, 3)
  t.same(whole.rows, Buffer.concat([row('one'), row('two'), message('d', Buffer.from('copied'))]))
  const held = scan([backend], true)
  t.ok(held.seen.includes('held 42601'))
  t.match(held.out.toString('latin1'), /mind.*\[replaced\].*TimeZone/s)
  t.notMatch(held.out.toString('latin1'), /pill/)
  for (let at = 0; at <= backend.length; at++) {
    const chunks = [backend.subarray(0, at), backend.subarray(at)]
    const [plain, kept] = [scan(chunks, false), scan(chunks, true)]
    if (!plain.out.equals(backend) || !plain.rows.equals(whole.rows)) t.fail(`cut at ${at}`)
    if (JSON.stringify(plain.seen) !== JSON.stringify(whole.seen)) t.fail(`seen, cut at ${at}`)
    if (!kept.out.equals(held.out)) t.fail(`held, cut at ${at}`)
  }
  const single = [...backend].map((byte) => Buffer.from([byte]))
  t.same(scan(single, true).out, held.out)
  t.same(scan(single, false).counted, whole.counted)
})

t.test('a server that breaks the protocol is noticed', async (t) => {
  const bad: Record<string, Buffer> = {
    'a length of three': Buffer.from([0x44, 0, 0, 0, 3]),
    'a negative length': Buffer.from([0x44, 0xff, 0, 0, 0]),
    'another greeting': backendKeyData(1, Buffer.alloc(4)),
    'an authentication request': message('R', int32(3)),
    'a copy in both directions': message('W'),
    'a long ReadyForQuery': message('Z', Buffer.from('II')),
  }
  for (const [what, bytes] of Object.entries(bad)) t.throws(() => scan([bytes], false), MalformedMessage, what)
  const roll = dice(7)
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from(backend)
    for (let change = 0; change <= roll(4); change++) bytes[roll(bytes.length)] = roll(256)
    const at = roll(bytes.length)
    try {
      scan([bytes.subarray(0, at), bytes.subarray(at)], roll(2) === 0)
    } catch (failure) {
      if (!(failure instanceof MalformedMessage)) throw failure
    }
  }
})

function pipeline() {
  const outcomes: OutcomeRecord[] = []
  const line = new Pipeline(wallClock, (outcome) => outcomes.push(outcome))
  const got = (type: string, text = '') => line.received(type.charCodeAt(0), Buffer.from(text))
  const error = () => line.received(0x45, report({ severity: 'ERROR', code: '22012', message: 'division' }).subarray(5))
  return { line, outcomes, got, error }
}

t.test('after an error the server skips up to the Sync, and so does the account of what it owes', async (t) => {
  const { line, outcomes, got, error } = pipeline()
  const undone: string[] = []
  for (const name of ['one', 'two']) {
    line.sent('parse', { undo: () => undone.push(name) })
    line.sent('bind')
    line.sent('execute', { n: name === 'one' ? 1 : 2 })
  }
  line.sent('sync')
  t.equal(line.groups, 1)
  got('1')
  got('2')
  error()
  t.same(undone, ['two'], 'what the server skipped never was')
  t.same(
    outcomes.map(({ n, result, error: text }) => [n, result, text]),
    [
      [1, 'error', '22012 division'],
      [2, 'error', 'skipped after an error'],
    ],
  )
  got('Z', 'I')
  t.equal(line.groups, 0)
  t.ok(line.idle)
})

t.test('a Sync that came during a COPY is not waited for', async (t) => {
  const { line, got } = pipeline()
  line.sent('parse')
  line.sent('bind')
  line.sent('execute', { n: 1 })
  line.sent('sync')
  got('1')
  got('2')
  got('G')
  t.equal(line.groups, 0, 'the server threw it away')
  line.sent('copy-done')
  line.sent('sync')
  got('C', 'COPY 1\0')
  got('Z', 'I')
  t.ok(line.idle)
})

t.test('what a socket reads is ours to keep, in small pieces and large ones, with pauses in between', async (t) => {
  const sent = Buffer.alloc(3_000_000, 'what was read must not change afterwards. ')
  const server = createServer((socket) => {
    for (let at = 0; at < 2000; at += 20) socket.write(sent.subarray(at, at + 20))
    socket.end(sent.subarray(2000))
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const reads = new SharedReads({ bytes: 64 * 1024, lends: false })
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const got = await Promise.all(
    [1, 2].map(async () => {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      const pieces: Buffer[] = []
      const take = (bytes: Buffer) => {
        pieces.push(bytes)
        socket.pause()
        setImmediate(() => socket.resume())
      }
      socket.on('data', take)
      t.ok(reads.take(socket, take), 'this Node can do that; else every read costs a third more')
      await once(socket, 'end')
      return Buffer.concat(pieces)
    }),
  )
  for (const bytes of got) t.ok(bytes.equals(sent))
})

t.test('memory that was given back holds another read, and never two at a time', async (t) => {
  const sent = Buffer.alloc(6_000_000)
  for (let at = 0; at < sent.length; at += 4) sent.writeUInt32LE(at, at)
  const server = createServer((socket) => {
    socket.end(sent)
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const reads = new SharedReads({ bytes: 16 * 1024, lends: false })
  const address = server.address()
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0
  const memories = new Map<ArrayBufferLike, Set<number>>()
  let lent = 0
  const got = await Promise.all(
    [0, 1, 2].map(async (late) => {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      const pieces: Buffer[] = []
      const look = (bytes: Buffer, place: number, done: (() => void) | undefined) => {
        pieces[place] = Buffer.from(bytes)
        done?.()
        done?.()
      }
      let count = 0
      const take = (bytes: Buffer, done: (() => void) | undefined) => {
        const place = count++
        if (done !== undefined) {
          lent += 1
          const whose = memories.get(bytes.buffer) ?? new Set()
          memories.set(bytes.buffer, whose.add(late))
        }
        // Some keep what they got for a while.
        if (late === 0 || done === undefined) look(bytes, place, done)
        else setImmediate(look, bytes, place, done)
      }
      socket.on('data', (bytes: Buffer) => take(bytes, undefined))
      t.ok(reads.take(socket, take))
      await once(socket, 'close')
      return Buffer.concat(pieces)
    }),
  )
  for (const bytes of got) t.ok(bytes.equals(sent))
  t.ok(memories.size < lent / 2, `${memories.size} pieces of memory served ${lent} reads`)
  t.ok(
    [...memories.values()].every(({ size }) => size === 1),
    'none served two sockets',
  )
})

/** What is seen of chunks whose memory holds something else as soon as they have passed. */
function seenInPassing(chunks: readonly Buffer[]): readonly string[] {
  const told: string[] = []
  const scanner = new BackendScanner({
    message: (type, body) => told.push(String.fromCharCode(type) + body.toString('latin1')),
    held: (_type, bytes) => bytes,
    rows: () => undefined,
  })
  for (const chunk of chunks) {
    const passing = Buffer.from(chunk)
    scanner.push(passing)
    passing.fill(0x21)
  }
  return told
}

t.test('what a server sent is not looked at again once it has passed', async (t) => {
  const whole = JSON.stringify(seenInPassing([backend]))
  for (let at = 0; at <= backend.length; at++) {
    const cut = [backend.subarray(0, at), backend.subarray(at)]
    if (JSON.stringify(seenInPassing(cut)) !== whole) t.fail(`cut at ${at}`)
  }
})

t.test('SCRAM: both sides agree with each other and with the vector of RFC 7677', async (t) => {
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
  const verifier = await scramVerifier('pencil', 4096, salt)
  t.match(verifier, /^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:/)
  const server = new ScramServer(verifier, undefined)
  const client = new ScramClient(server.mechanisms, undefined)
  const answer = await client.final(server.first(client.mechanism, client.first()), 'pencil')
  const last = server.final(answer)
  t.ok(last)
  client.verify(last ?? '')
  const other = new ScramServer(verifier, undefined)
  const guess = new ScramClient(other.mechanisms, undefined)
  t.equal(other.final(await guess.final(other.first(guess.mechanism, guess.first()), 'pencils')), undefined)
  t.throws(() => guess.verify(last ?? ''), MalformedMessage, 'a server that does not know the password')
})

t.test('SCRAM: no downgrade, no borrowed channel, no endless work', async (t) => {
  const verifier = await scramVerifier('secret')
  const bound = () => new ScramServer(verifier, Buffer.alloc(32, 1))
  t.throws(() => bound().first('SCRAM-SHA-256', 'y,,n=,r=abc'), MalformedMessage, 'the list was stripped on the way')
  t.throws(() => bound().first('SCRAM-SHA-256', 'p=tls-server-end-point,,n=,r=abc'), MalformedMessage)
  t.throws(() => bound().first('SCRAM-SHA-256-PLUS', 'n,,n=,r=abc'), MalformedMessage)
  t.throws(() => bound().first('SCRAM-SHA-256-PLUS', 'p=tls-unique,,n=,r=abc'), MalformedMessage)
  t.throws(() => bound().first('SCRAM-SHA-256', 'n,a=root,n=,r=abc'), MalformedMessage)
  t.throws(() => bound().first('PLAIN', 'n,,n=,r=abc'), MalformedMessage)
  t.throws(() => new ScramClient(['MD5'], undefined), MalformedMessage)
  const client = new ScramClient(['SCRAM-SHA-256'], undefined)
  const nonce = client.first().split('r=')[1] ?? ''
  await t.rejects(client.final(`r=${nonce}x,s=AAAA,i=2000000`, 'secret'), MalformedMessage)
  await t.rejects(
    client.final(`r=${nonce},s=AAAA,i=4096`, 'secret'),
    MalformedMessage,
    'nothing of its own in the nonce',
  )
  await t.rejects(client.final('r=other,s=AAAA,i=4096', 'secret'), MalformedMessage)
})

const packet = (...words: string[]) => Buffer.concat([int32(3 << 16), ...words.map(cstring), Buffer.from([0])])

t.test('the start-up packet is read once and in one way', async (t) => {
  const read = readStartupPacket(packet('user', 'alice', 'Database', 'prod-db'))
  t.match(read, { type: 'startup', negotiate: undefined })
  t.throws(() => readStartupPacket(packet('user', 'alice', 'USER', 'bob')), MalformedMessage)
  t.throws(() => readStartupPacket(Buffer.concat([packet('user', 'alice'), Buffer.from('x')])), MalformedMessage)
  t.throws(() => readStartupPacket(packet('user')), MalformedMessage)
  t.throws(() => readStartupPacket(Buffer.from([0, 2, 0, 0])), Refusal)
  t.match(readStartupPacket(Buffer.concat([int32((3 << 16) | 2), packet('user', 'a', '_pq_.x', '1').subarray(4)])), {
    negotiate: ['_pq_.x'],
  })
  t.throws(() => readStartupPacket(Buffer.concat([int32(80877102), int32(1), Buffer.alloc(300)])), MalformedMessage)
  t.same(startupMessage(new Map([['user', 'a']])).subarray(4), packet('user', 'a'))
  t.throws(() => startupMessage(new Map([['user', 'a\0database\0b']])), /NUL/)
})

t.test('nothing in the start-up packet undoes what the gateway sets', async (t) => {
  const readonly = roleNamed('r', scope({ statementTimeoutMs: 60_000 }))
  const of = (pairs: Record<string, string>, role = readonly) =>
    Object.fromEntries(targetParameters(new Map(Object.entries(pairs)), role))
  t.match(of({ user: 'alice', application_name: 'x', timezone: 'UTC', options: '-c extra_float_digits=2' }), {
    application_name: 'x',
    timezone: 'UTC',
    extra_float_digits: '2',
    client_encoding: 'UTF8',
    default_transaction_read_only: 'on',
    standard_conforming_strings: 'on',
    statement_timeout: '60000',
  })
  t.notOk('user' in of({ user: 'alice' }))
  t.equal(of({ statement_timeout: '5000' })['statement_timeout'], '5000', 'shorter is fine')
  t.equal(of({ statement_timeout: '99999999' })['statement_timeout'], '60000')
  for (const bad of [
    { default_transaction_read_only: 'off' },
    { standard_conforming_strings: 'off' },
    { options: '-c default_transaction_read_only=off' },
    { options: '--default-transaction-read-only=off' },
    { options: '-cdefault_transaction_read_only=o\\ff' },
    { options: '-d 5' },
    { search_path: 'evil' },
    { role: 'postgres' },
    { session_authorization: 'postgres' },
    { replication: 'database' },
    { client_encoding: 'SJIS' },
    { statement_timeout: '0' },
  ])
    t.throws(() => of(bad), Refusal, JSON.stringify(bad))
  const writer = roleNamed('w', scope({ mode: 'read-write' }))
  t.match(of({ search_path: 'a', options: '-c geqo=off' }, writer), { search_path: 'a', geqo: 'off' })
  t.throws(() => of({ options: '-c role=postgres' }, writer), Refusal)
})

t.test('a database names a target, a role there, a database of it', async (t) => {
  t.same(readDatabaseName('prod-db'), { target: 'prod-db', under: undefined, database: undefined })
  t.same(readDatabaseName('prod-db/app'), { target: 'prod-db', under: undefined, database: 'app' })
  t.same(readDatabaseName('prod-db%logs/app')?.under, { kind: 'role', role: 'logs' })
  t.same(readDatabaseName('prod-db%37/app')?.under, { kind: 'grant', grant: '37' })
  for (const bad of [
    '',
    '/app',
    'a//b',
    'a/b/c',
    '-x',
    'a%',
    'a%/b',
    'a%1%2',
    'a/',
    'a\nb',
    'x'.repeat(65),
    'a/b\u0000',
  ])
    t.equal(readDatabaseName(bad), undefined, bad)
})
