/** The words of the API about a statement that waits for a second person. */
import { z } from 'zod'
import { count } from './wire.ts'

export const held = z.strictObject({
  kind: z.enum(['sql', 'command']),
  /** `UPDATE`, `systemctl`. */
  verb: z.string(),
  /** The live grant under which it would run. */
  under: z.string(),
  session: z.string(),
  /** As the person wrote it. Untrusted: to be shown with its controls made visible. */
  text: z.string(),
  /** SQL without comments; null for commands. */
  normalised: z.string().nullable(),
  tables: z.array(z.string()),
  /** Null where the role does not let values be seen. */
  parameters: z.array(z.string().nullable()).nullable(),
  /** The database, or the directory. */
  place: z.string(),
  plan: z.string().nullable(),
  estimatedRows: count.nullable(),
  /** Rolled back above it; null where rows cannot be counted. */
  mostRows: count.nullable(),
  digest: z.string(),
})

export type HeldView = z.infer<typeof held>
