/** Shapes that only the server needs: path parameters with their brands, and how routes document their answers. */
import type { Readable } from 'node:stream'
import { z } from 'zod'
import type { SessionId } from '../model/event.ts'
import type { GrantId } from '../model/grant.ts'
import { passkeyId } from './schema/passkeys.ts'
import { agentName } from './schema/admin.ts'
import { apiError, grantId } from './schema/wire.ts'

export const grantParams = z.strictObject({
  id: grantId.transform((id) => id as GrantId),
})

export const sessionParams = z.strictObject({
  id: z
    .string()
    .regex(/^[0-9a-f-]{36}$/, 'is not the id of a session')
    .transform((id) => id as SessionId),
})

export const signInParams = z.strictObject({
  id: z.string().regex(/^[A-Za-z0-9_-]{6,128}$/, 'is not the id of a sign-in'),
})
export const personParams = z.strictObject({
  username: z.string().regex(/^[a-z0-9][a-z0-9._@+-]{0,63}$/, 'is not a user name'),
})
export const passkeyParams = z.strictObject({ id: passkeyId })
export const agentParams = z.strictObject({ name: agentName })
export const keyParams = z.strictObject({
  fingerprint: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}=?$/, 'is not a fingerprint'),
})

/** JSON when it went well, the one shape of refusals otherwise. */
export const answers = <T extends z.ZodType>(schema: T) => ({ 200: schema, default: apiError }) as const

/** A stream of another type, which no schema checks. */
export const streams = (type: string, description: string) =>
  ({ 200: { description, content: { [type]: { schema: z.custom<Readable>() } } }, default: apiError }) as const
