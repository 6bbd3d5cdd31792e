/** Front door: the journal of a worker, the shipper and ClickHouse of a gateway, and what auditors read. */
export { type ClickHouse, startClickHouse } from './clickhouse.ts'
export { type Journal, type JournalParts, type JournalStats, openJournal } from './journal.ts'
export { openLibrary, type ReadingRoom } from './library.ts'
export { migrate } from './migrate.ts'
export { type Shipper, type ShipperParts, type ShipperStats, startShipper } from './shipper.ts'
export type { JournalLimits } from './space.ts'
export type { AuditStore } from './store.ts'
