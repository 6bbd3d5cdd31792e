-- For search only, made from events: whole lines as a person saw or typed them, and statements. `seq` is the event in which a line ended.
CREATE TABLE IF NOT EXISTS audit.lines (
  session_id UUID CODEC(ZSTD(1)),
  seq UInt32 CODEC(Delta, ZSTD(1)),
  ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  n UInt16,
  source Enum8('shown' = 1, 'typed' = 2, 'statement' = 3),
  text String CODEC(ZSTD(3))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (session_id, seq, source, n)
TTL toDateTime(ts) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1, non_replicated_deduplication_window = 10000;
