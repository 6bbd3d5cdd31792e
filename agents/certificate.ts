/** Whether somebody who logs in holds a certificate of the one CA that this host trusts. Only what Sallyport itself issues is taken: Ed25519, one kind, at most one option, which is understood or refused. */
import { createPublicKey, verify } from 'node:crypto'
import { readWish, type WorkspaceWish } from './workspace/wish.ts'

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

/** What a certificate is good for. Its option is a critical one: whoever does not know it, an sshd or an older agent, lets nobody in. */
export type Permit =
  /** Programs; in a workspace when there is one. */
  | { readonly kind: 'login'; readonly workspace: WorkspaceWish | undefined }
  /** Questions of the gateway itself about workspaces that are over. No program. */
  | { readonly kind: 'errand' }

const WORKSPACE = 'workspace@sallyport'
const ERRAND = 'errand@sallyport'

/** @param authority the public key line of the CA. Undefined for anything odd. */
export function permitOf(authority: string, request: LoginRequest, now: number): Permit | undefined {
  try {
    const trusted = Buffer.from(authority.split(' ')[1] ?? '', 'base64')
    const found = readCertificate(trusted, request, BigInt(Math.floor(now / 1000)))
    return found !== undefined && holds(found.key, request.signed, request.signature) ? found.permit : undefined
  } catch {
    return undefined
  }
}

/** @throws {Error} */
function readOption(critical: Buffer): Permit {
  if (critical.length === 0) return { kind: 'login', workspace: undefined }
  const fields = new Fields(critical)
  const name = fields.string().toString()
  const data = new Fields(fields.string())
  const value = data.string().toString()
  if (!fields.done || !data.done) throw new Error('more than one option')
  if (name === WORKSPACE) return { kind: 'login', workspace: readWish(value) }
  if (name === ERRAND && value === '') return { kind: 'errand' }
  throw new Error('another option')
}

type Found = { readonly key: Buffer; readonly permit: Permit }

/** PROTOCOL.certkeys: the raw key, when everything about the certificate is as it must be. */
function readCertificate(trusted: Buffer, { account, certificate }: LoginRequest, seconds: bigint): Found | undefined {
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
  const permit = readOption(fields.string())
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
    signer.equals(trusted)
  return good && holds(rawKey(trusted), body, signature) ? { key, permit } : undefined
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
