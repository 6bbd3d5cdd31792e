/** From the journal to the auditor, with a real ClickHouse: read in order, found in lists, not changed unseen. */
import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { AuditEvent, SessionId } from '../../gateway/model/event.ts'
import type { GrantId } from '../../gateway/model/grant.ts'
import { silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import {
  type AuditStore,
  openLibrary,
  readPublicKeys,
  startClickHouse,
  startShipper,
  verifyStore,
} from '../../gateway/recorder/recorder.ts'
import { MAGIC, records, writeRecord } from '../../gateway/recorder/segment.ts'
import { connect } from '../../gateway/recorder/store.ts'
import type { SessionFilter } from '../../gateway/session/session.ts'
import { embeddedClickHouse, noClickHouse, temporaryDir } from '../fixtures/clickhouse.ts'
import { journalAt, journalDirs, moment, sessionEnd, sessionStart, terminal, collect } from './parts.ts'
import { until } from '../fixtures/until.ts'

const engine = await embeddedClickHouse(t)
if (engine === undefined) t.plan(0, noClickHouse)
else {
  const library = openLibrary(engine.auditor)
  t.teardown(() => library.close())
  const all = async (id: SessionId) => collect(library.events(id, {}))

  t.test('an auditor reads what was typed and shown, in order and once', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
    t.teardown(() => shipper.stop())
    const start = sessionStart({ terminal })
    const recording = journal.open(start)
    recording.take('o', '$ ')
    for (const key of 'ls') {
      recording.take('i', key)
      recording.take('o', key)
    }
    recording.take('i', '\r')
    recording.take('r', '100x30')
    recording.take('o', Buffer.from([0x0d, 0x0a, 0xff, 0x00, 0xe2, 0x82]))
    recording.take('o', Buffer.from([0xac]))
    recording.take('x', '0')
    recording.end(sessionEnd())
    const row = await until(async () => {
      const [row] = await library.sessions({ username: 'alice', live: false })
      return row?.id === start.id ? row : undefined
    })
    t.match(row, { target: 'prod-db', events: 10, bytesIn: 3, bytesOut: 11, end: { cause: 'exited', exitCode: 0 } })
    const events = await all(start.id)
    t.same(events.map((event) => event.kind).join(''), 'oioioiroox')
    t.same(
      events.map((event) => event.seq),
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    )
    t.same(events[7]?.data, Buffer.from([0x0d, 0x0a, 0xff, 0x00, 0xe2, 0x82]), 'bytes are bytes')
    const cast = await collect(library.asciicast(start.id, { idleSeconds: 1 }))
    t.match(JSON.parse(cast[0] ?? ''), { version: 3, term: { cols: 80, rows: 24, type: 'xterm-256color' } })
    t.match(cast.join(''), '€', 'a character that was cut in two is whole')
    await journal.close()
  })

  t.test('a session that is being watched is followed to its end', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
    t.teardown(() => shipper.stop())
    const recording = journal.open(sessionStart())
    recording.take('o', 'one')
    const seen: string[] = []
    const watching = (async () => {
      for await (const event of library.events(recording.id, { follow: true })) seen.push(event.data.toString())
    })()
    await until(() => (seen.length === 1 ? true : undefined))
    recording.take('o', 'two')
    await until(() => (seen.length === 2 ? true : undefined))
    t.match(await library.session(recording.id), { end: undefined })
    recording.take('o', 'three')
    recording.end(sessionEnd())
    await watching
    t.same(seen, ['one', 'two', 'three'])
    const stop = new AbortController()
    const live = journal.open(sessionStart())
    const aborted = collect(library.events(live.id, { follow: true, signal: stop.signal }))
    setTimeout(() => stop.abort(), 100)
    await t.rejects(aborted, 'a watcher can leave')
    await journal.close()
  })

  t.test('what somebody changes in the store is found out: a byte, a row, a tail, a session', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const changes = ['nothing', 'a byte', 'a byte of many', 'a row', 'a tail', 'everything', 'one too many'] as const
    const many = randomBytes(100_000)
    const flippedIn: Readonly<Record<string, number>> = { 'a byte': 9, 'a byte of many': 12 }
    const sessions = changes.map((change) => {
      const recording = journal.open(sessionStart())
      for (let i = 1; i <= 20; i++) recording.take('o', i === 12 ? many : `event ${i}`)
      recording.end(sessionEnd())
      return { change, id: recording.id }
    })
    await journal.close()
    const [own = ''] = journalDirs(dir)
    const changeOf = new Map(sessions.map(({ change, id }) => [id.replaceAll('-', ''), change]))
    const file = path.join(own, '00000001.seg')
    const sound = readFileSync(file)
    const forged = Buffer.alloc(sound.length * 2)
    let end = MAGIC.copy(forged)
    for (const record of records(sound, MAGIC.length, 1)) {
      const change = changeOf.get(record.id.toString('hex'))
      if (change === 'everything') continue
      if (change === 'a row' && record.kind === 'o' && record.seq === 7) continue
      if (change === 'a tail' && ((record.kind === 'o' && record.seq > 15) || record.kind === 'C')) continue
      const data = Buffer.from(record.data)
      const isFlipped = record.kind === 'o' && record.seq === flippedIn[change ?? 'nothing']
      if (isFlipped) data[data.length - 1] = 1 ^ (data.at(-1) ?? 0)
      end = writeRecord(forged, end, { ...record, data }, 1)
      if (change === 'one too many' && record.kind === 'o' && record.seq === 20)
        end = writeRecord(forged, end, { ...record, seq: 21 }, 1)
    }
    writeFileSync(file, forged.subarray(0, end))
    const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
    await shipper.stop(5_000)
    const { damages } = await verifyStore(engine.auditor, readPublicKeys(dir))
    const damageOf = (change: string) =>
      damages.find((damage) => damage.id === sessions.find((one) => one.change === change)?.id)
    t.equal(damageOf('nothing'), undefined)
    t.match(damageOf('a byte'), { from: 1, to: 20, message: /changed/ })
    t.match(damageOf('a byte of many'), { from: 1, to: 20, message: /changed/ })
    t.match(damageOf('a row'), { from: 7, to: 7, message: /missing/ })
    t.match(damageOf('a tail'), { from: 16, to: 20, message: /missing/ })
    t.match(damageOf('everything'), { from: 1, to: 20, message: /missing/ })
    t.match(damageOf('one too many'), { from: 21, to: 21 })
    const later = await verifyStore(engine.auditor, readPublicKeys(dir), Date.now() + 500 * 86_400_000)
    t.ok((later.expired ?? 0) >= sessions.length, 'what the store need not have any more is not missed')
    t.notOk(later.damages.some(({ id }) => sessions.some((one) => one.id === id)))
  })

  t.test('recordings are kept as long as the configuration says, from the next start on', async (t) => {
    const dir = temporaryDir(t, 'retention')
    for (const [days, kept] of [
      [30, 30],
      [undefined, 30],
    ] as const) {
      const store = await startClickHouse({ dir, log: silent, days })
      const { password, username } = store.auditor
      const query = "SELECT name, create_table_query FROM system.tables WHERE database = 'audit' FORMAT JSONCompact"
      const answer = await fetch(`${store.url}/?query=${encodeURIComponent(query)}`, {
        headers: { 'x-clickhouse-user': username, 'x-clickhouse-key': password },
      })
      const { data } = (await answer.json()) as { readonly data: readonly (readonly [string, string])[] }
      const withEnd = data.filter(([, text]) => text.includes(`toIntervalDay(${kept})`)).map(([name]) => name)
      t.same(withEnd.toSorted(), ['events', 'lines', 'sessions'], `${kept} days; the audit log has no end`)
      await store.stop()
    }
  })

  t.test('every step of a grant is in the audit log, once, newest first', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const grant = `g${Date.now()}` as GrantId
    const event = (kind: AuditEvent['kind'], at: number): AuditEvent => ({
      id: randomUUID(),
      at: moment(at),
      kind,
      actor: 'bob',
      grant,
      session: undefined,
      target: 'prod-db',
      text: 'Bob said yes.',
      details: { minutes: 30 },
    })
    const approved = event('grant.approved', Date.now())
    journal.audit(event('grant.requested', Date.now() - 1_000))
    journal.audit(approved)
    journal.audit(approved)
    await journal.close()
    const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
    await shipper.stop(5_000)
    const log = await library.audit({ grant })
    t.same(
      log.map((one) => one.kind),
      ['grant.approved', 'grant.requested'],
    )
    t.same(log[0]?.details, { minutes: 30 })
    t.same((await library.audit({ grant, limit: 1 })).length, 1)
  })

  t.test('the list of sessions answers what auditors ask', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const grant = `g${Date.now()}` as GrantId
    const db = journal.open(sessionStart({ grant, protocol: 'postgres', startedAt: moment(Date.now() - 60_000) }))
    db.take(
      's',
      JSON.stringify({ n: 1, kind: 'sql', text: 'select "decision":"deny"', verdict: { decision: 'allow' } }),
    )
    db.take('s', JSON.stringify({ n: 2, kind: 'sql', text: 'drop', verdict: { decision: 'deny', reason: 'no' } }))
    db.end(sessionEnd())
    const live = journal.open(sessionStart({ grant, target: 'prod-web' }))
    await live.durable()
    const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
    await until(async () => ((await library.sessions({ grant })).length === 2 ? true : undefined))
    const ids = async (filter: SessionFilter) => (await library.sessions({ grant, ...filter })).map((row) => row.id)
    t.same(await ids({}), [live.id, db.id])
    t.same(await ids({ live: true }), [live.id])
    t.same(await ids({ live: false }), [db.id])
    t.same(await ids({ target: 'prod-web' }), [live.id])
    t.same(await ids({ protocol: 'postgres', username: 'alice' }), [db.id])
    t.same(await ids({ username: "a' OR 1=1 --" }), [])
    t.same(await ids({ since: moment(Date.now() - 30_000) }), [live.id])
    t.same(await ids({ until: moment(Date.now() - 30_000) }), [db.id])
    t.same(await ids({ limit: 1 }), [live.id])
    t.match(await library.session(db.id), { statements: 2, denials: 1 })
    t.equal(await library.session('no id' as SessionId), undefined)
    await shipper.stop()
    await journal.close()
  })

  t.test(
    'nobody on this machine gets into the embedded store without its password, and nobody may change a row',
    async (t) => {
      t.equal(
        await asks({ ...engine.shipper, username: 'default', password: '' }, 'SELECT 1'),
        'USER_SESSION_LIMIT_EXCEEDED',
      )
      t.equal(await asks({ ...engine.shipper, password: 'guess' }, 'SELECT 1'), 'AUTHENTICATION_FAILED')
      for (const query of [
        'ALTER TABLE audit.events DELETE WHERE 1',
        'TRUNCATE TABLE audit.events',
        'DROP DATABASE audit',
      ])
        t.equal(await asks(engine.shipper, query), 'ACCESS_DENIED', query)
      t.equal(await asks(engine.auditor, "INSERT INTO audit.audit_log (entry) VALUES ('x')"), 'ACCESS_DENIED')
    },
  )
}

/** `done`, or the type of the refusal. */
async function asks(store: AuditStore, query: string): Promise<string | undefined> {
  const client = connect(store)
  try {
    await client.command({ query })
    return 'done'
  } catch (error) {
    return (error as { type?: string }).type
  } finally {
    await client.close()
  }
}
