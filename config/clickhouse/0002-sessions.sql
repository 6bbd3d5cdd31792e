-- One row per session and version, the last version holds. Small granules: lists fetch a hundred rows from everywhere. `entry` is what the gateway wrote; the other columns follow from it.
CREATE TABLE IF NOT EXISTS audit.sessions (
  session_id UUID,
  version UInt32,
  ts DateTime64(3, 'UTC'),
  entry String CODEC(ZSTD(3)),
  username LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'start', 'username'),
  target LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'start', 'target'),
  role LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'start', 'role'),
  protocol LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'start', 'protocol'),
  channel LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'start', 'channel'),
  grant_id String MATERIALIZED JSONExtractString(entry, 'start', 'grant'),
  client_address String MATERIALIZED JSONExtractString(entry, 'start', 'clientAddress'),
  started DateTime64(3, 'UTC') MATERIALIZED fromUnixTimestamp64Milli(JSONExtractInt(entry, 'start', 'startedAt'), 'UTC'),
  ended DateTime64(3, 'UTC') MATERIALIZED fromUnixTimestamp64Milli(JSONExtractInt(entry, 'end', 'endedAt'), 'UTC'),
  cause LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'end', 'cause'),
  events UInt32 MATERIALIZED JSONExtractUInt(entry, 'events'),
  bytes_in UInt64 MATERIALIZED JSONExtractUInt(entry, 'bytesIn'),
  bytes_out UInt64 MATERIALIZED JSONExtractUInt(entry, 'bytesOut'),
  statements UInt32 MATERIALIZED JSONExtractUInt(entry, 'statements'),
  denials UInt32 MATERIALIZED JSONExtractUInt(entry, 'denials')
) ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(started)
ORDER BY session_id
TTL toDateTime(started) + INTERVAL 400 DAY
SETTINGS index_granularity = 128, ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
