/** Evidence from the audit store: what is there, against what the chains and the audit log say must be there. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { Checkpoint } from './chain.ts'
import { ChainCheck, type ChainedRecord, type Damage, type Evidence, type Keys } from './evidence.ts'
import {
  type AuditNote,
  beganAt,
  checkpointsOf,
  eventRecords,
  type Known,
  learn,
  misfit,
  rows,
  stream,
  sums,
} from './evidence-rows.ts'
import { daysKept } from './migrate.ts'
import { idBytes, type SessionEntry } from './segment.ts'
import { type AuditStore, connect } from './store.ts'

const DAY_MS = 24 * 3_600_000

/** Reads everything; takes its time. `now` decides what is older than the store keeps. @throws when the store does not answer. */
export async function verifyStore(store: AuditStore, keys: Keys, now = Date.now()): Promise<Evidence> {
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
    const days = await daysKept(client)
    const oldest = days === undefined ? 0 : now - days * DAY_MS
    const past = new Set([...known].flatMap(([id, one]) => ((beganAt(one) ?? now) < oldest ? [id] : [])))
    for (const id of ids) {
      if (past.has(id)) continue
      const check = new ChainCheck('session', idBytes(id), id, keys)
      await walk(check, await checkpointsOf(client, id), eventRecords(client, id))
      const entry = entries.get(id)
      check.end(known.get(id)?.events ?? (entry?.end === undefined ? undefined : entry.events))
      checks.push(check)
      if (check.damage === undefined) damages.push(...(misfit(id, entry, known.get(id), check) ?? []))
    }
    const found = checks.flatMap((check) => check.damage ?? [])
    return { sessions: ids.size - past.size, expired: past.size, ...sums(checks), damages: [...found, ...damages] }
  } finally {
    await client.close()
  }
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

async function* auditRecords(
  client: ClickHouseClient,
  chain: string,
  known: Map<string, Known>,
): AsyncGenerator<ChainedRecord> {
  const query = `SELECT seq, toUnixTimestamp64Milli(ts), entry FROM audit.audit_log WHERE chain = {chain:UUID} ORDER BY seq`
  for await (const [seq, at, entry] of stream<[number, string, string]>(client, query, { chain })) {
    learn(known, JSON.parse(entry) as AuditNote)
    yield { seq, at: Number(at), kind: 'A', data: Buffer.from(entry) }
  }
}
