/** A batch: slices of journals as rows for the tables of the audit store. The same slices always give the same bytes. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import path from 'node:path'
import { isEventKind, Rows } from './row-binary.ts'
import { type JournalRecord, records, segmentNumber } from './segment.ts'

/** `from` up to, not including, `to`: whole records of one segment of one journal. */
export type Slice = {
  readonly journal: string
  readonly segment: string
  readonly from: number
  readonly to: number
}

type Kept = Pick<JournalRecord, 'id' | 'seq' | 'at' | 'data'>

export type TableRows = { readonly into: string; readonly rows: Buffer; readonly count: number }

/** Names the batch for the store's deduplication: the same slices of the same gateway are the same batch, for ever. */
export const tokenOf = (gateway: string, slices: readonly Slice[]): string =>
  createHash('sha256')
    .update(
      [gateway, ...slices.map(({ journal, segment, from, to }) => `${journal}/${segment}/${from}-${to}`)].join('\n'),
    )
    .digest('hex')
    .slice(0, 32)

/** Makes the rows of one batch after the other in the same memory. */
export class Tables {
  readonly #scratch: Scratch
  readonly #events = new Rows()
  readonly #checkpoints = new Rows()
  readonly #audit = new Rows()
  readonly #sessions = new Rows()

  constructor(scratch: Scratch) {
    this.#scratch = scratch
  }

  /**
   * In this order: a session's end is never seen before its events. Valid until the next batch.
   * `isChecked`: the slices were found sound a moment ago.
   */
  of(root: string, slices: readonly Slice[], isChecked: boolean): readonly TableRows[] {
    const [events, checkpoints, audit, sessions] = [this.#events, this.#checkpoints, this.#audit, this.#sessions]
    for (const rows of [events, checkpoints, audit, sessions]) rows.clear()
    const latest = new Map<string, Kept>()
    for (const { journal, segment, from, to } of slices) {
      const file = path.join(root, journal, segment)
      const bytes = isChecked ? this.#scratch.again(file, from, to - from) : this.#scratch.read(file, from, to - from)
      for (const record of records(bytes, 0, segmentNumber(segment), isChecked)) {
        const { id, seq, at, kind, data } = record
        if (isEventKind(kind)) {
          events.begin(id, seq, at, data.length + 8)
          events.kind(kind)
          events.string(data)
        } else if (kind === 'A') {
          audit.begin(id, seq, at, data.length + 8)
          audit.string(data)
        } else if (kind === 'C') {
          checkpoints.begin(id, seq, at, data.length)
          checkpoints.fixed(data)
        } else latest.set(id.toString('hex'), { id: Buffer.from(id), seq, at, data: Buffer.from(data) })
      }
    }
    for (const { id, seq, at, data } of latest.values()) {
      sessions.begin(id, seq, at, data.length + 8)
      sessions.string(data)
    }
    return [
      { into: 'audit.events (session_id, seq, ts, kind, data)', rows: events.bytes, count: events.count },
      {
        into: 'audit.checkpoints (id, seq, ts, head, signature, key_id)',
        rows: checkpoints.bytes,
        count: checkpoints.count,
      },
      { into: 'audit.audit_log (chain, seq, ts, entry)', rows: audit.bytes, count: audit.count },
      { into: 'audit.sessions (session_id, version, ts, entry)', rows: sessions.bytes, count: sessions.count },
    ].filter((table) => table.count > 0)
  }
}

/** Reads pieces of journals into the same memory, one after the other. */
export class Scratch {
  #bytes: Buffer = Buffer.alloc(0)
  #last = { file: '', from: 0, length: 0 }

  /** Fewer bytes where the file ends. Valid until the next read. */
  read(file: string, from: number, length: number): Buffer {
    if (this.#bytes.length < length)
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(length, this.#bytes.length * 2, 64 * 1024))
    this.#last = { file, from, length: 0 }
    const bytes = readInto(this.#bytes, file, from, length)
    this.#last.length = bytes.length
    return bytes
  }

  /** Records that were read before: from memory, where they are the start of what was read last. */
  again(file: string, from: number, length: number): Buffer {
    const last = this.#last
    const isThere = file === last.file && from === last.from && length <= last.length
    return isThere ? this.#bytes.subarray(0, length) : this.read(file, from, length)
  }
}

/** Fewer bytes where the file ends. */
export const readBytes = (file: string, from: number, length: number): Buffer =>
  readInto(Buffer.allocUnsafe(length), file, from, length)

function readInto(bytes: Buffer, file: string, from: number, length: number): Buffer {
  const fd = openSync(file, 'r')
  try {
    let done = 0
    while (done < length) {
      const n = readSync(fd, bytes, done, length - done, from + done)
      if (n === 0) break
      done += n
    }
    return bytes.subarray(0, done)
  } finally {
    closeSync(fd)
  }
}
