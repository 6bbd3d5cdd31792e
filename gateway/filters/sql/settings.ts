/** Which settings a read-only session may change, and to what. Used for SET, RESET and set_config alike. */

const FREE = new Set(
  `application_name extra_float_digits datestyle intervalstyle timezone client_min_messages bytea_output work_mem
  geqo geqo_threshold from_collapse_limit join_collapse_limit plan_cache_mode cursor_tuple_fraction
  jit jit_above_cost jit_inline_above_cost jit_optimize_above_cost jit_expressions jit_tuple_deforming
  max_parallel_workers_per_gather parallel_setup_cost parallel_tuple_cost parallel_leader_participation
  min_parallel_table_scan_size min_parallel_index_scan_size random_page_cost seq_page_cost cpu_tuple_cost
  cpu_index_tuple_cost cpu_operator_cost effective_cache_size
  default_transaction_isolation default_transaction_deferrable transaction_isolation transaction_deferrable`.split(
    /\s+/,
  ),
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
const GUARDS = new Set(['default_transaction_read_only', 'transaction_read_only', 'standard_conforming_strings'])

const MAX_VALUE = 1000
const MAX_VALUES = 100

const MS_OF_UNIT: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** At least a millisecond: what the server would round to zero means "no limit", as zero does in every spelling. */
const isNonZeroTime = (value: string): boolean => {
  const match = /^\s*([1-9]\d*(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*$/.exec(value)
  return match !== null && Number(match[1]) * (MS_OF_UNIT[match[2] ?? 'ms'] ?? 0) >= 1
}

const unquoted = (schema: string): string =>
  schema.trim().replace(/^"(.*)"$/s, (_all, name: string) => name.replaceAll('""', '"'))

/** pg_catalog stays first (unnamed) or is named first; pg_temp never. */
const isSafePath = (schemas: readonly string[]): boolean =>
  schemas.lastIndexOf('pg_catalog') <= 0 && !schemas.some((name) => /^pg_(temp|toast)/i.test(name))

/** The schemas in a `search_path` value that was given as one string; folded to lower case unless quoted, as the server does. */
export const splitPath = (value: string): readonly string[] =>
  value.trim() === ''
    ? []
    : (value.match(/"(?:[^"]|"")*"|[^,"]+/g) ?? [])
        .map((schema) => schema.trim())
        .filter((schema) => schema !== '')
        .map((schema) => (schema.startsWith('"') ? unquoted(schema) : schema.toLowerCase()))

/**
 * Why this setting may not have these values, or undefined when it may.
 * @param values one for each item of the list; numbers and words alike as text. Those of `search_path` are names of schemas.
 */
export function settingReason(name: string, values: readonly string[]): string | undefined {
  const setting = name.toLowerCase()
  const [value = ''] = values
  const isOne = values.length === 1
  if (values.length > MAX_VALUES || values.some((one) => one.length > MAX_VALUE))
    return `the value of ${setting} is too long`
  if (GUARDS.has(setting)) return isOne && ON.has(value.toLowerCase()) ? undefined : `${setting} stays on`
  if (setting === 'client_encoding')
    return isOne && UTF8.has(value.toLowerCase().replaceAll(/[^a-z0-9]/g, ''))
      ? undefined
      : 'client_encoding stays UTF8'
  if (setting === 'search_path')
    return isSafePath(values) ? undefined : 'search_path may not put a schema before pg_catalog, nor name pg_temp'
  if (TIMEOUTS.has(setting))
    return isOne && isNonZeroTime(value) ? undefined : `${setting} may only be set to a time above zero`
  if (isFree(setting)) return undefined
  return `setting ${setting} may not be changed`
}

/** A setting that goes back to what the start-up packet, which holds the guard, or the role gave it. */
export function resetReason(name: string): string | undefined {
  const setting = name.toLowerCase()
  const isKnown =
    GUARDS.has(setting) ||
    setting === 'client_encoding' ||
    setting === 'search_path' ||
    TIMEOUTS.has(setting) ||
    isFree(setting)
  return isKnown ? undefined : `setting ${setting} may not be changed`
}

const isFree = (setting: string): boolean => FREE.has(setting) || PLANNER_SWITCH.test(setting)
