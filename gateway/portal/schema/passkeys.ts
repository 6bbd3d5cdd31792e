/** The words of the API about passkeys. Options and answers are WebAuthn's own JSON forms (Level 3 §5.1.8, §5.1.9). */
import { z } from 'zod'
import { line, name, time } from './wire.ts'

const bytes = (most: number) =>
  z
    .string()
    .max(most)
    .regex(/^[A-Za-z0-9_-]+$/, 'is not base64url')

export const passkeyId = bytes(1400)

export const passkey = z.strictObject({ id: z.string(), name: z.string(), createdAt: time, usedAt: time.nullable() })
export const passkeyList = z.strictObject({ passkeys: z.array(passkey) })

/** For `navigator.credentials.create()` or `.get()`, in their JSON form. */
export const passkeyOptions = z.record(z.string(), z.unknown())

/** What the browser's `get()` gave. Unknown members are left out. */
export const passkeyAnswer = z.object({
  id: passkeyId,
  rawId: passkeyId,
  type: z.literal('public-key'),
  response: z.object({
    clientDataJSON: bytes(4096),
    authenticatorData: bytes(4096),
    signature: bytes(8192),
  }),
  clientExtensionResults: z.object({}).default({}),
})

/** What the browser's `create()` gave. */
export const newPasskey = z.object({
  id: passkeyId,
  rawId: passkeyId,
  type: z.literal('public-key'),
  response: z.object({
    clientDataJSON: bytes(4096),
    attestationObject: bytes(32 * 1024),
    transports: z.array(z.string().max(32)).max(10).default([]),
  }),
  clientExtensionResults: z.object({}).default({}),
})

export const registerBody = z.strictObject({ name: line(64).min(1), answer: newPasskey })
export const confirmOptionsBody = z.strictObject({ target: name })
export const confirmBody = z.strictObject({ target: name, answer: passkeyAnswer })
/** Good once, within a minute, for one session on that target. */
export const confirmation = z.string().max(64)
export const confirmed = z.strictObject({ confirmation, expiresAt: time })
/** Where a session is a call of its own: the confirmation. */
export const CONFIRMATION_HEADER = 'x-sallyport-passkey'

export type Passkey = z.infer<typeof passkey>
export type PasskeyOptions = z.infer<typeof passkeyOptions>
export type NewPasskey = z.infer<typeof newPasskey>
export type PasskeyAnswer = z.infer<typeof passkeyAnswer>
export type Confirmed = z.infer<typeof confirmed>
