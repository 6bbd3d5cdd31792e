/** What a role lets wait for a second person. */
import { z } from 'zod'
import type { HeldKind } from '../gateway/model/hold.ts'
import { groups } from './words.ts'

const KINDS = ['insert', 'update', 'delete', 'merge', 'truncate'] as const satisfies readonly HeldKind[]

export const holdScope = z
  .strictObject({
    postgres: z.array(z.enum(KINDS)).min(1),
    approvers: groups.min(1),
    people: z.int().min(1).max(9).default(1),
    rows: z.int().min(1).max(1_000_000).default(100),
    /** Role on the target that may write; for targets where each grant gets a login of its own. */
    template: z.string().min(1).optional(),
  })
  .transform(({ template, ...hold }) => ({ ...hold, commands: [], template }))
