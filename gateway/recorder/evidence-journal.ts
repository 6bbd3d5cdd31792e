/** Evidence from journals: each segment's records against the chains and checkpoints that are written among them. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { readCheckpoint } from './chain.ts'
import { ChainCheck, type Damage, type Evidence, type Keys } from './evidence.ts'
import { sums } from './evidence-rows.ts'
import { readOwner } from './owner.ts'
import { isEventKind } from './row-binary.ts'
import { isSegment, type JournalRecord, MAGIC, records, type SessionEntry, segmentNumber, uuidOf } from './segment.ts'
import { segmentsOf } from './shelf.ts'

/** `root` is `<dataDir>/journal`. Segments that were shipped and thrown away are not missed. */
export function verifyJournals(root: string, keys: Keys): Evidence {
  const checks = new Map<string, ChainCheck>()
  const ends = new Map<string, number>()
  const damages: Damage[] = []
  const dirs = readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  for (const { name } of dirs) {
    const dir = path.join(root, name)
    const segments = segmentsOf(dir)
    const isCut = segmentNumber(segments[0] ?? '1') > 1
    const audit = readOwner(dir)?.chain
    const take = (record: JournalRecord): void => {
      const id = uuidOf(record.id)
      let check = checks.get(id)
      if (check === undefined) {
        const what = id === audit ? 'audit log' : 'session'
        check = new ChainCheck(what, Buffer.from(record.id), id, keys, isCut)
        checks.set(id, check)
      }
      if (record.kind === 'S') {
        const entry = JSON.parse(record.data.toString()) as SessionEntry
        if (entry.end !== undefined) ends.set(id, entry.events)
      } else if (record.kind === 'C') check.checkpoint(readCheckpoint(record))
      else if (record.kind === 'A' || isEventKind(record.kind)) check.record(record)
    }
    for (const segment of segments) {
      const bytes = readFileSync(path.join(dir, segment))
      const damage = readSegment(bytes, segmentNumber(segment), take)
      if (damage !== undefined && segment !== segments.at(-1))
        damages.push({
          what: 'audit log',
          id: name,
          from: damage,
          to: bytes.length,
          message: `Segment ${name}/${segment} is damaged at byte ${damage}.`,
        })
    }
  }
  for (const [id, check] of checks) check.end(ends.get(id))
  const all = [...checks.values()]
  return { sessions: ends.size, ...sums(all), damages: [...damages, ...all.flatMap((check) => check.damage ?? [])] }
}

/** Returns the offset of damage, or undefined. */
function readSegment(bytes: Buffer, number: number, take: (record: JournalRecord) => void): number | undefined {
  if (!isSegment(bytes)) return 0
  const reader = records(bytes, MAGIC.length, number)
  let end = MAGIC.length
  for (;;) {
    const step = reader.next()
    if (step.done === true) return step.value === 'torn' ? end : undefined
    take(step.value)
    end = step.value.next
  }
}
