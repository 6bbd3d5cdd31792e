/** What cannot be recorded does not run: the journal of one worker, without an audit store. */
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { wallClock } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import { openJournal, readPublicKeys, verifyJournals } from '../../gateway/recorder/recorder.ts'
import { openSigningKey } from '../../gateway/recorder/chain.ts'
import { recover } from '../../gateway/recorder/recovery.ts'
import { LARGE, linkOf, MAGIC, records, sizeOf, writeRecord } from '../../gateway/recorder/segment.ts'
import { temporaryDir } from '../fixtures/clickhouse.ts'
import {
  allRecords,
  journalAt,
  journalDirs,
  roomy,
  sessionEnd,
  sessionStart,
  terminal,
  writingWorker,
  written,
} from './parts.ts'
import { until } from '../fixtures/until.ts'

t.test(
  'whoever waits is told in order, after the bytes are in the file, and never before asking returned',
  async (t) => {
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    t.teardown(() => journal.close())
    const one = journal.open(sessionStart())
    const two = journal.open(sessionStart())
    const order: string[] = []
    const before = journal.stats().writes
    one.take('o', 'first')
    one.written(() => order.push('one'))
    two.take('i', 'second')
    two.written(() => order.push('two'))
    one.written(() => {
      order.push('three')
      t.match(readFileSync(path.join(journalDirs(dir)[0] ?? '', '00000001.seg')).toString(), /first.*second/s)
    })
    order.push('returned')
    await written(two)
    t.same(order, ['returned', 'one', 'two', 'three'])
    t.equal(journal.stats().writes - before, 1, 'one write for everybody')
    await two.durable()
    t.equal(journal.stats().syncs > 0, true)
  },
)

t.test('the bytes are copied when they are taken', async (t) => {
  const dir = temporaryDir(t, 'journal')
  const journal = journalAt(dir)
  const recording = journal.open(sessionStart())
  const bytes = Buffer.from('original')
  recording.take('o', bytes)
  bytes.fill('x')
  await journal.close()
  t.equal(
    allRecords(dir)
      .find((record) => record.kind === 'o')
      ?.data.toString(),
    'original',
  )
})

t.test('of a segment that is cut or damaged anywhere, nothing false is read', async (t) => {
  const bytes = Buffer.alloc(256 * 1024)
  const id = randomBytes(16)
  let end = 0
  const ends: number[] = []
  for (let seq = 1; seq <= 200; seq++) {
    // Every twentieth is large.
    const data = randomBytes(seq % 20 === 0 ? 8_000 + seq * 2 : seq)
    end = writeRecord(bytes, end, { id, seq, at: 1.7e12 + seq, kind: 'o', data }, 7)
    ends.push(end)
  }
  const whole = bytes.subarray(0, end)
  let wrong = 0
  for (let round = 0; round < 2_000; round++) {
    const at = (round * 7_919) % whole.length
    const isCut = round % 2 === 0
    const copy = Buffer.from(isCut ? whole.subarray(0, at) : whole)
    if (!isCut) copy[at] = (copy[at] ?? 0) ^ (1 << (round % 8))
    const sound = ends.filter((end) => end <= at).length
    const found = [...records(copy, 0, 7)]
    if (found.length !== sound || found.some((record, i) => record.seq !== i + 1)) wrong += 1
  }
  t.equal(wrong, 0)
})

t.test('what a chain takes of records, small and large, can be told apart again', async (t) => {
  const bytes = Buffer.alloc(64 * 1024)
  const sizes = [0, 1, LARGE - 28, LARGE - 27, LARGE - 26, 20_000, 5]
  let end = 0
  const links: Buffer[] = []
  for (const [i, size] of sizes.entries()) {
    const start = end
    const data = randomBytes(size)
    end = writeRecord(bytes, start, { id: randomBytes(16), seq: i, at: 1.7e12, kind: 'o', data }, 7)
    t.equal(end - start, sizeOf(Buffer.alloc(size)))
    links.push(linkOf(bytes.subarray(start, end)))
  }
  t.same(
    links.map((link) => link.length),
    [31, 32, LARGE + 3, 36, 36, 36, 36],
  )
  const stream = Buffer.concat(links)
  const found: Buffer[] = []
  for (let rest = stream; rest.length > 0; rest = rest.subarray(found.at(-1)?.length)) {
    const body = rest.readUInt32LE()
    found.push(rest.subarray(0, body < LARGE ? 4 + body : 36))
  }
  t.same(found, links)
  t.same(
    [...records(bytes.subarray(0, end), 0, 7)].map(({ link }) => link),
    links,
  )
  for (const other of [0, 6, 8, 263]) t.same([...records(bytes.subarray(0, end), 0, other)], [], 'of another segment')
})

t.test('a shipped segment is written over, and nothing of what it held is read again', async (t) => {
  const dir = temporaryDir(t, 'journal')
  const journal = journalAt(dir)
  const recording = journal.open(sessionStart())
  const [own = ''] = journalDirs(dir)
  const file = (name: string) => path.join(own, name)
  const chunk = randomBytes(1_000_000)
  const fill = async () => {
    for (let i = 0; i < 17; i++) {
      recording.take('o', chunk)
      await written(recording)
    }
  }
  await fill()
  const { ino } = statSync(file('00000001.seg'))
  renameSync(file('00000001.seg'), file('00000001.free'))
  await fill()
  t.equal(statSync(file('00000003.seg')).ino, ino)
  recording.take('o', 'the last words')
  await written(recording)
  const bytes = readFileSync(file('00000003.seg'))
  t.ok(bytes.length > 16_000_000, 'the older segment is still behind it')
  const reader = records(bytes, MAGIC.length, 3)
  const texts: string[] = []
  let step = reader.next()
  for (; step.done !== true; step = reader.next()) texts.push(`${step.value.kind} ${step.value.data.length}`)
  t.equal(step.value, 'end')
  t.match(texts, [/^S/, /^C|^o 14$/], 'who is in, and what was written since')
  t.ok(texts.length < 5)

  const dead = path.join(temporaryDir(t, 'journal'), 'journal')
  cpSync(dir, dead, { recursive: true })
  t.equal(await recover(journalDirs(dead)[0] ?? '', openSigningKey(dead)), 1, 'killed here, it is closed as any other')
  t.same(verifyJournals(dead, readPublicKeys(dead)).damages, [])

  await until(() => (statSync(file('00000003.seg')).size < 10_000 ? true : undefined), 'it to be cut off')
  linkSync(file('00000002.seg'), file('copy'))
  renameSync(file('00000002.seg'), file('00000002.free'))
  await fill()
  t.same(
    [existsSync(file('00000002.free')), statSync(file('00000004.seg')).ino === statSync(file('copy')).ino],
    [false, false],
    'what has another name is left to it',
  )
  const stranger = path.join(temporaryDir(t, 'elsewhere'), 'stranger')
  writeFileSync(stranger, 'of somebody else')
  symlinkSync(stranger, file('00000000.free'))
  mkdirSync(file('00000001.free'))
  renameSync(file('00000003.seg'), file('00000003.free'))
  await fill()
  t.same(
    [readFileSync(stranger, 'utf8'), existsSync(file('00000003.free')), statSync(file('00000005.seg')).isFile()],
    ['of somebody else', false, true],
    'links and directories that somebody put there are passed over',
  )
  recording.take('o', 'later')
  recording.end(sessionEnd())
  await journal.close()
  const { damages, unsigned } = verifyJournals(dir, readPublicKeys(dir))
  t.same({ damages, unsigned }, { damages: [], unsigned: 0 })
})

t.test('a journal goes on in new segments, each of which knows who is in', async (t) => {
  const dir = temporaryDir(t, 'journal')
  const journal = journalAt(dir)
  const idle = sessionStart()
  journal.open(idle)
  const busy = journal.open(sessionStart())
  const chunk = randomBytes(1_000_000)
  for (let i = 0; i < 40; i++) {
    busy.take('o', chunk)
    await written(busy)
  }
  busy.take('o', randomBytes(3_000_000))
  busy.end(sessionEnd())
  await journal.close()
  const segments = readdirSync(journalDirs(dir)[0] ?? '').filter((name) => name.endsWith('.seg'))
  t.equal(segments.length, 3)
  const rows = allRecords(dir).filter((record) => record.kind === 'S' && record.data.includes(idle.id))
  t.equal(rows.length, 4, 'at its start, in both later segments, at its end')
  const { damages, unsigned } = verifyJournals(dir, readPublicKeys(dir))
  t.same({ damages, unsigned }, { damages: [], unsigned: 0 })
  t.equal(statSync(path.join(dir, 'signing-key.pem')).mode & 0o777, 0o600)
})

t.test('a journal that was changed is found out, with the place', async (t) => {
  const dir = temporaryDir(t, 'journal')
  const journal = journalAt(dir)
  const recording = journal.open(sessionStart())
  for (let i = 1; i <= 20; i++) recording.take('o', `event ${i}`)
  recording.end(sessionEnd())
  await journal.close()
  const file = path.join(journalDirs(dir)[0] ?? '', '00000001.seg')
  const sound = readFileSync(file)
  const keys = readPublicKeys(dir)
  const rewrite = (change: (record: { seq: number; data: Buffer }) => Buffer | undefined) => {
    const bytes = Buffer.alloc(sound.length * 2)
    let end = sound.copy(bytes, 0, 0, 8)
    for (const record of records(sound, 8, 1)) {
      const data = record.kind === 'o' ? change(record) : record.data
      if (data !== undefined) end = writeRecord(bytes, end, { ...record, data }, 1)
    }
    writeFileSync(file, bytes.subarray(0, end))
    return verifyJournals(dir, keys).damages[0]
  }
  t.equal(
    rewrite((record) => record.data),
    undefined,
  )
  t.match(
    rewrite((record) => (record.seq === 7 ? Buffer.from('EVENT 7') : record.data)),
    { id: recording.id, from: 1, to: 20 },
  )
  t.match(
    rewrite((record) => (record.seq === 7 ? undefined : record.data)),
    { id: recording.id, from: 7, to: 7 },
  )
  t.match(
    rewrite((record) => (record.seq > 17 ? undefined : record.data)),
    { id: recording.id, from: 18, to: 20 },
  )
})

t.test('after a kill -9 everything that was written is there, again and again', { timeout: 50_000 }, async (t) => {
  const dir = temporaryDir(t, 'journal')
  let told = 0
  for (let round = 0; round < 8; round++) {
    const worker = spawn(process.execPath, [writingWorker, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let out = ''
    worker.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()))
    await until(() => (out.length > 400 + round * 700 ? true : undefined))
    worker.kill('SIGKILL')
    await new Promise((resolve) => worker.once('close', resolve))
    const [id = '', seq = ''] = out.slice(0, out.lastIndexOf('\n')).split('\n').at(-1)?.split(' ') ?? []
    const own = allRecords(dir).filter(
      (record) => record.id.toString('hex') === id.replaceAll('-', '') && record.kind === 'o',
    )
    told += Number(seq)
    if (own.length < Number(seq) || own.some((record, i) => record.seq !== i + 1))
      t.fail(`round ${round}: ${own.length} of ${seq}`)
  }
  t.ok(told > 1_000, `${told} events were acknowledged`)
})

t.test('a password is nowhere: not in the journal, not in a hold file', async (t) => {
  const dir = temporaryDir(t, 'journal')
  const journal = journalAt(dir)
  const recording = journal.open(sessionStart({ terminal }))
  recording.take('o', '[sudo] password for alice: ')
  for (const key of 'correct horse battery') recording.take('i', key)
  await recording.durable()
  const everything = () =>
    journalDirs(dir)
      .flatMap((one) => readdirSync(one).map((name) => readFileSync(path.join(one, name), 'latin1')))
      .join('')
  t.notMatch(everything(), /correct|horse|battery/, 'while it is being typed')
  recording.take('i', '\r')
  recording.take('o', '\r\nroot# ')
  await written(recording)
  recording.end(sessionEnd())
  await journal.close()
  t.notMatch(everything(), /correct|horse|battery/)
  const kinds = allRecords(dir).filter((record) => /[a-z]/.test(record.kind))
  t.same(
    kinds.map((record) => `${record.kind}:${record.kind === 'o' ? '' : record.data.toString()}`),
    ['o:', 'k:21', 'i:\r', 'o:'],
  )
  t.same(
    readdirSync(journalDirs(dir)[0] ?? '').filter((name) => name.endsWith('.hold')),
    [],
  )
})

t.test('a disk that fails ends what runs; when the disk is back so are the people', async (t) => {
  if (!existsSync('/proc/self/fd')) return t.pass('skipped: no /proc to find the file by')
  const dir = temporaryDir(t, 'journal')
  const said: string[] = []
  const journal = journalAt(dir, (event) => said.push(event.message))
  const recording = journal.open(sessionStart({ terminal }))
  await recording.durable()
  const fd = readdirSync('/proc/self/fd').find((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(dir) && readlinkSync(`/proc/self/fd/${fd}`).endsWith('.seg')
    } catch {
      return false
    }
  })
  // The file is taken away under the journal: its next write fails as on a broken disk.
  closeSync(Number(fd))
  const order: string[] = []
  recording.failed.addEventListener('abort', () => order.push('failed'))
  recording.take('o', 'lost')
  recording.written((failure) => order.push(failure?.code ?? 'forwarded'))
  await until(() => (order.length === 2 ? true : undefined))
  t.same(order.toSorted(), ['NOT_RECORDED', 'failed'])
  t.match((recording.failed.reason as Refusal).message, /could not be written/)
  t.same(said, ['the journal cannot be written: all sessions of this worker end'])
  recording.end(sessionEnd({ cause: 'failed' }))
  const again = await until(() => {
    try {
      return journal.open(sessionStart())
    } catch {
      return undefined
    }
  })
  again.take('o', 'kept')
  t.equal(await written(again), undefined)
  await journal.close()
  t.same(
    allRecords(dir)
      .filter((record) => record.kind === 'o')
      .map((record) => record.data.toString()),
    ['kept'],
  )
  return undefined
})

t.test('nobody gets in when the disk is nearly full or the journal is too long', async (t) => {
  const dir = temporaryDir(t, 'journal')
  for (const [limits, words] of [
    [{ maxJournalBytes: 8e9, minFreeBytes: 1e18 }, /nearly full/],
    [{ maxJournalBytes: 0, minFreeBytes: 0 }, /wait for the audit store/],
  ] as const) {
    const journal = openJournal({ dir, worker: 'w', clock: wallClock, log: () => undefined, limits })
    t.throws(() => journal.open(sessionStart()), { code: 'NOT_RECORDED', message: words })
    await journal.close()
  }
})

t.test('a full disk ends what runs, notes the end, and lets people in again when there is room', async (t) => {
  const dir = temporaryDir(t, 'disk')
  const disk = path.join(dir, 'small')
  mkdirSync(disk)
  try {
    execFileSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'ignore' })
  } catch {
    t.pass('skipped: only root may mount a small disk here')
    return
  }
  t.teardown(() => execFileSync('/bin/umount', ['-l', disk]))
  const said: string[] = []
  const journal = openJournal({
    dir: path.join(disk, 'journal'),
    worker: 'w',
    clock: wallClock,
    log: (event) => said.push(event.message),
    limits: { ...roomy, minFreeBytes: 100_000 },
  })
  const idle = journal.open(sessionStart())
  const busy = journal.open(sessionStart())
  let acknowledged = 0
  let failure: Refusal | undefined
  while (failure === undefined) {
    try {
      busy.take('o', randomBytes(50_000))
    } catch (error) {
      failure = error as Refusal
      break
    }
    failure = (await written(busy)) as Refusal | undefined
    if (failure === undefined) acknowledged += 1
  }
  t.equal(failure.code, 'NOT_RECORDED')
  t.match(failure.message, /disk for recordings is full/)
  await until(() => (idle.failed.aborted && busy.failed.aborted ? true : undefined))
  t.ok(idle.failed.reason instanceof Refusal, 'a session that did nothing is told as well')
  t.throws(() => idle.take('o', 'more'), { code: 'NOT_RECORDED' })
  t.throws(() => journal.open(sessionStart()), { code: 'NOT_RECORDED' })
  await t.rejects(busy.durable(), { code: 'NOT_RECORDED' })
  busy.end(sessionEnd({ cause: 'cut', detail: failure.message }))
  idle.end(sessionEnd({ cause: 'cut', detail: failure.message }))
  const ends = allRecords(path.join(disk, 'journal')).filter(
    (record) => record.kind === 'S' && record.data.includes('"cause":"cut"'),
  )
  t.equal(ends.length, 2, 'the ends are written although the disk is full')
  t.equal(JSON.parse(ends[0]?.data.toString() ?? '{}').events, acknowledged)
  t.equal(allRecords(path.join(disk, 'journal')).filter((record) => record.kind === 'o').length, acknowledged)
  execFileSync('/bin/mount', ['-o', 'remount,size=40m', disk])
  const again = await until(() => {
    try {
      return journal.open(sessionStart())
    } catch {
      return undefined
    }
  })
  again.take('o', 'after')
  t.equal(await written(again), undefined)
  t.throws(() => idle.take('o', 'more'), { code: 'NOT_RECORDED' }, 'what ended stays ended')
  await journal.close()
  t.match(allRecords(path.join(disk, 'journal')).at(-1)?.kind, /[SAC]/)
  t.same(verifyJournals(path.join(disk, 'journal'), readPublicKeys(path.join(disk, 'journal'))).damages, [])
  rmSync(path.join(disk, 'journal'), { recursive: true })
})
