/** The recorder alone: what an event costs in the journal, for keys and for bulk, and how fast what was recorded becomes rows. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SessionId, SessionStart } from '../../gateway/model/event.ts'
import type { GrantId } from '../../gateway/model/grant.ts'
import type { Subject, Username } from '../../gateway/model/identity.ts'
import { silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { Scratch, type Slice, Tables } from '../../gateway/recorder/batch.ts'
import { openJournal } from '../../gateway/recorder/recorder.ts'
import { SearchRows } from '../../gateway/recorder/search-rows.ts'
import { isSegmentName, MAGIC } from '../../gateway/recorder/segment.ts'
import { median, round } from './measure.ts'

const limits = { maxJournalBytes: Number.MAX_SAFE_INTEGER, minFreeBytes: 0 }

export async function run(say: (line: string) => void, quick: boolean): Promise<object> {
  const keys: number[] = []
  const bulk: number[] = []
  const rows: number[] = []
  for (let i = 0; i < (quick ? 2 : 5); i++) {
    const small = await record(quick ? 20_000 : 100_000, Buffer.from('total 42\r\n'))
    const large = await record(quick ? 1_000 : 8_000, Buffer.alloc(32 * 1024, 'a line of some file\n'))
    keys.push((small.cpu * 1e6) / small.events)
    bulk.push(large.megabytes / large.cpu)
    rows.push(small.rowsPerSecond)
    say(
      `round ${i + 1}: ${round(keys.at(-1) ?? 0)} µs, ${round(bulk.at(-1) ?? 0)} MB/s, ${round(rows.at(-1) ?? 0, 0)} rows/s`,
    )
  }
  return {
    journal_cpu_us_per_event: round(median(keys)),
    journal_mb_per_cpu_second: round(median(bulk), 0),
    rows_per_cpu_second: round(median(rows), 0),
  }
}

/** One session with that many outputs, a written() for each as the road asks for it; then all of it as rows. */
async function record(events: number, output: Buffer) {
  const dir = mkdtempSync(join(tmpdir(), 'sallyport-bench-'))
  try {
    const journal = openJournal({ dir, worker: 'bench', clock: wallClock, log: silent, limits })
    const recording = journal.open(start())
    const from = process.cpuUsage()
    for (let i = 0; i < events; i++) {
      recording.take('o', output)
      if (i % 2 === 1) await new Promise<unknown>((resolve) => recording.written(resolve))
    }
    const cpu = seconds(from)
    await journal.close()
    const slices = slicesBelow(dir)
    const scratch = new Scratch()
    const tables = new Tables(scratch)
    const lines = new SearchRows(scratch)
    const before = process.cpuUsage()
    let count = 0
    for (const slice of slices) {
      for (const table of tables.of(dir, [slice], false)) count += table.count
      count += lines.of(dir, [slice]).count
    }
    return { events, cpu, megabytes: (events * output.length) / 1e6, rowsPerSecond: count / seconds(before) }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function seconds(from: NodeJS.CpuUsage): number {
  const { system, user } = process.cpuUsage(from)
  return (system + user) / 1e6
}

const slicesBelow = (dir: string): readonly Slice[] =>
  readdirSync(dir, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name: journal }) =>
      readdirSync(join(dir, journal))
        .filter(isSegmentName)
        .map((segment) => ({ journal, segment, from: MAGIC.length, to: statSync(join(dir, journal, segment)).size })),
    )

const start = (): SessionStart => ({
  id: randomUUID() as string as SessionId,
  grant: '1' as GrantId,
  subject: 'https://idp|1' as Subject,
  username: 'alice' as Username,
  target: 'prod-db',
  role: 'operator',
  protocol: 'ssh',
  account: 'deploy',
  channel: 'exec',
  command: '',
  clientAddress: '127.0.0.1',
  clientVersion: 'bench',
  reason: 'bench',
  startedAt: wallClock.now(),
  terminal: undefined,
})
