/** From the journal to a real ClickHouse while everything around it dies: nothing lost, nothing doubled. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import type { SessionId } from '../../gateway/model/event.ts'
import { type LogEvent, silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { openLibrary, readPublicKeys, startShipper, verifyStore } from '../../gateway/recorder/recorder.ts'
import { readOwner } from '../../gateway/recorder/owner.ts'
import { connect } from '../../gateway/recorder/store.ts'
import { embeddedClickHouse, noClickHouse, temporaryDir } from '../fixtures/clickhouse.ts'
import { badRoadTo } from './bad-road.ts'
import { journalAt, journalDirs, sessionEnd, sessionStart, writingWorker, written, collect } from './parts.ts'
import { until } from '../fixtures/until.ts'

const engine = await embeddedClickHouse(t)
if (engine === undefined) t.plan(0, noClickHouse)
else {
  const library = openLibrary(engine.auditor)
  t.teardown(() => library.close())
  const all = async (id: SessionId) => collect(library.events(id, {}))

  const rowCount = async (id: SessionId) => {
    const client = connect(engine.auditor)
    const query = 'SELECT count(), uniqExact(seq), max(seq) FROM audit.events WHERE session_id = {id:UUID}'
    const result = await client.query({ query, query_params: { id }, format: 'JSONCompactEachRow' })
    const [row] = await result.json<[string, string, number]>()
    await client.close()
    return (row ?? []).map(Number)
  }

  t.test(
    'a worker that was killed leaves sessions that end as crashed, with every byte that was written',
    async (t) => {
      const dir = temporaryDir(t, 'journal')
      const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
      t.teardown(() => shipper.stop())
      const ids: string[] = []
      for (const mode of ['writing', 'typing']) {
        const { id, told } = await killedWorker(dir, mode)
        const row = await until(async () => {
          const row = await library.session(id)
          return row?.end === undefined ? undefined : row
        })
        ids.push(id)
        t.match(row.end, { cause: 'crashed' })
        const events = await collect(library.events(id, {}))
        t.equal(events.length, row.events)
        if (mode === 'writing') t.ok(events.length >= told, `${events.length} of ${told}`)
        else {
          const shown = events.map((event) => `${event.kind}:${event.data.toString()}`)
          t.same(
            shown,
            ['o:Password: ', 'k:7', 'i:\r', 'o:\r\n', 'i:uname'],
            'the password as its length, the last words as they were',
          )
        }
      }
      const own = [...ids, ...journalDirs(dir).map((journal) => readOwner(journal)?.chain ?? '')]
      const { damages } = await verifyStore(engine.auditor, readPublicKeys(dir))
      t.same(
        damages.filter((damage) => own.includes(damage.id)),
        [],
      )
      await shipper.stop()
    },
  )

  t.test('ClickHouse is killed and comes back: nothing lost, nothing doubled', { timeout: 50_000 }, async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const logged: string[] = []
    const shipper = startShipper({
      dir,
      store: engine.shipper,
      clock: wallClock,
      log: (event) => logged.push(event.message),
    })
    t.teardown(() => shipper.stop())
    const recording = journal.open(sessionStart())
    let taken = 0
    const writer = setInterval(() => {
      for (let i = 0; i < 50; i++) recording.take('o', `event ${++taken}`)
    }, 10)
    t.teardown(() => clearInterval(writer))
    for (let round = 0; round < 4; round++) {
      const before = engine.pid()
      await new Promise((resolve) => setTimeout(resolve, 300 + round * 130))
      if (before !== undefined) process.kill(before, 'SIGKILL')
      await until(() => (engine.pid() !== undefined && engine.pid() !== before ? true : undefined))
    }
    clearInterval(writer)
    recording.end(sessionEnd())
    await until(async () => (await library.session(recording.id).catch(() => undefined))?.end)
    t.same(await rowCount(recording.id), [taken, taken, taken], 'counted without merging')
    await until(() => (shipper.stats().backlogBytes === 0 ? true : undefined))
    t.match(shipper.stats(), { backlogBytes: 0, oldestMs: 0 })
    await journal.close()
  })

  t.test('a worker writes over what was shipped, and the store has all of both', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
    t.teardown(() => shipper.stop())
    const recording = journal.open(sessionStart())
    const [own = ''] = journalDirs(dir)
    const named = (end: string) => readdirSync(own).filter((name) => name.endsWith(end))
    const inode = (name: string) => statSync(path.join(own, name)).ino
    let taken = 0
    const fill = async () => {
      for (let i = 0; i < 36; i++) {
        recording.take('o', randomBytes(1_000_000))
        taken += 1
        await written(recording)
      }
    }
    await fill()
    await until(() => (named('.free').length === 2 ? true : undefined), 'two segments to be free')
    const free = named('.free').map(inode)
    await fill()
    recording.end(sessionEnd())
    await until(async () => (await library.session(recording.id).catch(() => undefined))?.end)
    t.same(await rowCount(recording.id), [taken, taken, taken])
    const now = [...named('.seg'), ...named('.free')].map(inode)
    t.ok(
      free.every((one) => now.includes(one)),
      'the same files',
    )
    t.equal(now.length, 3, 'five segments')
    const { damages } = await verifyStore(engine.auditor, readPublicKeys(dir))
    t.notOk(damages.some(({ id }) => id === recording.id))
    await journal.close()
    await shipper.stop()
  })

  t.test('a batch whose answer was lost is sent again as the same batch, and is there once', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const road = await badRoadTo(engine.url)
    t.teardown(() => road.close())
    const store = { ...engine.shipper, url: road.url }
    const journal = journalAt(dir)
    const recording = journal.open(sessionStart())
    for (let i = 1; i <= 500; i++) recording.take('o', `event ${i}`)
    await written(recording)
    const first = startShipper({ dir, store, clock: wallClock, log: silent })
    let intent = Buffer.alloc(0)
    while (!intent.includes('"intent"')) {
      await new Promise((resolve) => setImmediate(resolve))
      if (existsSync(path.join(dir, 'shipper.state'))) intent = readFileSync(path.join(dir, 'shipper.state'))
    }
    await first.stop()
    const sent = road.inserts.splice(0)
    t.same(await rowCount(recording.id), [500, 500, 500])
    // As if the process had been killed after the store took the batch and before it could say so; the segment has grown since.
    writeFileSync(path.join(dir, 'shipper.state'), intent)
    for (let i = 501; i <= 700; i++) recording.take('o', `event ${i}`)
    recording.end(sessionEnd())
    await journal.close()
    const second = startShipper({ dir, store, clock: wallClock, log: silent })
    await until(async () => (await library.session(recording.id))?.end)
    t.same(await rowCount(recording.id), [700, 700, 700])
    t.same(road.inserts.slice(0, sent.length), sent, 'the same rows under the same token, although there is more now')
    await second.stop()
  })

  t.test('answers that get lost and stores that refuse change nothing: every event is there once', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const road = await badRoadTo(engine.url)
    t.teardown(() => road.close())
    const journal = journalAt(dir)
    const shipper = startShipper({ dir, store: { ...engine.shipper, url: road.url }, clock: wallClock, log: silent })
    t.teardown(() => shipper.stop())
    const recording = journal.open(sessionStart())
    for (const [round, fate] of (['lose the answer', 'refuse', 'lose the answer'] as const).entries()) {
      road.next = fate
      for (let i = 0; i < 100; i++) recording.take('o', `round ${round}, event ${i}`)
      await until(() => (road.happened.length > round && shipper.stats().backlogBytes === 0 ? true : undefined))
    }
    recording.end(sessionEnd())
    await until(async () => (await library.session(recording.id))?.end)
    t.same(road.happened, ['lose the answer', 'refuse', 'lose the answer'])
    t.same(await rowCount(recording.id), [300, 300, 300])
    await shipper.stop()
    await journal.close()
  })

  t.test('a store that is out of reach stops nobody: the journal keeps, and tells how much', async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const logged: LogEvent[] = []
    const nowhere = { ...engine.shipper, url: 'http://127.0.0.1:9' }
    const shipper = startShipper({ dir, store: nowhere, clock: wallClock, log: (event) => logged.push(event) })
    const recording = journal.open(sessionStart())
    recording.take('o', 'kept')
    await recording.durable()
    await until(() => (shipper.stats().state === 'down' ? true : undefined))
    t.ok(shipper.stats().backlogBytes > 0)
    t.match(logged[0], { level: 'error', message: /the journal keeps them/ })
    await shipper.stop()
    recording.end(sessionEnd())
    await journal.close()
    const later = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
    await later.stop(5_000)
    t.equal((await all(recording.id))[0]?.data.toString(), 'kept', 'stopping ships what is there')
  })
}

/** A process that records until it has said something, and is killed then. */
async function killedWorker(dir: string, mode: string): Promise<{ readonly id: SessionId; readonly told: number }> {
  const worker = spawn(process.execPath, [writingWorker, dir, mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  worker.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()))
  await until(() => (out.length > (mode === 'typing' ? 10 : 5_000) ? true : undefined))
  worker.kill('SIGKILL')
  await new Promise((resolve) => worker.once('close', resolve))
  const [id = '', told = ''] = out.slice(0, out.lastIndexOf('\n')).split('\n').at(-1)?.split(' ') ?? []
  return { id: id as SessionId, told: Number(told) }
}
