/** Hash chains over records, and the signatures that seal them. An aid that shows tampering, not a lock against it. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type Hash,
  type KeyObject,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/**
 * One chain: `head(0) = SHA-256("sallyport-chain-2" · id)`, `head(n) = SHA-256(head(n-1) · the links of the records since)`, where the link
 * of a record is what the journal's format (segment.ts) writes of it, or, of a large one, its length and the SHA-256 of its body. A record's bytes follow from what ClickHouse stores (id, seq, ms, kind, data), so an auditor can compute the chain from there.
 */
export class Chain {
  readonly id: Buffer
  #hash: Hash
  #head: Buffer
  #seq: number
  #sealedSeq: number

  constructor(id: Buffer, resume?: { readonly seq: number; readonly head: Buffer }) {
    this.id = id
    this.#head = resume?.head ?? createHash('sha256').update('sallyport-chain-2').update(id).digest()
    this.#seq = resume?.seq ?? 0
    this.#sealedSeq = this.#seq
    this.#hash = createHash('sha256').update(this.#head)
  }

  /** `links` are those of one or more records of this chain in order; `seq` is the last one's. */
  add(links: Uint8Array, seq: number): void {
    this.#hash.update(links)
    this.#seq = seq
  }

  /** The last record's. */
  get seq(): number {
    return this.#seq
  }

  /** How many records are not under a seal yet. */
  get loose(): number {
    return this.#seq - this.#sealedSeq
  }

  get sealed(): { readonly seq: number; readonly head: Buffer } {
    return { seq: this.#sealedSeq, head: this.#head }
  }

  seal(): { readonly seq: number; readonly head: Buffer } {
    this.#head = this.#hash.digest()
    this.#hash = createHash('sha256').update(this.#head)
    this.#sealedSeq = this.#seq
    return this.sealed
  }
}

export type SigningKey = { readonly privateKey: KeyObject; readonly id: Buffer }

const KEY_FILE = 'signing-key.pem'
export const PUBLIC_KEY_FILE = 'signing-key.pub.pem'

/** Made at first start, readable by its owner only. Several processes may come at the same time: the first one's key holds. */
export function openSigningKey(dir: string): SigningKey {
  const file = path.join(dir, KEY_FILE)
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync('ed25519')
    const draft = `${file}.${randomBytes(6).toString('hex')}`
    writeFileSync(draft, privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600, flush: true })
    try {
      linkSync(draft, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    } finally {
      unlinkSync(draft)
    }
  }
  const privateKey = createPrivateKey(readFileSync(file))
  const publicKey = createPublicKey(privateKey)
  const publicFile = path.join(dir, PUBLIC_KEY_FILE)
  if (!existsSync(publicFile)) writeFileSync(publicFile, publicKey.export({ format: 'pem', type: 'spki' }))
  return { privateKey, id: keyId(publicKey) }
}

/** The first 8 bytes of SHA-256 over the public key's DER. */
export const keyId = (publicKey: KeyObject): Buffer =>
  createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest()
    .subarray(0, 8)

export type Checkpoint = {
  readonly id: Buffer
  readonly seq: number
  readonly at: number
  readonly head: Buffer
  readonly signature: Buffer
  readonly keyId: Buffer
}

function signedBytes(checkpoint: Pick<Checkpoint, 'id' | 'seq' | 'at' | 'head'>): Buffer {
  const numbers = Buffer.alloc(10)
  numbers.writeUInt32LE(checkpoint.seq, 0)
  numbers.writeUIntLE(checkpoint.at, 4, 6)
  return Buffer.concat([Buffer.from('sallyport-checkpoint-1'), checkpoint.id, numbers, checkpoint.head])
}

/** Data of a `C` record: head (32 bytes), Ed25519 signature (64), key id (8). */
export function signCheckpoint(key: SigningKey, checkpoint: Pick<Checkpoint, 'id' | 'seq' | 'at' | 'head'>): Buffer {
  return Buffer.concat([checkpoint.head, sign(null, signedBytes(checkpoint), key.privateKey), key.id])
}

export function readCheckpoint(record: {
  readonly id: Buffer
  readonly seq: number
  readonly at: number
  readonly data: Buffer
}): Checkpoint {
  const { id, seq, at, data } = record
  return { id, seq, at, head: data.subarray(0, 32), signature: data.subarray(32, 96), keyId: data.subarray(96, 104) }
}

export const isSignedBy = (publicKey: KeyObject, checkpoint: Checkpoint): boolean =>
  checkpoint.signature.length === 64 && verify(null, signedBytes(checkpoint), publicKey, checkpoint.signature)
