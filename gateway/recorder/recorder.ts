/** Front door: the journal of a worker, the shipper and ClickHouse of a gateway, and what auditors read. */
import type { Log } from '../model/log.ts'
import type { Clock } from '../model/moment.ts'
import type { AuditStore } from './store.ts'
import type { Library } from '../session/library.ts'

export { type ClickHouse, startClickHouse } from './clickhouse.ts'
export { type Journal, type JournalParts, type JournalStats, openJournal } from './journal.ts'
export { migrate } from './migrate.ts'
export type { JournalLimits } from './space.ts'
export type { AuditStore } from './store.ts'

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

export type ReadingRoom = Library & { close(): Promise<void> }

const soon = (): never => {
  throw new Error('The recorder is being built.')
}
export const startShipper: (parts: ShipperParts) => Shipper = soon
export const openLibrary: (store: AuditStore) => ReadingRoom = soon
