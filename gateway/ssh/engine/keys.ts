/** Public keys of SSH: reading them, naming them, checking signatures. Weak ones do not exist here: no DSA, no SHA-1, no RSA under the limit. */
import { createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import { MalformedMessage } from '../../model/refusal.ts'
import { byte, Reader, string, uint32 } from './wire.ts'

export type PublicKey = {
  readonly type:
    | 'ssh-ed25519'
    | 'ecdsa-sha2-nistp256'
    | 'ecdsa-sha2-nistp384'
    | 'ecdsa-sha2-nistp521'
    | 'ssh-rsa'
    | 'sk-ssh-ed25519@openssh.com'
    | 'sk-ecdsa-sha2-nistp256@openssh.com'
  readonly blob: Buffer
  readonly object: KeyObject
  /** Of a FIDO security key (PROTOCOL.u2f); undefined for others. */
  readonly application: Buffer | undefined
}

/** Bits of RSA: people's keys and CAs. Host keys of old servers may have {@link HOST_RSA_BITS}. */
export const RSA_BITS = 3072
export const HOST_RSA_BITS = 2048
const MAX_RSA_BITS = 16_384

const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')

const CURVES = {
  'ecdsa-sha2-nistp256': { name: 'nistp256', jwk: 'P-256', bytes: 32, hash: 'sha256' },
  'ecdsa-sha2-nistp384': { name: 'nistp384', jwk: 'P-384', bytes: 48, hash: 'sha384' },
  'ecdsa-sha2-nistp521': { name: 'nistp521', jwk: 'P-521', bytes: 66, hash: 'sha512' },
} as const

const isCurve = (type: string): type is keyof typeof CURVES => Object.hasOwn(CURVES, type)

/** Fields of a key after its type, in a plain key as in a certificate. */
export const FIELDS: Readonly<Record<string, number>> = {
  'ssh-ed25519': 1,
  'ecdsa-sha2-nistp256': 2,
  'ecdsa-sha2-nistp384': 2,
  'ecdsa-sha2-nistp521': 2,
  'ssh-rsa': 2,
}

/** @throws {MalformedMessage} for what is not a key, or not one we take. */
export function readPublicKey(blob: Buffer, rsaBits = RSA_BITS): PublicKey {
  if (blob.length > 16 * 1024) throw new MalformedMessage('A key of more than 16 KiB.')
  const reader = new Reader(blob)
  const type = reader.text(64)
  try {
    const key = readFields(type, reader, rsaBits)
    reader.end()
    return { ...key, blob: Buffer.from(blob) }
  } catch (failure) {
    if (failure instanceof MalformedMessage) throw failure
    throw new MalformedMessage('A key that is none.', { cause: failure })
  }
}

const SECURITY_KEYS = {
  'sk-ssh-ed25519@openssh.com': 'ssh-ed25519',
  'sk-ecdsa-sha2-nistp256@openssh.com': 'ecdsa-sha2-nistp256',
} as const

const isSecurityKey = (type: string): type is keyof typeof SECURITY_KEYS => Object.hasOwn(SECURITY_KEYS, type)

function readFields(type: string, reader: Reader, rsaBits: number): Omit<PublicKey, 'blob'> {
  if (!isSecurityKey(type)) return { ...readPlain(type, reader, rsaBits), application: undefined }
  const { object } = readPlain(SECURITY_KEYS[type], reader, rsaBits)
  return { type, object, application: Buffer.from(reader.string(256)) }
}

function readPlain(type: string, reader: Reader, rsaBits: number): Omit<PublicKey, 'blob' | 'application'> {
  if (type === 'ssh-ed25519') {
    const raw = reader.string(32)
    if (raw.length !== 32) throw new MalformedMessage('An Ed25519 key of the wrong length.')
    return { type, object: createPublicKey({ key: Buffer.concat([ED25519_SPKI, raw]), format: 'der', type: 'spki' }) }
  }
  if (isCurve(type)) {
    const curve = CURVES[type]
    if (reader.text(16) !== curve.name) throw new MalformedMessage('An ECDSA key of another curve.')
    const point = reader.string(2 * curve.bytes + 1)
    if (point.length !== 2 * curve.bytes + 1 || point[0] !== 4) throw new MalformedMessage('A point that is none.')
    const x = point.subarray(1, 1 + curve.bytes).toString('base64url')
    const y = point.subarray(1 + curve.bytes).toString('base64url')
    return { type, object: createPublicKey({ key: { kty: 'EC', crv: curve.jwk, x, y }, format: 'jwk' }) }
  }
  if (type === 'ssh-rsa') {
    const e = unsigned(reader.string(8))
    const n = unsigned(reader.string(MAX_RSA_BITS / 8 + 1))
    const bits = n.length * 8
    if (bits < rsaBits || bits > MAX_RSA_BITS)
      throw new MalformedMessage(`An RSA key of ${bits} bits; ${rsaBits} are needed.`)
    const jwk = { kty: 'RSA', n: n.toString('base64url'), e: e.toString('base64url') }
    return { type, object: createPublicKey({ key: jwk, format: 'jwk' }) }
  }
  throw new MalformedMessage('A kind of key that is not taken here.')
}

const unsigned = (integer: Buffer): Buffer => {
  let start = 0
  while (start < integer.length - 1 && integer[start] === 0) start += 1
  return integer.subarray(start)
}

/** `SHA256:…` as OpenSSH prints it. */
export const fingerprintOf = (blob: Buffer): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`

export const lineOf = (key: Pick<PublicKey, 'type' | 'blob'>): string => `${key.type} ${key.blob.toString('base64')}`

/** One line `type base64 [comment]`. @throws {MalformedMessage} */
export function readKeyLine(line: string, rsaBits = RSA_BITS): PublicKey {
  const [type, data] = line.length > 16 * 1024 ? [] : line.trim().split(/\s+/, 2)
  if (type === undefined || data === undefined || !/^[A-Za-z0-9+/]+=*$/.test(data))
    throw new MalformedMessage('A public key is one line: type, base64, comment.')
  const key = readPublicKey(Buffer.from(data, 'base64'), rsaBits)
  if (key.type !== type) throw new MalformedMessage('A public key that is of another type than its line says.')
  return key
}

/** The algorithms with which this key may sign. */
export const signatureAlgorithms = (type: PublicKey['type']): readonly string[] =>
  type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256'] : [type]

/** `signature` is SSH's: string algorithm, string signature. False for anything odd. */
export function verifySignature(key: PublicKey, data: Buffer, signature: Buffer, algorithm?: string): boolean {
  try {
    const reader = new Reader(signature)
    const named = reader.text(64)
    const raw = reader.string(4096)
    const token = key.application === undefined ? undefined : { flags: reader.byte(), counter: reader.uint32() }
    reader.end()
    if (!signatureAlgorithms(key.type).includes(named)) return false
    if (algorithm !== undefined && algorithm !== named) return false
    if (key.application === undefined || token === undefined) return verifyRaw(key.type, key.object, named, data, raw)
    // Touched by somebody: a security key that signs by itself proves nothing about a person.
    if ((token.flags & USER_PRESENT) === 0 || !isSecurityKey(key.type)) return false
    const signed = Buffer.concat([sha256(key.application), byte(token.flags), uint32(token.counter), sha256(data)])
    const type = SECURITY_KEYS[key.type]
    return verifyRaw(type, key.object, type, signed, raw)
  } catch {
    return false
  }
}

function verifyRaw(type: PublicKey['type'], object: KeyObject, algorithm: string, data: Buffer, raw: Buffer): boolean {
  if (type === 'ssh-ed25519') return raw.length === 64 && verify(null, data, object, raw)
  if (type === 'ssh-rsa') return verify(algorithm === 'rsa-sha2-512' ? 'sha512' : 'sha256', data, object, raw)
  if (!isCurve(type)) return false
  const curve = CURVES[type]
  const reader = new Reader(raw)
  const [r, s] = [unsigned(reader.string(curve.bytes + 1)), unsigned(reader.string(curve.bytes + 1))]
  reader.end()
  if (r.length > curve.bytes || s.length > curve.bytes) return false
  const padded = Buffer.alloc(2 * curve.bytes)
  r.copy(padded, curve.bytes - r.length)
  s.copy(padded, 2 * curve.bytes - s.length)
  return verify(curve.hash, data, { key: object, dsaEncoding: 'ieee-p1363' }, padded)
}

const USER_PRESENT = 1

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

/** The blob of an Ed25519 key object. */
export const ed25519Blob = (key: KeyObject): Buffer =>
  Buffer.concat([string('ssh-ed25519'), string(key.export({ type: 'spki', format: 'der' }).subarray(-32))])
