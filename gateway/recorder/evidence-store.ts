/** Evidence from the audit store: what is there, against what the chains and the audit log say must be there. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { AuditEvent } from '../model/event.ts'
import type { Checkpoint } from './chain.ts'
import { ChainCheck, type ChainedRecord, type Damage, type Evidence, type Keys } from './evidence.ts'
import { idBytes, type RecordingNote, type RecordKind, type SessionEntry } from './segment.ts'
import { type AuditStore, connect } from './store.ts'

/** What the audit log says about a session. */
type Known = { start?: unknown; events?: number; head?: string }

/** Reads everything; takes its time. @throws when the store does not answer. */
export async function verifyStore(store: AuditStore, keys: Keys): Promise<Evidence> {
  const client = connect(store)
  try {
    const known = new Map<string, Known>()
    const checks: ChainCheck[] = []
    const damages: Damage[] = []
    for (const [chain] of await rows<[string]>(client, 'SELECT DISTINCT chain FROM audit.audit_log ORDER BY chain')) {
      const check = new ChainCheck('audit log', idBytes(chain), chain, keys)
      await walk(check, await checkpointsOf(client, chain), auditRecords(client, chain, known))
      check.end(undefined)
      checks.push(check)
    }
    const entries = new Map<string, SessionEntry>()
    const query = 'SELECT toString(session_id), argMax(entry, version) FROM audit.sessions GROUP BY session_id'
    for (const [id, entry] of await rows<[string, string]>(client, query))
      entries.set(id, JSON.parse(entry) as SessionEntry)
    const strays = await rows<[string]>(client, 'SELECT DISTINCT toString(session_id) FROM audit.events')
    const ids = new Set([...entries.keys(), ...known.keys(), ...strays.map(([id]) => id)])
    for (const id of ids) {
      const check = new ChainCheck('session', idBytes(id), id, keys)
      await walk(check, await checkpointsOf(client, id), eventRecords(client, id))
      const entry = entries.get(id)
      check.end(known.get(id)?.events ?? (entry?.end === undefined ? undefined : entry.events))
      checks.push(check)
      const damage = check.damage === undefined ? misfit(id, entry, known.get(id), check) : undefined
      if (damage !== undefined) damages.push(damage)
    }
    const found = checks.flatMap((check) => check.damage ?? [])
    return { sessions: ids.size, ...sums(checks), damages: [...found, ...damages] }
  } finally {
    await client.close()
  }
}

export const sums = (checks: readonly ChainCheck[]) => ({
  records: checks.reduce((sum, check) => sum + check.records, 0),
  checkpoints: checks.reduce((sum, check) => sum + check.checkpoints, 0),
  unsigned: checks.reduce((sum, check) => sum + check.unsigned, 0),
})

/** The row of the session, and its last head, against the audit log. */
function misfit(
  id: string,
  entry: SessionEntry | undefined,
  known: Known | undefined,
  check: ChainCheck,
): Damage | undefined {
  const damage = (message: string): Damage => ({ what: 'session', id, from: 0, to: check.seq, message })
  if (entry === undefined) return damage(`The row of session ${id} is missing.`)
  if (known === undefined) return undefined
  if (known.start !== undefined && JSON.stringify(known.start) !== JSON.stringify(entry.start))
    return damage(`The row of session ${id} was changed: the audit log says how it began.`)
  if (known.events !== undefined && (entry.end === undefined || entry.events !== known.events))
    return damage(`The row of session ${id} was changed: the audit log says how it ended.`)
  if (known.head !== undefined && check.unsigned === 0 && known.head !== check.head)
    return damage(`Session ${id} ends in another head than the audit log says.`)
  return undefined
}

/** Both in order. */
async function walk(
  check: ChainCheck,
  checkpoints: readonly Checkpoint[],
  records: AsyncIterable<ChainedRecord>,
): Promise<void> {
  let next = 0
  for await (const record of records) {
    for (let due = checkpoints[next]; due !== undefined && due.seq < record.seq; due = checkpoints[++next])
      check.checkpoint(due)
    check.record(record)
  }
  for (const checkpoint of checkpoints.slice(next)) check.checkpoint(checkpoint)
}

async function checkpointsOf(client: ClickHouseClient, id: string): Promise<readonly Checkpoint[]> {
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

async function* eventRecords(client: ClickHouseClient, id: string): AsyncGenerator<ChainedRecord> {
  const query = `SELECT seq, toUnixTimestamp64Milli(ts), kind, base64Encode(data) FROM audit.events
                 WHERE session_id = {id:UUID} ORDER BY seq`
  for await (const [seq, at, kind, data] of stream<[number, string, RecordKind, string]>(client, query, { id }))
    yield { seq, at: Number(at), kind, data: Buffer.from(data, 'base64') }
}

async function* auditRecords(
  client: ClickHouseClient,
  chain: string,
  known: Map<string, Known>,
): AsyncGenerator<ChainedRecord> {
  const query = `SELECT seq, toUnixTimestamp64Milli(ts), entry FROM audit.audit_log WHERE chain = {chain:UUID} ORDER BY seq`
  for await (const [seq, at, entry] of stream<[number, string, string]>(client, query, { chain })) {
    const note = JSON.parse(entry) as AuditEvent | RecordingNote
    if (note.kind === 'recording.began') known.set(note.session, { ...known.get(note.session), start: note.start })
    if (note.kind === 'recording.ended') {
      const { events, sealed } = note.totals
      known.set(note.session, { ...known.get(note.session), events, head: sealed.head })
    }
    yield { seq, at: Number(at), kind: 'A', data: Buffer.from(entry) }
  }
}

async function* stream<Row>(
  client: ClickHouseClient,
  query: string,
  parameters: Record<string, unknown>,
): AsyncGenerator<Row> {
  const result = await client.query({ query, query_params: parameters, format: 'JSONCompactEachRow' })
  for await (const chunk of result.stream<Row>()) for (const row of chunk) yield row.json()
}

async function rows<Row>(
  client: ClickHouseClient,
  query: string,
  parameters: Record<string, unknown> = {},
): Promise<readonly Row[]> {
  const result = await client.query({ query, query_params: parameters, format: 'JSONCompactEachRow' })
  return result.json<Row>()
}
