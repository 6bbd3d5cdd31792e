/** Rules that mask columns of a database: which columns, and what a person gets to see of their values. */

/**
 * `partial`: enough to recognise, not to know (`a***@example.com`) · `hash`: the same value looks the same within one session ·
 * `full`: `***` in place of text, NULL in place of anything else · `null`: NULL.
 */
export const MASK_KINDS = ['partial', 'hash', 'full', 'null'] as const
export type MaskKind = (typeof MASK_KINDS)[number]

/** Undefined stands for every one. Names as the database keeps them. */
export type MaskRule = {
  readonly schema: string | undefined
  readonly table: string | undefined
  readonly column: string | undefined
  readonly kind: MaskKind
}

/** Of two rules for one column the stricter one holds. */
export const stricter = (a: MaskKind, b: MaskKind): MaskKind => (MASK_KINDS.indexOf(a) >= MASK_KINDS.indexOf(b) ? a : b)

/** As it is written in a configuration: `customers.email partial`. */
export const maskWords = (rules: readonly MaskRule[]): string =>
  rules
    .map(({ schema, table, column, kind }) => {
      const where = [table ?? '*', column ?? '*']
      return `${[...(schema === undefined ? [] : [schema]), ...where].join('.')} ${kind}`
    })
    .join(', ')
