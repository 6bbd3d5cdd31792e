/** Our own keys: the gateway's host key and the two CAs (for logins on targets, for host certificates). Made at first start, mode 0600. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CERTIFICATE_SUFFIX, type CertificateKind } from './certificate.ts'
import { ed25519Blob, lineOf } from './keys.ts'
import { Reader, string, uint32, uint64 } from './wire.ts'

/** An Ed25519 key pair that signs. */
export type SigningKey = {
  readonly blob: Buffer
  /** As OpenSSH writes it. */
  readonly line: string
  /** SSH's form: string algorithm, string signature. */
  sign(data: Buffer): Buffer
  /** The 64 bytes alone. */
  signRaw(data: Buffer): Buffer
}

export type OwnKeys = {
  readonly host: SigningKey
  readonly hostAuthority: SigningKey
  readonly userAuthority: SigningKey
}

/** Clocks of targets may be behind ours by this much. */
const SKEW_SECONDS = 30

/** @throws when a key file may be read or written by others. */
export function ensureKeys(directory: string): OwnKeys {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  return {
    host: ensureKey(join(directory, 'ssh-host.pem')),
    hostAuthority: ensureKey(join(directory, 'ssh-host-ca.pem')),
    userAuthority: ensureKey(join(directory, 'ssh-user-ca.pem')),
  }
}

export function signingKey(privateKey: KeyObject): SigningKey {
  const blob = ed25519Blob(createPublicKey(privateKey))
  const signRaw = (data: Buffer) => sign(null, data, privateKey)
  return {
    blob,
    line: lineOf({ type: 'ssh-ed25519', blob }),
    sign: (data) => Buffer.concat([string('ssh-ed25519'), string(signRaw(data))]),
    signRaw,
  }
}

export const newSigningKey = (): SigningKey => signingKey(generateKeyPairSync('ed25519').privateKey)

/** Two workers may start at once: whoever comes second reads the file of the first. */
function ensureKey(path: string): SigningKey {
  try {
    const { privateKey } = generateKeyPairSync('ed25519')
    const pem = privateKey.export({ type: 'pkcs8', format: 'pem' })
    writeFileSync(path, pem, { mode: 0o600, flag: 'wx' })
    writeFileSync(`${path}.pub`, `${signingKey(privateKey).line}\n`)
  } catch (failure) {
    if (!(failure instanceof Error && 'code' in failure && failure.code === 'EEXIST')) throw failure
  }
  if ((statSync(path).mode & 0o077) !== 0) throw new Error(`${path} may be read by others; it must have mode 0600.`)
  const privateKey = createPrivateKey(readFileSync(path))
  if (privateKey.asymmetricKeyType !== 'ed25519') throw new Error(`${path} is not an Ed25519 key.`)
  return signingKey(privateKey)
}

export type Issue = {
  readonly kind: CertificateKind
  /** The plain Ed25519 key. */
  readonly key: Buffer
  readonly keyId: string
  readonly principals: readonly string[]
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly seconds: number
  /** In order of their names. */
  readonly extensions: readonly string[]
  /** Who does not know it lets nobody in (PROTOCOL.certkeys, critical options). */
  readonly option?: CriticalOption | undefined
}

export type CriticalOption = { readonly name: string; readonly value: string }

/** Signs an OpenSSH certificate (PROTOCOL.certkeys) for an Ed25519 key. */
export function issueCertificate(authority: SigningKey, issue: Issue): Buffer {
  const { kind, key, keyId, option, principals, extensions } = issue
  if (principals.length === 0) throw new Error('A certificate without principals would be good for everybody.')
  const now = BigInt(Math.floor(issue.now / 1000))
  const plain = new Reader(key)
  const type = plain.text()
  const signed = Buffer.concat([
    string(type + CERTIFICATE_SUFFIX),
    string(randomBytes(32)),
    plain.rest(),
    uint64(randomBytes(8).readBigUInt64BE() >> 1n),
    uint32(kind === 'user' ? 1 : 2),
    string(keyId),
    string(Buffer.concat(principals.map(string))),
    uint64(now - BigInt(SKEW_SECONDS)),
    uint64(now + BigInt(issue.seconds)),
    string(option === undefined ? '' : Buffer.concat([string(option.name), string(string(option.value))])),
    string(Buffer.concat(extensions.flatMap((name) => [string(name), string('')]))),
    string(''),
    string(authority.blob),
  ])
  return Buffer.concat([signed, string(authority.sign(signed))])
}
