/** The one secret in a cookie, and what is made of it. The store only ever sees its hash, so a stolen store opens no session. */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

export type Purpose = 'state' | 'nonce' | 'pkce' | 'csrf' | 'id-token'

/** 256 bits, base64url. */
export const newSecret = (): string => randomBytes(32).toString('base64url')

export const isSecret = (text: string): boolean => /^[A-Za-z0-9_-]{43}$/.test(text)

export const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64url')

/** 43 characters of base64url, which PKCE (RFC 7636 §4.1) takes as a verifier, too. */
export const derive = (secret: string, purpose: Purpose): string => keyOf(secret, purpose).toString('base64url')

const keyOf = (secret: string, purpose: Purpose): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, 'sallyport', purpose, 32))

export function isSame(a: string, b: string): boolean {
  return timingSafeEqual(Buffer.from(hashOf(a)), Buffer.from(hashOf(b)))
}

/** AES-256-GCM under a key that only the cookie's bearer has. */
export function seal(secret: string, purpose: Purpose, text: string): string {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', keyOf(secret, purpose), iv)
  const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), body]).toString('base64url')
}

/** @throws when it was sealed by another secret, or changed. */
export function unseal(secret: string, purpose: Purpose, sealed: string): string {
  const bytes = Buffer.from(sealed, 'base64url')
  const decipher = createDecipheriv('aes-256-gcm', keyOf(secret, purpose), bytes.subarray(0, 12), { authTagLength: 16 })
  decipher.setAuthTag(bytes.subarray(12, 28))
  return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8')
}
