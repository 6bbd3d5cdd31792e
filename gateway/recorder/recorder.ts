/** Front door: the journal of a worker, the shipper and ClickHouse of a gateway, and what auditors read. */
import type { AuditEvent } from '../model/event.ts'
import type { Log } from '../model/log.ts'
import type { Clock } from '../model/moment.ts'
import type { Library } from '../session/library.ts'
import type { Recorder } from '../session/recorder.ts'

/** Where an audit store listens, and as whom. */
export type AuditStore = { readonly url: string; readonly username: string; readonly password: string }

export type JournalLimits = {
  /** New sessions are refused while all journals together hold more than this. */
  readonly maxJournalBytes: number
  /** New sessions are refused while the disk has less than this left. */
  readonly minFreeBytes: number
}

export type JournalStats = {
  readonly state: 'open' | 'broken' | 'closed'
  readonly liveSessions: number
  readonly events: number
  readonly bytes: number
  readonly writes: number
  readonly syncs: number
}

/** Of one worker. */
export type Journal = Recorder & {
  /** Never throws: what cannot be written now is kept in memory (up to a limit) and written later. */
  audit(event: AuditEvent): void
  stats(): JournalStats
  /** Ends what is still open as `crashed`, signs, syncs and closes. */
  close(): Promise<void>
}

export type JournalParts = {
  /** `<dataDir>/journal`: the same for all workers and the shipper. */
  readonly dir: string
  /** A name like `worker-1`; a directory of its own is made below `dir`. */
  readonly worker: string
  readonly clock: Clock
  readonly log: Log
  readonly limits: JournalLimits
}

export type ShipperStats = {
  readonly state: 'shipping' | 'idle' | 'down'
  readonly backlogBytes: number
  /** Age of the oldest record that is not shipped. */
  readonly oldestMs: number
  readonly shippedRows: number
}

/** One per gateway. */
export type Shipper = {
  stats(): ShipperStats
  /** Ships what is there (at most for `graceMs`), then stops. */
  stop(graceMs?: number): Promise<void>
}

export type ShipperParts = {
  readonly dir: string
  readonly store: AuditStore
  readonly clock: Clock
  readonly log: Log
}

/** The embedded engine. Its url and users stay the same when the child is restarted. */
export type ClickHouse = {
  readonly shipper: AuditStore
  readonly auditor: AuditStore
  stop(): Promise<void>
}

export type ReadingRoom = Library & { close(): Promise<void> }

const soon = (): never => {
  throw new Error('The recorder is being built.')
}
export const openJournal: (parts: JournalParts) => Journal = soon
export const startShipper: (parts: ShipperParts) => Shipper = soon
/** `dir` is `<dataDir>/clickhouse`. Applies config/clickhouse/*.sql before it resolves. */
export const startClickHouse: (parts: { readonly dir: string; readonly log: Log }) => Promise<ClickHouse> = soon
export const openLibrary: (store: AuditStore) => ReadingRoom = soon
/** For a remote ClickHouse: applies config/clickhouse/*.sql with a user who may. */
export const migrate: (store: AuditStore) => Promise<void> = soon
