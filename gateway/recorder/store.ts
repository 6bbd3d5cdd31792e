/** The audit store over ClickHouse's own HTTP: the same for the embedded engine, a server and a cluster. */
import { Readable } from 'node:stream'
import { ClickHouseLogLevel, type ClickHouseClient, createClient } from '@clickhouse/client'

/** Where an audit store listens, and as whom. */
export type AuditStore = { readonly url: string; readonly username: string; readonly password: string }

const REQUEST_MS = 30_000

/** Close it. Its errors carry the server's words: for the log, not for people. */
export function connect(store: AuditStore): ClickHouseClient {
  return createClient({
    url: store.url,
    username: store.username,
    password: store.password,
    application: 'sallyport',
    request_timeout: REQUEST_MS,
    compression: { request: false, response: false },
    max_open_connections: 8,
    keep_alive: { enabled: true, idle_socket_ttl: 2_000 },
    log: { level: ClickHouseLogLevel.OFF },
    clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
  })
}

/** Inserts rows in RowBinary, once: a second try with the same token and the same bytes changes nothing. Resolves after the server has them. */
export async function insertRows(
  client: ClickHouseClient,
  into: string,
  rows: Buffer,
  token: string,
  signal: AbortSignal,
): Promise<void> {
  const { stream } = await client.exec({
    query: `INSERT INTO ${into} FORMAT RowBinary`,
    values: Readable.from([rows], { objectMode: false }),
    abort_signal: signal,
    clickhouse_settings: { insert_deduplicate: 1, insert_deduplication_token: token, async_insert: 0 },
  })
  for await (const _ of stream);
}
