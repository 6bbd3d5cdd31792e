/** Masked columns through the real wire: they arrive masked, and nothing that would compute with them is sent. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { openSqlFilter } from '../../gateway/filters/filters.ts'
import { type MaskRule, maskWords } from '../../gateway/model/mask.ts'
import type { CreateJudge } from '../../gateway/postgres/postgres.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { casesOf, gradeMasks, leaked, openMasked } from '../../tools/corpus/mask.ts'
import type { Answer, Step } from '../../tools/corpus/sql-client.ts'
import { Client } from 'pg'
import { demoServer, openDoor, roleNamed, scope } from '../postgres/door.ts'
import { setTimeout as sleep } from 'node:timers/promises'

const run = promisify(execFile)
t.setTimeout(150_000)
const corpus = fileURLToPath(new URL('../corpora/mask-ours.jsonl', import.meta.url))

t.test('the corpus has bypasses and everyday uses', async (t) => {
  const cases = await casesOf(corpus)
  t.ok(cases.filter(({ verdict }) => verdict === 'deny').length > 200)
  t.ok(cases.filter(({ verdict }) => verdict === 'allow').length > 100)
})

const named = (text: string): readonly Step[] => [['P', 'a', text]]
const types = (answers: readonly Answer[]) => answers.map(({ type }) => type).join('')

for (const version of [15, 18] as const)
  t.test(`every case gets its verdict on PostgreSQL ${version}, and no masked value gets out`, async (t) => {
    const gateway = await openMasked(corpus, version)
    if (gateway === undefined) return t.pass(`no PostgreSQL ${version} here`)
    t.teardown(() => gateway.close())
    t.same(await gradeMasks(corpus, gateway), [])

    const client = await gateway.open()
    t.teardown(() => client.close())
    const asked = async (...steps: readonly Step[]) => {
      const answers = await client.run([...steps, ['S']], undefined)
      t.equal(leaked(answers), undefined)
      return types(answers)
    }
    const one: readonly Step[] = [
      ['P', 'one', 'select id, email, age from customers where id < 3'],
      ['B', 'p', 'one', [], 'binary'],
    ]
    const two: readonly Step[] = [
      ['P', '', 'select ssn from people'],
      ['B', '', '', []],
    ]
    t.equal(
      await asked(...one, ['D', 'S', 'one'], ['D', 'P', 'p'], ['E', 'p'], ...two, ['E', '']),
      '12tTTDDC12DDDDDCZ',
      'in one group',
    )
    t.equal(
      await asked(['B', 'p', 'one', []], ['E', 'p'], ['B', 'q', 'one', [], 'binary'], ['E', 'q']),
      '2DDC2DDCZ',
      'prepared before',
    )
    t.equal(
      await asked(...two, ['E', ''], ['E', 'nothing'], ['D', 'S', 'one'], ['E', 'p']),
      '12DDDDDCEZ',
      'with an error amid it',
    )
    t.equal(await asked(['D', 'S', 'one'], ['B', 'p', 'one', []], ['E', 'p']), 'tT2DDCZ', 'and after it')
    t.equal(types(await client.query('select email from customers where id = 1; show search_path')), 'TDCTDCZ')

    const open = "select comment || '' as c from salaries"
    for (const [what, first, second] of [
      ['two in one message', [['Q', `prepare a as ${open}; prepare a as select 1`]], []],
      ['a message of its own', [['Q', `prepare a as ${open}; set search_path = hr; execute a`]], []],
      [
        'what runs itself',
        [['P', 'a', open]],
        [
          ['C', 'S', 'a'],
          ['P', 'a', 'explain execute a'],
        ],
      ],
      ['PREPARE', [['Q', `prepare a as ${open}`]], [['Q', 'prepare a as select 1']]],
      ['Parse', named(open), named('select 1')],
      [
        'DEALLOCATE',
        [['Q', `prepare a as ${open}`]],
        [
          ['Q', 'begin'],
          ['Q', 'select 1/0'],
          ['Q', 'deallocate a'],
          ['Q', 'rollback'],
          ['Q', 'prepare a as select 1'],
        ],
      ],
    ] as const) {
      const other = await gateway.open()
      t.teardown(() => other.close())
      await other.query('set search_path = pub')
      const said: Answer[] = []
      for (const step of [...first, ...second, ['Q', 'set search_path = hr'], ['Q', 'execute a']] as const)
        said.push(...(await other.run([step], undefined)))
      t.equal(leaked(said), undefined, `${what} of a name that is taken does not say what stands behind it`)
      t.match(said.findLast(({ type }) => type === 'E')?.body.toString(), /masked|no prepared statement/, what)
    }
    return undefined
  })

const demo = await demoServer(t)
const skip = demo === undefined ? 'no PostgreSQL 18 for this machine' : false
const rule = (table: string, column: string, kind: MaskRule['kind']): MaskRule => ({
  schema: undefined,
  table,
  column,
  kind,
})
const mask = [rule('customers', 'email', 'partial'), rule('customers', 'name', 'hash'), rule('fresh', 'secret', 'full')]

async function masked(
  t: Parameters<typeof openDoor>[0] & { teardown(handler: () => unknown): unknown },
  more: { readonly createJudge?: CreateJudge } = {},
) {
  if (demo === undefined) throw new Error('no server')
  const told: string[] = []
  const filter = await openSqlFilter({
    clock: wallClock,
    unfitting: (role, { database, target }, misfit) =>
      told.push(`${role} ${target} ${database} ${maskWords([misfit])}`),
  })
  t.teardown(() => filter.close())
  const createJudge: CreateJudge = more.createJudge ?? ((role, context) => filter.createJudge(role, context))
  const door = await openDoor(t, { demo, createJudge })
  door.roles.set('masked', roleNamed('masked', scope({ mask, sampleRows: 5 })))
  door.grants.give('alice', 'static-db', 'masked')
  const login = { host: 'localhost', port: door.port, user: 'alice', database: 'static-db' }
  const connect = async () => {
    const client = new Client({ ...login, ssl: { rejectUnauthorized: false } })
    await client.connect()
    t.teardown(() => client.end().catch(() => undefined))
    client.on('error', () => undefined)
    return client
  }
  return { door, connect, login, told }
}

async function root(sql: string): Promise<void> {
  const client = new Client({
    host: '127.0.0.1',
    port: demo?.port ?? 0,
    user: 'postgres',
    password: demo?.server.password ?? '',
    database: 'app',
  })
  await client.connect()
  try {
    await client.query(sql)
  } finally {
    await client.end()
  }
}

t.test('the client and the recording get the same masked rows', { skip }, async (t) => {
  const { door, connect } = await masked(t)
  const client = await connect()
  const simple = await client.query('select id, name, email from customers where id = 1')
  t.match(simple.rows, [{ id: 1, name: /^[0-9a-f]{16}$/, email: /^b\*\*\*@customers\.example$/ }])
  const prepared = { name: 'one', text: 'select name, email as e from customers where id = $1' }
  const first = await client.query({ ...prepared, values: [1] })
  const again = await client.query({ ...prepared, values: [1] })
  t.same(first.rows, again.rows)
  t.equal(first.rows[0].name, simple.rows[0].name, 'hash: the same value looks the same in a session')
  const other = await (await connect()).query('select name from customers where id = 1')
  t.not(other.rows[0].name, simple.rows[0].name, 'and different in another')
  const samples = JSON.stringify((await door.recorder.outcomes()).map(({ sample }) => sample))
  t.match(samples, /[0-9a-f]{16}/)
  t.notMatch(JSON.stringify(door.recorder.tapes), /customers\.example1|ben\.|Baker/i)
})

t.test('a refusal names the column and says what is possible, with 42501', { skip }, async (t) => {
  const { connect } = await masked(t)
  const client = await connect()
  const failure = await client.query("select id from customers where email like 'a%'").catch((error: unknown) => error)
  t.match(failure, {
    code: '42501',
    message: 'public.customers.email is masked for this role, and WHERE would tell about its values',
    hint: /A masked column may be selected by itself/,
  })
  t.match((await client.query('select 1 as one')).rows, [{ one: 1 }], 'the session goes on')
})

t.test('a rule that masks nothing is told of once, not kept for good', { skip }, async (t) => {
  const { connect, told } = await masked(t)
  await connect()
  await connect()
  t.strictSame(told, ['masked static-db app fresh.secret full'])
})

t.test('a table that was made anew is masked, or not shown at all', { skip }, async (t) => {
  await root(
    'drop table if exists fresh; create table fresh (id int, secret text); insert into fresh values (1, $$very secret$$)',
  )
  t.teardown(() => root('drop table if exists fresh'))
  const { connect } = await masked(t)
  const client = await connect()
  t.same((await client.query('select * from fresh')).rows, [{ id: 1, secret: '***' }])
  await root(
    'drop table fresh; create table fresh (secret text, id int); insert into fresh values ($$very secret$$, 1)',
  )
  const told = await client.query('select * from fresh').then(
    ({ rows }) => rows,
    (error: unknown) => error,
  )
  t.match(
    told,
    { code: '42501', message: /was changed a moment ago/ },
    'the catalog of the gateway is older than the table',
  )
  for (let tries = 0; tries < 100; tries++) {
    const next = await connect()
    const rows = await next.query('select * from fresh').then(
      (result) => result.rows,
      () => undefined,
    )
    if (rows !== undefined) return t.same(rows, [{ id: 1, secret: '***' }])
    await sleep(100)
  }
  return t.fail('it is never shown again')
})

const allow = async () => ({ verdict: { decision: 'allow' as const } })
t.test('a judge that knows of no masks opens no session for a role that has some', { skip }, async (t) => {
  const { connect } = await masked(t, { createJudge: () => ({ query: allow, parse: allow, execute: allow }) })
  await t.rejects(connect(), { message: /This role masks columns, which is not possible here/ })
})

const psql = await run('psql', ['--version']).then(
  () => true,
  () => false,
)
t.test(
  'psql: \\d works, \\copy of what is not masked works, FETCH_COUNT is masked too',
  { skip: skip || (psql ? false : 'no psql here') },
  async (t) => {
    const { login } = await masked(t)
    const env = {
      ...process.env,
      PGHOST: 'localhost',
      PGPORT: `${login.port}`,
      PGUSER: 'alice',
      PGDATABASE: 'static-db',
      PGSSLMODE: 'require',
      PSQLRC: '/dev/null',
    }
    const args = [
      '-X',
      '-c',
      '\\d customers',
      '-c',
      '\\copy (select id, country from customers where id < 3) to stdout',
      '-v',
      'FETCH_COUNT=2',
      '-c',
      'select email from customers where id < 5',
    ]
    const { stdout, stderr } = await run('psql', args, { env })
    t.match(stdout, /"customers_email_key"/)
    t.match(stdout, /1\tFR/)
    t.match(stdout, /b\*\*\*@customers\.example/)
    t.notMatch(stdout, /ben\./)
    t.notMatch(stderr, /ERROR/)
  },
)
