/** A session whose work is rolled back at its end: real psql and drivers believe in their transactions, and nothing of them stays. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { promisify } from 'node:util'
import { Client, type QueryResultRow } from 'pg'
import postgres from 'postgres'
import t from 'tap'
import { openSqlFilter } from '../../gateway/filters/filters.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { cstring, int16, int32, message } from '../../gateway/postgres/message.ts'
import { scramVerifier } from '../../gateway/postgres/scram.ts'
import { demoServer, type Door, openDoor, roleNamed, scope } from './door.ts'
import { Reading, session, startup, tls } from './wire.ts'
import { until } from '../fixtures/until.ts'

const run = promisify(execFile)
const demo = await demoServer(t)
const skip =
  demo === undefined ? 'no PostgreSQL 18 for this machine' : existsSync('/usr/bin/psql') ? false : 'no psql here'
t.setTimeout(120_000)

async function root<T extends QueryResultRow>(sql: string): Promise<readonly T[]> {
  const login = { host: '127.0.0.1', port: demo?.port ?? 0, user: 'postgres', password: demo?.server.password }
  const client = new Client({ ...login, database: 'app' })
  await client.connect()
  try {
    return (await client.query<T>(sql)).rows
  } finally {
    await client.end()
  }
}
/** All that the target holds. */
const fingerprint = async (): Promise<string> =>
  JSON.stringify(
    await root(
      "select md5(string_agg(o::text, '' order by id)) as orders, (select count(*) from pg_class where relnamespace = 'public'::regnamespace) as things from orders o",
    ),
  )

async function world(t: Parameters<typeof openDoor>[0]): Promise<Door> {
  if (demo === undefined) throw new Error('no server')
  const filter = await openSqlFilter({ clock: wallClock })
  t.teardown(() => filter.close())
  const door = await openDoor(t, { demo, createJudge: filter.createJudge.bind(filter) })
  const postgres = scope({ mode: 'read-write', template: 'app_readwrite', workspace: 'rollback' })
  door.roles.set('rehearsal', roleNamed('rehearsal', postgres))
  door.verifiers.set('alice', await scramVerifier('a token'))
  door.grants.give('alice', 'prod-db', 'rehearsal')
  return door
}

const psql = async (door: Door, ...commands: readonly string[]): Promise<string> => {
  const args = ['-X', '-w', '-At', '-U', 'alice', '-d', 'prod-db', ...commands.flatMap((command) => ['-c', command])]
  const env = {
    PATH: process.env['PATH'] ?? '',
    PGHOST: 'localhost',
    PGPORT: `${door.port}`,
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: door.tls.file,
    PGPASSWORD: 'a token',
  }
  const { stdout, stderr } = await run('psql', args, { env }).catch(
    (failure: { stdout: string; stderr: string }) => failure,
  )
  return stdout + stderr
}
const node = async (door: Door): Promise<Client> => {
  const ssl = { ca: door.tls.cert, servername: 'localhost' }
  const client = new Client({
    host: '127.0.0.1',
    port: door.port,
    user: 'alice',
    password: 'a token',
    database: 'prod-db',
    ssl,
  })
  client.on('error', () => undefined)
  await client.connect()
  return client
}
/** What the recordings say at the end of each session. */
const ends = (door: Door): readonly string[] =>
  door.recorder.tapes.flatMap(({ events }) => events.filter(({ kind }) => kind === 'm').map(({ data }) => data))

t.test('psql: work is seen within the session, COMMIT is answered, and nothing stays', { skip }, async (t) => {
  const door = await world(t)
  const before = await fingerprint()
  const out = await psql(
    door,
    "UPDATE orders SET status = 'rehearsed' WHERE id <= 3",
    "SELECT count(*) FROM orders WHERE status = 'rehearsed'",
    'BEGIN',
    'DELETE FROM orders WHERE id = 9',
    'COMMIT',
    'SELECT count(*) FROM orders WHERE id = 9',
    'SELECT 1/0',
    "INSERT INTO orders (customer_id, status, total, placed_at) VALUES (1, 'rehearsed', 1, now())",
    "SELECT count(*) FROM orders WHERE status = 'rehearsed'",
  )
  t.match(out, /UPDATE 3\n3\nBEGIN\nDELETE 1\nCOMMIT\n0\nINSERT 0 1\n4\n/, 'an error undoes itself only')
  t.match(out, /NOTICE:  Nothing of this session stays/)
  t.match(out, /division by zero/)
  t.equal(await fingerprint(), before)
  await until(
    () =>
      ends(door).some((text) =>
        /^Rolled back at the end: public\.orders 1 inserted, 3 updated, 1 deleted\.$/.test(text),
      ),
    'the recording says what was touched',
  )
})

t.test('transactions are what clients believe: errors, rollback, savepoints', { skip }, async (t) => {
  const door = await world(t)
  const out = await psql(
    door,
    'BEGIN',
    'SELECT 1/0',
    'SELECT 1',
    'COMMIT',
    'SELECT 2',
    'BEGIN',
    'DELETE FROM orders WHERE id = 9',
    'ROLLBACK',
    'SELECT count(*) FROM orders WHERE id = 9',
    'BEGIN',
    'SAVEPOINT mine',
    'DELETE FROM orders WHERE id = 9',
    'ROLLBACK TO mine',
    'COMMIT',
    'SELECT count(*) FROM orders WHERE id = 9',
  )
  t.match(out, /^BEGIN\nROLLBACK\n2\nBEGIN\nDELETE 1\nROLLBACK\n1\nBEGIN\nSAVEPOINT\nDELETE 1\nROLLBACK\nCOMMIT\n1\n/)
  t.match(out, /current transaction is aborted/)
})

t.test('texts that would end the transaction behind our back are refused', { skip }, async (t) => {
  const door = await world(t)
  const before = await fingerprint()
  const write = 'DELETE FROM orders WHERE id = 9'
  const texts = [
    `COMMIT; ${write}`,
    `${write}; COMMIT`,
    `/* x */ COMMIT`,
    'COMMIT AND CHAIN',
    "PREPARE TRANSACTION 'x'",
    `ROLLBACK; ${write}`,
    `DO $$BEGIN ${write}; COMMIT; END$$`,
    'VACUUM orders',
    'CREATE INDEX CONCURRENTLY ON orders (status)',
    'ROLLBACK TO nowhere',
    'this is no SQL',
  ]
  for (const text of texts) t.match(await psql(door, text), /ERROR/, text)
  await psql(door, 'CREATE TABLE made (id int)', 'TRUNCATE orders CASCADE', 'COMMIT', write, 'END')
  t.equal(await fingerprint(), before)
})

t.test('drivers: prepared statements, transactions, COPY, batches', { skip }, async (t) => {
  const door = await world(t)
  const before = await fingerprint()
  const client = await node(door)
  const count = async () =>
    Number((await client.query('select count(*) as n from orders where status = $1', ['driver'])).rows[0]?.n)
  await client.query('BEGIN')
  await client.query({ name: 'up', text: 'UPDATE orders SET status = $1 WHERE id = $2', values: ['driver', 1] })
  await client.query('COMMIT')
  await client.query({ name: 'up', text: 'UPDATE orders SET status = $1 WHERE id = $2', values: ['driver', 2] })
  await t.rejects(client.query('UPDATE orders SET total = $1 WHERE id = $2', ['no number', 2]), /numeric/)
  t.equal(await count(), 2)
  await client.end()
  const sql = postgres({
    host: '127.0.0.1',
    port: door.port,
    user: 'alice',
    password: 'a token',
    database: 'prod-db',
    ssl: { ca: door.tls.cert, servername: 'localhost' },
    max: 1,
    onnotice: () => undefined,
  })
  await sql.begin(async (tx) => {
    await tx`update orders set status = 'driver' where id in ${tx([3, 4, 5])}`
  })
  await t.rejects(
    sql.begin(async (tx) => {
      await tx`update orders set status = 'driver' where id = 6`
      throw new Error('changed my mind')
    }),
    /changed my mind/,
  )
  t.equal((await sql`select from orders where status = 'driver'`).length, 3)
  await sql.end()
  t.equal(await fingerprint(), before)
})

const parse = (name: string, text: string) => message('P', cstring(name), cstring(text), int16(0))
const bind = (portal: string, name: string) =>
  message('B', cstring(portal), cstring(name), int16(0), int16(0), int16(0))
const execute = (portal: string) => message('E', cstring(portal), int32(0))
const query = (text: string) => message('Q', cstring(text))
const sync = message('S')

t.test('steps by the extended protocol, as JDBC sends them; the target never has one to run', { skip }, async (t) => {
  const door = await world(t)
  door.verifiers.clear()
  const before = await fingerprint()
  const { reading, socket } = await session(door)
  t.teardown(() => socket.destroy())
  const status = async (count: number) => String.fromCharCode((await reading.next('Z', count))?.body[0] ?? 0)
  const tags = () =>
    reading.messages.filter(({ type }) => type === 'C').map(({ body }) => body.toString('utf8', 0, body.length - 1))
  const work = [parse('', 'DELETE FROM orders WHERE id = 9'), bind('', ''), execute('')]
  socket.write(Buffer.concat([parse('b', 'BEGIN'), bind('', 'b'), execute(''), ...work, sync]))
  t.equal(await status(2), 'T')
  socket.write(
    Buffer.concat([
      parse('c', 'COMMIT'),
      bind('', 'c'),
      message('D', Buffer.from('P'), cstring('')),
      execute(''),
      sync,
    ]),
  )
  t.equal(await status(3), 'I')
  t.strictSame(tags(), ['BEGIN', 'DELETE 1', 'COMMIT'])
  socket.write(query('EXECUTE c'))
  t.equal(await status(4), 'I')
  t.match(
    reading.messages.findLast(({ type }) => type === 'E')?.body.toString(),
    /prepared statement "c" does not exist/,
  )
  socket.write(
    Buffer.concat([bind('', 'b'), execute(''), parse('', 'SELECT 1/0'), bind('', ''), execute(''), ...work, sync]),
  )
  t.equal(await status(5), 'E')
  socket.write(Buffer.concat([bind('', 'c'), execute(''), sync]))
  t.equal(await status(6), 'I')
  t.equal(tags().at(-1), 'ROLLBACK')
  socket.write(query('SELECT name FROM pg_prepared_statements'))
  t.equal(await status(7), 'I')
  t.equal(
    reading.messages.some(({ body, type }) => type === 'D' && /BEGIN|COMMIT|ROLLBACK/.test(body.toString())),
    false,
  )
  socket.end(message('X'))
  await until(() => ends(door).length > 0, 'it is over')
  t.equal(await fingerprint(), before)
})

/** What the server reads as an end of the transaction, and the grammar as one text, once strings are read otherwise. */
const HIDDEN = {
  backslashes: { set: 'SET standard_conforming_strings = off', text: "SELECT '\\''; COMMIT; --'" },
  characters: { set: "SET client_encoding = 'SJIS'", text: "SELECT E'ぁ\\'; COMMIT; --'" },
} as const

for (const [what, { set, text }] of Object.entries(HIDDEN))
  for (const ways of ['a message for each', 'one group'] as const)
    t.test(`a COMMIT behind ${what} that the server reads otherwise, ${ways}`, { skip }, async (t) => {
      const door = await world(t)
      door.verifiers.clear()
      const before = await fingerprint()
      const { reading, socket } = await session(door)
      t.teardown(() => socket.destroy())
      const write = query("UPDATE orders SET status = 'smuggled' WHERE id = 9")
      const change = ways === 'one group' ? Buffer.concat([parse('', set), bind('', ''), execute('')]) : query(set)
      socket.write(Buffer.concat([write, change, query(text)]))
      await reading.end()
      t.match(await reading.error(), /was changed/)
      t.equal(await fingerprint(), before)
    })

t.test('strings are read as the judge reads them, whatever the client asks for at its start', { skip }, async (t) => {
  const door = await world(t)
  door.verifiers.clear()
  const socket = await tls(door)
  const reading = new Reading(socket)
  t.teardown(() => socket.destroy())
  socket.write(startup('alice', 'prod-db', { standard_conforming_strings: 'off' }))
  t.match(await reading.error(), /standard_conforming_strings/)
  const second = await session(door)
  t.teardown(() => second.socket.destroy())
  second.socket.write(message('Q', Buffer.from("SELECT '\x95'\0", 'latin1')))
  t.match(await second.reading.error(), /UTF-8/)
})

t.test('a client that is gone, a grant that is revoked: nothing stays either', { skip }, async (t) => {
  const door = await world(t)
  const before = await fingerprint()
  const [gone, cut] = [await node(door), await node(door)]
  await gone.query('DELETE FROM orders WHERE id < 10')
  ;(gone as Client & { connection: { stream: { destroy(): void } } }).connection.stream.destroy()
  await until(() => ends(door).some((text) => /9 deleted/.test(text)), 'the first is over')
  await cut.query('DELETE FROM orders WHERE id < 5')
  const [held] = door.grants.held
  if (held !== undefined) door.grants.revoke(held)
  await until(() => ends(door).filter((text) => text.startsWith('Rolled back')).length === 2, 'the second is over')
  t.equal(await fingerprint(), before)
})
