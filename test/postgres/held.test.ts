/** Statements that wait for a second person: real psql and node-postgres on one worker, the approver on another, one state, a real server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Client, type QueryResultRow } from 'pg'
import t from 'tap'
import { openSqlFilter } from '../../gateway/filters/filters.ts'
import type { Grants } from '../../gateway/grants/grants.ts'
import type { Grant } from '../../gateway/model/grant.ts'
import type { HoldScope } from '../../gateway/model/hold.ts'
import type { Identity } from '../../gateway/model/identity.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import { cstring, int16, int32, message } from '../../gateway/postgres/message.ts'
import { scramVerifier } from '../../gateway/postgres/scram.ts'
import { house as grantsHouse } from '../fixtures/grants.ts'
import { demoServer, type Door, openDoor, person, roleNamed, scope } from './door.ts'
import { cancelPacket, session, tls } from './wire.ts'
import { until } from '../fixtures/until.ts'

const demo = await demoServer(t)
const skip =
  demo === undefined ? 'no PostgreSQL 18 for this machine' : existsSync('/usr/bin/psql') ? false : 'no psql here'
t.setTimeout(120_000)

const [alice, bob, dora] = [
  person('alice'),
  { ...person('bob'), groups: ['leads'] },
  { ...person('dora'), groups: ['leads', 'engineers'] },
] as [Identity, Identity, Identity]
const HOLD: HoldScope = {
  postgres: ['insert', 'update', 'delete', 'merge', 'truncate'],
  commands: [],
  approvers: ['leads'],
  people: 1,
  rows: 5,
  template: 'app_readwrite',
}

/** As the superuser, past the gateway. */
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
const count = async (condition: string): Promise<number> =>
  Number((await root<{ n: string }>(`select count(*) as n from orders where ${condition}`))[0]?.n)

type World = {
  readonly door: Door
  /** The worker that alice's connections come to, and another one. */
  readonly here: Grants
  readonly there: Grants
  readonly grant: Grant
  readonly kinds: () => readonly string[]
}

async function world(
  t: Parameters<typeof openDoor>[0],
  hold: Partial<HoldScope> = {},
  who = alice,
  postgresScope: Parameters<typeof scope>[0] = { schemas: ['public'] },
): Promise<World> {
  if (demo === undefined) throw new Error('no server')
  const filter = await openSqlFilter({ clock: wallClock })
  t.teardown(() => filter.close())
  const role = { ...roleNamed('careful', scope(postgresScope)), hold: { ...HOLD, ...hold } }
  const target = { name: 'prod-db', description: '', labels: {}, ssh: undefined, http: undefined }
  const where = { host: '127.0.0.1', port: 1, database: 'app', tls: { mode: 'off' } } as const
  const postgres = { ...where, credential: { kind: 'static', username: 'x', password: 'env:X' } } as const
  const policy = () => ({ targets: [{ ...target, postgres }], roles: [role], admins: ['admins'], auditors: [] })
  const { desk } = await grantsHouse(t)
  const [here, there] = [await desk({ policy, clock: wallClock }), await desk({ policy, clock: wallClock })]
  const createJudge = filter.createJudge.bind(filter)
  const door = await openDoor(t, { demo, createJudge, house: here.grants })
  door.roles.set('careful', role)
  for (const { username } of [alice, dora]) door.verifiers.set(username, await scramVerifier('a token'))
  const grant = await here.grants.request(who, { target: 'prod-db', role: 'careful', reason: 'INC-42' })
  const kinds = () => [...here.events, ...there.events].map(({ kind }) => kind)
  return { door, here: here.grants, there: there.grants, grant, kinds }
}

/** The one request that waits, as the other worker sees it. */
async function parked({ there }: World, who = bob): Promise<Grant> {
  let found: Grant | undefined
  await until(async () => {
    found = (await there.requests(who)).find(({ grant }) => grant.held !== undefined)?.grant
    return found !== undefined
  }, 'a statement is parked')
  if (found === undefined) throw new Error('unreachable')
  return found
}

type Psql = { readonly child: ChildProcess; readonly out: () => string; readonly code: Promise<number | null> }
function psql(t: Parameters<typeof openDoor>[0], { door }: World, args: readonly string[], user = 'alice'): Psql {
  const child = spawn('psql', ['-X', '-w', '-At', '-U', user, '-d', 'prod-db', ...args], {
    env: {
      PATH: process.env['PATH'] ?? '',
      PGHOST: 'localhost',
      PGPORT: `${door.port}`,
      PGSSLMODE: 'verify-full',
      PGSSLROOTCERT: door.tls.file,
      PGPASSWORD: 'a token',
    },
  })
  t.teardown(() => child.kill('SIGKILL'))
  let out = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (out += chunk.toString()))
  const code = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { child, out: () => out, code }
}

async function node({ door }: World): Promise<Client> {
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

const refusal = async (deed: Promise<unknown>): Promise<Refusal> => {
  const answer = await deed.then(
    () => new Error('it was not refused'),
    (error: unknown) => error,
  )
  if (answer instanceof Refusal) return answer
  throw answer
}

t.test('psql waits, somebody on another worker says yes, and it runs once', { skip }, async (t) => {
  const w = await world(t)
  const run = psql(t, w, ['-c', "UPDATE orders /* all of it */ SET status = 'on hold' -- really\nWHERE id IN (1, 2)"])
  const request = await parked(w)
  t.match(request, {
    username: 'alice',
    target: 'prod-db',
    state: 'requested',
    held: {
      kind: 'sql',
      verb: 'UPDATE',
      normalised: "UPDATE orders SET status = 'on hold' WHERE id IN (1, 2)",
      tables: ['public.orders'],
      place: 'app',
      plan: /^Update on public\.orders/,
      estimatedRows: 2,
      mostRows: 5,
      digest: /^[0-9a-f]{64}$/,
    },
  })
  const notice = `NOTICE:  UPDATE waits for a second person (request ${request.id})`
  await until(() => run.out().includes(notice), 'the person is told')
  t.equal(await count("status = 'on hold'"), 0, 'nothing has run')
  t.match(await w.there.approve(bob, request.id, {}), { state: 'approved' })
  t.equal(await run.code, 0)
  t.match(run.out(), /approved by bob[\s\S]*UPDATE 2/)
  t.equal(await count("status = 'on hold'"), 2)
  t.match(await w.there.grant(bob, request.id), { state: 'ended', endReason: 'released' })
  t.equal((await refusal(w.there.approve(bob, request.id, {}))).code, 'CONFLICT')
  t.equal((await refusal(w.here.use(request.id, request.held?.digest ?? ''))).code, 'CONFLICT', 'once is once')
  const [held, let1] = w.door.recorder.statements()
  t.match(held, { verdict: { decision: 'hold' } })
  t.match(let1, {
    verdict: { decision: 'allow' },
    approved: { request: request.id, by: ['bob'] },
    tables: ['public.orders'],
  })
  t.match(await w.door.recorder.outcomes(), [
    { n: 1, result: 'not-sent' },
    { n: 2, result: 'done', tag: 'UPDATE 2', rows: 2 },
  ])
  await until(() => w.kinds().includes('grant.ran'), 'the outcome is told')
  await until(
    async () =>
      (
        await root(
          "select from pg_roles r where rolname like 'sallyport%' and pg_has_role(r.oid, 'app_readwrite', 'member') and not rolsuper and rolname <> 'sallyport_provisioner'",
        )
      ).length === 0,
    'no login that may write is left',
  )
})

t.test('a no is told with its reason, and the session goes on', { skip }, async (t) => {
  const w = await world(t)
  const run = psql(t, w, ['-c', 'DELETE FROM orders WHERE id = 7', '-c', 'SELECT 40 + 2'])
  const request = await parked(w)
  await w.there.deny(bob, request.id, 'not on a Friday')
  await run.code
  t.match(run.out(), /ERROR:  Request \d+ was denied by bob: not on a Friday[\s\S]*42/)
  t.equal(await count('id = 7'), 1)
})

t.test('nobody lets their own statement through, and nobody who is not named', { skip }, async (t) => {
  const w = await world(t, {}, dora)
  const run = psql(t, w, ['-c', 'DELETE FROM orders WHERE id = 7'], 'dora')
  const request = await parked(w)
  t.equal((await refusal(w.there.approve(dora, request.id, {}))).code, 'SELF_APPROVAL')
  t.equal((await refusal(w.there.approve(alice, request.id, {}))).code, 'NOT_FOUND')
  t.equal((await refusal(w.there.approve(bob, request.id, { minutes: 3 }))).code, 'BAD_INPUT')
  await w.there.withdraw(dora, request.id)
  await run.code
  t.match(run.out(), /ERROR:  Request \d+ was withdrawn/)
  t.equal(await count('id = 7'), 1)
})

t.test('Ctrl-C takes it back for good', { skip }, async (t) => {
  const w = await world(t)
  const run = psql(t, w, ['-c', 'DELETE FROM orders WHERE id = 7'])
  const request = await parked(w)
  run.child.kill('SIGINT')
  await run.code
  t.match(run.out(), /ERROR:  canceling statement due to user request/)
  t.equal((await refusal(w.there.approve(bob, request.id, {}))).code, 'CONFLICT')
  t.match(await w.there.grant(bob, request.id), { state: 'ended', endReason: 'withdrawn' })
  t.equal(await count('id = 7'), 1)
})

t.test('a client that leaves, a killed grant, a locked person: each takes it back', { skip }, async (t) => {
  const w = await world(t)
  const gone = psql(t, w, ['-c', 'DELETE FROM orders WHERE id = 7'])
  const first = await parked(w)
  gone.child.kill('SIGKILL')
  await until(async () => (await w.there.grant(bob, first.id)).state === 'ended', 'it is withdrawn')
  const cut = psql(t, w, ['-c', 'DELETE FROM orders WHERE id = 7'])
  const second = await parked(w)
  await w.there.lock({ ...bob, groups: ['admins'] }, 'alice', 'incident')
  await cut.code
  t.match(cut.out(), /FATAL:.*lock/i)
  t.equal((await refusal(w.there.approve(bob, second.id, {}))).code, 'CONFLICT')
  t.equal(await count('id = 7'), 1)
})

t.test('a grant that ends takes what waits under it along', { skip }, async (t) => {
  const w = await world(t)
  const run = psql(t, w, ['-c', 'DELETE FROM orders WHERE id = 7'])
  const request = await parked(w)
  await w.there.revoke({ ...bob, groups: ['admins'] }, { grant: w.grant.id }, 'enough')
  await run.code
  t.match(run.out(), /FATAL:.*revoked/)
  t.match(await w.there.grant(bob, request.id), { state: 'ended', endReason: 'withdrawn' })
  t.equal(await count('id = 7'), 1)
})

t.test('more rows than the limit are rolled back, triggers and cascades counted', { skip }, async (t) => {
  const w = await world(t)
  await root(`create table notes (id int primary key); create table lines (note int references notes on delete cascade);
    grant select, insert, delete on notes, lines to app_readwrite; grant select on notes, lines to app_readonly;
    insert into notes values (1); insert into lines select 1 from generate_series(1, 9)`)
  t.teardown(() => root('drop table lines; drop table notes'))
  const many = psql(t, w, ['-c', "UPDATE orders SET status = 'gone' WHERE id <= 6"])
  await w.there.approve(bob, (await parked(w)).id, {})
  await many.code
  t.match(many.out(), /ERROR:  UPDATE 6 touched 6 rows, and 5 is the most: it was rolled back/)
  const cascade = psql(t, w, ['-c', 'DELETE FROM notes WHERE id = 1'])
  await w.there.approve(bob, (await parked(w)).id, {})
  await cascade.code
  t.match(cascade.out(), /ERROR:  DELETE 1 touched 10 rows, and 5 is the most/)
  t.equal((await root('select from lines')).length, 9)
  t.equal(await count("status = 'gone'"), 0)
})

t.test('node-postgres: what was bound is what is shown, and what runs', { skip }, async (t) => {
  const w = await world(t)
  const client = await node(w)
  t.teardown(() => client.end())
  const asked = client.query('UPDATE orders SET status = $1 WHERE id = $2 RETURNING id, status', ['by driver', 11])
  const request = await parked(w)
  t.match(request.held, { verb: 'UPDATE', parameters: ['by driver', '11'], estimatedRows: 1 })
  await w.there.approve(bob, request.id, {})
  const { rowCount, rows } = await asked
  t.same(rows, [{ id: 11, status: 'by driver' }])
  t.equal(rowCount, 1)
  const named = { name: 'again', text: 'UPDATE orders SET status = $1 WHERE id = $2' }
  const first = client.query({ ...named, values: ['one', 12] })
  await w.there.approve(bob, (await parked(w)).id, {})
  t.equal((await first).rowCount, 1)
  const second = client.query({ ...named, values: ['two', 13] })
  const other = await parked(w)
  t.same(other.held?.parameters, ['two', '13'], 'bound anew, it is asked for anew')
  t.not(other.held?.digest, request.held?.digest)
  await w.there.deny(bob, other.id, 'once was enough')
  await t.rejects(second, /denied by bob: once was enough/)
  t.same((await client.query('select 1 as one')).rows, [{ one: 1 }])
  t.equal(await count("status in ('one', 'two')"), 1)
})

t.test('what cannot stand alone does not wait: it is refused with a sentence', { skip }, async (t) => {
  const w = await world(t)
  const cases: readonly (readonly [string, RegExp])[] = [
    ['DELETE FROM orders WHERE id = 7; SELECT 1', /comes alone/],
    ['BEGIN; DELETE FROM orders WHERE id = 7', /comes alone/],
    ['WITH gone AS (DELETE FROM orders RETURNING *) UPDATE orders SET total = 0 WHERE id = 7', /DELETE inside a query/],
    ['WITH gone AS (DELETE FROM orders RETURNING *) SELECT * FROM gone', /DELETE inside a query/],
    ['EXPLAIN ANALYZE DELETE FROM orders', /EXPLAIN of anything but a query/],
    ['PREPARE x AS DELETE FROM orders', /PREPARE of anything but a query/],
    ['COPY orders FROM STDIN', /COPY FROM writes/],
    ['DO $$BEGIN DELETE FROM orders; END$$', /is not a read/],
    ['DROP TABLE orders', /is not a read/],
    ["UPDATE orders SET status = pg_read_file('/etc/passwd') WHERE id = 7", /pg_read_file/],
    ['UPDATE orders SET status = 1 WHERE CURRENT OF c', /not known to be harmless/],
    [`UPDATE orders SET status = '${'x'.repeat(70_000)}'`, /more than 65536 characters/],
    ['UPDATE nowhere SET a = 1', /nowhere/],
    ['UPDATE orders SET nothing = 1', /column "nothing"/],
  ]
  for (const [sql, why] of cases) {
    const run = psql(t, w, ['-c', sql.length > 60_000 ? '\\set ON_ERROR_STOP 0' : sql])
    if (sql.length > 60_000) {
      run.child.kill()
      const client = await node(w)
      await t.rejects(client.query(sql), why)
      await client.end()
      continue
    }
    await run.code
    t.match(run.out(), why, sql)
  }
  const inside = psql(t, w, [
    '-c',
    'BEGIN',
    '-c',
    'DELETE FROM orders WHERE id = 7',
    '-c',
    'ROLLBACK',
    '-c',
    'SELECT 42',
  ])
  await inside.code
  t.match(inside.out(), /one is open here: COMMIT or ROLLBACK first[\s\S]*ROLLBACK[\s\S]*42/)
  const path = psql(t, w, ['-c', 'SET search_path = public', '-c', 'DELETE FROM orders WHERE id = 7'])
  await path.code
  t.match(path.out(), /changed its search_path/)
  t.same(await w.there.requests(bob), [], 'nothing of it was parked')
  t.equal(await count('id = 7'), 1)
})

const parse = (name: string, text: string) => message('P', cstring(name), cstring(text), int16(0))
const bind = (portal: string, name: string) =>
  message('B', cstring(portal), cstring(name), int16(0), int16(0), int16(0))
const execute = (portal: string) => message('E', cstring(portal), int32(0))
const query = (text: string) => message('Q', cstring(text))
const sync = message('S')

t.test('in one group with others, or as a cursor, it is refused; the protocol goes on', { skip }, async (t) => {
  const w = await world(t)
  w.door.verifiers.clear()
  const line = await session(w.door)
  t.teardown(() => line.socket.destroy())
  const { reading, socket } = line
  const errors = () => reading.messages.filter(({ type }) => type === 'E').map(({ body }) => body.toString())
  const text = 'DELETE FROM orders WHERE id = 7'
  socket.write(
    Buffer.concat([
      parse('', 'SELECT 1'),
      bind('', ''),
      execute(''),
      parse('d', text),
      bind('p', 'd'),
      execute('p'),
      sync,
    ]),
  )
  await reading.next('Z', 2)
  t.match(errors().at(-1), /comes alone/)
  socket.write(Buffer.concat([parse('d2', text), bind('p2', 'd2'), query('FETCH ALL FROM p2')]))
  await reading.next('Z', 3)
  t.match(errors().at(-1), /comes alone/)
  socket.write(Buffer.concat([parse('', 'BEGIN'), bind('', ''), execute(''), sync]))
  await reading.next('Z', 4)
  socket.write(Buffer.concat([bind('p3', 'd2'), execute('p3'), sync]))
  await reading.next('Z', 5)
  t.match(errors().at(-1), /one is open here/)
  socket.write(query('ROLLBACK'))
  await reading.next('Z', 6)
  socket.write(query('EXECUTE d2'))
  await reading.next('Z', 7)
  t.match(errors().at(-1), /no prepared statement/)
  socket.write(Buffer.concat([bind('p4', 'd2'), execute('p4'), message('D', Buffer.from('P'), cstring('p4')), sync]))
  const request = await parked(w)
  t.equal(reading.messages.filter(({ type }) => type === 'Z').length, 7, 'no ReadyForQuery before its time')
  await w.there.deny(bob, request.id, 'no')
  await reading.next('Z', 8)
  t.match(errors().at(-1), /denied by bob/)
  socket.write(query('SELECT 42'))
  await reading.next('Z', 9)
  t.match(reading.messages.findLast(({ type }) => type === 'D')?.body.toString(), /42/)
  t.equal(await count('id = 7'), 1)
})

t.test('two statements wait side by side, each for its own answer', { skip }, async (t) => {
  const w = await world(t)
  const one = psql(t, w, ['-c', "UPDATE orders SET status = 'side one' WHERE id = 21"])
  const first = await parked(w)
  const two = psql(t, w, ['-c', "UPDATE orders SET status = 'side two' WHERE id = 22"])
  await until(async () => (await w.there.requests(bob)).length === 2, 'both wait')
  await w.there.approve(bob, first.id, {})
  await one.code
  const second = await parked(w)
  t.not(second.id, first.id)
  await w.there.deny(bob, second.id, 'one is enough')
  await two.code
  t.equal(await count("status like 'side%'"), 1)
})

t.test('what a crash leaves behind can be approved by nobody, once its session is swept', { skip }, async (t) => {
  const w = await world(t)
  const { grant } = w
  if (grant.state !== 'live') throw new Error('not live')
  const under = grant.id
  const held = { kind: 'sql', verb: 'DELETE', under, session: 'gone', text: 'x', place: 'app', digest: 'd' } as const
  const left = await w.here.park(grant, { ...held, session: 'gone' as NonNullable<Grant['held']>['session'] })
  await w.there.sweep()
  t.match(await w.there.grant(bob, left.id), { state: 'ended', endNote: 'its session is over' })
  t.equal((await refusal(w.there.approve(bob, left.id, {}))).code, 'CONFLICT')
})

t.test('an approval is for the digest that was read, under a grant that lives', { skip }, async (t) => {
  const w = await world(t, { people: 2 })
  const { grant } = w
  if (grant.state !== 'live') throw new Error('not live')
  const session = 's' as NonNullable<Grant['held']>['session']
  const held = { kind: 'sql', verb: 'DELETE', under: grant.id, session, text: 'x', place: 'app', digest: 'd' } as const
  const asked = await w.here.park(grant, held)
  t.match(await w.there.approve(bob, asked.id, {}), { state: 'requested', approvalsNeeded: 2 })
  t.equal((await refusal(w.there.approve(bob, asked.id, {}))).code, 'CONFLICT')
  t.equal((await refusal(w.here.use(asked.id, 'd'))).code, 'CONFLICT', 'one of two')
  await w.there.approve(dora, asked.id, {})
  t.equal((await refusal(w.here.use(asked.id, 'another'))).code, 'CONFLICT')
  const uses = await Promise.allSettled([w.here.use(asked.id, 'd'), w.there.use(asked.id, 'd')])
  t.equal(uses.filter(({ status }) => status === 'fulfilled').length, 1, 'of two who try, one gets it')
  const late = await w.here.park(grant, held)
  await w.there.approve(bob, late.id, {})
  await w.there.approve(dora, late.id, {})
  await w.here.release(alice, grant.id)
  t.equal((await refusal(w.here.use(late.id, 'd'))).code, 'CONFLICT')
})

t.test('a cancel from another connection takes back what waits', { skip }, async (t) => {
  const w = await world(t)
  w.door.verifiers.clear()
  const { reading, socket } = await session(w.door)
  t.teardown(() => socket.destroy())
  socket.write(query('DELETE FROM orders WHERE id = 7'))
  await parked(w)
  const key = reading.messages.find(({ type }) => type === 'K')?.body
  const other = await tls(w.door)
  other.end(cancelPacket(key?.readInt32BE(0) ?? 0, key?.subarray(4) ?? Buffer.alloc(4)))
  await reading.next('Z', 2)
  t.match(reading.messages.findLast(({ type }) => type === 'E')?.body.toString(), /user request/)
  t.same(await w.there.requests(bob), [])
})

const REHEARSAL = { mode: 'read-write', template: 'app_readwrite', workspace: 'rollback' } as const

t.test('a COMMIT in a workspace waits: let through, all so far stays; denied, it does not', { skip }, async (t) => {
  const w = await world(t, { postgres: ['commit'] }, alice, REHEARSAL)
  const client = await node(w)
  const notices: string[] = []
  client.on('notice', ({ message: text }) => notices.push(text ?? ''))
  await client.query("UPDATE orders SET status = 'kept' WHERE id = 31")
  await client.query('BEGIN')
  await client.query('UPDATE orders SET status = $1 WHERE id = $2', ['kept', 32])
  const first = client.query('COMMIT')
  const request = await parked(w)
  t.match(request.held, {
    verb: 'COMMIT',
    estimatedRows: 2,
    mostRows: 5,
    plan: /public\.orders: 0 inserted, 2 updated, 0 deleted[\s\S]*WHERE id = 31\n {2}UPDATE orders SET status = \$1 WHERE id = \$2 {2}with \$1 = "kept", \$2 = "32"$/,
  })
  t.equal(await count("status = 'kept'"), 0)
  await w.there.approve(bob, request.id, {})
  t.equal((await first).command, 'COMMIT')
  t.equal(await count("status = 'kept'"), 2)
  await client.query('BEGIN')
  await client.query("UPDATE orders SET status = 'denied' WHERE id = 33")
  const second = client.query('COMMIT')
  await w.there.deny(bob, (await parked(w)).id, 'not this one')
  await t.rejects(second, /denied by bob: not this one/)
  t.same((await client.query("select count(*)::int as n from orders where status = 'denied'")).rows, [{ n: 1 }])
  await client.query('BEGIN')
  await client.query("UPDATE orders SET status = 'many' WHERE id < 30")
  const third = client.query('COMMIT')
  await w.there.approve(bob, (await parked(w)).id, {})
  await t.rejects(third, /would keep 30 touched rows, and 5 is the most/)
  await client.query('BEGIN')
  await t.rejects(client.query('SELECT 1/0'), /division/)
  t.equal((await client.query('COMMIT')).command, 'ROLLBACK', 'a transaction that failed asks nobody')
  await client.end()
  t.equal(await count("status in ('denied', 'many')"), 0)
  t.same(await w.there.requests(bob), [])
})

t.test(
  'where a role does not record values, whoever lets a COMMIT through does not see them either',
  { skip },
  async (t) => {
    const w = await world(t, { postgres: ['commit'] }, alice, { ...REHEARSAL, recordParameters: false })
    const client = await node(w)
    t.teardown(() => client.end())
    await client.query('UPDATE orders SET status = $1 WHERE id = $2', ['hidden', 35])
    const commit = client.query('COMMIT')
    const { held, id } = await parked(w)
    t.match(held?.plan, /WHERE id = \$2 {2}with values that the role does not let be seen$/)
    t.notMatch(JSON.stringify(held), 'hidden')
    await w.there.deny(bob, id, 'unseen')
    await t.rejects(commit, /denied/)
  },
)

t.test('who lets a COMMIT through has seen all that ran, and what it touches is what counts', { skip }, async (t) => {
  await root(`create table evidence (id int);
    insert into evidence values (1);
    create function slip() returns trigger language plpgsql as
      $$begin if new.status = 'late' then update orders set total = total where id < 30; end if; return null; end$$;
    create constraint trigger late after update on orders deferrable initially deferred for each row
      when (new.status = 'late') execute function slip();
    create schema own;
    create function own.no(bigint, int) returns boolean language sql immutable as 'select false';
    create operator own.> (leftarg = bigint, rightarg = int, function = own.no);
    grant usage on schema own to public;
    grant all on evidence to app_readwrite`)
  t.teardown(() =>
    root('drop trigger late on orders; drop function slip; drop table evidence; drop schema own cascade'),
  )
  const w = await world(t, { postgres: ['commit'] }, alice, REHEARSAL)
  const client = await node(w)
  t.teardown(() => client.end())

  await client.query(`/* ${'harmless '.repeat(60)} */ TRUNCATE evidence`)
  for (let n = 0; n < 120; n++) await client.query(`SELECT ${n}`)
  const prepared = { name: 'again', text: 'DELETE FROM evidence WHERE id = $1' }
  for (const id of [7, 7, 6]) await client.query({ ...prepared, values: [id] })
  const first = client.query('COMMIT')
  const request = await parked(w)
  t.match(request.held?.plan, /TRUNCATE evidence\n/, 'behind a long comment')
  t.match(request.held?.plan, /SELECT 119\n/, 'after many others')
  t.match(
    request.held?.plan,
    /prepared as again: DELETE FROM evidence WHERE id = \$1\n {2}DELETE FROM evidence WHERE id = \$1 {2}with \$1 = "7" {2}\(2 times\)\n {2}DELETE FROM evidence WHERE id = \$1 {2}with \$1 = "6"$/,
    'each run with its values',
  )
  await w.there.approve(bob, request.id, {})
  await first
  await client.query({ ...prepared, values: [8] })
  const second = client.query('COMMIT')
  const next = await parked(w)
  t.match(
    next.held?.plan,
    /DELETE FROM evidence WHERE id = \$1 {2}with \$1 = "8"$/,
    'what was prepared before the last COMMIT ran after it',
  )
  await w.there.deny(bob, next.id, 'enough')
  await t.rejects(second, /denied/)

  await client.query('SET search_path = own, pg_catalog, public')
  await client.query("UPDATE orders SET status = 'own' WHERE id < 20")
  const third = client.query('COMMIT')
  const seen = await parked(w)
  t.match(seen.held?.plan, /public\.orders: 0 inserted, 19 updated/, 'operators of its own hide nothing')
  await w.there.approve(bob, seen.id, {})
  await t.rejects(third, /and 5 is the most/)
  await client.end()

  const late = await node(w)
  t.teardown(() => late.end())
  await late.query("UPDATE orders SET status = 'late' WHERE id = 40")
  const fourth = late.query('COMMIT')
  await w.there.approve(bob, (await parked(w)).id, {})
  await t.rejects(fourth, /would keep 30 touched rows, and 5 is the most/, 'what triggers have put off counts')
  t.equal(await count("status in ('late', 'own')"), 0)
  w.door.verifiers.clear()
  const raw = await session(w.door)
  t.teardown(() => raw.socket.destroy())
  const call = message('F', int32(2026), int16(0), int16(0), int16(0)) // pg_backend_pid
  raw.socket.write(Buffer.concat([call, query('COMMIT')]))
  const called = await parked(w)
  t.match(called.held?.plan, /a call of function 2026/, 'what has no text is named, too')
  await w.there.deny(bob, called.id, 'no')
  await late.query(`SELECT '${'x'.repeat(70_000)}'`)
  await t.rejects(late.query('COMMIT'), /more than a second person can read/)
  t.same(await w.there.requests(bob), [])
})
