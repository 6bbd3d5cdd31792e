/**
 * Masks values on their way from a target: whatever is read after this (digest, sample, client) is the masked form.
 * Which column is masked is told by the origin that a RowDescription names, so the judge has to have refused whatever has none.
 * A result that is not described, or that comes from a table nobody knows, ends the session.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import type { Role } from '../model/role.ts'
import type { ColumnMask, SqlJudge } from './judge.ts'
import { cstring, FieldReader, message } from './message.ts'

/** By column of a result; undefined: as it is. */
type Plan = readonly ((ColumnMask & { readonly keepsType: boolean }) | undefined)[]
type MaskOf = NonNullable<SqlJudge['maskOf']>

const ROW_DESCRIPTION = 0x54
const NO_DATA = 0x6e
const DATA_ROW = 0x44
/** After these the next rows are another result's: CommandComplete, EmptyQueryResponse, ErrorResponse, PortalSuspended, ReadyForQuery. */
const ENDS_RESULT = new Set([0x43, 0x49, 0x45, 0x73, 0x5a])
/** A row that has to be rewritten is held whole. */
const MAX_HELD = 64 * 1024 * 1024
/** Text, varchar, char(n) and name look the same in both formats. */
const TEXT_TYPES = new Set([25, 1043, 1042, 19])
const BINARY = 1
const NOTHING = Buffer.alloc(0)
const NULL_VALUE = Buffer.from([0xff, 0xff, 0xff, 0xff])

/** @throws {Refusal} when the judge does not know of masks: the session cannot be. */
export function maskingOf({ postgres }: Role, judge: SqlJudge): Masking | undefined {
  if ((postgres.mask ?? []).length === 0) return undefined
  if (judge.maskOf === undefined)
    throw new Refusal('UNAVAILABLE', 'This role masks columns, which is not possible here.')
  return new Masking((table, column) => judge.maskOf?.(table, column) ?? 'unknown')
}

export class Masking {
  readonly #maskOf: MaskOf
  readonly #key = randomBytes(32)
  /** Of a message that is not whole yet. */
  #kept: Buffer[] = []
  #keptBytes = 0
  /** How much there has to be before it is looked at again. */
  #wanted = 0
  /** Bytes of a message under way that pass as they come. */
  #passing = 0
  #plan: Plan | undefined
  /** Descriptions that are owed: asked for by the client, or by us. */
  #described: ('client' | 'ours')[] = []

  constructor(maskOf: MaskOf) {
    this.#maskOf = maskOf
  }

  /** What goes before an Execute, so that its rows are described in the formats they come in. Its answer is kept from the client. */
  describe(portal: string): Buffer {
    this.#described.push('ours')
    return message('D', Buffer.from('P'), cstring(portal))
  }

  /** The client itself asks for a description. */
  asked(): void {
    this.#described.push('client')
  }

  /**
   * @param chunk as it came from the target. @returns what may be read of it.
   * @throws {Refusal} when a column cannot be told apart from a masked one. @throws {MalformedMessage}
   */
  push(chunk: Buffer): Buffer {
    if (this.#keptBytes + chunk.length < this.#wanted) {
      this.#kept.push(chunk)
      this.#keptBytes += chunk.length
      return NOTHING
    }
    const bytes = this.#keptBytes === 0 ? chunk : Buffer.concat([...this.#kept, chunk])
    const pieces: Buffer[] = []
    let at = 0
    let from = 0
    this.#kept = []
    this.#keptBytes = 0
    this.#wanted = 0
    while (at < bytes.length) {
      if (this.#passing > 0) {
        const take = Math.min(this.#passing, bytes.length - at)
        this.#passing -= take
        at += take
        continue
      }
      const left = bytes.length - at
      const length = left < 5 ? 0 : bytes.readInt32BE(at + 1)
      if (left >= 5 && length < 4) throw new MalformedMessage(`message length ${length}`)
      const type = bytes[at] ?? 0
      if (left >= 5 && !this.#isHeld(type)) {
        this.#noted(type)
        this.#passing = length + 1
        continue
      }
      if (left >= 5 && length > MAX_HELD) throw new MalformedMessage(`message length ${length}`)
      if (left < 5 || left < length + 1) {
        if (at > from) pieces.push(bytes.subarray(from, at))
        from = bytes.length
        this.#kept = [bytes.subarray(at)]
        this.#keptBytes = left
        this.#wanted = left < 5 ? 5 : length + 1
        break
      }
      if (at > from) pieces.push(bytes.subarray(from, at))
      const whole = bytes.subarray(at, at + length + 1)
      const said = type === DATA_ROW ? this.#row(whole) : this.#description(type, whole)
      if (said.length > 0) pieces.push(said)
      at += length + 1
      from = at
    }
    if (at > from) pieces.push(bytes.subarray(from, at))
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces)
  }

  #isHeld(type: number): boolean {
    if (type !== DATA_ROW) return type === ROW_DESCRIPTION || type === NO_DATA
    if (this.#plan === undefined)
      throw new Refusal(
        'NOT_ALLOWED',
        'A result came without a description; under this role’s masks it cannot be shown.',
      )
    return this.#plan.some((mask) => mask !== undefined)
  }

  #noted(type: number): void {
    if (ENDS_RESULT.has(type)) this.#plan = undefined
    // Whatever was still to be described was skipped up to the Sync that this answers; the next group is sent after it.
    if (type === 0x5a) this.#described = []
  }

  #description(type: number, whole: Buffer): Buffer {
    const isOurs = this.#described.shift() === 'ours'
    this.#plan = type === NO_DATA ? undefined : this.#planOf(whole.subarray(5))
    return isOurs ? NOTHING : whole
  }

  #planOf(body: Buffer): Plan {
    const fields = new FieldReader(body)
    return Array.from({ length: fields.int16() }, () => {
      const name = fields.string()
      const table = fields.take(4).readUInt32BE(0)
      const number = fields.int16()
      const column = number > 0x7fff ? number - 0x1_0000 : number // those of the system are negative
      const type = fields.take(4).readUInt32BE(0)
      fields.take(6)
      const format = fields.int16()
      if (table === 0) return undefined
      const mask = this.#maskOf(table, column)
      if (mask === 'plain') return undefined
      if (mask === 'unknown')
        throw new Refusal(
          'NOT_ALLOWED',
          `Where column "${name.slice(0, 64)}" comes from was changed a moment ago; it cannot be told whether it is masked.`,
          {
            next: 'Connect again in a few seconds.',
          },
        )
      return { ...mask, keepsType: mask.isText && (format !== BINARY || TEXT_TYPES.has(type)) }
    })
  }

  #row(whole: Buffer): Buffer {
    const plan = this.#plan ?? []
    const fields = new FieldReader(whole.subarray(5))
    const count = fields.int16()
    if (count !== plan.length) throw new MalformedMessage('a row of another width than its description')
    const pieces: Buffer[] = [whole.subarray(5, 7)]
    for (const mask of plan) {
      const value = fields.value()
      const shown = value === null || mask === undefined ? value : this.#masked(value, mask)
      if (shown === null) pieces.push(NULL_VALUE)
      else {
        const length = Buffer.allocUnsafe(4)
        length.writeInt32BE(shown.length)
        pieces.push(length, shown)
      }
    }
    return message('D', ...pieces)
  }

  /** NULL where a text would not be a value of the column's type. */
  #masked(value: Buffer, { kind, keepsType }: ColumnMask & { readonly keepsType: boolean }): Buffer | null {
    if (!keepsType || kind === 'null') return null
    if (kind === 'full') return Buffer.from('***')
    if (kind === 'hash') return Buffer.from(createHmac('sha256', this.#key).update(value).digest('hex').slice(0, 16))
    return Buffer.from(partial(value.toString('utf8')))
  }
}

/** `anna.schmidt@example.com` → `a***@example.com`; else the last quarter, four characters at most. */
export function partial(text: string): string {
  const at = text.lastIndexOf('@')
  const characters = Array.from(at > 0 ? text.slice(0, at) : text.trimEnd())
  if (at > 0) return `${characters.length >= 4 ? characters[0] : ''}***${text.slice(at)}`
  const shown = Math.min(4, Math.floor(characters.length / 4))
  return `***${shown === 0 ? '' : characters.slice(-shown).join('')}`
}
