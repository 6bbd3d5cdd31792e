/** The words of the API about changes of overlays that wait for a second person. */
import { z } from 'zod'
import { fileOperation } from './recordings.ts'
import { count, time } from './wire.ts'

export const keptDigest = z.string().regex(/^[0-9a-f]{64}$/, 'is not a digest')

const session = z.strictObject({
  id: z.string(),
  username: z.string(),
  target: z.string(),
  role: z.string(),
  reason: z.string(),
  startedAt: time,
})

export const keptList = z.strictObject({
  /** What ends first comes first. */
  kept: z.array(
    z.strictObject({
      session,
      changes: count,
      bytes: count,
      expiresAt: time,
      /** Of everything that would be done. */
      digest: keptDigest,
      /** One's own waits for somebody of `approvers`. */
      isMine: z.boolean(),
      approvers: z.array(z.string()),
    }),
  ),
  /** Agents that could not be asked what they keep. */
  silent: z.array(z.string()),
})

/** Paths and differences are what the person in the workspace made them: hostile text. */
export const keptLayer = z.strictObject({ session, digest: keptDigest, changes: z.array(fileOperation) })
/** Exactly what was shown is applied: `digest` is that of {@link keptLayer}. */
export const applyBody = z.strictObject({ digest: keptDigest })
export const applied = z.strictObject({ applied: count })

export type KeptListView = z.infer<typeof keptList>
export type KeptLayerView = z.infer<typeof keptLayer>
export type Applied = z.infer<typeof applied>
