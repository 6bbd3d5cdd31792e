/** The words of the API about the person at the screen: who they are, their keys, their database token. */
import { z } from 'zod'
import { time } from './wire.ts'

export const me = z.strictObject({
  username: z.string(),
  groups: z.array(z.string()),
  provider: z.string(),
  /** When and how the second factor was given. */
  authTime: time,
  amr: z.array(z.string()),
  isAuditor: z.boolean(),
  isAdmin: z.boolean(),
  csrfToken: z.string(),
  session: z.strictObject({
    /** The end whatever happens. */
    expiresAt: time,
    /** Ends earlier when nothing is asked for so long. */
    idleMinutes: z.int(),
  }),
})

export const signedOut = z.strictObject({
  /** Where to go next: the provider's own sign-out page, or ours. Always safe to navigate to. */
  location: z.string(),
})

export const boundKey = z.strictObject({ fingerprint: z.string(), boundAt: time, expiresAt: time })
export const keyList = z.strictObject({ keys: z.array(boundKey) })
export const tokenBody = z.strictObject({ hours: z.number().min(0.1).max(12) })
/** A password for databases; `token` is null when it was asked for again: it is shown once. */
export const databaseToken = z.strictObject({ token: z.string().nullable(), expiresAt: time.nullable() })

// `GET /changes` is a stream of server-sent events: `change` (ask again for what is on the screen) and `signed-out` (go to /sign-in).

export type Me = z.infer<typeof me>
export type SignedOut = z.infer<typeof signedOut>
export type BoundKey = z.infer<typeof boundKey>
export type DatabaseToken = z.infer<typeof databaseToken>
