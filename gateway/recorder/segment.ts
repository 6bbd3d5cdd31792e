/**
 * The journal's file format: segments of records with a length and a checksum. Sans-IO.
 *
 *   segment = MAGIC record*
 *   record  = u32 check · u32 length of the body · body
 *   record  = u32 check · u32 length of the body · 32 bytes SHA-256 of the body · body, where the length is {@link LARGE} or more
 *   body    = 16 bytes id · u32 seq · u48 ms · u8 kind · data
 *   check   = CRC-32 of what follows (of a large record: of length and digest), begun with the number of the segment
 *
 * A file can hold an older segment behind the records that were written so far (segment-file.ts): no record of it passes for one of this segment.
 * All integers little endian. Kinds in lower case are events of sessions (model/event.ts), the upper case ones are the journal's own:
 * `S` a row of the list of sessions (seq: its version, data: JSON {@link SessionEntry}), `A` an audit event or a {@link RecordingNote} as JSON (id: the journal's own chain),
 * `C` a checkpoint of a chain (seq: the last one it covers, data: head, signature, key id). A record of {@link END} zeros ends a segment that goes on with something else.
 */
import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { EventKind, SessionEnd, SessionId, SessionStart } from '../model/event.ts'
import type { GrantId } from '../model/grant.ts'
import type { Moment } from '../model/moment.ts'

export const MAGIC: Buffer = Buffer.from('SALLYJ02')
/** Of a body: one digest of so many bytes costs less than a checksum and a place in the chain's own digest. */
export const LARGE: number = 8 * 1024
/** Bytes of a body that are not data. */
const FIELDS = 27
const CHECK = 4
const LENGTH = 4
const DIGEST = 32
/** Bytes of a record that are not data, at most. */
export const OVERHEAD: number = CHECK + LENGTH + DIGEST + FIELDS
/** Bytes of the mark at the end. */
export const END: number = CHECK + LENGTH
/** Longer data never comes from a journal: a length beyond it is damage. */
export const MAX_DATA: number = 8 * 1024 * 1024

export type RecordKind = EventKind | 'S' | 'A' | 'C'

/** What the row of a session says; the last version holds. */
export type SessionEntry = {
  readonly start: SessionStart
  readonly end?: SessionEnd | undefined
  /** Number of the last event. */
  readonly events: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly statements: number
  readonly denials: number
  /** Lines that raised an alarm; absent in rows of before there were any. */
  readonly alerts?: number
  /** The last checkpoint: head in hex. */
  readonly sealed: { readonly seq: number; readonly head: string }
}

/** Stands in the audit log's chain beside the audit events, so that a whole session cannot go missing unseen. */
export type RecordingNote = {
  readonly id: string
  readonly at: Moment
  readonly session: SessionId
  readonly grant: GrantId
} & (
  | { readonly kind: 'recording.began'; readonly start: SessionStart }
  | { readonly kind: 'recording.ended'; readonly totals: Omit<SessionEntry, 'start'> }
)

export type JournalRecord = {
  /** Offset of its first byte and of the first byte after it. */
  readonly start: number
  readonly next: number
  readonly id: Buffer
  readonly seq: number
  readonly at: number
  readonly kind: RecordKind
  /** A view into the segment, as the next one. */
  readonly data: Buffer
  /** What a chain takes of it. */
  readonly link: Buffer
}

/** How many bytes {@link writeRecord} will need. */
export const sizeOf = (data: Uint8Array | string): number => sizeWith(bodyOf(data))

const bodyOf = (data: Uint8Array | string): number =>
  FIELDS + (typeof data === 'string' ? Buffer.byteLength(data) : data.length)

const sizeWith = (body: number): number => headOf(body) + body

/** Bytes of a record before its body. */
const headOf = (body: number): number => CHECK + LENGTH + (body < LARGE ? 0 : DIGEST)

/**
 * What a chain takes of a record: length and body of a small one, length and digest of a large one.
 * The length says which, so links that stand one after the other can be told apart in one way only. A view.
 */
export function linkOf(record: Buffer): Buffer {
  const body = record.readUInt32LE(CHECK)
  return record.subarray(CHECK, body < LARGE ? sizeWith(body) : headOf(body))
}

/** Writes one record of the segment with that number at `offset`; there must be room for it. Returns the offset after it. */
export function writeRecord(
  into: Buffer,
  offset: number,
  record: {
    readonly id: Uint8Array
    readonly seq: number
    readonly at: number
    readonly kind: RecordKind
    readonly data: Uint8Array | string
  },
  segment: number,
): number {
  const { data } = record
  const length = bodyOf(data)
  const body = offset + headOf(length)
  const end = body + length
  into.set(record.id, body)
  into.writeUInt32LE(record.seq, body + 16)
  into.writeUIntLE(record.at, body + 20, 6)
  into[body + 26] = record.kind.charCodeAt(0)
  if (typeof data === 'string') into.write(data, body + FIELDS)
  else into.set(data, body + FIELDS)
  into.writeUInt32LE(length, offset + CHECK)
  if (length >= LARGE) into.set(hash('sha256', into.subarray(body, end), 'buffer'), body - DIGEST)
  into.writeUInt32LE(crc32(into.subarray(offset + CHECK, length < LARGE ? end : body), segment), offset)
  return end
}

/** Whether these are the first bytes of a segment. */
export const isSegment = (bytes: Buffer): boolean => bytes.subarray(0, MAGIC.length).equals(MAGIC)

/**
 * Reads whole records of the segment with that number from `from` on, the offset of a record (the first one of a segment is at `MAGIC.length`). Returns why it stopped: `end` (nothing follows), `torn` (what follows is not a whole, sound record:
 * a write that was cut, or damage). `isChecked`: these very bytes were found sound before.
 */
export function* records(
  bytes: Buffer,
  from: number,
  segment: number,
  isChecked = false,
): Generator<JournalRecord, 'end' | 'torn'> {
  let start = from
  while (start < bytes.length) {
    if (start + END > bytes.length) return 'torn'
    const length = bytes.readUInt32LE(start + CHECK)
    if (length === 0) return 'end'
    const next = start + sizeWith(length)
    if (length < FIELDS || length > MAX_DATA + FIELDS || next > bytes.length) return 'torn'
    const whole = bytes.subarray(start, next)
    const body = whole.subarray(headOf(length))
    const link = linkOf(whole)
    if (!isChecked && !isSound(whole, link, body, segment)) return 'torn'
    yield {
      start,
      next,
      id: body.subarray(0, 16),
      seq: body.readUInt32LE(16),
      at: body.readUIntLE(20, 6),
      kind: String.fromCharCode(body[26] ?? 0) as RecordKind,
      data: body.subarray(FIELDS),
      link,
    }
    start = next
  }
  return 'end'
}

const isSound = (record: Buffer, link: Buffer, body: Buffer, segment: number): boolean =>
  crc32(link, segment) === record.readUInt32LE() &&
  (body.length < LARGE || hash('sha256', body, 'buffer').equals(link.subarray(LENGTH)))

export const segmentName = (n: number): string => `${String(n).padStart(8, '0')}.seg`
export const isSegmentName = (name: string): boolean => /^\d{8}\.seg$/.test(name)
/** A segment that the store has: whoever needs a new one may write over it. */
export const freeName = (segment: string): string => segment.replace(/seg$/, 'free')
export const isFreeName = (name: string): boolean => /^\d{8}\.free$/.test(name)
export const segmentNumber = (name: string): number => Number.parseInt(name, 10)

export const idBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex')
export function uuidOf(id: Buffer): string {
  const hex = id.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
