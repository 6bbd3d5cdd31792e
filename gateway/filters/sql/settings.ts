/** Which settings a read-only session may change, and to what. Used for SET, set_config and start-up parameters alike. */

const FREE = new Set(
  `application_name extra_float_digits datestyle intervalstyle timezone client_min_messages bytea_output work_mem
  geqo geqo_threshold from_collapse_limit join_collapse_limit plan_cache_mode constraint_exclusion cursor_tuple_fraction
  jit jit_above_cost jit_inline_above_cost jit_optimize_above_cost jit_expressions jit_tuple_deforming
  max_parallel_workers_per_gather parallel_setup_cost parallel_tuple_cost parallel_leader_participation
  min_parallel_table_scan_size min_parallel_index_scan_size random_page_cost seq_page_cost cpu_tuple_cost
  cpu_index_tuple_cost cpu_operator_cost effective_cache_size effective_io_concurrency
  lc_monetary lc_numeric lc_time xmlbinary xmloption quote_all_identifiers synchronize_seqscans
  default_transaction_isolation default_transaction_deferrable transaction_isolation transaction_deferrable
  default_text_search_config array_nulls`.split(/\s+/),
)
const PLANNER_SWITCH = /^enable_[a-z_]+$/
const TIMEOUTS = new Set([
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'idle_session_timeout',
  'transaction_timeout',
])
const ON = new Set(['on', 'true', 'yes', '1', 't', 'y', 'tr', 'tru', 'ye'])
const UTF8 = new Set(['utf8', 'unicode'])

/** Milliseconds or a number with a unit; zero in every spelling means "no limit" and is refused. */
const isNonZeroTime = (value: string): boolean => {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*$/i.exec(value)
  if (match === null) return false
  const unit =
    { us: 0.001, ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 }[(match[2] ?? 'ms').toLowerCase()] ?? 0
  return Math.round(Number(match[1]) * unit) >= 1
}

/** pg_catalog stays first (unnamed) or is named first; pg_temp never. */
function isSafePath(schemas: readonly string[]): boolean {
  const names = schemas.map((schema) => schema.trim().replace(/^"(.*)"$/s, '$1'))
  if (names.some((name) => name.startsWith('pg_temp') || name.startsWith('pg_toast'))) return false
  const catalog = names.indexOf('pg_catalog')
  return catalog <= 0
}

/** The schemas in a `search_path` value that was given as one string. */
export const splitPath = (value: string): readonly string[] =>
  value.trim() === '' ? [] : value.split(',').map((schema) => schema.trim().replace(/^"(.*)"$/s, '$1'))

/**
 * Why this setting may not have these values, or undefined when it may.
 * @param values one for each item of the list; numbers and words alike as text.
 */
export function settingReason(name: string, values: readonly string[]): string | undefined {
  const setting = name.toLowerCase()
  const [value = ''] = values
  if (setting === 'default_transaction_read_only' || setting === 'transaction_read_only')
    return values.length === 1 && ON.has(value.toLowerCase()) ? undefined : `${setting} stays on`
  if (setting === 'client_encoding')
    return values.length === 1 && UTF8.has(value.toLowerCase().replaceAll(/[^a-z0-9]/g, ''))
      ? undefined
      : 'client_encoding stays UTF8'
  if (setting === 'standard_conforming_strings')
    return values.length === 1 && ON.has(value.toLowerCase()) ? undefined : 'standard_conforming_strings stays on'
  if (setting === 'search_path')
    return isSafePath(values.length === 1 ? splitPath(value) : values)
      ? undefined
      : 'search_path may not put a schema before pg_catalog, nor name pg_temp'
  if (TIMEOUTS.has(setting))
    return values.length === 1 && isNonZeroTime(value) ? undefined : `${setting} may only be set to a time above zero`
  if (FREE.has(setting) || PLANNER_SWITCH.test(setting)) return undefined
  return `setting ${setting} may not be changed`
}
