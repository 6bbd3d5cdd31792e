/** The judge of SQL against real servers: what reads may run, what could do anything else may not, and nobody can wear it out. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import type { SqlJudge, SqlJudgement } from '../../gateway/filters/filters.ts'
import { type Moment, wallClock } from '../../gateway/model/moment.ts'
import { type JudgedDatabase, judgedDatabase } from '../fixtures/sql-judge.ts'

type Case = {
  readonly id: string
  readonly sql: string
  readonly verdict: 'allow' | 'deny'
  readonly pre?: readonly string[]
  readonly startup?: Readonly<Record<string, string>>
  readonly messages?: readonly (readonly [string, string, string, ...unknown[]])[]
  readonly needs?: string
  readonly pass_if?: string
}

t.setTimeout(150_000)
let ahead = 0
const clock = { now: () => (wallClock.now() + ahead) as Moment }
const servers = new Map<number, JudgedDatabase>()
for (const version of [15, 18] as const) {
  const database = await judgedDatabase(t, version, clock)
  if (database !== undefined) servers.set(version, database)
}
const database = servers.get(18) ?? servers.get(15)
const skip = database === undefined ? 'no PostgreSQL server for this machine' : false

const of = async (judge: SqlJudge, text: string): Promise<SqlJudgement> => judge.query(text)
const why = ({ verdict }: SqlJudgement): string => (verdict.decision === 'deny' ? verdict.reason : verdict.decision)

/** What a door would do with each message of a case. */
async function refusalOf(
  server: JudgedDatabase,
  judge: SqlJudge,
  { sql, pre = [], messages = [['Q', sql, '']] }: Case,
): Promise<string | undefined> {
  const texts = new Map<string, string>()
  const portals = new Map<string, string>()
  const said: SqlJudgement[] = []
  for (const text of pre) said.push(await of(judge, text))
  for (const [kind, first, second, more] of messages) {
    if (kind === 'Q') said.push(await of(judge, first))
    if (kind === 'F') return 'a function call'
    if (kind === 'B') portals.set(first, second)
    if (kind === 'P') {
      texts.set(first, second)
      said.push(await judge.parse(first, second, await server.types((more as readonly string[] | undefined) ?? [])))
    }
    if (kind !== 'E') continue
    const name = portals.get(first) ?? ''
    const text = texts.get(name)
    said.push(text === undefined ? await of(judge, `EXECUTE "${name}"`) : await judge.execute(name, text))
  }
  const refused = said.find(({ verdict }) => verdict.decision !== 'allow')
  return refused === undefined ? undefined : why(refused)
}

for (const file of ['sql-shared', 'sql-ours'])
  for (const version of [15, 18])
    t.test(
      `every statement of ${file} gets its verdict on PostgreSQL ${version}`,
      { skip: servers.has(version) ? false : `no PostgreSQL ${version} for this machine` },
      async (t) => {
        const server = servers.get(version)
        if (server === undefined) return
        const lines = (await readFile(new URL(`../corpora/${file}.jsonl`, import.meta.url), 'utf8')).trim().split('\n')
        const wrong: string[] = []
        for (const line of lines) {
          const one = JSON.parse(line) as Case
          // Decided at the start of the connection, or by what becomes of the guard: those are tried through the wire.
          if ((one.startup !== undefined && one.verdict === 'deny') || one.pass_if !== undefined) continue
          const allowFunctions = one.needs === undefined ? [] : [one.needs.replace('allowlist:', 'extension:')]
          const judge = await server.judge({ allowFunctions }, one.startup)
          const refused = await refusalOf(server, judge, one)
          if ((refused === undefined) !== (one.verdict === 'allow')) wrong.push(`${one.id} ${one.sql}: ${refused}`)
          judge.close()
        }
        t.same(wrong, [])
      },
    )

t.test('a refusal says what was refused and what may be done', { skip }, async (t) => {
  const judge = await database!.judge()
  const { verdict } = await of(judge, 'INSERT INTO app.probe VALUES (1)')
  t.match(verdict, { decision: 'deny', reason: 'INSERT is not a read', next: /SELECT, SHOW, EXPLAIN/ })
  t.match(why(await of(judge, 'SELECT evil.ins()')), /function evil\.ins\(\) is not on the list/)
  t.match(why(await of(judge, 'SELECT x FROM evil.v_side')), /evil\.v_side: reading it may run evil\.lo_write\(\)/)
})

t.test('the recording gets a fingerprint and the tables with their schemas', { skip }, async (t) => {
  const judge = await database!.judge()
  await of(judge, 'SET search_path TO app')
  const one = await of(judge, "SELECT * FROM accounts JOIN orders ON true WHERE owner = 'x' LIMIT 3")
  const other = await of(judge, "SELECT * FROM accounts JOIN orders ON true WHERE owner = 'y' LIMIT 4")
  t.same([...(one.tables ?? [])].toSorted(), ['app.accounts', 'app.orders'])
  t.equal(one.fingerprint, other.fingerprint)
  t.match(one.fingerprint, /^[0-9a-f]{16}$/)
})

t.test('one bad statement refuses its whole message', { skip }, async (t) => {
  const judge = await database!.judge()
  t.match(why(await of(judge, 'SELECT 1; SELECT 2; DELETE FROM app.probe')), /DELETE/)
  t.match(why(await of(judge, 'PREPARE a AS SELECT 1; TRUNCATE app.probe')), /TRUNCATE/)
  t.match(why(await of(judge, 'EXECUTE a')), /no prepared statement/)
})

t.test('a table made after the session began is found', { skip }, async (t) => {
  const judge = await database!.judge()
  t.match(why(await of(judge, 'SELECT * FROM app.brand_new')), /is not there/)
  await database!.run('CREATE TABLE app.brand_new(id int)')
  ahead += 2000
  t.equal(why(await of(judge, 'SELECT * FROM app.brand_new')), 'allow')
})

t.test('a view that was replaced is judged anew, and so is what was prepared on it', { skip }, async (t) => {
  await database!.run('CREATE VIEW app.v_turn AS SELECT 1 AS x')
  ahead += 60_001
  const judge = await database!.judge()
  t.equal(why(await of(judge, 'PREPARE turn AS SELECT x FROM app.v_turn')), 'allow')
  t.equal(why(await of(judge, 'EXECUTE turn')), 'allow')
  await database!.run('CREATE OR REPLACE VIEW app.v_turn AS SELECT evil.lo_write() AS x')
  ahead += 60_001
  t.match(why(await of(judge, 'EXECUTE turn')), /no prepared statement/)
  t.match(why(await of(judge, 'SELECT x FROM app.v_turn')), /evil\.lo_write/)
})

t.test('what is prepared is judged again when the search path has changed', { skip }, async (t) => {
  const judge = await database!.judge()
  t.equal(why(await of(judge, "PREPARE p AS SELECT abs('1')")), 'allow')
  t.equal(why(await of(judge, 'EXECUTE p')), 'allow')
  t.equal(why(await of(judge, 'BEGIN; SET search_path = app; ROLLBACK')), 'allow')
  t.equal(why(await of(judge, 'EXECUTE p')), 'allow', 'still harmless there')
  t.equal(why(await of(judge, "SELECT set_config('search_path', 'evil', true)")), 'allow')
  t.match(why(await of(judge, 'EXECUTE p')), /no prepared statement/)
})

t.test('a parameter type of a person is refused by its number', { skip }, async (t) => {
  const judge = await database!.judge()
  t.equal(why(await judge.parse('a', 'SELECT $1', [25, 0, 23])), 'allow')
  t.match(why(await judge.parse('b', 'SELECT $1', [999_999])), /type number 999999 is not known/)
  t.match(why(await of(judge, "EXECUTE b('x')")), /no prepared statement/)
})

t.test('virtual columns, sequences and the catalog itself are read', { skip }, async (t) => {
  if (servers.has(18))
    await database!.run('CREATE TABLE app.virtual(id int, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL)')
  else await database!.run('CREATE TABLE app.virtual(id int, twice int)')
  ahead += 2000
  const judge = await database!.judge()
  t.equal(why(await of(judge, 'SELECT v.twice FROM app.virtual v')), 'allow')
  t.equal(why(await of(judge, 'SELECT last_value FROM app.myseq')), 'allow')
  t.equal(
    why(
      await of(
        judge,
        'SELECT c.relname, a.attname FROM pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid',
      ),
    ),
    'allow',
  )
  t.equal(why(await of(judge, 'SELECT * FROM information_schema.tables')), 'allow')
  t.match(why(await of(judge, 'SELECT * FROM pg_temp.x')), /is not there/)
})

t.test('a role is held to its schemas, and its lists count', { skip }, async (t) => {
  const narrow = await database!.judge({ schemas: ['app'] })
  t.equal(why(await of(narrow, 'SELECT * FROM app.accounts')), 'allow')
  t.match(why(await of(narrow, 'SELECT * FROM evil.size_t')), /schema evil is not open/)
  t.match(why(await of(narrow, 'LOCK TABLE evil.size_t IN ACCESS SHARE MODE')), /schema evil is not open/)
  const wide = await database!.judge({ allowFunctions: ['app.total_for', 'evil.rls'], denyFunctions: ['random'] })
  t.equal(why(await of(wide, 'SELECT app.total_for(1)')), 'allow')
  t.equal(why(await of(wide, 'SELECT * FROM evil.rls_t')), 'allow')
  t.match(why(await of(wide, 'SELECT random()')), /deny list/)
})

t.test('without its catalog a session is not possible, and a later statement is refused', { skip }, async (t) => {
  const role = { postgres: { mode: 'read-only', allowFunctions: [], denyFunctions: [], schemas: [] }, name: 'r' }
  const context = {
    target: 'lost-db',
    database: 'x',
    parameters: new Map<string, string>(),
    ask: () => Promise.reject(new Error('the target is gone')),
  }
  await t.rejects(async () => database!.filter.createJudge(role as never, context), /target is gone/)
})

t.test('under read-write all goes but what the role denies', { skip }, async (t) => {
  const free = await database!.judge({ mode: 'read-write' })
  const done = await of(free, 'UPDATE app.accounts SET balance = balance - 5 WHERE id = 1')
  t.equal(why(done), 'allow')
  t.same(done.tables, ['app.accounts'])
  t.match(done.fingerprint, /^[0-9a-f]{16}$/)
  t.equal(why(await of(free, 'SELEC 1')), 'allow', 'the server says what is wrong with it')
  t.equal(why(await of(free, `SELECT '${'x'.repeat(10_000)}'`)), 'allow')
  const held = await database!.judge({ mode: 'read-write', denyFunctions: ['pg_sleep', 'evil.proc_plain'] })
  t.match(
    why(await of(held, 'INSERT INTO app.probe SELECT 1 WHERE pg_sleep(1) IS NULL')),
    /pg_sleep\(\) is on the deny/,
  )
  t.match(why(await of(held, 'CALL evil.proc_plain()')), /deny list/)
  t.match(why(await of(held, `SELECT pg_catalog.pg_sleep(1), '${'x'.repeat(10_000)}'`)), /deny list/)
  t.equal(why(await of(held, 'CREATE TABLE IF NOT EXISTS app.probe2(x int)')), 'allow')
})

t.test('hostile texts are refused or judged, and the next one is judged as ever', { skip }, async (t) => {
  const texts = {
    sum: `SELECT 1${'+1'.repeat(30_000)}`,
    comments: `SELECT ${'/*'.repeat(100_000)}${'*/'.repeat(100_000)} 1`,
    open: `SELECT ${'/*'.repeat(2000)}`,
    parentheses: `SELECT ${'('.repeat(500_000)}1${')'.repeat(500_000)}`,
    nul: 'SELECT 1;\0DELETE FROM app.probe',
    long: `SELECT '${'x'.repeat(1024 * 1024)}'`,
    columns: `SELECT ${'a,'.repeat(400_000)}a`,
    lone: 'SELECT \ud800',
  }
  for (const [name, text] of Object.entries(texts)) {
    const judge = await database!.judge()
    const { verdict } = await of(judge, text)
    if (name !== 'lone') t.equal(verdict.decision, 'deny', name)
    t.equal(why(await of(judge, 'SELECT owner FROM app.accounts')), 'allow', `after ${name}`)
    judge.close()
  }
  const judge = await database!.judge()
  for (let i = 0; i < 4; i++) await of(judge, `SELECT ${i}${'+1'.repeat(60_000)}`)
  t.match(why(await of(judge, `SELECT '${'x'.repeat(5000)}'`)), /too many texts/)
  t.equal(why(await of(judge, 'SELECT 1')), 'allow')
  const other = await database!.judge()
  t.equal(why(await of(other, `SELECT '${'x'.repeat(5000)}'`)), 'allow', 'another session pays nothing')
})

t.test('random texts never throw and never pass as something else', { skip }, async (t) => {
  const judge = await database!.judge()
  const words =
    `SELECT FROM WHERE ( ) , ; ' " $$ -- /* */ E' U&" \\ :: . * 1 app.accounts id lower DELETE INTO FOR UPDATE AS WITH x ( [ ] $1 := => @@@ ~`.split(
      ' ',
    )
  let seed = 42
  const next = (most: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed % most
  }
  let allowed = 0
  for (let i = 0; i < 3000; i++) {
    const text = Array.from({ length: 1 + next(12) }, () => words[next(words.length)]).join(next(3) === 0 ? '' : ' ')
    const { verdict } = await of(judge, text)
    if (verdict.decision === 'allow') allowed += 1
  }
  t.ok(allowed < 3000)
})
