/** One box over what was typed, what was shown, and statements. */
import type { ClickHouseClient } from '@clickhouse/client'
import type { SessionId } from '../model/event.ts'
import type { Moment } from '../model/moment.ts'
import type { SearchHit, SearchQuery } from '../session/session.ts'

const MAX_LIMIT = 1_000

/** Newest first. */
export async function search(client: ClickHouseClient, query: SearchQuery): Promise<readonly SearchHit[]> {
  const words = query.text.toLowerCase().match(/[a-z0-9\u0080-\u{10ffff}]+/gu) ?? []
  if (words.length === 0) return []
  const { username, target, since } = query
  const sessions = [
    ...(username === undefined ? [] : ['username = {username:String}']),
    ...(target === undefined ? [] : ['target = {target:String}']),
  ]
  const where = [
    'hasAllTokens(text, {words:Array(String)})',
    'positionCaseInsensitiveUTF8(text, {text:String}) > 0',
    ...(since === undefined ? [] : ['ts >= fromUnixTimestamp64Milli({since:Int64})']),
    ...(sessions.length === 0
      ? []
      : [`session_id IN (SELECT session_id FROM audit.sessions WHERE ${sessions.join(' AND ')})`]),
  ]
  const result = await client.query({
    query: `SELECT toString(session_id), seq, toUnixTimestamp64Milli(ts), source, text FROM audit.lines
            WHERE ${where.join(' AND ')} ORDER BY ts DESC, seq DESC LIMIT 1 BY session_id, seq, source, n LIMIT {limit:UInt32}`,
    query_params: {
      words,
      text: query.text.trim(),
      limit: Math.min(query.limit ?? 100, MAX_LIMIT),
      ...(username === undefined ? {} : { username }),
      ...(target === undefined ? {} : { target }),
      ...(since === undefined ? {} : { since }),
    },
    format: 'JSONCompactEachRow',
    clickhouse_settings: { max_execution_time: 10 },
  })
  const rows = await result.json<[SessionId, number, string, SearchHit['source'], string]>()
  return rows.map(([session, seq, at, source, text]) => ({ session, seq, at: Number(at) as Moment, source, text }))
}
