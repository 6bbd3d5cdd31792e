/** What a role lets wait for a second person. */
import { z } from 'zod'
import type { HeldKind } from '../gateway/model/hold.ts'
import { groups } from './words.ts'

const KINDS = ['insert', 'update', 'delete', 'merge', 'truncate', 'commit'] as const satisfies readonly HeldKind[]

/** `systemctl restart`: whatever begins with these words. */
const command = z
  .string()
  .regex(/^[A-Za-z0-9_./:@%+=,-]+( [A-Za-z0-9_./:@%+=,-]+)*$/, 'words of a command line, one space between them')
  .transform((words) => words.split(' '))

export const holdScope = z
  .strictObject({
    postgres: z.array(z.enum(KINDS)).default([]),
    commands: z.array(command).default([]),
    approvers: groups.min(1),
    people: z.int().min(1).max(9).default(1),
    rows: z.int().min(1).max(1_000_000).default(100),
    /** Role on the target that may write; for targets where each grant gets a login of its own. */
    template: z.string().min(1).optional(),
  })
  .refine((hold) => hold.postgres.length + hold.commands.length > 0, {
    message: `name what is held: postgres: [${KINDS.join(', ')}], commands: [systemctl restart]`,
  })
  .transform(({ template, ...hold }) => ({ ...hold, template }))
