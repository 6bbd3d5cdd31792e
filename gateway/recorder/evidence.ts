/** Checks chains and signatures of what was recorded, from the audit store or from journals, and says where the first damage is. */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Chain, type Checkpoint, isSignedBy, keyId } from './chain.ts'
import { linkOf, type RecordKind, sizeOf, writeRecord } from './segment.ts'

/** The first damage of one chain. `from` to `to`: it is among these records; one record alone when that is known. */
export type Damage = {
  readonly what: 'session' | 'audit log' | 'file'
  /** The session's id, or the chain's. */
  readonly id: string
  readonly from: number
  readonly to: number
  /** A sentence. */
  readonly message: string
}

export type Evidence = {
  readonly sessions: number
  readonly records: number
  readonly checkpoints: number
  /** Records after the last checkpoint of their chain: nothing signs them (yet). */
  readonly unsigned: number
  /** Sessions that are older than the store keeps recordings: they were not checked. */
  readonly expired?: number
  readonly damages: readonly Damage[]
}

export type ChainedRecord = {
  readonly seq: number
  readonly at: number
  readonly kind: RecordKind
  readonly data: Buffer
}

/** Public keys by their id. */
export type Keys = ReadonlyMap<string, KeyObject>

/** Every `*.pub.pem` of a directory, or one file. @throws when there is none. */
export function readPublicKeys(where: string): Keys {
  const files = where.endsWith('.pem')
    ? [where]
    : readdirSync(where)
        .filter((name) => name.endsWith('.pub.pem'))
        .map((name) => path.join(where, name))
  if (files.length === 0) throw new Error(`No public key (*.pub.pem) in ${where}`)
  const keys = files.map((file) => createPublicKey(readFileSync(file)))
  return new Map(keys.map((key) => [keyId(key).toString('hex'), key]))
}

/** Walks along one chain. Give it records in order, and each checkpoint as soon as its record has been given. */
export class ChainCheck {
  readonly #what: Damage['what']
  readonly #id: Buffer
  readonly #name: string
  readonly #keys: Keys
  #chain: Chain
  #damage: Damage | undefined
  /** The chain began before what is at hand: a checkpoint must say where it stands. */
  #isLost: boolean
  #last: Buffer = Buffer.alloc(0)
  records = 0
  checkpoints = 0

  constructor(what: Damage['what'], id: Buffer, name: string, keys: Keys, isLost = false) {
    this.#what = what
    this.#id = id
    this.#name = name
    this.#keys = keys
    this.#isLost = isLost
    this.#chain = new Chain(id)
  }

  get damage(): Damage | undefined {
    return this.#damage
  }

  get seq(): number {
    return this.#chain.seq
  }

  get unsigned(): number {
    return this.#isLost ? 0 : this.#chain.loose
  }

  get head(): string {
    return this.#chain.sealed.head.toString('hex')
  }

  record(record: ChainedRecord): void {
    const { seq } = record
    const link = linkFor(this.#id, record)
    if (seq === this.seq && this.records > 0) {
      if (!link.equals(this.#last)) this.#report(seq, seq, 'is there twice, and not the same')
      return
    }
    this.#last = link
    this.records += 1
    if (this.#isLost) return
    if (seq !== this.seq + 1) this.#report(this.seq + 1, seq - 1, 'are missing')
    this.#chain.add(link, seq)
  }

  checkpoint(checkpoint: Checkpoint): void {
    this.checkpoints += 1
    const { seq, head } = checkpoint
    const from = this.#chain.sealed.seq + 1
    const key = this.#keys.get(checkpoint.keyId.toString('hex'))
    if (key === undefined || !isSignedBy(key, checkpoint))
      this.#report(
        from,
        seq,
        key === undefined ? 'are signed by an unknown key' : 'have a checkpoint with a false signature',
      )
    if (this.#isLost) this.#isLost = false
    else if (this.seq < seq) this.#report(this.seq + 1, seq, 'are missing: a checkpoint knows them')
    else if (!this.#chain.seal().head.equals(head))
      this.#report(from, seq, 'were changed: they do not fit their checkpoint')
    this.#chain = new Chain(this.#id, { seq, head })
  }

  /** Nothing follows. `expected`: how many records there must be, where that is known. */
  end(expected: number | undefined): void {
    if (expected === undefined || this.#isLost) return
    if (this.seq < expected) this.#report(this.seq + 1, expected, 'are missing: the end of the session knows them')
    else if (this.seq > expected) this.#report(expected + 1, this.seq, 'were added after the end')
  }

  #report(from: number, to: number, how: string): void {
    const message =
      from === to
        ? `Record ${from} of ${this.#what} ${this.#name} ${how
            .replace(/^are /, 'is ')
            .replace(/^were /, 'was ')
            .replace('they do', 'it does')
            .replace('their', 'its')}.`
        : `Records ${from} to ${to} of ${this.#what} ${this.#name} ${how}.`
    this.#damage ??= { what: this.#what, id: this.#name, from, to, message }
  }
}

function linkFor(id: Buffer, record: ChainedRecord): Buffer {
  const bytes = Buffer.alloc(sizeOf(record.data))
  writeRecord(bytes, 0, { ...record, id }, 0)
  return Buffer.from(linkOf(bytes))
}
