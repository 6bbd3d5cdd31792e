/** Which of PostgreSQL's own functions are harmless. Volatility is not the line: some volatile ones are needed by every tool, some stable ones act. */
import type { SystemFunction } from './catalog.ts'

/** Volatile, yet without effect outside the session. */
const HARMLESS_VOLATILE = new Set(
  `clock_timestamp timeofday random random_normal gen_random_uuid uuidv4 uuidv7 array_sample array_shuffle
  pg_database_size pg_tablespace_size pg_relation_size pg_table_size pg_total_relation_size pg_indexes_size pg_column_size
  pg_is_in_recovery pg_is_wal_replay_paused pg_get_wal_replay_pause_state pg_last_wal_receive_lsn pg_last_wal_replay_lsn
  pg_last_xact_replay_timestamp pg_current_wal_lsn pg_current_wal_insert_lsn pg_current_wal_flush_lsn
  pg_collation_actual_version pg_database_collation_actual_version pg_control_system pg_control_checkpoint pg_control_recovery pg_control_init
  pg_blocking_pids pg_safe_snapshot_blocking_pids pg_lock_status pg_xact_status txid_status pg_get_multixact_members
  pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_last_committed_xact pg_mxid_age
  currval lastval pg_sequence_last_value pg_get_sequence_data lo_get pg_partition_tree pg_partition_ancestors
  pg_notification_queue_usage pg_timezone_names pg_timezone_abbrevs pg_stat_get_wal_receiver pg_stat_get_wal_senders
  pg_stat_get_recovery_prefetch pg_stat_get_progress_info pg_stat_get_subscription pg_stat_get_io pg_stat_get_wal
  pg_stat_get_slru pg_stat_get_activity pg_stat_get_archiver pg_stat_clear_snapshot pg_stat_get_xact_tuples_returned
  pg_stat_get_xact_numscans pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_updated
  pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_newpage_updated
  pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls
  pg_stat_get_xact_function_total_time pg_stat_get_xact_function_self_time pg_stat_get_replication_slot
  pg_stat_get_subscription_stats pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_have_stats pg_jit_available
  pg_cursor pg_prepared_statement pg_prepared_xact pg_available_extensions pg_available_extension_versions
  pg_extension_update_paths pg_get_replication_slots pg_show_replication_origin_status pg_get_wait_events pg_config
  pg_get_publication_tables pg_available_wal_summaries pg_get_wal_summarizer_state pg_get_wal_resource_managers`.split(
    /\s+/,
  ),
)

/** Not volatile by the catalog, or not in every version, yet they run text or input functions given by name, or take a transaction id. */
const HARMFUL = new Set(
  `txid_current pg_current_xact_id ts_stat ts_rewrite cursor_to_xml cursor_to_xmlschema set_config
  pg_input_is_valid pg_input_error_info json_populate_record json_populate_recordset
  jsonb_populate_record jsonb_populate_recordset jsonb_populate_record_valid
  pg_export_snapshot pg_sleep pg_sleep_for pg_sleep_until setseed nextval setval`.split(/\s+/),
)

/** query_to_xml, table_to_xmlschema, database_to_xml_and_xmlschema… run queries that are text. */
const RUNS_TEXT = /_to_xml(schema)?(_and_xmlschema)?$/
/** They look into the body of a function. */
const LOOKS_INTO = /_validator$/

export const isHarmless = (name: string, { isVolatile, isPlumbing }: SystemFunction): boolean =>
  !isPlumbing &&
  !HARMFUL.has(name) &&
  !RUNS_TEXT.test(name) &&
  !LOOKS_INTO.test(name) &&
  (!isVolatile || HARMLESS_VOLATILE.has(name))
