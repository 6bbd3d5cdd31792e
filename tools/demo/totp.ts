/** One-time codes of RFC 6238 (SHA-1, six digits, 30 seconds), as authenticator apps make them. */
import { createHmac, timingSafeEqual } from 'node:crypto'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const STEP_MS = 30_000
const DIGITS = 6

/** The code of the step that `atMs` lies in. */
export const totp = (secret: string, atMs: number = Date.now()): string => codeOf(secret, stepAt(atMs))

/** Which step the code belongs to: the current one, or a neighbour for clocks that differ. Whoever checks refuses a step that was used. */
export function totpStep(secret: string, code: string, atMs: number): number | undefined {
  const typed = Buffer.from(code)
  return [0, -1, 1]
    .map((shift) => stepAt(atMs) + shift)
    .find((step) => {
      const right = Buffer.from(codeOf(secret, step))
      return right.length === typed.length && timingSafeEqual(right, typed)
    })
}

const stepAt = (ms: number): number => Math.floor(ms / STEP_MS)

/** RFC 4226 §5.3. */
function codeOf(secret: string, step: number): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(step))
  const mac = createHmac('sha1', bytesOf(secret)).update(counter).digest()
  const number = mac.readUInt32BE(mac.readUInt8(mac.length - 1) & 0x0f) & 0x7f_ff_ff_ff
  return String(number % 10 ** DIGITS).padStart(DIGITS, '0')
}

function bytesOf(base32: string): Buffer {
  const bits = base32
    .toUpperCase()
    .split('')
    .map((symbol) => {
      const value = ALPHABET.indexOf(symbol)
      if (value < 0) throw new RangeError('a TOTP secret is written in base32')
      return value.toString(2).padStart(5, '0')
    })
    .join('')
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)))
}
