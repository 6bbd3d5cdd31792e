/**
 * PostgreSQL v3 frontend messages after start-up: bytes in, whole messages out.
 * Each keeps its exact bytes. Lengths are limited by type, and inner counts must use a message up to its last byte,
 * so that the target cannot read it otherwise than we did.
 */
import { isUtf8 } from 'node:buffer'
import { MalformedMessage } from '../model/refusal.ts'
import { FieldReader } from './message.ts'

/** A whole message: exactly the bytes of `memory` from `start` to `end`. Those of one chunk lie side by side in it. */
export type Whole = { readonly memory: Buffer; readonly start: number; readonly end: number }
/** `valid`: the text is UTF-8. */
type Sql = Whole & { readonly text: string; readonly valid: boolean }

export type FrontendMessage =
  | (Sql & { readonly type: 'query' })
  /** `types`: object ids of parameter types, as far as the client names them; 0: left to the server. */
  | (Sql & { readonly type: 'parse'; readonly name: string; readonly types: readonly number[] })
  | (Whole & { readonly type: 'bind'; readonly portal: string; readonly statement: string })
  | (Whole & { readonly type: 'execute'; readonly portal: string })
  | (Whole & { readonly type: 'describe' | 'close'; readonly what: 'S' | 'P'; readonly name: string })
  | (Whole & { readonly type: 'function-call'; readonly oid: number })
  | (Whole & { readonly type: 'sync' | 'flush' | 'terminate' | 'copy-data' | 'copy-done' | 'copy-fail' })

const MiB = 1024 * 1024
/** Whole message, without its type byte. Texts that nobody would read in a review, and parameters up to a large document. */
const LIMITS: Readonly<Record<string, number>> = {
  Q: 16 * MiB,
  P: 16 * MiB,
  B: 64 * MiB,
  F: 64 * MiB,
  d: 64 * MiB,
  E: MiB,
  D: MiB,
  C: MiB,
  f: MiB,
  S: 4,
  H: 4,
  X: 4,
  c: 4,
}
const limits = new Int32Array(256)
for (const [type, limit] of Object.entries(LIMITS)) limits[type.charCodeAt(0)] = limit

export const bytesOf = ({ memory, start, end }: Whole): Buffer => memory.subarray(start, end)

type Parse = Extract<FrontendMessage, { type: 'parse' }>
/** A longer Parse is not compared with the one before. */
const MAX_REPEATED = 4096
const NO_TYPES: readonly number[] = []

/** One per connection. Not to be fed again after it threw. */
export class FrontendSplitter {
  /** What came of a message that is not whole yet; joined once, when it is. */
  #parts: Buffer[] = []
  #held = 0
  #wanted = 5
  readonly #fields = new FieldReader(Buffer.alloc(0))
  /** Drivers parse the same text again and again. */
  #lastParse: Parse | undefined

  /** Bytes held for a message that is not whole yet. */
  get pending(): number {
    return this.#held
  }

  /** @throws {MalformedMessage} */
  push(chunk: Buffer): readonly FrontendMessage[] {
    let memory = chunk
    if (this.#held > 0) {
      this.#parts.push(chunk)
      this.#held += chunk.length
      if (this.#held < this.#wanted) return []
      memory = Buffer.concat(this.#parts, this.#held)
    }
    const messages: FrontendMessage[] = []
    const size = memory.length
    let at = 0
    let wanted = 5
    while (size - at >= 5) {
      const type = memory[at] ?? 0
      const length = memory.readInt32BE(at + 1)
      const limit = limits[type] ?? 0
      if (limit === 0) throw new MalformedMessage(`message type ${type}`)
      if (length < 4 || length > limit) throw new MalformedMessage(`message length ${length}`)
      wanted = length + 1
      if (size - at < wanted) break
      messages.push(this.#read(type, memory, at, at + wanted))
      at += wanted
      wanted = 5
    }
    this.#held = size - at
    this.#parts = this.#held === 0 ? [] : [memory.subarray(at)]
    this.#wanted = wanted
    return messages
  }

  #read(type: number, memory: Buffer, start: number, end: number): FrontendMessage {
    if (type === 0x50) return this.#readParse(memory, start, end) // P
    if (type === 0x51) return readQuery(memory, start, end) // Q
    const fields = this.#fields.over(memory, start + 5, end)
    const message = readMessage(type, fields, { memory, start, end })
    fields.end()
    return message
  }

  #readParse(memory: Buffer, start: number, end: number): Parse {
    const last = this.#lastParse
    if (
      last !== undefined &&
      last.end === end - start &&
      last.memory.compare(memory, start + 5, end, 5, last.end) === 0
    ) {
      const { name, types, text, valid } = last
      return { type: 'parse', name, types, text, valid, memory, start, end }
    }
    const fields = this.#fields.over(memory, start + 5, end)
    const name = fields.string()
    const from = fields.at
    const stop = memory.indexOf(0, from)
    fields.skip(stop + 1 - from)
    const text = memory.toString('utf8', from, stop)
    const valid = isValid(text, memory, from, stop)
    const count = fields.int16()
    const types = count === 0 ? NO_TYPES : Array.from({ length: count }, () => fields.int32() >>> 0)
    fields.end()
    const parse: Parse = { type: 'parse', name, types, text, valid, memory, start, end }
    if (end - start <= MAX_REPEATED)
      this.#lastParse = { ...parse, memory: Buffer.from(bytesOf(parse)), start: 0, end: end - start }
    return parse
  }
}

/** Reads over all fields of one message; the caller checks that none is left. */
function readMessage(type: number, fields: FieldReader, { memory, start, end }: Whole): FrontendMessage {
  switch (type) {
    case 0x42: {
      // B
      const portal = fields.string()
      const statement = fields.string()
      fields.skip(2 * fields.int16())
      for (let left = fields.int16(); left > 0; left--) fields.skipValue()
      fields.skip(2 * fields.int16())
      return { type: 'bind', portal, statement, memory, start, end }
    }
    case 0x45: {
      // E
      const portal = fields.string()
      fields.int32()
      return { type: 'execute', portal, memory, start, end }
    }
    case 0x44: // D
    case 0x43: {
      // C
      const what = memory[fields.skip(1)]
      if (what !== 0x53 && what !== 0x50) throw new MalformedMessage('neither a statement nor a portal')
      const name = fields.string()
      const kind = type === 0x44 ? 'describe' : 'close'
      return { type: kind, what: what === 0x53 ? 'S' : 'P', name, memory, start, end }
    }
    case 0x46: {
      // F
      const oid = fields.int32() >>> 0
      fields.skip(2 * fields.int16())
      for (let left = fields.int16(); left > 0; left--) fields.skipValue()
      fields.int16()
      return { type: 'function-call', oid, memory, start, end }
    }
    case 0x66: // f
      fields.string()
      return { type: 'copy-fail', memory, start, end }
    case 0x53:
      return { type: 'sync', memory, start, end }
    case 0x48:
      return { type: 'flush', memory, start, end }
    case 0x58:
      return { type: 'terminate', memory, start, end }
    case 0x64:
      fields.skip(end - start - 5)
      return { type: 'copy-data', memory, start, end }
    case 0x63:
      return { type: 'copy-done', memory, start, end }
    default:
      throw new MalformedMessage(`message type ${type}`)
  }
}

/** A text that ends in the only NUL it has, at the end. */
function readQuery(memory: Buffer, start: number, end: number): FrontendMessage {
  const from = start + 5
  if (from >= end || memory.indexOf(0, from) !== end - 1) throw new MalformedMessage('NUL inside a text')
  const text = memory.toString('utf8', from, end - 1)
  return { type: 'query', text, valid: isValid(text, memory, from, end - 1), memory, start, end }
}

const isValid = (text: string, memory: Buffer, from: number, end: number): boolean =>
  !text.includes('\ufffd') || isUtf8(memory.subarray(from, end))

/** Characters of all parameters of one Bind that are kept; what comes after them is one `…`. */
const MAX_PARAMETERS = 64 * 1024

/** What the parameters were, for the recording: text as it is, binary in hexadecimal, each up to `limit` characters. */
export function readParameters({ memory, start, end }: Whole, limit: number): readonly (string | null)[] {
  const fields = new FieldReader(memory).over(memory, start + 5, end)
  fields.string()
  fields.string()
  const formats: number[] = []
  for (let left = fields.int16(); left > 0; left--) formats.push(fields.int16())
  const count = fields.int16()
  const values: (string | null)[] = []
  let budget = MAX_PARAMETERS
  for (let i = 0; i < count; i++) {
    if (budget <= 0) return [...values, '…']
    const length = fields.int32()
    const format = formats.length === 1 ? formats[0] : formats[i]
    const text = length === -1 ? null : readValue(memory, fields.skip(length), length, format === 1, limit)
    budget -= (text?.length ?? 0) + 8
    values.push(text)
  }
  return values
}

function readValue(bytes: Buffer, from: number, length: number, isBinary: boolean, limit: number): string {
  const end = from + Math.min(length, isBinary ? limit : 4 * limit)
  const text = isBinary ? `\\x${bytes.toString('hex', from, end)}` : bytes.toString('utf8', from, end)
  return text.length > limit ? `${text.slice(0, limit)}…` : text
}
