/** Closes the journal of a worker that was killed: what was held is decided, sessions that ran get their end, chains their last checkpoint. */
import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, readdirSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { ALERT_MARK } from '../model/alert.ts'
import type { Moment } from '../model/moment.ts'
import { Chain, type SigningKey, signCheckpoint } from './chain.ts'
import { readHold } from './hold.ts'
import { markClosed, readOwner } from './owner.ts'
import { isEventKind } from './row-binary.ts'
import {
  idBytes,
  isSegment,
  type JournalRecord,
  linkOf,
  MAGIC,
  type RecordingNote,
  type RecordKind,
  records,
  type SessionEntry,
  segmentName,
  segmentNumber,
  sizeOf,
  uuidOf,
  writeRecord,
} from './segment.ts'
import { segmentsOf } from './shelf.ts'
import { syncDirectory } from './writer.ts'

type Unfinished = { entry: SessionEntry; version: number; seq: number; readonly chain: Chain }

/** May run again after it was interrupted. Returns how many sessions it ended. */
export async function recover(dir: string, key: SigningKey): Promise<number> {
  const found = await read(dir)
  const out = new Closing(key, found.lastAt as Moment, found.lastSegment + 1)
  for (const session of found.sessions.values()) {
    const hold = path.join(dir, `${session.entry.start.id}.hold`)
    out.session(session, existsSync(hold) ? readHold(hold) : [], found.audit)
  }
  if (found.audit !== undefined) out.seal(found.audit)
  if (out.bytes.length > 0) {
    const name = segmentName(found.lastSegment + 1)
    const fd = openSync(path.join(dir, `${name}.next`), 'w', 0o600)
    writeSync(fd, Buffer.concat([MAGIC, out.bytes]))
    fsyncSync(fd)
    closeSync(fd)
    renameSync(path.join(dir, `${name}.next`), path.join(dir, name))
    syncDirectory(dir)
  }
  for (const name of readdirSync(dir)) if (name.endsWith('.hold')) unlinkSync(path.join(dir, name))
  markClosed(dir)
  return found.sessions.size
}

/** What the segments say at their end. */
async function read(dir: string) {
  const sessions = new Map<string, Unfinished>()
  const owner = readOwner(dir)
  let audit = owner === undefined ? undefined : new Chain(idBytes(owner.chain))
  let lastAt = 0
  const segments = segmentsOf(dir)
  for (const name of segments) {
    const bytes = await readFile(path.join(dir, name))
    if (!isSegment(bytes)) continue
    for (const record of records(bytes, MAGIC.length, segmentNumber(name))) {
      lastAt = Math.max(lastAt, record.at)
      if (record.kind === 'A') audit?.add(record.link, record.seq)
      else if (record.kind === 'C' && audit?.id.equals(record.id) === true) audit = sealed(audit, record)
      else take(sessions, record)
    }
  }
  return { sessions, audit, lastAt, lastSegment: segmentNumber(segments.at(-1) ?? '0') }
}

function take(sessions: Map<string, Unfinished>, record: JournalRecord): void {
  const id = uuidOf(record.id)
  const session = sessions.get(id)
  if (record.kind === 'S') {
    const entry = JSON.parse(record.data.toString()) as SessionEntry
    if (entry.end !== undefined) sessions.delete(id)
    else if (session === undefined) {
      const { seq, head } = entry.sealed
      const resume = seq === 0 ? undefined : { seq, head: Buffer.from(head, 'hex') }
      const chain = new Chain(Buffer.from(record.id), resume)
      sessions.set(id, { entry, version: record.seq, seq: entry.events, chain })
    } else {
      session.entry = entry
      session.version = record.seq
    }
  } else if (session === undefined) return
  else if (record.kind === 'C') sessions.set(id, { ...session, chain: sealed(session.chain, record) })
  else if (isEventKind(record.kind)) {
    // After a gap (older segments are gone) only a checkpoint can tell where the chain stands.
    if (record.seq === session.chain.seq + 1) session.chain.add(record.link, record.seq)
    session.seq = Math.max(session.seq, record.seq)
    if (record.seq > session.entry.events) session.entry = counted(session.entry, record)
  }
}

/** The chain after a checkpoint that was signed while it lived. */
const sealed = (chain: Chain, checkpoint: JournalRecord): Chain =>
  new Chain(chain.id, { seq: checkpoint.seq, head: Buffer.from(checkpoint.data.subarray(0, 32)) })

function counted(entry: SessionEntry, { seq, kind, data }: Pick<JournalRecord, 'seq' | 'kind' | 'data'>): SessionEntry {
  const bytesIn = kind === 'i' ? data.length : kind === 'k' ? Number(data.toString()) : 0
  const bytesOut = kind === 'o' || kind === 'e' ? data.length : 0
  return {
    ...entry,
    events: seq,
    bytesIn: entry.bytesIn + bytesIn,
    bytesOut: entry.bytesOut + bytesOut,
    statements: entry.statements + (kind === 's' ? 1 : 0),
    denials: entry.denials + (kind === 's' && data.includes('"verdict":{"decision":"deny"') ? 1 : 0),
    alerts: (entry.alerts ?? 0) + (kind === 'm' && data.toString().startsWith(ALERT_MARK) ? 1 : 0),
  }
}

/** The records of the last segment. */
class Closing {
  readonly #key: SigningKey
  readonly #now: Moment
  readonly #segment: number
  bytes: Buffer = Buffer.alloc(0)

  constructor(key: SigningKey, now: Moment, segment: number) {
    this.#key = key
    this.#now = now
    this.#segment = segment
  }

  session(session: Unfinished, held: ReturnType<typeof readHold>, audit: Chain | undefined): void {
    const { chain } = session
    let { entry, seq } = session
    const isWhole = chain.seq === seq
    for (const { kind, at, data } of held) {
      seq += 1
      chain.add(this.#write({ id: chain.id, seq, at, kind, data }), seq)
      entry = counted(entry, { seq, kind, data })
    }
    if (isWhole) this.seal(chain)
    const end = {
      endedAt: this.#now,
      cause: 'crashed',
      detail: 'The gateway process was killed.',
      exitCode: undefined,
    } as const
    const { seq: sealedSeq, head } = chain.sealed
    const last: SessionEntry = { ...entry, end, sealed: { seq: sealedSeq, head: head.toString('hex') } }
    this.#write({ id: chain.id, seq: session.version + 1, at: this.#now, kind: 'S', data: JSON.stringify(last) })
    if (audit === undefined) return
    const { start, ...totals } = last
    const note: RecordingNote = {
      id: randomUUID(),
      at: this.#now,
      kind: 'recording.ended',
      session: start.id,
      grant: start.grant,
      totals,
    }
    const next = audit.seq + 1
    audit.add(this.#write({ id: audit.id, seq: next, at: this.#now, kind: 'A', data: JSON.stringify(note) }), next)
  }

  seal(chain: Chain): void {
    if (chain.loose === 0) return
    const { seq, head } = chain.seal()
    const checkpoint = { id: chain.id, seq, at: this.#now, head }
    this.#write({ ...checkpoint, kind: 'C', data: signCheckpoint(this.#key, checkpoint) })
  }

  /** Returns what its chain takes of it. */
  #write(record: {
    readonly id: Buffer
    readonly seq: number
    readonly at: number
    readonly kind: RecordKind
    readonly data: Buffer | string
  }): Buffer {
    const bytes = Buffer.alloc(sizeOf(record.data))
    writeRecord(bytes, 0, record, this.#segment)
    this.bytes = Buffer.concat([this.bytes, bytes])
    return linkOf(bytes)
  }
}
