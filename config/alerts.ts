/** What raises an alarm in a full shell, as people write it: `root: \\bsudo\\b`, or with what follows from it. */
import { RE2JS } from 're2js'
import { z } from 'zod'
import { name } from './words.ts'

const MOST = 50

const pattern = z
  .string()
  .min(1)
  .max(500)
  .superRefine((text, context) => {
    try {
      RE2JS.compile(text)
    } catch (failure) {
      const why = failure instanceof Error ? failure.message : 'it cannot be read'
      context.addIssue({
        code: 'custom',
        message: `no pattern for RE2 (${why}); look-around and back-references are not in it, so that no line can take long`,
      })
    }
  })

export const alertRules = z
  .record(
    name,
    z.preprocess(
      (rule) => (typeof rule === 'string' ? { pattern: rule } : rule),
      z.strictObject({ pattern, shown: z.boolean().default(false), end: z.boolean().default(false) }),
    ),
  )
  .refine((rules) => Object.keys(rules).length <= MOST, `at most ${MOST} alerts`)
  .transform((rules) => Object.entries(rules).map(([rule, more]) => ({ name: rule, ...more })))
