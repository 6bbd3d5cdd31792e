/** Rows of `audit.lines` from what was shipped: derived, for search, never evidence. Remembers unfinished lines between batches. */
import path from 'node:path'
import type { StatementRecord } from '../model/event.ts'
import type { Scratch, Slice } from './batch.ts'
import { ShownLines, TypedLines } from './lines.ts'
import { Rows } from './row-binary.ts'
import { type JournalRecord, records, segmentNumber, type SessionEntry } from './segment.ts'

type Source = 'shown' | 'typed' | 'statement'
type Reader = { readonly shown: ShownLines; readonly typed: TypedLines; second: number; bytes: number }

const SOURCES: Readonly<Record<Source, number>> = { shown: 1, typed: 2, statement: 3 }
/** Of each session in each second: what is more is a file that went by, not something a person read. */
const MAX_SHOWN_BYTES = 256 * 1024
const MAX_LINE_BYTES = 16 * 1024
/** A chunk with a zero byte up to there is no text. */
const MAX_LOOKED_AT = 1_024
const MAX_SESSIONS = 10_000

export class SearchRows {
  readonly #readers = new Map<string, Reader>()
  readonly #rows = new Rows()
  readonly #scratch: Scratch
  #record: JournalRecord | undefined
  #n = 0

  constructor(scratch: Scratch) {
    this.#scratch = scratch
  }

  /** RowBinary of (session_id, seq, ts, n, source, text) of slices that were found sound. Valid until the next ones. */
  of(root: string, slices: readonly Slice[]): { readonly rows: Buffer; readonly count: number } {
    this.#rows.clear()
    for (const { journal, segment, from, to } of slices) {
      const bytes = this.#scratch.again(path.join(root, journal, segment), from, to - from)
      for (const record of records(bytes, 0, segmentNumber(segment), true)) this.#take(record)
    }
    this.#record = undefined
    return { rows: this.#rows.bytes, count: this.#rows.count }
  }

  #take(record: JournalRecord): void {
    const { id, kind, data } = record
    this.#record = record
    this.#n = 0
    const key = id.toString('hex')
    if (kind === 'S') this.#row(key, JSON.parse(data.toString()) as SessionEntry)
    else if (kind === 's') this.#add('statement', (JSON.parse(data.toString()) as StatementRecord).text)
    else if (kind === 'o' || kind === 'e') this.#show(this.#reader(key), record)
    else if (kind === 'i') this.#readers.get(key)?.typed.write(data)
    else if (kind === 'r') this.#readers.get(key)?.shown.resize(Number.parseInt(data.toString(), 10) || 80)
  }

  #row(key: string, { start, end }: SessionEntry): void {
    const reader = this.#readers.get(key)
    if (end === undefined) {
      if (reader === undefined && start.protocol === 'ssh') this.#reader(key, start.terminal?.columns)
      return
    }
    reader?.shown.commit()
    reader?.typed.commit()
    this.#readers.delete(key)
  }

  #show(reader: Reader, { at, data }: JournalRecord): void {
    const second = Math.floor(at / 1_000)
    if (second !== reader.second) {
      reader.second = second
      reader.bytes = 0
    }
    if (reader.bytes > MAX_SHOWN_BYTES || data.subarray(0, MAX_LOOKED_AT).includes(0)) return
    reader.bytes += data.length
    reader.shown.write(data.subarray(0, MAX_SHOWN_BYTES))
  }

  #reader(key: string, columns = 80): Reader {
    const known = this.#readers.get(key)
    if (known !== undefined) return known
    const oldest = this.#readers.keys().next()
    if (this.#readers.size >= MAX_SESSIONS && oldest.done !== true) this.#readers.delete(oldest.value)
    const reader: Reader = {
      shown: new ShownLines((text) => this.#add('shown', text), columns),
      typed: new TypedLines((text) => this.#add('typed', text)),
      second: 0,
      bytes: 0,
    }
    this.#readers.set(key, reader)
    return reader
  }

  #add(source: Source, text: string): void {
    const record = this.#record
    if (record === undefined || this.#n > 0xffff) return
    const bytes = Buffer.from(text).subarray(0, MAX_LINE_BYTES)
    this.#rows.begin(record.id, record.seq, record.at, bytes.length + 16)
    this.#rows.small(this.#n, SOURCES[source])
    this.#rows.string(bytes)
    this.#n += 1
  }
}
