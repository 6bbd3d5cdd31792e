/** What auditors read: the list of sessions, their events, the audit log. Reading only; who may see what is judged before. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClickHouseClient } from '@clickhouse/client'
import type { AuditEvent, EventKind, SessionId } from '../model/event.ts'
import type { Moment } from '../model/moment.ts'
import { Fault, Refusal } from '../model/refusal.ts'
import type { Library, RecordedEvent, SearchHit, SearchQuery, SessionFilter, SessionRow } from '../session/session.ts'
import { asciicast } from './asciicast.ts'
import { openSigningKey } from './chain.ts'
import { type EvidenceAsk, evidenceFile } from './evidence-file.ts'
import { har } from './har.ts'
import { search } from './search.ts'
import type { SessionEntry } from './segment.ts'
import { type AuditStore, connect } from './store.ts'

export type ReadingRoom = Library & {
  close(): Promise<void>
}

const POLL_MS = 300
const DEFAULT_LIMIT = 100
const MAX_LIMIT = 10_000
/** Seconds after which a search gives up. */
const READ_SETTINGS = { max_execution_time: 30 } as const

class AuditLibrary implements ReadingRoom {
  readonly #client: ClickHouseClient
  readonly #keyDirectory: string | undefined

  constructor(store: AuditStore, keyDirectory: string | undefined) {
    this.#client = connect(store)
    this.#keyDirectory = keyDirectory
  }

  async sessions(filter: SessionFilter): Promise<readonly SessionRow[]> {
    const { where, parameters } = conditions([
      ['username = {username:String}', 'username', filter.username],
      ['target = {target:String}', 'target', filter.target],
      ['protocol = {protocol:String}', 'protocol', filter.protocol],
      ['grant_id = {grant:String}', 'grant', filter.grant],
      ['started >= fromUnixTimestamp64Milli({since:Int64})', 'since', filter.since],
      ['denials >= {denials:UInt32}', 'denials', filter.denied === true ? 1 : undefined],
      ['started <= fromUnixTimestamp64Milli({until:Int64})', 'until', filter.until],
    ])
    const live = filter.live === undefined ? '' : `HAVING argMax(cause, version) ${filter.live ? '=' : '!='} ''`
    const rows = await this.#rows<[string]>(
      // First which ones, from the small columns, then their entries.
      `SELECT argMax(entry, version) FROM audit.sessions WHERE session_id IN (
         SELECT session_id FROM audit.sessions ${where} GROUP BY session_id ${live}
         ORDER BY max(started) DESC, session_id DESC LIMIT {limit:UInt32})
       GROUP BY session_id ORDER BY max(started) DESC, session_id DESC`,
      { ...parameters, limit: Math.min(filter.limit ?? DEFAULT_LIMIT, MAX_LIMIT) },
    )
    return rows.map(([entry]) => rowOf(entry))
  }

  async session(id: SessionId): Promise<SessionRow | undefined> {
    if (!isUuid(id)) return undefined
    const [row] = await this.#rows<[string]>(
      'SELECT entry FROM audit.sessions WHERE session_id = {id:UUID} ORDER BY version DESC LIMIT 1',
      { id },
    )
    return row === undefined ? undefined : rowOf(row[0])
  }

  async *events(
    id: SessionId,
    options: { readonly after?: number; readonly follow?: boolean; readonly signal?: AbortSignal },
  ): AsyncGenerator<RecordedEvent> {
    if (!isUuid(id)) return
    const { follow = false, signal } = options
    let after = options.after ?? 0
    for (;;) {
      signal?.throwIfAborted()
      // Asked first: events are shipped before the end of their session.
      const isOver = !follow || (await this.session(id))?.end !== undefined
      for await (const event of this.#eventsAfter(id, after, signal)) {
        after = event.seq
        yield event
      }
      if (isOver) return
      await sleep(POLL_MS, undefined, signal === undefined ? {} : { signal })
    }
  }

  async *asciicast(
    id: SessionId,
    options: { readonly idleSeconds?: number; readonly signal?: AbortSignal },
  ): AsyncGenerator<string> {
    const session = await this.session(id)
    if (session === undefined) return
    const { idleSeconds, signal } = options
    yield* asciicast(session, this.events(id, signal === undefined ? {} : { signal }), idleSeconds)
  }

  async *har(id: SessionId, { signal }: { readonly signal?: AbortSignal }): AsyncGenerator<string> {
    const session = await this.session(id)
    if (session?.protocol !== 'http')
      throw new Refusal('NOT_FOUND', 'Only sessions of web applications can be had as an HTTP Archive.', {
        next: 'Take the asciicast.',
      })
    yield* har(session, this.events(id, signal === undefined ? {} : { signal }))
  }

  async audit(filter: Parameters<Library['audit']>[0]): Promise<readonly AuditEvent[]> {
    const { where, parameters } = conditions([
      ['kind NOT LIKE {notes:String}', 'notes', 'recording.%'],
      ['grant_id = {grant:String}', 'grant', filter.grant],
      ['startsWith(kind, {about:String})', 'about', filter.about === undefined ? undefined : `${filter.about}.`],
      ['actor = {actor:String}', 'actor', filter.actor],
      ['target = {target:String}', 'target', filter.target],
      ['ts < fromUnixTimestamp64Milli({until:Int64})', 'until', filter.until],
      ['ts >= fromUnixTimestamp64Milli({since:Int64})', 'since', filter.since],
    ])
    const rows = await this.#rows<[string]>(
      `SELECT any(entry) FROM audit.audit_log ${where} GROUP BY event_id
       ORDER BY max(ts) DESC, max(seq) DESC LIMIT {limit:UInt32}`,
      { ...parameters, limit: Math.min(filter.limit ?? DEFAULT_LIMIT, MAX_LIMIT) },
    )
    return rows.map(([entry]) => auditEvent(entry))
  }

  async *evidence(ask: EvidenceAsk): AsyncGenerator<string> {
    if (this.#keyDirectory === undefined) throw new Fault('This library has no key to sign with.')
    yield* evidenceFile(this.#client, openSigningKey(this.#keyDirectory), ask)
  }

  search(query: SearchQuery): Promise<readonly SearchHit[]> {
    return search(this.#client, query)
  }

  close(): Promise<void> {
    return this.#client.close()
  }

  async *#eventsAfter(id: SessionId, after: number, signal: AbortSignal | undefined): AsyncGenerator<RecordedEvent> {
    const result = await this.#client.query({
      query: `SELECT seq, toUnixTimestamp64Milli(ts), kind, base64Encode(data) FROM audit.events
              WHERE session_id = {id:UUID} AND seq > {after:UInt32} ORDER BY seq`,
      query_params: { id, after },
      format: 'JSONCompactEachRow',
      ...(signal === undefined ? {} : { abort_signal: signal }),
    })
    let last = after
    try {
      for await (const rows of result.stream<[number, string, EventKind, string]>()) {
        for (const row of rows) {
          const [seq, at, kind, data] = row.json()
          if (seq === last) continue
          last = seq
          yield { seq, at: Number(at) as Moment, kind, data: Buffer.from(data, 'base64') }
        }
      }
    } finally {
      result.close()
    }
  }

  async #rows<Row>(query: string, parameters: Record<string, unknown>): Promise<readonly Row[]> {
    const result = await this.#client.query({
      query,
      query_params: parameters,
      format: 'JSONCompactEachRow',
      clickhouse_settings: READ_SETTINGS,
    })
    return result.json<Row>()
  }
}

/** `keyDirectory` is `<dataDir>/journal`, whose key signs evidence. Close it. */
export const openLibrary = (store: AuditStore, keyDirectory?: string): ReadingRoom =>
  new AuditLibrary(store, keyDirectory)

function conditions(all: readonly (readonly [condition: string, name: string, value: string | number | undefined])[]) {
  const given = all.filter(([, , value]) => value !== undefined)
  return {
    where: given.length === 0 ? '' : `WHERE ${given.map(([condition]) => condition).join(' AND ')}`,
    parameters: Object.fromEntries(given.map(([, name, value]) => [name, value])),
  }
}

function rowOf(text: string): SessionRow {
  const { start, end, events, bytesIn, bytesOut, statements, denials, alerts = 0 } = JSON.parse(text) as SessionEntry
  const { terminal } = start
  const whole = end === undefined ? undefined : { ...end, exitCode: end.exitCode }
  return { ...start, terminal, end: whole, events, bytesIn, bytesOut, statements, denials, alerts }
}

function auditEvent(text: string): AuditEvent {
  const event = JSON.parse(text) as AuditEvent
  return { ...event, grant: event.grant, session: event.session }
}

const isUuid = (text: string): boolean => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)
