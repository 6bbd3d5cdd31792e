/** What happens inside a session: the order of things, refusals, the cut, and what is left behind on the target (nothing). */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client, type QueryResultRow } from 'pg'
import t from 'tap'
import { ALLOW } from '../../gateway/model/statement.ts'
import { cstring, int16, int32, message } from '../../gateway/postgres/message.ts'
import type { CreateJudge } from '../../gateway/postgres/postgres.ts'
import { demoServer, type Door, type DoorOptions, endpointsOf, openDoor, wordJudge } from './door.ts'
import { cancelPacket, Reading, session, startup, tcp, tls } from './wire.ts'
import { until } from '../fixtures/until.ts'

const demo = await demoServer(t)
const skip = demo === undefined ? 'no PostgreSQL 18 for this machine' : false

async function opened(t: Parameters<typeof openDoor>[0], role: string, options: Partial<DoorOptions> = {}) {
  if (demo === undefined) throw new Error('no server')
  const door = await openDoor(t, { demo, ...options })
  return { door, held: door.grants.give('alice', 'prod-db', role), demo }
}

/** As the superuser, past the gateway. */
async function root<T extends QueryResultRow>(sql: string): Promise<readonly T[]> {
  const client = new Client({
    host: '127.0.0.1',
    port: demo?.port ?? 0,
    user: 'postgres',
    password: demo?.server.password,
    database: 'app',
  })
  await client.connect()
  try {
    return (await client.query<T>(sql)).rows
  } finally {
    await client.end()
  }
}

const ourRoles = () =>
  root<{ rolname: string }>("select rolname from pg_roles where rolname like 'sallyport\\_test\\_%'")
const byName = (a = '', b = '') => a.localeCompare(b)
const version = demo?.server.version ?? 0
const query = (text: string) => message('Q', cstring(text))
const sync = message('S')
const parse = (name: string, text: string) => message('P', cstring(name), cstring(text), int16(0))
const bind = (portal: string, name: string) =>
  message('B', cstring(portal), cstring(name), int16(0), int16(0), int16(0))
const execute = (portal: string) => message('E', cstring(portal), int32(0))

t.test('judge, journal, forward: in this order, and never the last without the others', { skip }, async (t) => {
  const order: string[] = []
  const createJudge: CreateJudge = async (role, context) => {
    const judge = wordJudge(role)
    t.same(await context.ask(['select 1, null', 'show transaction_read_only']), [[['1', null]], [['on']]])
    return {
      ...judge,
      query: (text) => {
        order.push('judge')
        return judge.query(text)
      },
    }
  }
  const { door } = await opened(t, 'readonly', { createJudge })
  const { socket, reading } = await session(door)
  Object.defineProperty(door.recorder.order, 'push', { value: (what: string) => order.push(what) })
  socket.write(query('select 1'))
  await reading.next('C')
  order.push('answered')
  t.same(order, ['judge', 'journal', 'answered'])
  t.same(
    door.recorder.tapes[0]?.events.map(({ kind }) => kind),
    ['s', 'd'].slice(0, door.recorder.tapes[0]?.events.length),
  )
  socket.destroy()
})

t.test('what cannot be recorded does not run', { skip }, async (t) => {
  const { door } = await opened(t, 'owner')
  await root('drop table if exists trace; create table trace (i int)')
  await root('grant all on trace to public')
  const { socket, reading } = await session(door, 'alice', 'prod-db')
  door.recorder.broken = true
  socket.write(query('insert into trace values (1)'))
  t.match(await reading.error(), /FATAL 58030/)
  await reading.end()
  t.same(await root('select * from trace'), [])
  const again = await tls(door)
  const refused = new Reading(again)
  again.write(startup('alice', 'prod-db'))
  t.match(await refused.error(), /FATAL 58030/, 'and no session begins')
})

t.test('a journal that fails only when it writes stops the statement too', { skip }, async (t) => {
  const { door } = await opened(t, 'owner')
  const { socket, reading } = await session(door)
  door.recorder.failsToWrite = true
  socket.write(Buffer.concat([parse('', 'insert into trace values (2)'), bind('', ''), execute(''), sync]))
  t.match(await reading.error(), /FATAL 58030/)
  await reading.end()
  t.equal(door.recorder.statements().length, 1)
  t.same(await root('select * from trace'), [])
})

t.test(
  'a refusal leaves the session exactly as the server would: transactions, pipelines, names',
  { skip },
  async (t) => {
    const { door } = await opened(t, 'readonly')
    const { socket, reading } = await session(door)
    const ask = async (bytes: Buffer, groups = 1) => {
      const before = reading.messages.length
      const readies = reading.messages.filter(({ type }) => type === 'Z').length
      socket.write(bytes)
      await reading.next('Z', readies + groups)
      return reading.messages
        .slice(before)
        .map(({ type, body }) => (type === 'Z' ? `Z${body.toString()}` : type))
        .join(' ')
    }
    t.equal(await ask(query('begin')), 'C ZT')
    t.equal(await ask(query('delete from orders')), 'E ZE', 'the transaction failed')
    t.match(await reading.error(1), /ERROR 25006 read-only session: DELETE is not allowed Ask for a role/)
    t.equal(await ask(query('rollback')), 'C ZI')
    const batch = Buffer.concat([
      parse('', 'select 1'),
      bind('', ''),
      execute(''),
      parse('', 'delete from orders'),
      bind('', ''),
      execute(''),
      parse('', 'select 2'),
      bind('', ''),
      execute(''),
      sync,
    ])
    t.equal(await ask(batch), '1 2 D C E ZI', 'everything behind the refusal was skipped')
    t.equal(await ask(Buffer.concat([parse('mine', 'select 3'), sync])), '1 ZI')
    t.equal(await ask(Buffer.concat([parse('mine', 'update orders set total = 0'), sync])), 'E ZI')
    t.equal(
      await ask(Buffer.concat([bind('', 'mine'), execute(''), sync])),
      '2 D C ZI',
      'the name still means what it did',
    )
    t.equal(
      await ask(message('F', int32(957), int16(0), int16(0), int16(0))),
      'E ZI',
      'no function call without a text',
    )
    t.equal(
      await ask(query('insert into orders default values; select 1')),
      'E ZI',
      'one bad statement refuses them all',
    )
    const three = Buffer.concat([query('select 1'), query('delete from orders'), query('select 2')])
    t.equal(await ask(three, 3), 'T D C ZI E ZI T D C ZI')
    const invalid = Buffer.concat([
      Buffer.from([0x51]),
      int32(4 + 11),
      Buffer.from("select '\xff'", 'latin1'),
      Buffer.from([0]),
    ])
    t.equal(await ask(invalid.subarray(0, 1 + invalid.readInt32BE(1))), 'E ZI', 'a text that is not UTF-8')
    t.equal((await door.recorder.outcomes()).filter(({ error }) => error?.includes('skipped')).length, 1)
    socket.destroy()
  },
)

const slowly = async (text: string) => {
  await sleep(text.includes('slow') ? 100 : 1)
  if (text.includes('broken')) throw new Error('out of memory')
  return { verdict: ALLOW }
}
const slowJudge: CreateJudge = () => ({
  query: slowly,
  parse: (_name, text) => slowly(text),
  execute: (_name, text) => slowly(text),
})

t.test(
  'a judge that takes its time holds its own session only, in order; one that breaks allows nothing',
  { skip },
  async (t) => {
    const { door } = await opened(t, 'readwrite', { createJudge: slowJudge })
    const { socket, reading } = await session(door)
    socket.write(Buffer.concat([query("select 'slow'"), query("select 'quick'"), query("select 'broken'")]))
    await reading.next('Z', 4)
    const values = reading.messages.filter(({ type }) => type === 'D').map(({ body }) => body.toString('utf8', 6))
    t.same(values, ['slow', 'quick'])
    t.match(await reading.error(), /42501 this statement of 15 characters could not be judged/)
    socket.destroy()
  },
)

const silent =
  version < 14 ? 'PostgreSQL 13 does not report the guard; there the login alone can do nothing but read' : skip
t.test(
  'a function that switches the guard off ends the session before its next statement',
  { skip: silent },
  async (t) => {
    await root(
      `create or replace function public.innocent() returns int language plpgsql as $$ begin perform set_config('default_transaction_read_only', 'off', false); return 1; end $$; grant execute on function public.innocent() to public`,
    )
    const { door } = await opened(t, 'readonly')
    const { socket, reading } = await session(door)
    socket.write(Buffer.concat([query('select innocent()'), query('select 2')]))
    t.match(
      await reading.error(),
      /FATAL 57P01 This session was ended: the session's default_transaction_read_only was changed/,
    )
    await reading.end()
    t.same(
      reading.messages.filter(({ type }) => type === 'D').map(({ body }) => body.toString('utf8', 6)),
      ['1'],
    )
  },
)

t.test(
  'the end of a grant cuts at once: an idle session, a running query, a copy in full flow',
  { skip },
  async (t) => {
    const { door, held } = await opened(t, 'readonly')
    const idle = await session(door)
    const busy = await session(door)
    const copying = await session(door)
    busy.socket.write(query('select pg_sleep(600)'))
    copying.socket.write(query('copy (select repeat(md5(i::text), 100) from generate_series(1, 1000000) i) to stdout'))
    await until(() => copying.reading.messages.length > 100)
    await until(
      async () =>
        (await root("select from pg_stat_activity where state = 'active' and query like '%pg_sleep(600)'")).length > 0,
    )
    door.grants.revoke(held)
    for (const { reading } of [idle, busy, copying]) {
      await reading.end()
      t.match(await reading.error(), /FATAL 57P01 Your access grant was revoked/)
      t.equal(reading.rest, 0, 'said between two messages')
      t.equal(reading.messages.at(-1)?.type, 'E')
    }
    await until(async () => (await ourRoles()).length === 0)
    t.same(
      await root("select from pg_stat_activity where usename like 'sallyport\\_test%' or query like '%pg_sleep(600)'"),
      [],
    )
    t.equal(door.intents.size, 0)
    const again = await tls(door)
    const refused = new Reading(again)
    again.write(startup('alice', 'prod-db', { application_name: 'x' }))
    t.match(await refused.error(), /FATAL 28000 No live grant/)
    t.same(
      door.recorder.tapes.map(({ end }) => end?.cause),
      ['cut', 'cut', 'cut'],
    )
    t.match(
      (await door.recorder.outcomes()).filter(({ result }) => result === 'error'),
      [{ error: /cut/ }, { error: /cut/ }],
    )
  },
)

t.test('a client that reads nothing cannot hold on to its session', { skip }, async (t) => {
  const { door, held } = await opened(t, 'readonly')
  const { socket } = await session(door)
  socket.write(query('copy (select repeat(md5(i::text), 100) from generate_series(1, 1000000) i) to stdout'))
  socket.pause()
  await sleep(300)
  door.grants.revoke(held)
  await until(async () => (await ourRoles()).length === 0)
  await until(() => door.recorder.tapes[0]?.end !== undefined)
  t.same(
    await root("select from pg_stat_activity where query like 'copy (select repeat%' and pid <> pg_backend_pid()"),
    [],
  )
  socket.destroy()
})

t.test(
  'five minutes and one minute before the end there is a notice, also in the middle of a copy',
  { skip },
  async (t) => {
    const { door, held } = await opened(t, 'readonly')
    const idle = await session(door)
    const copying = await session(door)
    copying.socket.write(query('copy (select repeat(md5(i::text), 100) from generate_series(1, 30000) i) to stdout'))
    await until(() => copying.reading.messages.length > 100)
    door.grants.notify(held, 5)
    for (const { reading } of [idle, copying]) {
      const notice = await reading.next('N', reading.messages.some(({ body }) => body.includes('Sign in at')) ? 2 : 1)
      t.match(notice?.body.toString(), /Your grant \d+ ends in 5 minutes/)
    }
    await copying.reading.next('C')
    t.equal(copying.reading.messages.filter(({ type }) => type === 'd').length, 30_000)
    t.ok(door.recorder.tapes[0]?.events.some(({ kind, data }) => kind === 'm' && data.includes('5 minutes')))
    idle.socket.destroy()
    copying.socket.destroy()
  },
)

t.test('samples of results are kept where the role says so, without secrets', { skip }, async (t) => {
  const { door } = await opened(t, 'sampled')
  const { socket, reading } = await session(door)
  socket.write(query("select i, 'x' || i as email, null as n from generate_series(1, 9) i"))
  await reading.next('Z', 2)
  socket.write(query('select repeat(md5(i::text), 100) as a from generate_series(1, 1000) i'))
  await reading.next('Z', 3)
  const [first, second] = await door.recorder.outcomes()
  t.same(first?.sample, [
    ['1', '***', null],
    ['2', '***', null],
  ])
  t.equal(second?.sample?.length, 2, 'also of a result that is too long for a digest')
  t.equal(second?.sample?.[0]?.[0]?.length, 201)
  t.equal(second?.rows, 1000)
  socket.destroy()
})

t.test('a client that sends far ahead is slowed down, and loses nothing', { skip }, async (t) => {
  const { door } = await opened(t, 'readwrite')
  const { socket, reading } = await session(door)
  const count = 30_000
  socket.write(Buffer.concat(Array.from({ length: count }, () => sync)))
  socket.write(query('select 1'))
  await reading.next('Z', count + 2)
  t.match(reading.types, /^RN?S+KZ+TDCZ$/)
  socket.destroy()
})

t.test('a cancel needs the key of the session, may come in plaintext, and finds its worker', { skip }, async (t) => {
  const elsewhere: number[] = []
  const { door } = await opened(t, 'readonly', { cancelElsewhere: (worker) => elsewhere.push(worker) })
  const { socket, reading } = await session(door)
  const data = (await reading.next('K'))?.body ?? Buffer.alloc(8)
  const [processId, key] = [data.readInt32BE(0), data.subarray(4)]
  t.equal(processId >>> 24, 3, 'the worker is in the number')
  const send = async (id: number, secret: Buffer) => {
    const other = await tcp(door)
    other.write(cancelPacket(id, secret))
    await new Promise((resolve) => other.once('close', resolve))
  }
  socket.write(query('select pg_sleep(600)'))
  // A cancel that comes before its query does nothing, there as here.
  await until(
    async () => (await root("select from pg_stat_activity where query = 'select pg_sleep(600)'")).length === 1,
  )
  await send(processId, Buffer.alloc(4))
  await send(processId, Buffer.alloc(32))
  await send(processId ^ 1, key)
  await send((5 << 24) | 1, key)
  t.same(elsewhere, [5])
  t.notOk(reading.types.includes('E'))
  await send(processId, key)
  t.match(await reading.error(), /57014 canceling statement due to user request/)
  socket.destroy()
})

t.test('the role that is made can do what its template can, and is gone with the gateway', { skip }, async (t) => {
  const { door } = await opened(t, 'readwrite')
  const { socket, reading } = await session(door)
  const [made] = await root<{ rolname: string; rolvaliduntil: Date; rolconnlimit: number; rolpassword: string }>(
    "select rolname, rolvaliduntil, rolconnlimit, rolpassword from pg_authid where rolname like 'sallyport\\_test\\_%'",
  )
  t.match(made?.rolpassword, /^SCRAM-SHA-256\$4096:/)
  const left = (made?.rolvaliduntil.getTime() ?? 0) - Date.now()
  t.ok(left > 29 * 60_000 && left < 31 * 60_000, 'as long as the grant')
  socket.write(
    query(
      "select current_user, session_user; insert into orders (customer_id, status, total, placed_at) values (1, 'paid', 1, now()); select rolpassword from pg_authid",
    ),
  )
  t.match(await reading.error(), /42501 permission denied for table pg_authid/)
  t.match(reading.messages.find(({ type }) => type === 'D')?.body.toString(), /app_readwrite.*sallyport_test_/s)
  t.match(
    door.audit.map(({ kind }) => kind),
    ['target.provisioned'],
  )
  await door.terminator.close()
  t.match(await reading.error(2), /FATAL 57P03 The gateway is stopping/)
  t.same(await ourRoles(), [])
})

t.test(
  'a role that only reads from now on, under the same grant: who is in is cut, and the new login cannot write',
  { skip },
  async (t) => {
    const door = await openDoor(t, { demo: demo as NonNullable<typeof demo> })
    const held = door.grants.give('alice', 'prod-db', 'readwrite')
    const before = await session(door)
    before.socket.write(query('select current_user, session_user'))
    await before.reading.next('C')
    const [first] = await ourRoles()
    // The judge stays as lenient as it was: the login is what is looked at.
    const change = door.roles.get('readwrite')
    if (change === undefined) throw new Error('no role')
    door.roles.set('readwrite', { ...change, postgres: { ...change.postgres, template: 'app_readonly' } })
    before.socket.write(query('select 2'))
    t.match(await before.reading.error(), /FATAL 57P03 The rules of role readwrite on prod-db have changed/)
    await before.reading.end()
    const after = await session(door)
    after.socket.write(query("insert into customers (name, email, country, created_at) values ('x', 'x', 'DE', now())"))
    t.match(await after.reading.error(), /42501 permission denied/)
    await until(async () => !(await ourRoles()).some(({ rolname }) => rolname === first?.rolname))
    t.equal((await ourRoles()).length, 1, 'the login that could write is gone')
    after.socket.destroy()
    door.roles.set('readwrite', change)
    await session(door)
    door.grants.revoke(held)
    await until(async () => (await ourRoles()).length === 0, 'back to the first rules: that login ends with the grant')
    t.same(
      door.logs.filter(({ level }) => level !== 'info'),
      [],
    )
  },
)

t.test('what a crash left on a target is swept; what is somebody else’s is not', { skip }, async (t) => {
  const { door } = await opened(t, 'readonly')
  const { socket } = await session(door)
  const [own] = await ourRoles()
  // As a gateway that was killed would have left them: made by the provisioner.
  await root(
    `set session authorization sallyport_provisioner; ${version < 16 ? '' : "set createrole_self_grant = 'set, inherit';"}
     create role sallyport_test_9_dead login in role app_readwrite; create role sallyport_test_8_kept login; create role sallyport_other_9_x login`,
  )
  await root('create table left_behind (i int); alter table left_behind owner to sallyport_test_9_dead')
  const intent = [...door.intents.values()][0]
  if (intent === undefined) throw new Error('no intent')
  door.intents.set('sallyport_test_8_kept', { ...intent, role: 'sallyport_test_8_kept', holder: 'another worker' })
  door.intents.set('sallyport_test_7_never', { ...intent, role: 'sallyport_test_7_never', holder: 'a dead one' })
  const postgres = endpointsOf(door.demo).get('prod-db')
  const target = { name: 'prod-db', description: '', labels: {}, ssh: undefined, http: undefined, postgres }
  const dropped = await door.terminator.sweep([target], ({ holder }) => holder === 'another worker')
  t.same([...dropped].toSorted(byName), ['sallyport_test_7_never', 'sallyport_test_9_dead'])
  const left = (
    await root<{ rolname: string }>("select rolname from pg_roles where rolname ~ '^sallyport_(test|other)_'")
  ).map(({ rolname }) => rolname)
  t.same(left.toSorted(byName), ['sallyport_other_9_x', 'sallyport_test_8_kept', own?.rolname].toSorted(byName))
  t.match(
    door.audit.map(({ kind }) => kind),
    ['target.provisioned', 'target.orphan-dropped', 'target.orphan-dropped'],
  )
  t.match(await root("select tableowner from pg_tables where tablename = 'left_behind'"), [
    { tableowner: 'app_readwrite' },
  ])
  await root('drop role sallyport_test_8_kept; drop role sallyport_other_9_x')
  socket.destroy()
})

t.test('fifteen is served like eighteen: a role is made, used, cut and dropped', async (t) => {
  const fifteen = await demoServer(t, 15)
  if (fifteen === undefined) return t.pass('not here: PostgreSQL 15 (Debian postgresql-15)')
  const door: Door = await openDoor(t, { demo: fifteen })
  const held = door.grants.give('alice', 'prod-db', 'readwrite')
  const { socket, reading } = await session(door)
  socket.write(query('create temp table kept (i int); select current_user'))
  await reading.next('Z', 2)
  t.match(reading.types, /CTDCZ$/)
  door.grants.revoke(held)
  t.match(await reading.error(), /57P01/)
  await until(() => door.intents.size === 0)
  t.match(
    door.audit.map(({ kind }) => kind),
    ['target.provisioned', 'target.deprovisioned'],
  )
  return undefined
})
