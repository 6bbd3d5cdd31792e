/** Appends records to segment files: one write per turn of the event loop, fdatasync in the background, and a reserve for the last words. */
import { closeSync, fdatasync, fsyncSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { Refusal } from '../model/refusal.ts'
import type { Chain } from './chain.ts'
import { END, linkOf, MAGIC, OVERHEAD, type RecordKind, segmentName, sizeOf, writeRecord } from './segment.ts'
import { SegmentFile } from './segment-file.ts'

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
  /** What chains take of the records in the buffer. */
  #links: { readonly chain: Chain; readonly link: Buffer; readonly seq: number }[] = []
  #waiting: Then[] = []
  #turn: NodeJS.Immediate | undefined
  #isTicking = false
  #number = 0
  #segment: SegmentFile | undefined
  #retired: SegmentFile[] = []
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
    if (this.#length + need + END > this.#buffer.length) this.#grow(this.#length + need + END)
    const start = this.#length
    this.#length = writeRecord(this.#buffer, start, record, this.#number)
    this.#taken += need
    if (chain !== undefined)
      this.#links.push({ chain, link: linkOf(this.#buffer.subarray(start, this.#length)), seq: record.seq })
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
    const isFirst = this.#reserveAt === MAGIC.length
    const number = isFirst ? this.#number + 1 : this.#number
    let end = 0
    for (const chunk of chunks) end = writeRecord(bytes, end, chunk, number)
    try {
      writeSync(this.#reserve, bytes, 0, size, this.#reserveAt)
      fsyncSync(this.#reserve)
      if (isFirst) {
        this.#number = number
        renameSync(path.join(this.#parts.dir, RESERVE), path.join(this.#parts.dir, segmentName(number)))
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
    const old = this.#all()
    this.#retired = []
    this.#segment = undefined
    try {
      for (const segment of old) segment.close()
      this.#begin()
    } catch {
      return false
    }
    this.#length = 0
    this.#links = []
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
    this.#segment?.trim()
    for (const segment of this.#all()) segment.close()
    this.#retired = []
    this.#segment = undefined
    this.#failure ??= new Refusal('NOT_RECORDED', 'The recorder has been closed.')
    this.#dropReserve()
  }

  /** A new segment, and a reserve where there is no fresh one. */
  #begin(): void {
    const { dir } = this.#parts
    const number = this.#number + 1
    const segment = new SegmentFile(dir, number)
    try {
      if (this.#reserveAt !== MAGIC.length) this.#makeReserve()
      // A roll must not hold up what runs: its name is on disk before anything in it is called durable.
      if (this.#segment === undefined) syncDirectory(dir)
      else this.#hasNewName = true
    } catch (error) {
      segment.remove()
      throw error
    }
    if (this.#segment !== undefined) this.#retired.push(this.#segment)
    this.#number = number
    this.#segment = segment
  }

  #all(): readonly SegmentFile[] {
    return this.#segment === undefined ? this.#retired : [...this.#retired, this.#segment]
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
    const links = this.#links
    const segment = this.#segment
    this.#buffer = this.#spare ?? Buffer.allocUnsafe(BUFFER_BYTES)
    this.#spare = undefined
    this.#length = 0
    this.#links = []
    try {
      if (segment === undefined) throw new Error('No segment is open')
      segment.write(bytes, length)
    } catch (error) {
      this.#break(error, 'write')
      return
    }
    this.writes += 1
    this.#written += length
    // Only what the file has goes into a chain.
    for (const { chain, link, seq } of links) chain.add(link, seq)
    if (bytes.length <= MAX_PENDING) this.#spare = bytes
    if (segment !== undefined && segment.position >= SEGMENT_BYTES) this.#roll(segment)
    this.#scheduleSync()
    this.#parts.onWritten()
  }

  #roll(full: SegmentFile): void {
    full.trim()
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
      for (const { fd } of [...retired, ...(this.#segment === undefined ? [] : [this.#segment])]) await sync(fd)
      if (hasNewName) await syncNames(this.#parts.dir)
      this.syncs += 1
    } catch (error) {
      // A page that failed to reach the disk may be dropped by the kernel: asking again would lie.
      this.#break(error, 'fdatasync')
      return
    } finally {
      for (const segment of retired) segment.close()
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
    if (step === 'write') this.#segment?.trim()
    this.#length = 0
    this.#links = []
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
