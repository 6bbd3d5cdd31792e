-- What happened in sessions. `data` is raw bytes; kinds as in gateway/model/event.ts. Rows may be there twice after a power loss: readers drop equal seq.
CREATE DATABASE IF NOT EXISTS audit;

CREATE TABLE IF NOT EXISTS audit.events (
  session_id UUID CODEC(ZSTD(1)),
  seq UInt32 CODEC(Delta, ZSTD(1)),
  ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  kind Enum8('o' = 1, 'i' = 2, 'r' = 3, 'm' = 4, 'x' = 5, 'e' = 6, 'k' = 7, 's' = 8, 'd' = 9, 'f' = 10) CODEC(ZSTD(1)),
  data String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (session_id, seq)
TTL toDateTime(ts) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
