-- Signed heads of the chains of sessions (id: the session's) and of the audit log (id: the chain's). `npm run verify` checks them.
CREATE TABLE IF NOT EXISTS audit.checkpoints (
  id UUID CODEC(ZSTD(1)),
  seq UInt32 CODEC(Delta, ZSTD(1)),
  ts DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  head FixedString(32),
  signature FixedString(64),
  key_id FixedString(8)
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(ts)
ORDER BY (id, seq)
SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
