/**
 * PostgreSQL v3 frontend messages after start-up: bytes in, whole messages out.
 * Each keeps its exact bytes. Lengths are limited by type, and inner counts must use a message up to its last byte,
 * so that the target cannot read it otherwise than we did.
 */
import { isUtf8 } from 'node:buffer'
import { MalformedMessage } from '../model/refusal.ts'
import { FieldReader } from './message.ts'

type Whole = { readonly bytes: Buffer }
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

/** One per connection. Not to be fed again after it threw. */
export class FrontendSplitter {
  /** What came of a message that is not whole yet; joined once, when it is. */
  #parts: Buffer[] = []
  #held = 0
  #wanted = 5

  /** Bytes held for a message that is not whole yet. */
  get pending(): number {
    return this.#held
  }

  /** @throws {MalformedMessage} */
  *push(chunk: Buffer): Generator<FrontendMessage, void, void> {
    let bytes = chunk
    if (this.#held > 0) {
      this.#parts.push(chunk)
      this.#held += chunk.length
      if (this.#held < this.#wanted) return
      bytes = Buffer.concat(this.#parts, this.#held)
    }
    let at = 0
    let wanted = 5
    while (bytes.length - at >= 5) {
      const length = bytes.readInt32BE(at + 1)
      const limit = limits[bytes[at] ?? 0] ?? 0
      if (limit === 0) throw new MalformedMessage(`message type ${bytes[at]}`)
      if (length < 4 || length > limit) throw new MalformedMessage(`message length ${length}`)
      wanted = length + 1
      if (bytes.length - at < wanted) break
      const whole = bytes.subarray(at, at + wanted)
      at += wanted
      wanted = 5
      yield readMessage(whole)
    }
    this.#parts = at === bytes.length ? [] : [bytes.subarray(at)]
    this.#held = bytes.length - at
    this.#wanted = wanted
  }
}

function readMessage(bytes: Buffer): FrontendMessage {
  const fields = new FieldReader(bytes, 5)
  const type = bytes[0] ?? 0
  switch (type) {
    case 0x51: // Q
      return { type: 'query', ...readText(bytes, 5, bytes.length), bytes }
    case 0x50: {
      // P
      const name = fields.string()
      const from = fields.at
      const stop = bytes.indexOf(0, from)
      if (stop === -1) throw new MalformedMessage('string without an end')
      const rest = new FieldReader(bytes, stop + 1)
      const types = Array.from({ length: rest.int16() }, () => rest.int32() >>> 0)
      rest.end()
      return { type: 'parse', name, types, ...readText(bytes, from, stop + 1), bytes }
    }
    case 0x42: {
      // B
      const portal = fields.string()
      const statement = fields.string()
      fields.skip(2 * fields.int16())
      for (let left = fields.int16(); left > 0; left--) fields.skipValue()
      fields.skip(2 * fields.int16())
      fields.end()
      return { type: 'bind', portal, statement, bytes }
    }
    case 0x45: {
      // E
      const portal = fields.string()
      fields.int32()
      fields.end()
      return { type: 'execute', portal, bytes }
    }
    case 0x44: // D
    case 0x43: {
      // C
      const what = String.fromCharCode(fields.take(1)[0] ?? 0)
      if (what !== 'S' && what !== 'P') throw new MalformedMessage('neither a statement nor a portal')
      const name = fields.string()
      fields.end()
      return { type: type === 0x44 ? 'describe' : 'close', what, name, bytes }
    }
    case 0x46: {
      // F
      const oid = fields.int32() >>> 0
      fields.skip(2 * fields.int16())
      for (let left = fields.int16(); left > 0; left--) fields.skipValue()
      fields.int16()
      fields.end()
      return { type: 'function-call', oid, bytes }
    }
    case 0x66: // f
      fields.string()
      fields.end()
      return { type: 'copy-fail', bytes }
    case 0x53:
      return { type: 'sync', bytes }
    case 0x48:
      return { type: 'flush', bytes }
    case 0x58:
      return { type: 'terminate', bytes }
    case 0x64:
      return { type: 'copy-data', bytes }
    case 0x63:
      return { type: 'copy-done', bytes }
    default:
      throw new MalformedMessage(`message type ${type}`)
  }
}

/** A text that ends in the only NUL it has, at `end - 1`. */
function readText(bytes: Buffer, from: number, end: number): { readonly text: string; readonly valid: boolean } {
  if (from >= end || bytes.indexOf(0, from) !== end - 1) throw new MalformedMessage('NUL inside a text')
  const text = bytes.toString('utf8', from, end - 1)
  return { text, valid: !text.includes('\ufffd') || isUtf8(bytes.subarray(from, end - 1)) }
}

/** Characters of all parameters of one Bind that are kept; what comes after them is one `…`. */
const MAX_PARAMETERS = 64 * 1024

/** What the parameters were, for the recording: text as it is, binary in hexadecimal, each up to `limit` characters. */
export function readParameters(bind: Buffer, limit: number): readonly (string | null)[] {
  const fields = new FieldReader(bind, 5)
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
    const text = length === -1 ? null : readValue(bind, fields.skip(length), length, format === 1, limit)
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
