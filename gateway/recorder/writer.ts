/** Appends records to segment files: one write per turn of the event loop, fdatasync in the background, and a reserve for the last words. */
import { closeSync, fdatasync, fsyncSync, ftruncateSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { Refusal } from '../model/refusal.ts'
import type { Chain } from './chain.ts'
import { linkEnd, MAGIC, OVERHEAD, type RecordKind, segmentName, sizeOf, writeRecord } from './segment.ts'

export type WriterParts = {
  /** Exists, belongs to this process alone. */
  readonly dir: string
  /** After everybody who waited was told: nothing can be written any more. */
  readonly onBroken: (failure: Refusal) => void
  /** A new segment was begun: write down there what must not depend on older ones. */
  readonly onSegment: () => void
  /** After each write. */
  readonly onWritten: () => void
}

type Then = (failure: Refusal | undefined) => void

export const SEGMENT_BYTES: number = 16 * 1024 * 1024
const BUFFER_BYTES = 256 * 1024
/** More than this is written at once instead of at the end of the turn. */
const MAX_PENDING = 1024 * 1024
/** From a write to its fdatasync: while somebody waits for it, and while nobody does. */
const COMMIT_MS = 4
const LAZY_COMMIT_MS = 20
const RESERVE_BYTES = 1024 * 1024
const RESERVE = 'reserve'

const sync = promisify(fdatasync)

export class Writer {
  readonly #parts: WriterParts
  #buffer: Buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  #spare: Buffer | undefined = Buffer.allocUnsafe(BUFFER_BYTES)
  #length = 0
  /** Stretches of the buffer that one chain each takes, as chain, start, end, last seq. */
  #runs: { readonly chain: Chain; readonly start: number; end: number; seq: number }[] = []
  #waiting: Then[] = []
  #turn: NodeJS.Immediate | undefined
  #isTicking = false
  #number = 0
  #fd = -1
  #position = 0
  #retired: number[] = []
  #taken = 0
  #written = 0
  #synced = 0
  #syncers: { readonly upTo: number; readonly resolve: () => void; readonly reject: (why: Refusal) => void }[] = []
  #syncTimer: NodeJS.Timeout | undefined
  #syncing: Promise<void> | undefined
  /** A segment was begun, and its name is not on disk yet. */
  #hasNewName = false
  #reserve = -1
  #reserveAt = 0
  #failure: Refusal | undefined
  #telling = false
  writes = 0
  syncs = 0

  /** @throws when the first segment or the reserve cannot be made. */
  constructor(parts: WriterParts) {
    this.#parts = parts
    this.#begin()
  }

  get failure(): Refusal | undefined {
    return this.#failure
  }

  get bytes(): number {
    return this.#taken
  }

  /** Takes a record into memory. @throws {Refusal} NOT_RECORDED. */
  append(
    chain: Chain | undefined,
    record: {
      readonly id: Uint8Array
      readonly seq: number
      readonly at: number
      readonly kind: RecordKind
      readonly data: Uint8Array | string
    },
  ): void {
    if (this.#failure !== undefined) throw this.#failure
    const need = sizeOf(record.data)
    if (this.#length > 0 && this.#length + need > MAX_PENDING) {
      this.#write()
      if (this.#failure !== undefined) throw this.#failure
    }
    if (this.#length + need > this.#buffer.length) this.#grow(this.#length + need)
    const start = this.#length
    this.#length = writeRecord(this.#buffer, start, record)
    this.#taken += need
    if (chain !== undefined) {
      const last = this.#runs.at(-1)
      const end = linkEnd(this.#buffer, start)
      if (last !== undefined && last.chain === chain && last.end === start) {
        last.end = end
        last.seq = record.seq
      } else this.#runs.push({ chain, start, end, seq: record.seq })
    }
    this.#turn ??= setImmediate(this.#endTurn)
  }

  /** Calls back at the end of this turn or tick, once everything taken before has been given to the kernel. */
  written(then: Then, when: 'tick' | 'turn' = 'turn'): void {
    this.#waiting.push(then)
    if (when === 'turn') this.#turn ??= setImmediate(this.#endTurn)
    else if (!this.#isTicking) {
      this.#isTicking = true
      process.nextTick(this.#settle)
    }
  }

  durable(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#synced >= this.#taken) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#syncers.push({ upTo: this.#taken, resolve, reject })
      if (this.#syncTimer === undefined || this.#syncers.length > 1) return
      clearTimeout(this.#syncTimer)
      this.#syncTimer = undefined
      this.#scheduleSync()
    })
  }

  /** Writes what was taken so far now, without calling anybody back. */
  flush(): void {
    if (this.#length > 0) this.#write()
  }

  /**
   * The last words of a session after the writer broke: goes into space that was written beforehand.
   * Returns whether there was room.
   */
  lastWords(
    chunks: readonly {
      readonly id: Uint8Array
      readonly seq: number
      readonly at: number
      readonly kind: RecordKind
      readonly data: Uint8Array | string
    }[],
  ): boolean {
    if (this.#reserve < 0) return false
    const size = chunks.reduce((sum, chunk) => sum + sizeOf(chunk.data), 0)
    if (this.#reserveAt + size > RESERVE_BYTES - OVERHEAD) return false
    const bytes = Buffer.alloc(size)
    let end = 0
    for (const chunk of chunks) end = writeRecord(bytes, end, chunk)
    try {
      writeSync(this.#reserve, bytes, 0, size, this.#reserveAt)
      fsyncSync(this.#reserve)
      if (this.#reserveAt === MAGIC.length) {
        this.#number += 1
        renameSync(path.join(this.#parts.dir, RESERVE), path.join(this.#parts.dir, segmentName(this.#number)))
      }
    } catch {
      return false
    }
    this.#reserveAt += size
    return true
  }

  /** After a failure: tries a new segment. Returns whether things can be recorded again. */
  heal(): boolean {
    if (this.#failure === undefined) return true
    if (this.#telling || this.#syncing !== undefined) return false
    // The old file is not asked again: its pages may be gone.
    const old = [...this.#retired, this.#fd].filter((fd) => fd >= 0)
    this.#retired = []
    this.#fd = -1
    try {
      for (const fd of old) closeSync(fd)
      this.#begin()
    } catch {
      return false
    }
    this.#length = 0
    this.#runs = []
    this.#taken = this.#written = this.#synced
    this.#failure = undefined
    this.#parts.onSegment()
    return true
  }

  /** Writes and syncs everything, then gives the files back. */
  async close(): Promise<void> {
    clearImmediate(this.#turn)
    this.#endTurn()
    clearTimeout(this.#syncTimer)
    await this.#syncing
    if (this.#failure === undefined) await this.#sync()
    clearTimeout(this.#syncTimer)
    for (const fd of [...this.#retired, this.#fd]) if (fd >= 0) closeSync(fd)
    this.#retired = []
    this.#fd = -1
    this.#failure ??= new Refusal('NOT_RECORDED', 'The recorder has been closed.')
    this.#dropReserve()
  }

  /** A new segment, and a reserve where there is no fresh one. */
  #begin(): void {
    const { dir } = this.#parts
    const number = this.#number + 1
    const fd = openSync(path.join(dir, segmentName(number)), 'wx', 0o600)
    try {
      writeAll(fd, MAGIC, MAGIC.length)
      if (this.#reserveAt !== MAGIC.length) this.#makeReserve()
      // A roll must not hold up what runs: its name is on disk before anything in it is called durable.
      if (this.#fd < 0) syncDirectory(dir)
      else this.#hasNewName = true
    } catch (error) {
      closeSync(fd)
      unlinkSync(path.join(dir, segmentName(number)))
      throw error
    }
    if (this.#fd >= 0) this.#retired.push(this.#fd)
    this.#number = number
    this.#fd = fd
    this.#position = MAGIC.length
  }

  #makeReserve(): void {
    const file = path.join(this.#parts.dir, RESERVE)
    const fd = openSync(file, 'w', 0o600)
    try {
      const bytes = Buffer.alloc(RESERVE_BYTES)
      MAGIC.copy(bytes)
      writeAll(fd, bytes, bytes.length)
      fsyncSync(fd)
    } catch (error) {
      closeSync(fd)
      unlinkSync(file)
      throw error
    }
    if (this.#reserve >= 0) closeSync(this.#reserve)
    this.#reserve = fd
    this.#reserveAt = MAGIC.length
  }

  #dropReserve(): void {
    if (this.#reserve < 0) return
    closeSync(this.#reserve)
    if (this.#reserveAt === MAGIC.length) unlinkSync(path.join(this.#parts.dir, RESERVE))
    this.#reserve = -1
    this.#reserveAt = 0
  }

  #grow(need: number): void {
    const larger = Buffer.allocUnsafe(Math.max(need, Math.min(this.#buffer.length * 2, MAX_PENDING)))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }

  readonly #endTurn = (): void => {
    this.#turn = undefined
    this.#settle()
  }

  readonly #settle = (): void => {
    this.#isTicking = false
    if (this.#length > 0 && this.#failure === undefined) this.#write()
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const then of waiting) then(this.#failure)
  }

  #write(): void {
    const bytes = this.#buffer
    const length = this.#length
    const runs = this.#runs
    this.#buffer = this.#spare ?? Buffer.allocUnsafe(BUFFER_BYTES)
    this.#spare = undefined
    this.#length = 0
    this.#runs = []
    try {
      writeAll(this.#fd, bytes, length)
    } catch (error) {
      this.#break(error, 'write')
      return
    }
    this.writes += 1
    this.#position += length
    this.#written += length
    // Only what the file has goes into a chain.
    for (const run of runs) run.chain.add(bytes.subarray(run.start, run.end), run.seq)
    if (bytes.length <= MAX_PENDING) this.#spare = bytes
    if (this.#position >= SEGMENT_BYTES) this.#roll()
    this.#scheduleSync()
    this.#parts.onWritten()
  }

  #roll(): void {
    try {
      this.#begin()
    } catch (error) {
      this.#break(error, 'new segment')
      return
    }
    this.#parts.onSegment()
  }

  #scheduleSync(): void {
    if (this.#syncing !== undefined || this.#syncTimer !== undefined) return
    this.#syncTimer = setTimeout(
      () => {
        this.#syncTimer = undefined
        this.#syncing = this.#sync().finally(() => {
          this.#syncing = undefined
          if (this.#written > this.#synced && this.#failure === undefined) this.#scheduleSync()
        })
      },
      this.#syncers.length > 0 ? COMMIT_MS : LAZY_COMMIT_MS,
    )
  }

  async #sync(): Promise<void> {
    const upTo = this.#written
    const retired = this.#retired
    const hasNewName = this.#hasNewName
    this.#retired = []
    this.#hasNewName = false
    try {
      for (const fd of [...retired, this.#fd]) await sync(fd)
      if (hasNewName) await syncNames(this.#parts.dir)
      this.syncs += 1
    } catch (error) {
      // A page that failed to reach the disk may be dropped by the kernel: asking again would lie.
      this.#break(error, 'fdatasync')
      return
    } finally {
      for (const fd of retired) closeSync(fd)
    }
    this.#synced = Math.max(this.#synced, upTo)
    while ((this.#syncers[0]?.upTo ?? Number.POSITIVE_INFINITY) <= this.#synced) this.#syncers.shift()?.resolve()
  }

  #break(cause: unknown, step: string): void {
    if (this.#failure !== undefined) return
    const full = (cause as NodeJS.ErrnoException).code === 'ENOSPC'
    const failure = new Refusal(
      'NOT_RECORDED',
      full
        ? 'The session was stopped: the disk for recordings is full, and what cannot be recorded does not run.'
        : 'The session was stopped: the recording could not be written, and what cannot be recorded does not run.',
      { cause: new Error(`Journal: ${step} failed`, { cause }) },
    )
    this.#failure = failure
    try {
      if (step === 'write') ftruncateSync(this.#fd, this.#position)
    } catch {
      // The torn record stays; readers stop before it.
    }
    this.#length = 0
    this.#runs = []
    const syncers = this.#syncers
    this.#syncers = []
    for (const syncer of syncers) syncer.reject(failure)
    const waiting = this.#waiting
    this.#waiting = []
    this.#telling = true
    setImmediate(() => {
      this.#telling = false
      for (const then of waiting) then(failure)
      this.#parts.onBroken(failure)
    })
  }
}

function writeAll(fd: number, bytes: Buffer, length: number): void {
  let done = 0
  while (done < length) done += writeSync(fd, bytes, done, length - done)
}

async function syncNames(dir: string): Promise<void> {
  const handle = await open(dir, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

export function syncDirectory(dir: string): void {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
