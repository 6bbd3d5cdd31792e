/** Which columns a role masks, as people write it: `customers.email: partial`. */
import { z } from 'zod'

type Kind = 'partial' | 'hash' | 'full' | 'null'
type Rule = {
  readonly schema: string | undefined
  readonly table: string | undefined
  readonly column: string | undefined
  readonly kind: Kind
}

const kind = z.union([
  z.enum(['partial', 'hash', 'full', 'null']),
  z.null().transform(() => 'null' as const), // YAML reads null so
])

const HOW = 'write table.column or schema.table.column; * stands for any of them'

export const maskRules = z
  .record(z.string().regex(/^[^.\s]+\.[^.\s]+(\.[^.\s]+)?$/, HOW), kind)
  .refine((rules) => Object.keys(rules).length > 0, 'name at least one column')
  .transform((rules): readonly Rule[] =>
    Object.entries(rules).map(([name, how]) => {
      const words = name.split('.').map((word) => (word === '*' ? undefined : word))
      const [column, table, schema] = words.toReversed()
      return { schema, table, column, kind: how }
    }),
  )
