/** A self-signed certificate for a gateway that was given none: X.509 v3 (RFC 5280), ECDSA on P-256. For trials on one machine, not for the internet. */
import { generateKeyPairSync, hash, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'
import { after, type Clock, type Moment } from '../model/moment.ts'

const DAY_MS = 24 * 60 * 60 * 1000
/** Browsers refuse certificates that live longer than 398 days. */
const LIFETIME_DAYS = 397

const oid = {
  commonName: '550403',
  ecdsaWithSha256: '2a8648ce3d040302',
  subjectKeyIdentifier: '551d0e',
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  extendedKeyUsage: '551d25',
  serverAuth: '2b06010505070301',
} as const

/**
 * Valid from a day ago (clocks differ) for 397 days.
 *
 * @param names host names and IP addresses that browsers will use; the first is also the common name. `localhost` and the loopback addresses are always added.
 * @returns both as PEM. The private key is a secret: keep it in a file of mode 0600.
 * @throws {TypeError} for a name that no certificate can carry.
 */
export function selfSignedCertificate({ names, clock }: { readonly names: readonly string[]; readonly clock: Clock }): {
  readonly key: string
  readonly cert: string
} {
  const all = [...new Set([...names.map(bare), 'localhost', '127.0.0.1', '::1'])]
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const algorithm = sequence(objectId(oid.ecdsaWithSha256))
  const subject = sequence(set(sequence(objectId(oid.commonName), der(0x0c, Buffer.from((all[0] ?? '').slice(0, 64))))))
  const now = clock.now()
  const body = sequence(
    der(0xa0, integer(Buffer.from([2]))),
    integer(serial()),
    algorithm,
    subject,
    sequence(time(after(now, -DAY_MS)), time(after(now, LIFETIME_DAYS * DAY_MS - DAY_MS))),
    subject,
    spki,
    der(0xa3, sequence(...extensions(all, spki))),
  )
  const signature = sign('sha256', body, privateKey)
  const certificate = sequence(body, algorithm, bitString(signature, 0))
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: pem('CERTIFICATE', certificate),
  }
}

function extensions(names: readonly string[], spki: Buffer): Buffer[] {
  // The identifier of RFC 5280 §4.2.1.2 (1): SHA-1 of the key's bits. A name, not a signature.
  const identifier = hash('sha1', spki.subarray(-65), 'buffer')
  return [
    extension(oid.basicConstraints, true, sequence()),
    extension(oid.keyUsage, true, bitString(Buffer.from([0x80]), 7)),
    extension(oid.extendedKeyUsage, false, sequence(objectId(oid.serverAuth))),
    extension(oid.subjectKeyIdentifier, false, der(0x04, identifier)),
    extension(oid.subjectAltName, false, sequence(...names.map(generalName))),
  ]
}

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  sequence(objectId(id), ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value))

const bare = (name: string): string => name.replace(/^\[(.*)\]$/, '$1').toLowerCase()

function generalName(name: string): Buffer {
  switch (isIP(name)) {
    case 4:
      return der(0x87, Buffer.from(name.split('.').map(Number)))
    case 6:
      return der(0x87, ipv6(name))
    default:
      if (!/^(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name))
        throw new TypeError(`${JSON.stringify(name)} is not a host name`)
      return der(0x82, Buffer.from(name, 'ascii'))
  }
}

const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))

function ipv6(address: string): Buffer {
  // The URL parser writes every form (with an embedded IPv4 address, too) as hexadecimal groups.
  const normal = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = normal.split('::')
  const [left, right] = [groups(head), groups(tail ?? '')]
  const gap = Array<string>(8 - left.length - right.length).fill('0')
  return Buffer.from([...left, ...gap, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex')
}

function serial(): Buffer {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return bytes
}

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). */
function time(moment: Moment): Buffer {
  const digits = `${new Date(moment).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`
  return Number(digits.slice(0, 4)) < 2050
    ? der(0x17, Buffer.from(digits.slice(2), 'ascii'))
    : der(0x18, Buffer.from(digits, 'ascii'))
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
const sequence = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts)
const set = (...parts: readonly Buffer[]): Buffer => der(0x31, ...parts)
const integer = (bytes: Buffer): Buffer => der(0x02, bytes)
const objectId = (hex: string): Buffer => der(0x06, Buffer.from(hex, 'hex'))
const bitString = (bytes: Buffer, unused: number): Buffer => der(0x03, Buffer.from([unused]), bytes)

const pem = (label: string, bytes: Buffer): string =>
  `-----BEGIN ${label}-----\n${(bytes.toString('base64').match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`
