/** Every statement that was recorded under one role, session by session: for trying a policy on what has been done. Reading only. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { OutcomeRecord, StatementRecord } from '../model/event.ts'
import type { Moment } from '../model/moment.ts'
import type { SessionEntry } from './segment.ts'
import { type AuditStore, connect } from './store.ts'

export type RecordedStatement = { readonly record: StatementRecord; readonly outcome: OutcomeRecord | undefined }
export type StatedSession = { readonly start: SessionEntry['start']; readonly statements: readonly RecordedStatement[] }

/** Of one session; a script can run for a day. */
const MAX_STATEMENTS = 200_000

/** Oldest first. A session with more than {@link MAX_STATEMENTS} is cut there. @throws when the store does not answer. */
export async function* statedSessions(
  store: AuditStore,
  filter: { readonly role: string; readonly since: Moment },
): AsyncGenerator<StatedSession> {
  const client = connect(store)
  try {
    const result = await client.query({
      query: `SELECT argMax(entry, version) FROM audit.sessions
              WHERE role = {role:String} AND started >= fromUnixTimestamp64Milli({since:Int64}) GROUP BY session_id ORDER BY max(started), session_id`,
      query_params: filter,
      format: 'JSONCompactEachRow',
    })
    for (const [entry] of await result.json<[string]>()) {
      const { start } = JSON.parse(entry) as SessionEntry
      yield { start, statements: await statementsOf(client, start.id) }
    }
  } finally {
    await client.close()
  }
}

async function statementsOf(client: ClickHouseClient, id: string): Promise<readonly RecordedStatement[]> {
  const result = await client.query({
    query: `SELECT kind, data FROM audit.events WHERE session_id = {id:UUID} AND kind IN ('s', 'd')
            ORDER BY seq LIMIT 1 BY seq LIMIT {most:UInt32}`,
    query_params: { id, most: 2 * MAX_STATEMENTS },
    format: 'JSONCompactEachRow',
  })
  const records: StatementRecord[] = []
  const outcomes = new Map<number, OutcomeRecord>()
  for (const [kind, data] of await result.json<['s' | 'd', string]>())
    if (kind === 's') records.push(JSON.parse(data) as StatementRecord)
    else {
      const outcome = JSON.parse(data) as OutcomeRecord
      outcomes.set(outcome.n, outcome)
    }
  return records.slice(0, MAX_STATEMENTS).map((record) => ({ record, outcome: outcomes.get(record.n) }))
}
