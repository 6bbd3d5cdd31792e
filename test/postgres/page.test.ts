/** SQL in a browser, from the page's messages to a real server and back: the same judge, recorder, limits and cut as for psql. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { openSqlFilter } from '../../gateway/filters/filters.ts'
import type { Identity } from '../../gateway/model/identity.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import type { FromSqlPage, SqlAsk, ToSqlPage } from '../../gateway/session/session.ts'
import { demoServer, type Door, openDoor, person, roleNamed, scope } from './door.ts'
import { until } from '../fixtures/until.ts'

const demo = await demoServer(t)
const skip = demo === undefined ? 'no PostgreSQL 18 for this machine' : false
const filter = await openSqlFilter({ clock: wallClock })
t.teardown(() => filter.close())

type Kind<K extends ToSqlPage['kind']> = Extract<ToSqlPage, { kind: K }>

/** A page: what it was told, and a hand to type with. */
class Page {
  readonly told: ToSqlPage[] = []
  /** Whether batches are taken as they come. */
  takes = true
  signedIn = true
  isClosed = false
  #listener: (said: FromSqlPage) => void = () => undefined
  #leave: () => void = () => undefined
  #id = 0

  constructor(door: Door, ask: Partial<SqlAsk> = {}, identity: Identity = person('alice')) {
    door.terminator.open(
      {
        send: (message) => {
          this.told.push(message)
          if (this.takes && (message.kind === 'batch' || message.kind === 'text'))
            setImmediate(() => this.say({ kind: 'taken', batches: 1 }))
        },
        close: () => {
          this.isClosed = true
        },
        onMessage: (listener) => {
          this.#listener = listener
        },
        onClose: (listener) => {
          this.#leave = listener
        },
      },
      {
        identity,
        address: '192.0.2.7',
        browser: 'Firefox',
        seat: 'seat',
        still: async () => (this.signedIn ? identity : undefined),
      },
      { target: 'prod-db', under: undefined, database: undefined, passkey: undefined, ...ask },
    )
  }

  say(said: FromSqlPage): void {
    this.#listener(said)
  }

  leave(): void {
    this.#leave()
  }

  async next<K extends ToSqlPage['kind']>(kind: K, isIt: (message: Kind<K>) => boolean = () => true): Promise<Kind<K>> {
    for (let tries = 0; tries < 1200; tries++) {
      const found = this.told.find((message): message is Kind<K> => message.kind === kind && isIt(message as Kind<K>))
      if (found !== undefined) return found
      await sleep(25)
    }
    throw new Error(`the page was never told ${kind}: ${JSON.stringify(this.told).slice(0, 500)}`)
  }

  start(sql: string, form: 'rows' | 'csv' | 'json' = 'rows'): number {
    this.#id += 1
    this.say({ kind: 'run', id: this.#id, sql, form })
    return this.#id
  }

  /** Everything that the page was told about one run. */
  async run(sql: string, form: 'rows' | 'csv' | 'json' = 'rows') {
    const id = this.start(sql, form)
    const done = await this.next('done', (message) => message.id === id)
    const of = <K extends ToSqlPage['kind']>(kind: K) =>
      this.told.filter((m): m is Kind<K> => m.kind === kind && 'id' in m && m.id === id)
    return {
      done,
      columns: of('columns').map(({ columns }) => columns.map(({ name, type }) => `${name} ${type}`)),
      rows: of('batch').flatMap(({ rows }) => rows),
      text: of('text')
        .map(({ text }) => text)
        .join(''),
      tags: of('complete').map(({ tag }) => tag),
      errors: of('error'),
    }
  }
}

async function opened(t: Parameters<typeof openDoor>[0], role = 'readonly') {
  if (demo === undefined) throw new Error('no server')
  const door = await openDoor(t, { demo, createJudge: (of, context) => filter.createJudge(of, context) })
  door.roles.set('taking', roleNamed('taking', scope({ downloadRows: 3 })))
  const held = door.grants.give('alice', 'prod-db', role)
  return { door, held }
}

t.test('a page runs statements, and sees columns, rows, tags and errors where they are', { skip }, async (t) => {
  const { door } = await opened(t)
  const page = new Page(door)
  t.match(await page.next('opened'), {
    role: 'readonly',
    database: 'app',
    isReadOnly: true,
    version: /^18/,
    downloadRows: 0,
  })
  const two = await page.run("select 1 as one, null::text as nothing; select 'é' as letter")
  t.same(two.columns, [['one int4', 'nothing text'], ['letter text']])
  t.same(two.rows, [['1', null], ['é']])
  t.same(two.tags, ['SELECT 1', 'SELECT 1'])
  t.match(two.done, { status: 'I', isCut: false })
  const wrong = await page.run('select frm')
  t.match(wrong.errors, [{ code: '42703', text: /column "frm"/, position: 8 }])
  await page.run('begin')
  t.match((await page.run('select 1/0')).done, { status: 'E' }, 'a broken transaction shows')
  t.match((await page.run('rollback')).done, { status: 'I' })
  page.leave()
  t.ok(door.recorder.tapes[0]?.start.clientVersion.startsWith('console Firefox'))
  t.equal(door.recorder.tapes[0]?.start.clientAddress, '192.0.2.7')
})

t.test('what the role does not allow is refused in place, recorded, and never sent', { skip }, async (t) => {
  const { door } = await opened(t)
  const page = new Page(door)
  await page.next('opened')
  const refused = await page.run('delete from orders')
  t.match(refused.errors, [{ code: '25006', text: /read-only session/ }])
  t.match(refused.done, { status: 'I' })
  t.match((await page.run('select 1')).rows, [['1']], 'the session goes on')
  const statements = door.recorder.tapes[0]?.events.filter(({ kind }) => kind === 's').map(({ data }) => data)
  t.match(statements?.[0], /delete from orders/)
  t.match(statements?.[0], /deny/)
  page.leave()
})

t.test(
  'a role that lets nothing be taken makes no file; another one makes as much of one as it says',
  { skip },
  async (t) => {
    const none = await opened(t)
    const page = new Page(none.door)
    await page.next('opened')
    t.match((await page.run('select 1', 'csv')).errors, [{ code: '42501' }])
    t.equal(none.door.recorder.tapes[0]?.events.length, 0, 'and nothing of it runs')
    page.leave()
    const { door } = await opened(t, 'taking')
    const other = new Page(door)
    await other.next('opened')
    const sql = `select n, case n when 1 then '=cmd()' when 2 then 'a "b"' end as word, '' as "empty" from generate_series(1, 9) n`
    const file = await other.run(sql, 'csv')
    t.equal(file.text, `n,word,empty\r\n1,'=cmd(),""\r\n2,"a ""b""",""\r\n3,,""\r\n`)
    t.equal(file.done.isCut, true)
    const lines = (await other.run('select 1 as a, 2 as a, -5 as b', 'json')).text
    t.equal(lines, '{"a":"1","a (2)":"2","b":"-5"}\n')
    t.match(
      door.recorder.tapes[0]?.events.filter(({ kind }) => kind === 'm').map(({ data }) => data),
      [/file \(csv\)/, /file \(json\)/],
    )
    other.leave()
  },
)

t.test('a page that takes nothing holds the rows back, and a cancel ends them', { skip }, async (t) => {
  const { door } = await opened(t)
  const page = new Page(door)
  await page.next('opened')
  page.takes = false
  const id = page.start("select n, repeat('x', 1000) from generate_series(1, 1000000) n")
  await page.next('batch')
  await sleep(300)
  const batches = () => page.told.filter(({ kind }) => kind === 'batch').length
  const waiting = batches()
  t.ok(waiting < 40, `${waiting} batches wait`)
  await sleep(300)
  t.equal(batches(), waiting, 'and no more come')
  page.say({ kind: 'cancel' })
  page.takes = true
  page.say({ kind: 'taken', batches: waiting })
  await page.next('done', (message) => message.id === id)
  t.match(await page.next('error'), { code: '57014' })
  page.leave()
})

t.test('the screen gets ten thousand rows, and the target is told to stop', { skip }, async (t) => {
  const { door } = await opened(t)
  const page = new Page(door)
  await page.next('opened')
  const many = await page.run('select n from generate_series(1, 5000000) n')
  t.equal(many.rows.length, 10_000)
  t.equal(many.done.isCut, true)
  t.same((await page.run('select 2')).rows, [['2']])
  page.leave()
})

t.test('when the grant ends the page is told why, and nothing runs any more', { skip }, async (t) => {
  const { door, held } = await opened(t)
  const page = new Page(door)
  await page.next('opened')
  page.start('select pg_sleep(30)')
  await sleep(200)
  held.stop.abort(new Refusal('GRANT_ENDED', 'The grant was revoked by bob.'))
  t.match(await page.next('ended'), { text: /revoked by bob/ })
  await until(() => page.isClosed, 'the page is closed')
  page.start('select 1')
  t.notOk(page.told.some((message) => message.kind === 'batch'))
})

t.test('a browser that signs out has no session any more', { skip }, async (t) => {
  const { door } = await opened(t)
  const page = new Page(door)
  await page.next('opened')
  page.signedIn = false
  page.start('select 1')
  t.match(await page.next('ended'), { text: /signed out/ })
  t.equal(door.recorder.tapes[0]?.events.filter(({ kind }) => kind === 's').length, 0, 'nor does what it typed run')
  const quiet = new Page(door)
  await quiet.next('opened')
  quiet.signedIn = false
  t.match(await quiet.next('ended'), { text: /signed out/ }, 'by itself, soon')
})

t.test('no grant, an unknown target and a passkey that is missing open nothing', { skip }, async (t) => {
  const { door } = await opened(t)
  t.match(await new Page(door, {}, person('erin')).next('refused'), { code: 'NO_GRANT' })
  const unknown = await new Page(door, { target: 'nowhere' }).next('refused')
  const forbidden = await new Page(door, { target: 'static-db' }).next('refused')
  t.equal(unknown.text.replace('nowhere', 'X'), forbidden.text.replace('static-db', 'X'))
  t.match(await new Page(door, { database: 'postgres' }).next('refused'), { code: 'NO_GRANT' })
  door.roles.set('sensitive', { ...roleNamed('sensitive', scope()), stepUp: 'passkey' })
  door.grants.give('bob', 'prod-db', 'sensitive')
  t.match(await new Page(door, {}, person('bob')).next('refused'), { code: 'PASSKEY_MISSING' })
  t.equal(door.recorder.tapes.length, 0)
})

t.test('rubbish from a page harms nobody', { skip }, async (t) => {
  const { door } = await opened(t)
  const page = new Page(door)
  page.start('select 1')
  t.match(await page.next('error'), { text: /Another statement/ }, 'too early')
  await page.next('opened')
  t.match((await page.run('select 1\0; drop table orders')).errors, [{ code: '22021' }])
  page.start('select pg_sleep(0.5)')
  t.match((await page.run('select 1')).errors, [{ code: '55000' }], 'two at once')
  await page.next('done', ({ id }) => id === 3)
  page.say({ kind: 'cancel' })
  page.say({ kind: 'taken', batches: 1e9 })
  t.match((await page.run('copy orders from stdin')).errors[0]?.code, /25006|57014/)
  t.match((await page.run('')).done, { status: 'I' })
  page.leave()
})

t.test('a file that cannot be recorded is not made, and harms nobody else', { skip }, async (t) => {
  const { door } = await opened(t, 'taking')
  const page = new Page(door)
  await page.next('opened')
  door.recorder.broken = true
  const refused = await page.run('select 1', 'csv')
  t.match(refused.errors, [{ code: '58030' }])
  t.equal(refused.text, '')
  door.recorder.broken = false
  t.equal((await page.run('select 1 as n', 'csv')).text, 'n\r\n1\r\n')
  page.leave()
})
