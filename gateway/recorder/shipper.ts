/** Brings what the journals hold to the audit store: at least once on the wire, exactly once to a reader. One per gateway. */
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClickHouseClient } from '@clickhouse/client'
import type { Log } from '../model/log.ts'
import type { Clock } from '../model/moment.ts'
import { Scratch, type Slice, Tables, tokenOf } from './batch.ts'
import { openSigningKey } from './chain.ts'
import { ownerState } from './owner.ts'
import { recover } from './recovery.ts'
import { SearchRows } from './search-rows.ts'
import { Shelf } from './shelf.ts'
import { type AuditStore, connect, insertRows } from './store.ts'

export type ShipperStats = {
  readonly state: 'shipping' | 'idle' | 'down'
  /** What is in the journals only. */
  readonly backlogBytes: number
  /** Age of the oldest record that is not shipped; 0 without any. */
  readonly oldestMs: number
  /** Since the start. */
  readonly shippedRows: number
}

export type Shipper = {
  stats(): ShipperStats
  /** Ships what is there, for at most `graceMs`, then stops. What remains is shipped after the next start. */
  stop(graceMs?: number): Promise<void>
}

export type ShipperParts = {
  /** `<dataDir>/journal`, as the workers have it. */
  readonly dir: string
  readonly store: AuditStore
  readonly clock: Clock
  readonly log: Log
}

const PAUSE_MS = 300
/** After a full batch the sessions have the processor for as long as it took, up to this. */
const MAX_REST_MS = 100
const FIRST_RETRY_MS = 250
const LONGEST_RETRY_MS = 5_000
const TIDY_MS = 1_000
/** While the store is out of reach, somebody is told this often. */
const ALARM_MS = 60_000

class JournalShipper implements Shipper {
  readonly #parts: ShipperParts
  readonly #shelf: Shelf
  readonly #client: ClickHouseClient
  readonly #stopping = new AbortController()
  readonly #cut = new AbortController()
  readonly #done: Promise<void>
  #state: ShipperStats['state'] = 'idle'
  #oldestAt: number | undefined
  #shippedRows = 0
  #retryMs = FIRST_RETRY_MS
  #tidiedAt = 0
  #alarmedAt = 0
  #stopped: Promise<void> | undefined
  readonly #scratch = new Scratch()
  readonly #tables = new Tables(this.#scratch)
  readonly #lines = new SearchRows(this.#scratch)
  #hasGaps = false
  readonly #unclosed = new Set<string>()

  constructor(parts: ShipperParts) {
    this.#parts = parts
    mkdirSync(parts.dir, { recursive: true, mode: 0o700 })
    this.#shelf = new Shelf({ ...parts, scratch: this.#scratch })
    this.#client = connect(parts.store)
    this.#done = this.#run()
  }

  stats(): ShipperStats {
    const oldestMs = this.#oldestAt === undefined ? 0 : Math.max(0, this.#parts.clock.now() - this.#oldestAt)
    return { state: this.#state, backlogBytes: this.#shelf.backlog(), oldestMs, shippedRows: this.#shippedRows }
  }

  stop(graceMs = 2_000): Promise<void> {
    this.#stopped ??= this.#stop(graceMs)
    return this.#stopped
  }

  async #stop(graceMs: number): Promise<void> {
    this.#stopping.abort()
    const late = setTimeout(() => this.#cut.abort(), graceMs)
    await this.#done
    clearTimeout(late)
    this.#shelf.close()
    await this.#client.close()
  }

  async #run(): Promise<void> {
    while (!this.#cut.signal.aborted) {
      const isStopping = this.#stopping.signal.aborted
      const from = this.#parts.clock.now()
      let pauseMs = PAUSE_MS
      try {
        const outcome = await this.#step()
        this.#wentWell()
        if (outcome === 'more') pauseMs = Math.min(Math.max(this.#parts.clock.now() - from, 0), MAX_REST_MS)
        else if (outcome === 'nothing' && isStopping) return
      } catch (error) {
        this.#wentWrong(error)
        if (isStopping) return
        pauseMs = this.#retryMs
        this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS)
      }
      if (pauseMs > 0 && !isStopping)
        await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
    }
  }

  async #step(): Promise<'more' | 'some' | 'nothing'> {
    const again = this.#shelf.intent
    if (again !== undefined) {
      await this.#send(again, false)
      return 'more'
    }
    await this.#recoverDead()
    const plan = this.#shelf.plan()
    this.#oldestAt = plan?.oldestAt
    if (plan === undefined) {
      this.#state = 'idle'
      this.#tidy()
      return 'nothing'
    }
    this.#state = 'shipping'
    this.#shelf.begin(plan.slices)
    await this.#send(plan.slices, true)
    this.#shippedRows += plan.rows
    this.#oldestAt = undefined
    this.#tidy()
    return plan.isFull ? 'more' : 'some'
  }

  async #send(slices: readonly Slice[], isChecked: boolean): Promise<void> {
    const token = tokenOf(this.#shelf.gateway, slices)
    for (const { into, rows } of this.#tables.of(this.#parts.dir, slices, isChecked))
      await insertRows(this.#client, into, rows, token, this.#cut.signal)
    await this.#sendLines(slices, token)
    this.#shelf.finish(slices)
  }

  /** Search may have gaps; recordings may not wait for it. */
  async #sendLines(slices: readonly Slice[], token: string): Promise<void> {
    try {
      const { rows, count } = this.#lines.of(this.#parts.dir, slices)
      const into = 'audit.lines (session_id, seq, ts, n, source, text)'
      if (count > 0) await insertRows(this.#client, into, rows, token, this.#cut.signal)
    } catch (error) {
      if (this.#hasGaps) return
      this.#hasGaps = true
      this.#parts.log({
        level: 'warn',
        room: 'recorder',
        message: 'search has a gap: lines could not be stored',
        error,
      })
    }
  }

  /** Sessions of workers that were killed get their end. What cannot be closed now is shipped as it is, and closed later. */
  async #recoverDead(): Promise<void> {
    for (const journal of this.#shelf.journals()) {
      const dir = path.join(this.#parts.dir, journal)
      if (ownerState(dir) !== 'dead') continue
      try {
        const sessions = await recover(dir, openSigningKey(this.#parts.dir))
        const message = 'the journal of a dead worker was closed'
        this.#parts.log({ level: 'warn', room: 'recorder', message, details: { journal, sessions } })
        this.#unclosed.delete(journal)
      } catch (error) {
        if (this.#unclosed.has(journal)) continue
        this.#unclosed.add(journal)
        const message = 'the journal of a dead worker cannot be closed now'
        this.#parts.log({ level: 'error', room: 'recorder', message, details: { journal }, error })
      }
    }
  }

  #tidy(): void {
    const now = this.#parts.clock.now()
    if (now - this.#tidiedAt < TIDY_MS && !this.#stopping.signal.aborted) return
    this.#tidiedAt = now
    this.#shelf.tidy()
  }

  #wentWell(): void {
    this.#retryMs = FIRST_RETRY_MS
    if (this.#state !== 'down') return
    this.#state = 'idle'
    this.#parts.log({ level: 'info', room: 'recorder', message: 'the audit store takes recordings again' })
  }

  #wentWrong(error: unknown): void {
    if (this.#cut.signal.aborted) return
    const now = this.#parts.clock.now()
    if (this.#state === 'down' && now - this.#alarmedAt < ALARM_MS) return
    this.#alarmedAt = now
    this.#state = 'down'
    const { backlogBytes, oldestMs } = this.stats()
    const message = 'the audit store takes no recordings; the journal keeps them'
    this.#parts.log({ level: 'error', room: 'recorder', message, details: { backlogBytes, oldestMs }, error })
  }
}

/** @throws when the journals' directory cannot be made or its state cannot be read. */
export const startShipper = (parts: ShipperParts): Shipper => new JournalShipper(parts)
