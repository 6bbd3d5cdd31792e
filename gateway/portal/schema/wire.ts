/**
 * The words of the API under `/api/v1`: every body, query and answer is a zod schema with its type in this folder, one file per area.
 * This file is what all areas share. The browser application shares this folder and nothing else with the gateway, so it imports
 * nothing but zod.
 *
 * Times are ISO 8601 strings in UTC, ids are strings, absent things are `null` in answers and left out in questions.
 * Unsafe methods carry the header {@link CSRF_HEADER} with the token of `GET /me`. A refused call answers {@link ApiError}.
 */
import { z } from 'zod'

export const API_BASE = '/api/v1'
export const CSRF_HEADER = 'x-sallyport-csrf'
/** Set to `1` on calls that no person asked for (refreshing what is on the screen): they keep nobody signed in. */
export const BACKGROUND_HEADER = 'x-sallyport-background'
/** `/sign-in?returnTo=/path` comes back to that path. */
export const SIGN_IN_PATH = '/sign-in'

export const time = z.iso.datetime({ precision: 3 })
export const count = z.int().min(0)
/** One line for people: no control characters, so that it is harmless on every screen. */
export const line = (most: number) =>
  z
    .string()
    .trim()
    .max(most)
    .regex(/^\P{Cc}*$/u, 'has control characters')
export const sentence = line(500).min(3)
export const minutes = z
  .int()
  .min(1)
  .max(7 * 24 * 60)
export const name = z
  .string()
  .min(1)
  .max(128)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@+-]*$/)
export const protocol = z.enum(['ssh', 'postgres', 'http'])
export const grantId = z.string().regex(/^\d{1,15}$/, 'is not the number of a grant')

/** Which of my grants on a target, as after the `%` in ssh and psql: the name of a role, or the number of a grant. Left out: the newest. */
export const under = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'is neither a role nor the number of a grant')

export const apiError = z.strictObject({
  error: z.strictObject({
    /** A code of the gateway's refusals (`NOT_SIGNED_IN`, `NO_GRANT`, `BAD_INPUT`…), or `FAULT` when the gateway broke. */
    code: z.string(),
    /** A sentence for the person. */
    message: z.string(),
    /** What the person can do now. */
    next: z.string().nullable(),
    /** To be told to an operator; the log knows more under it. */
    reference: z.string(),
  }),
})

export const noteBody = z.strictObject({ note: line(500) })
/** Steps that need nothing. No body at all counts as an empty object, here and wherever nothing is required. */
export const emptyBody = z.strictObject({})
export const done = z.strictObject({ done: z.literal(true) })

export type ApiError = z.infer<typeof apiError>
