/** The journals below one root as the shipper sees them: how far each is shipped, what comes next, what may go. */
import { randomUUID } from 'node:crypto'
import { linkSync, readdirSync, renameSync, rmSync, statfsSync, statSync, utimesSync } from 'node:fs'
import path from 'node:path'
import type { Log } from '../model/log.ts'
import type { Clock } from '../model/moment.ts'
import { readBytes, type Scratch, type Slice } from './batch.ts'
import { ownerState } from './owner.ts'
import {
  freeName,
  isFreeName,
  isSegment,
  isSegmentName,
  MAGIC,
  MAX_DATA,
  OVERHEAD,
  records,
  segmentNumber,
} from './segment.ts'
import { StateFile } from './state-file.ts'

type Position = { readonly segment: string; readonly offset: number }

/** What is on disk. `intent` was written before its batch was sent, and is sent again after a restart. */
type State = {
  readonly gateway: string
  readonly positions: Readonly<Record<string, Position>>
  readonly intent?: readonly Slice[] | undefined
}

export type Plan = {
  readonly slices: readonly Slice[]
  readonly rows: number
  readonly oldestAt: number
  readonly isFull: boolean
}

const STATE = 'shipper.state'
const MAX_ROWS = 20_000
const MAX_BYTES = 8 * 1024 * 1024
/** A store that does not sync may lose what it acknowledged a moment ago; and a worker can write over what is here, which is cheaper than a new file. */
const KEEP_MS = 15 * 60_000
/** At most this much is kept for both; nothing when the disk has less than `TIGHT_BYTES` left. */
const KEEP_BYTES = 512 * 1024 * 1024
const TIGHT_BYTES = 512 * 1024 * 1024
/** A segment with damage in it is kept, with its directory, until a person has looked at it. */
const DAMAGED = '.damaged'
const MAX_TORN_BYTES = 2 * 1024 * 1024

export class Shelf {
  readonly #root: string
  readonly #log: Log
  readonly #clock: Clock
  readonly #scratch: Scratch
  readonly #file: StateFile
  readonly #positions = new Map<string, Position>()
  /** Several gateways may fill one store: part of the names of batches. */
  readonly gateway: string
  #intent: readonly Slice[] | undefined
  #isSaved = true

  constructor(parts: { readonly dir: string; readonly log: Log; readonly clock: Clock; readonly scratch: Scratch }) {
    const root = parts.dir
    this.#root = root
    this.#log = parts.log
    this.#clock = parts.clock
    this.#scratch = parts.scratch
    this.#file = new StateFile(path.join(root, STATE))
    const state = (
      this.#file.text === '' ? { gateway: randomUUID(), positions: {} } : JSON.parse(this.#file.text)
    ) as State
    for (const [journal, position] of Object.entries(state.positions)) this.#positions.set(journal, position)
    this.#intent = state.intent
    this.gateway = state.gateway
  }

  /** A batch that was begun and of which nobody knows whether it arrived. */
  get intent(): readonly Slice[] | undefined {
    return this.#intent
  }

  journals(): readonly string[] {
    return readdirSync(this.#root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .toSorted()
  }

  /** What is to be sent next; undefined when all is sent. Moves on over ends of segments. */
  plan(): Plan | undefined {
    const slices: Slice[] = []
    let rows = 0
    let bytes = 0
    let oldestAt = Number.POSITIVE_INFINITY
    let isFull = false
    for (const journal of this.journals()) {
      const next = this.#next(journal, MAX_ROWS - rows, MAX_BYTES - bytes)
      if (next === undefined) continue
      slices.push(next.slice)
      rows += next.rows
      bytes += next.slice.to - next.slice.from
      oldestAt = Math.min(oldestAt, next.oldestAt)
      isFull ||= next.isCut
      if (rows >= MAX_ROWS || bytes >= MAX_BYTES) break
    }
    return slices.length === 0 ? undefined : { slices, rows, oldestAt, isFull }
  }

  /** On disk when this returns. */
  begin(slices: readonly Slice[]): void {
    this.#intent = slices
    this.#save()
  }

  /** The store has them. */
  finish(slices: readonly Slice[]): void {
    for (const { journal, segment, to } of slices) this.#positions.set(journal, { segment, offset: to })
    this.#intent = undefined
    this.#isSaved = false
  }

  /** Writes down what is finished, gives it to its worker to be written over, and throws away what has been finished for long, or is too much to keep. */
  tidy(): void {
    const now = this.#clock.now()
    if (!this.#isSaved) this.#save()
    const { bavail, bsize } = statfsSync(this.#root)
    const shipped = this.#shipped()
    let kept = bavail * bsize < TIGHT_BYTES ? 0 : KEEP_BYTES
    for (const { file, at, size } of shipped.toSorted((a, b) => b.at - a.at)) {
      kept -= size
      // Its worker may have taken it just now.
      if (kept < 0 || now - at > KEEP_MS) rmSync(file, { force: true })
      else if (isSegmentName(path.basename(file)) && ownerState(path.dirname(file)) === 'alive')
        renameSync(file, freeName(file))
    }
    for (const journal of this.journals()) this.#clearAway(journal, now)
  }

  close(): void {
    this.#file.close()
  }

  /** Bytes that are not sent yet. */
  backlog(): number {
    let sum = 0
    for (const journal of this.journals()) {
      const position = this.#positions.get(journal)
      const dir = path.join(this.#root, journal)
      for (const name of segmentsOf(dir)) {
        if (position !== undefined && name < position.segment) continue
        const size = statSync(path.join(dir, name), { throwIfNoEntry: false })?.size ?? 0
        sum += Math.max(0, size - (name === position?.segment ? position.offset : MAGIC.length))
      }
    }
    return sum
  }

  #next(
    journal: string,
    maxRows: number,
    maxBytes: number,
  ): { readonly slice: Slice; readonly rows: number; readonly oldestAt: number; readonly isCut: boolean } | undefined {
    const dir = path.join(this.#root, journal)
    for (;;) {
      // Asked before the bytes are read: whoever has begun a next segment, or is gone, writes no more into this one.
      const isOver = ownerState(dir) !== 'alive'
      const segments = segmentsOf(dir)
      const position = this.#positions.get(journal) ?? { segment: segments[0] ?? '', offset: 0 }
      const after = segments.find((name) => name > position.segment)
      if (!segments.includes(position.segment)) {
        if (after === undefined) return undefined
        this.#positions.set(journal, { segment: after, offset: 0 })
        continue
      }
      const found = this.#scan(path.join(dir, position.segment), position.offset, maxRows, maxBytes)
      if (found.rows > 0) {
        const { from, to, rows, oldestAt, isCut } = found
        return { slice: { journal, segment: position.segment, from, to }, rows, oldestAt, isCut }
      }
      if (after === undefined && !isOver) return undefined
      if (found.rest > 0) {
        const details = { journal, segment: position.segment, offset: found.to, bytes: found.rest }
        this.#log({ level: 'warn', room: 'recorder', message: 'a segment ends in a record that is not whole', details })
      }
      if (after === undefined) {
        if (found.rest > 0) {
          // A write that was cut is short. The link keeps what is more than that.
          const file = path.join(dir, position.segment)
          if (found.rest > MAX_TORN_BYTES) linkSync(file, `${file}${DAMAGED}`)
          this.#positions.set(journal, { segment: position.segment, offset: found.to + found.rest })
        }
        return undefined
      }
      const file = path.join(dir, position.segment)
      if (found.rest > 0) renameSync(file, `${file}${DAMAGED}`)
      // The time of the file says from now on since when it is finished.
      else utimesSync(file, this.#clock.now() / 1000, this.#clock.now() / 1000)
      this.#positions.set(journal, { segment: after, offset: 0 })
      this.#isSaved = false
    }
  }

  /** Whole records from an offset on. `rest`: bytes after them that are no record (0 where the segment ends cleanly or is being written). */
  #scan(file: string, offset: number, maxRows: number, maxBytes: number) {
    const size = statSync(file).size
    if (offset === 0 && !isSegment(readBytes(file, 0, MAGIC.length)))
      return { from: 0, to: 0, rows: 0, oldestAt: 0, isCut: false, rest: size }
    const from = Math.max(offset, MAGIC.length)
    const window = Math.min(size - from, Math.max(maxBytes, MAX_DATA + OVERHEAD))
    if (window <= 0) return { from, to: from, rows: 0, oldestAt: 0, isCut: false, rest: 0 }
    const bytes = this.#scratch.read(file, from, window)
    const reader = records(bytes, 0, segmentNumber(path.basename(file)))
    let rows = 0
    let to = from
    let oldestAt = Number.POSITIVE_INFINITY
    for (;;) {
      const step = reader.next()
      if (step.done === true) {
        const isCut = from + window < size && (step.value === 'torn' || to === from + window)
        return { from, to, rows, oldestAt, isCut, rest: step.value === 'torn' ? size - to : 0 }
      }
      if (rows >= maxRows || (rows > 0 && step.value.next > maxBytes))
        return { from, to, rows, oldestAt, isCut: true, rest: 0 }
      rows += 1
      to = from + step.value.next
      oldestAt = Math.min(oldestAt, step.value.at)
    }
  }

  /** Whole segments that the store has, free ones among them. */
  #shipped(): readonly { readonly file: string; readonly at: number; readonly size: number }[] {
    return [...this.#positions].flatMap(([journal, position]) => {
      const dir = path.join(this.#root, journal)
      return readdirSync(dir)
        .filter((name) => isFreeName(name) || (isSegmentName(name) && name < position.segment))
        .flatMap((name) => {
          const file = path.join(dir, name)
          const found = statSync(file, { throwIfNoEntry: false })
          return found === undefined ? [] : [{ file, at: found.mtimeMs, size: found.size }]
        })
    })
  }

  /** The journal of a worker that is gone goes when the store has all of it. */
  #clearAway(journal: string, now: number): void {
    const dir = path.join(this.#root, journal)
    const position = this.#positions.get(journal)
    const segments = segmentsOf(dir)
    if (segments.length === 0 && ownerState(dir) === 'closed') {
      this.#positions.delete(journal)
      rmSync(dir, { recursive: true })
      return
    }
    if (position === undefined || segments.length !== 1 || segments[0] !== position.segment) return
    const file = path.join(dir, position.segment)
    if (now - statSync(file).mtimeMs < KEEP_MS || ownerState(dir) !== 'closed') return
    if (this.#scan(file, position.offset, 1, 1).rows > 0) return
    if (readdirSync(dir).some((name) => name.endsWith(DAMAGED))) return
    this.#positions.delete(journal)
    this.#save()
    rmSync(dir, { recursive: true })
  }

  #save(): void {
    const state: State = { gateway: this.gateway, positions: Object.fromEntries(this.#positions), intent: this.#intent }
    this.#file.write(JSON.stringify(state))
    this.#isSaved = true
  }
}

export const segmentsOf = (dir: string): readonly string[] => readdirSync(dir).filter(isSegmentName).toSorted()
