/** The rows that a transaction has touched, per table, by the target's own counters. */

/** Per table: inserted, updated, deleted; what was undone in between is counted, too. */
export type Touched = readonly (readonly [table: string, inserted: number, updated: number, deleted: number])[]

/** Nothing in it is looked up by the path of the session, which may have operators of its own. */
export const TOUCHED =
  'SELECT pg_catalog.concat(schemaname, $$.$$, relname), n_tup_ins, n_tup_upd, n_tup_del FROM pg_catalog.pg_stat_xact_user_tables ORDER BY 1'

export const touchedOf = (rows: readonly (readonly (string | null)[])[]): Touched =>
  rows
    .map(([table, i, u, d]) => [table ?? '', Number(i), Number(u), Number(d)] as const)
    .filter(([, i, u, d]) => i + u + d > 0)

/** What has come since `before`; the counters of one connection are not set back by a COMMIT in its middle. */
export function since(before: Touched, now: Touched): Touched {
  const then = new Map(before.map(([table, ...counts]) => [table, counts]))
  return now
    .map(([table, i, u, d]): Touched[number] => {
      const [inserted, updated, deleted] = then.get(table) ?? [0, 0, 0]
      return [table, i - inserted, u - updated, d - deleted]
    })
    .filter(([, i, u, d]) => i + u + d > 0)
}

export const totalOf = (touched: Touched): number => touched.reduce((sum, [, i, u, d]) => sum + i + u + d, 0)

/** For the recording. */
export const touchedWords = (touched: Touched | undefined): string =>
  touched === undefined
    ? 'Rolled back at the end. What it had touched is not known: the connection was gone.'
    : touched.length === 0
      ? 'Rolled back at the end; no row was touched.'
      : `Rolled back at the end: ${touched.map(([table, i, u, d]) => `${table} ${i} inserted, ${u} updated, ${d} deleted`).join('; ')}.`
