/** OpenSSH certificates (PROTOCOL.certkeys): reading and judging. Stricter than sshd: no wildcard principals, no option that is not enforced here. */
import { BlockList, isIP } from 'node:net'
import { MalformedMessage } from '../../model/refusal.ts'
import { FIELDS, fingerprintOf, type PublicKey, RSA_BITS, readPublicKey, verifySignature } from './keys.ts'
import { Reader, string } from './wire.ts'

export const CERTIFICATE_SUFFIX = '-cert-v01@openssh.com'

export type CertificateKind = 'user' | 'host'

export type Certificate = {
  readonly type: string
  readonly key: PublicKey
  readonly serial: bigint
  readonly kind: CertificateKind
  readonly keyId: string
  readonly principals: readonly string[]
  /** Seconds since the epoch; the end is exclusive. */
  readonly validAfter: bigint
  readonly validBefore: bigint
  readonly critical: ReadonlyMap<string, Buffer>
  readonly authority: PublicKey
  readonly signed: Buffer
  readonly signature: Buffer
}

/** What the certificate must be good for. */
export type Need = {
  readonly kind: CertificateKind
  readonly principal: string
  readonly authorities: readonly PublicKey[]
  /** Milliseconds since the epoch. */
  readonly now: number
  /** The client's address; undefined: a certificate bound to addresses is refused. */
  readonly address: string | undefined
}

export const isCertificateBlob = (blob: Buffer): boolean => {
  const length = blob.length < 4 ? 0 : blob.readUInt32BE()
  return length < 64 && blob.toString('latin1', 4, 4 + length).endsWith(CERTIFICATE_SUFFIX)
}

/** @throws {MalformedMessage} for anything but exactly one certificate. */
export function parseCertificate(blob: Buffer, rsaBits = RSA_BITS): Certificate {
  if (blob.length > 16 * 1024) throw new MalformedMessage('A certificate of more than 16 KiB.')
  const reader = new Reader(blob)
  const type = reader.text(64)
  const base = type.endsWith(CERTIFICATE_SUFFIX) ? type.slice(0, -CERTIFICATE_SUFFIX.length) : ''
  const fields = FIELDS[base]
  if (fields === undefined) throw new MalformedMessage('A kind of certificate that is not taken here.')
  if (reader.string(256).length < 16) throw new MalformedMessage('A certificate without a nonce.')
  const parts = Array.from({ length: fields }, () => string(reader.string()))
  const key = readPublicKey(Buffer.concat([string(base), ...parts]), rsaBits)
  const serial = reader.uint64()
  const kind = kindOf(reader.uint32())
  const keyId = reader.text(1024)
  const principals = strings(reader.string())
  const [validAfter, validBefore] = [reader.uint64(), reader.uint64()]
  const critical = options(reader.string())
  options(reader.string())
  reader.string()
  const authorityBlob = reader.string()
  if (isCertificateBlob(authorityBlob)) throw new MalformedMessage('A certificate that was signed by a certificate.')
  const authority = readPublicKey(authorityBlob)
  const signed = blob.subarray(0, reader.at)
  const signature = reader.string()
  reader.end()
  return { type, key, serial, kind, keyId, principals, validAfter, validBefore, critical, authority, signed, signature }
}

/** Why the certificate is not good for that, or undefined. */
export function faultOf(certificate: Certificate, need: Need): string | undefined {
  const { authority, critical, kind, principals, validAfter, validBefore } = certificate
  if (kind !== need.kind) return `It is a ${kind} certificate.`
  if (!need.authorities.some((trusted) => trusted.blob.equals(authority.blob))) return 'Its authority is not trusted.'
  if (!verifySignature(authority, certificate.signed, certificate.signature))
    return 'The signature of its authority is wrong.'
  const now = BigInt(Math.floor(need.now / 1000))
  if (validAfter >= validBefore) return 'It is never valid.'
  if (now < validAfter) return 'It is not valid yet.'
  if (now >= validBefore) return 'It has expired.'
  if (!principals.includes(need.principal)) return `It is not for ${need.principal}.`
  for (const [name, value] of critical) {
    if (name !== 'source-address' || kind !== 'user') return `Its option ${name} is not supported.`
    if (!coversAddress(value, need.address)) return 'It may not be used from this address.'
  }
  return undefined
}

export const authorityOf = (certificate: Certificate): string => fingerprintOf(certificate.authority.blob)

function kindOf(value: number): CertificateKind {
  if (value === 1) return 'user'
  if (value === 2) return 'host'
  throw new MalformedMessage('A certificate that is neither for a user nor for a host.')
}

function strings(list: Buffer): readonly string[] {
  const reader = new Reader(list)
  const values: string[] = []
  while (reader.left > 0) {
    const value = reader.text(256)
    if (value === '' || /[\s*?\0]/.test(value) || values.length === 256)
      throw new MalformedMessage('A principal that is none.')
    values.push(value)
  }
  return values
}

/** Names in order, each once (PROTOCOL.certkeys). */
function options(list: Buffer): ReadonlyMap<string, Buffer> {
  const reader = new Reader(list)
  const found = new Map<string, Buffer>()
  let last = ''
  while (reader.left > 0) {
    const name = reader.text(128)
    if (name <= last) throw new MalformedMessage('Options that are doubled or not in order.')
    last = name
    found.set(name, reader.string())
  }
  return found
}

function coversAddress(value: Buffer, address: string | undefined): boolean {
  if (address === undefined) return false
  const reader = new Reader(value)
  const text = reader.text(4096)
  reader.end()
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  const family = isIP(plain)
  if (family === 0) return false
  const blocks = new BlockList()
  for (const entry of text.split(',')) {
    const [net = '', bits, more] = entry.split('/')
    const kind = isIP(net)
    const length = bits === undefined ? (kind === 4 ? 32 : 128) : /^\d{1,3}$/.test(bits) ? Number(bits) : -1
    if (kind === 0 || more !== undefined || length < 0 || length > (kind === 4 ? 32 : 128)) return false
    blocks.addSubnet(net, length, kind === 4 ? 'ipv4' : 'ipv6')
  }
  return blocks.check(plain, family === 4 ? 'ipv4' : 'ipv6')
}
