-- Every step of every grant, sign-ins, begin and end of sessions: one chain per journal. `entry` is what was chained; the other columns follow from it.
CREATE TABLE IF NOT EXISTS audit.audit_log (
  chain UUID CODEC(ZSTD(1)),
  seq UInt32 CODEC(Delta, ZSTD(1)),
  ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  entry String CODEC(ZSTD(3)),
  event_id String MATERIALIZED JSONExtractString(entry, 'id'),
  kind LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'kind'),
  actor LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'actor'),
  grant_id String MATERIALIZED JSONExtractString(entry, 'grant'),
  session_id String MATERIALIZED JSONExtractString(entry, 'session'),
  target LowCardinality(String) MATERIALIZED JSONExtractString(entry, 'target')
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (chain, seq)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
