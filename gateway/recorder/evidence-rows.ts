/** What the audit store holds that evidence is made of, and what the audit log says must be there. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { AuditEvent } from '../model/event.ts'
import type { Checkpoint } from './chain.ts'
import type { ChainCheck, ChainedRecord, Damage } from './evidence.ts'
import { idBytes, type RecordingNote, type RecordKind, type SessionEntry } from './segment.ts'

/** What the audit log says about a session. */
export type Known = { start?: unknown; events?: number; head?: string }

export type AuditNote = AuditEvent | RecordingNote

/** What a note of the audit log says about a recording. */
export function learn(known: Map<string, Known>, note: AuditNote): void {
  if (note.kind === 'recording.began') known.set(note.session, { ...known.get(note.session), start: note.start })
  if (note.kind === 'recording.ended') {
    const { events, sealed } = note.totals
    known.set(note.session, { ...known.get(note.session), events, head: sealed.head })
  }
}

/** When it began, as the audit log says. */
export function beganAt({ start }: Known): number | undefined {
  const at = typeof start === 'object' && start !== null && 'startedAt' in start ? start.startedAt : undefined
  return typeof at === 'number' ? at : undefined
}

export const sums = (checks: readonly ChainCheck[]) => ({
  records: checks.reduce((sum, check) => sum + check.records, 0),
  checkpoints: checks.reduce((sum, check) => sum + check.checkpoints, 0),
  unsigned: checks.reduce((sum, check) => sum + check.unsigned, 0),
})

/** The row of the session, and its last head, against the audit log. */
export function misfit(
  id: string,
  entry: SessionEntry | undefined,
  known: Known | undefined,
  check: ChainCheck | undefined,
): readonly [Damage] | undefined {
  const damage = (message: string): readonly [Damage] => [
    { what: 'session', id, from: 0, to: check?.seq ?? 0, message },
  ]
  if (entry === undefined) return damage(`The row of session ${id} is missing.`)
  if (known === undefined) return undefined
  if (known.start !== undefined && JSON.stringify(known.start) !== JSON.stringify(entry.start))
    return damage(`The row of session ${id} was changed: the audit log says how it began.`)
  if (known.events !== undefined && (entry.end === undefined || entry.events !== known.events))
    return damage(`The row of session ${id} was changed: the audit log says how it ended.`)
  if (known.head !== undefined && check?.unsigned === 0 && known.head !== check.head)
    return damage(`Session ${id} ends in another head than the audit log says.`)
  return undefined
}

export async function checkpointsOf(client: ClickHouseClient, id: string): Promise<readonly Checkpoint[]> {
  const query = `SELECT seq, toUnixTimestamp64Milli(ts), hex(head), hex(signature), hex(key_id) FROM audit.checkpoints
                 WHERE id = {id:UUID} ORDER BY seq LIMIT 1 BY seq`
  const all = await rows<[number, string, string, string, string]>(client, query, { id })
  return all.map(([seq, at, head, signature, key]) => ({
    id: idBytes(id),
    seq,
    at: Number(at),
    head: Buffer.from(head, 'hex'),
    signature: Buffer.from(signature, 'hex'),
    keyId: Buffer.from(key, 'hex'),
  }))
}

export async function* eventRecords(client: ClickHouseClient, id: string): AsyncGenerator<ChainedRecord> {
  const query = `SELECT seq, toUnixTimestamp64Milli(ts), kind, base64Encode(data) FROM audit.events
                 WHERE session_id = {id:UUID} ORDER BY seq`
  for await (const [seq, at, kind, data] of stream<[number, string, RecordKind, string]>(client, query, { id }))
    yield { seq, at: Number(at), kind, data: Buffer.from(data, 'base64') }
}

export async function* stream<Row>(
  client: ClickHouseClient,
  query: string,
  parameters: Record<string, unknown>,
): AsyncGenerator<Row> {
  const result = await client.query({ query, query_params: parameters, format: 'JSONCompactEachRow' })
  for await (const chunk of result.stream<Row>()) for (const row of chunk) yield row.json()
}

export async function rows<Row>(
  client: ClickHouseClient,
  query: string,
  parameters: Record<string, unknown> = {},
): Promise<readonly Row[]> {
  const result = await client.query({ query, query_params: parameters, format: 'JSONCompactEachRow' })
  return result.json<Row>()
}
