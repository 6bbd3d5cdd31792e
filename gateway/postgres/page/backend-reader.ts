/** Reads what a backend says to a page's session: whole messages, their fields, and a limit on what one of them may weigh. */
import { MalformedMessage } from '../../model/refusal.ts'
import type { SqlColumn } from '../../session/session.ts'
import { FieldReader } from '../message.ts'
import { typeName } from './type-names.ts'

export type BackendMessage = { readonly type: string; readonly body: Buffer }

/** A page cannot show more than this in one row, and nobody's memory is for it. */
const MOST_MESSAGE = 16 * 1024 * 1024
const HEADER = 5

export class BackendReader {
  #held: Buffer = Buffer.alloc(0)
  #chunks: Buffer[] = []
  #size = 0;

  /** @throws {MalformedMessage} for a message that is too long. */
  *push(chunk: Buffer): Generator<BackendMessage> {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    if (this.#held.length >= HEADER && this.#held.length + this.#size < this.#wanted()) return
    this.#held = Buffer.concat([this.#held, ...this.#chunks])
    this.#chunks = []
    this.#size = 0
    while (this.#held.length >= HEADER && this.#held.length >= this.#wanted()) {
      const end = this.#wanted()
      const type = String.fromCharCode(this.#held[0] ?? 0)
      const body = this.#held.subarray(HEADER, end)
      this.#held = this.#held.subarray(end)
      yield { type, body }
    }
  }

  #wanted(): number {
    const length = this.#held.readInt32BE(1)
    if (length < 4 || length > MOST_MESSAGE) throw new MalformedMessage('A row is too long to be shown here.')
    return length + 1
  }
}

/** RowDescription. */
export function columnsOf(body: Buffer): readonly SqlColumn[] {
  const fields = new FieldReader(body)
  const count = fields.int16()
  return Array.from({ length: count }, () => {
    const name = fields.string()
    fields.int32()
    fields.int16()
    const type = fields.int32()
    fields.int16()
    fields.int32()
    fields.int16()
    return { name, type: typeName(type) }
  })
}

/** DataRow of a simple query: text or null. */
export function valuesOf(body: Buffer): readonly (string | null)[] {
  const fields = new FieldReader(body)
  const count = fields.int16()
  return Array.from({ length: count }, () => fields.value()?.toString('utf8') ?? null)
}
