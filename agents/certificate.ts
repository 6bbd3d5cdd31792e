/** Whether somebody who logs in holds a certificate of the one CA that this host trusts. Only what Sallyport itself issues is taken: Ed25519, one kind, no options. */
import { createPublicKey, verify } from 'node:crypto'

const TYPE = 'ssh-ed25519-cert-v01@openssh.com'
const SPKI = Buffer.from('302a300506032b6570032100', 'hex')

export type LoginRequest = {
  readonly account: string
  /** The certificate as the client sent it. */
  readonly certificate: Buffer
  /** What the client signed, and string algorithm, string signature. */
  readonly signed: Buffer
  readonly signature: Buffer
}

/** @param authority the public key line of the CA. False for anything odd. */
export function mayLogIn(authority: string, request: LoginRequest, now: number): boolean {
  try {
    const trusted = Buffer.from(authority.split(' ')[1] ?? '', 'base64')
    const key = keyOf(trusted, request, BigInt(Math.floor(now / 1000)))
    return key !== undefined && holds(key, request.signed, request.signature)
  } catch {
    return false
  }
}

/** PROTOCOL.certkeys: the raw key, when everything about the certificate is as it must be. */
function keyOf(trusted: Buffer, { account, certificate }: LoginRequest, seconds: bigint): Buffer | undefined {
  const fields = new Fields(certificate)
  if (fields.string().toString() !== TYPE) return undefined
  fields.string()
  const key = fields.string()
  fields.take(8)
  const kind = fields.take(4).readUInt32BE()
  fields.string()
  const principals = new Fields(fields.string())
  const validAfter = fields.take(8).readBigUInt64BE()
  const validBefore = fields.take(8).readBigUInt64BE()
  const critical = fields.string()
  fields.string()
  fields.string()
  const signer = fields.string()
  const body = certificate.subarray(0, fields.at)
  const signature = fields.string()
  const names: string[] = []
  while (!principals.done) names.push(principals.string().toString())
  const good =
    fields.done &&
    kind === 1 &&
    names.includes(account) &&
    validAfter <= seconds &&
    seconds < validBefore &&
    critical.length === 0 &&
    signer.equals(trusted)
  return good && holds(rawKey(trusted), body, signature) ? key : undefined
}

function rawKey(blob: Buffer): Buffer {
  const fields = new Fields(blob)
  if (fields.string().toString() !== 'ssh-ed25519') throw new Error('another kind of key')
  return fields.string()
}

function holds(key: Buffer, data: Buffer, signature: Buffer): boolean {
  const fields = new Fields(signature)
  if (key.length !== 32 || fields.string().toString() !== 'ssh-ed25519') return false
  const object = createPublicKey({ key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' })
  return verify(null, data, object, fields.string())
}

class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get at(): number {
    return this.#at
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new Error('too short')
    const part = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return part
  }

  string(): Buffer {
    return this.take(this.take(4).readUInt32BE())
  }
}
