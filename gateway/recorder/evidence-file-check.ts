/** Checks an evidence file line by line: its own signature, and the chain of each session in it. Needs nothing but the file and public keys. */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { keyId } from './chain.ts'
import { ChainCheck, type Damage, type Evidence, type Keys } from './evidence.ts'
import { EVIDENCE_FORMAT, type EvidenceLine, signedBytes } from './evidence-file.ts'
import { type Known, learn, misfit, sums } from './evidence-rows.ts'
import { idBytes, type SessionEntry } from './segment.ts'
import type { Checkpoint } from './chain.ts'

export type FileEvidence = Evidence & {
  /** A sentence about the file: whose grant, who took it, when. */
  readonly about: string
  /** The key that signed it: 16 hex digits; `isKnown`: it was among the keys that were given. */
  readonly key: { readonly id: string; readonly isKnown: boolean }
}

type Open = { readonly entry: SessionEntry; readonly check: ChainCheck; readonly checkpoints: Checkpoint[] }

/**
 * `lines` with their newlines. Without `keys` the key in the file is believed: that shows damage, not who made the file.
 *
 * @throws {Error} when it is no evidence file.
 */
export async function verifyEvidenceFile(lines: AsyncIterable<string>, keys: Keys | undefined): Promise<FileEvidence> {
  const iterator = lines[Symbol.asyncIterator]()
  const first = await iterator.next()
  const head = first.done === true ? undefined : parsed(first.value)
  if (head === undefined || !('file' in head) || head.file !== EVIDENCE_FORMAT)
    throw new Error('This is no evidence file of Sallyport.')
  const own = createPublicKey(head.publicKey)
  const ownId = keyId(own).toString('hex')
  const trusted: Keys = keys ?? new Map([[ownId, own]])
  const file = new FileCheck(trusted)
  file.take(first.done === true ? '' : first.value, head)
  for (let step = await iterator.next(); step.done !== true; step = await iterator.next())
    file.take(step.value, parsed(step.value))
  const { grant, by, at } = head
  return {
    ...file.end(),
    about: `Grant ${grant.id} of ${grant.username}: ${grant.role} on ${grant.target}; taken by ${by} at ${new Date(at).toISOString()}.`,
    key: { id: ownId, isKnown: keys !== undefined && keys.has(ownId) },
  }
}

class FileCheck {
  readonly #keys: Keys
  readonly #hash = createHash('sha256')
  readonly #known = new Map<string, Known>()
  readonly #checks: ChainCheck[] = []
  readonly #damages: Damage[] = []
  #open: Open | undefined
  #lines = 0
  #sessions = 0
  #isSigned = false

  constructor(keys: Keys) {
    this.#keys = keys
  }

  take(text: string, line: EvidenceLine | undefined): void {
    if (this.#isSigned) return this.#report('Something was added after the signature.')
    if (line !== undefined && 'end' in line) return this.#seal(line.end)
    this.#hash.update(text)
    this.#lines += 1
    if (line === undefined) return this.#report(`Line ${this.#lines} of the file is damaged.`)
    if ('audit' in line) learn(this.#known, line.audit)
    else if ('session' in line) this.#begin(line.session)
    else if ('checkpoint' in line) {
      const [seq, at, head, signature, key] = line.checkpoint
      const [headBytes, signatureBytes, keyBytes] = [head, signature, key].map((hex) => Buffer.from(hex, 'hex'))
      if (this.#open === undefined || headBytes === undefined || signatureBytes === undefined || keyBytes === undefined)
        return this.#report(`Line ${this.#lines} of the file belongs to no session.`)
      const id = idBytes(this.#open.entry.start.id)
      this.#open.checkpoints.push({ id, seq, at, head: headBytes, signature: signatureBytes, keyId: keyBytes })
    } else if ('event' in line) {
      const [seq, at, kind, base64] = line.event
      if (this.#open === undefined) return this.#report(`Line ${this.#lines} of the file belongs to no session.`)
      this.#pass(this.#open, seq)
      this.#open.check.record({ seq, at, kind, data: Buffer.from(base64, 'base64') })
    }
  }

  end(): Evidence {
    this.#close()
    if (!this.#isSigned) this.#report('The file ends before its signature: it is not whole.')
    for (const id of this.#known.keys())
      this.#damages.push(...(misfit(id, undefined, this.#known.get(id), undefined) ?? []))
    const found = this.#checks.flatMap((check) => check.damage ?? [])
    return { sessions: this.#sessions, ...sums(this.#checks), damages: [...this.#damages, ...found] }
  }

  #begin(entry: SessionEntry): void {
    this.#close()
    const { id } = entry.start
    this.#sessions += 1
    const check = new ChainCheck('session', idBytes(id), id, this.#keys)
    this.#checks.push(check)
    this.#open = { entry, check, checkpoints: [] }
  }

  /** Checkpoints that come before the record with that number. */
  #pass({ check, checkpoints }: Open, before: number): void {
    for (let due = checkpoints[0]; due !== undefined && due.seq < before; due = checkpoints[0]) {
      check.checkpoint(due)
      checkpoints.shift()
    }
  }

  #close(): void {
    const open = this.#open
    if (open === undefined) return
    this.#pass(open, Number.POSITIVE_INFINITY)
    const { entry, check } = open
    const { id } = entry.start
    const known = this.#known.get(id)
    check.end(known?.events ?? (entry.end === undefined ? undefined : entry.events))
    if (check.damage === undefined) this.#damages.push(...(misfit(id, entry, known, check) ?? []))
    this.#known.delete(id)
    this.#open = undefined
  }

  #seal(end: { readonly lines: number; readonly keyId: string; readonly signature: string }): void {
    this.#close()
    this.#isSigned = true
    const key = this.#keys.get(end.keyId)
    if (key === undefined) return this.#report('The file is signed by an unknown key.')
    const isSound = verify(null, signedBytes(this.#hash.digest()), key, Buffer.from(end.signature, 'base64'))
    if (!isSound || end.lines !== this.#lines) this.#report('The file was changed after it was signed.')
  }

  #report(message: string): void {
    this.#damages.push({ what: 'file', id: '', from: 0, to: 0, message })
  }
}

function parsed(text: string): EvidenceLine | undefined {
  try {
    return JSON.parse(text) as EvidenceLine
  } catch {
    return undefined
  }
}
