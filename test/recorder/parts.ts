/** Builders for the recorder's tests. */
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SessionEnd, SessionId, SessionStart } from '../../gateway/model/event.ts'
import type { GrantId } from '../../gateway/model/grant.ts'
import type { Subject, Username } from '../../gateway/model/identity.ts'
import { type Log, silent } from '../../gateway/model/log.ts'
import { type Moment, wallClock } from '../../gateway/model/moment.ts'
import { type Journal, openJournal } from '../../gateway/recorder/recorder.ts'
import { isSegment, type JournalRecord, MAGIC, records, segmentNumber } from '../../gateway/recorder/segment.ts'

export const roomy = { maxJournalBytes: 8e9, minFreeBytes: 0 }

export const terminal = { columns: 80, rows: 24, type: 'xterm-256color' }

export function sessionStart(more: Partial<SessionStart> = {}): SessionStart {
  return {
    id: randomUUID() as string as SessionId,
    grant: '17' as GrantId,
    subject: 'https://idp|1' as Subject,
    username: 'alice' as Username,
    target: 'prod-db',
    role: 'operator',
    protocol: 'ssh',
    account: 'deploy',
    channel: 'shell',
    command: '',
    clientAddress: '127.0.0.1',
    clientVersion: 'OpenSSH_9.2',
    reason: 'INC-42',
    startedAt: wallClock.now(),
    terminal: undefined,
    ...more,
  }
}

export const sessionEnd = (more: Partial<SessionEnd> = {}): SessionEnd => ({
  endedAt: wallClock.now(),
  cause: 'exited',
  detail: '',
  exitCode: 0,
  ...more,
})

export const journalAt = (dir: string, log: Log = silent, worker = 'worker-1'): Journal =>
  openJournal({ dir, worker, clock: wallClock, log, limits: roomy })

/** Every sound record of every journal below `root`, in order. */
export function allRecords(root: string): readonly JournalRecord[] {
  return journalDirs(root).flatMap((dir) =>
    readdirSync(dir)
      .filter((name) => name.endsWith('.seg'))
      .toSorted()
      .flatMap((name) => {
        const bytes = readFileSync(path.join(dir, name))
        return isSegment(bytes) ? [...records(bytes, MAGIC.length, segmentNumber(name))] : []
      }),
  )
}

export const journalDirs = (root: string): readonly string[] =>
  readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => path.join(root, entry.name))
    .toSorted()

export const written = (recording: { written(then: (failure: unknown) => void): void }): Promise<unknown> =>
  new Promise((resolve) => recording.written(resolve))

export const moment = (ms: number): Moment => ms as Moment

/** The program of a worker that is going to be killed. */
export const writingWorker: string = fileURLToPath(import.meta.resolve('./writing-worker.ts'))

export async function collect<T>(from: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of from) all.push(one)
  return all
}
