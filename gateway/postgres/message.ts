/** Builds and reads the parts that PostgreSQL v3 messages are made of. The manual: "Message Formats". */
import { MalformedMessage } from '../model/refusal.ts'

export const int32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeInt32BE(value | 0)
  return bytes
}

export const int16 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(2)
  bytes.writeUInt16BE(value)
  return bytes
}

/** @throws {Error} for a NUL in the text: it would end the string early and start a field of the sender's choice. */
export function cstring(text: string): Buffer {
  if (text.includes('\0')) throw new Error('NUL in a string for the wire')
  return Buffer.from(`${text}\0`)
}

export function message(type: string, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 4)
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(length), ...parts], length + 1)
}

export const AUTHENTICATION_OK = message('R', int32(0))
export const TERMINATE = message('X')

export const authenticationSasl = (mechanisms: readonly string[]): Buffer =>
  message('R', int32(10), ...mechanisms.map(cstring), Buffer.from([0]))
export const authenticationSaslContinue = (data: string): Buffer => message('R', int32(11), Buffer.from(data))
export const authenticationSaslFinal = (data: string): Buffer => message('R', int32(12), Buffer.from(data))
export const parameterStatus = (name: string, value: string): Buffer => message('S', cstring(name), cstring(value))
export const backendKeyData = (processId: number, key: Buffer): Buffer => message('K', int32(processId), key)
export const readyForQuery = (status: 'I' | 'T' | 'E'): Buffer => message('Z', Buffer.from(status))
export const negotiateProtocolVersion = (unknown: readonly string[]): Buffer =>
  message('v', int32(3 << 16), int32(unknown.length), ...unknown.map(cstring))

export type Report = {
  readonly severity: 'FATAL' | 'ERROR' | 'NOTICE' | 'WARNING'
  readonly code: string
  readonly message: string
  readonly hint?: string | undefined
  readonly detail?: string | undefined
}

/** An ErrorResponse or NoticeResponse. Text of others may stand in it, so NULs are taken out rather than refused. */
export function report(what: Report): Buffer {
  const fields: (readonly [string, string | undefined])[] = [
    ['S', what.severity],
    ['V', what.severity],
    ['C', what.code],
    ['M', what.message],
    ['D', what.detail],
    ['H', what.hint],
  ]
  const present = fields.flatMap(([field, text]) =>
    text === undefined ? [] : [Buffer.from(`${field}${text.replaceAll('\0', ' ')}\0`)],
  )
  const isNotice = what.severity === 'NOTICE' || what.severity === 'WARNING'
  return message(isNotice ? 'N' : 'E', ...present, Buffer.from([0]))
}

/** Fields of an ErrorResponse or NoticeResponse by their letter; a body that is cut short gives what was whole. */
export function readReport(body: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (let at = 0; at < body.length && body[at] !== 0; ) {
    const stop = body.indexOf(0, at + 1)
    if (stop === -1) break
    fields.set(String.fromCharCode(body[at] ?? 0), body.toString('utf8', at + 1, stop))
    at = stop + 1
  }
  return fields
}

/** @throws {MalformedMessage} */
export function readParameterStatus(body: Buffer): readonly [name: string, value: string] {
  const reader = new FieldReader(body)
  const pair = [reader.string(), reader.string()] as const
  reader.end()
  return pair
}

/** Reads a message's fields in order; whatever does not fit, or is left over, is malformed. */
export class FieldReader {
  #bytes: Buffer
  #at: number
  #end: number

  constructor(bytes: Buffer, from = 0) {
    this.#bytes = bytes
    this.#at = from
    this.#end = bytes.length
  }

  /** Begins anew, with the fields between `from` and `end`. */
  over(bytes: Buffer, from: number, end: number): this {
    this.#bytes = bytes
    this.#at = from
    this.#end = end
    return this
  }

  get at(): number {
    return this.#at
  }

  /** @throws {MalformedMessage} */
  string(): string {
    // Most names on this wire are empty.
    if (this.#at < this.#end && this.#bytes[this.#at] === 0) {
      this.#at += 1
      return ''
    }
    const stop = this.#bytes.indexOf(0, this.#at)
    if (stop === -1 || stop >= this.#end) throw new MalformedMessage('string without an end')
    const text = this.#bytes.toString('utf8', this.#at, stop)
    this.#at = stop + 1
    return text
  }

  /** @throws {MalformedMessage} */
  take(count: number): Buffer {
    const from = this.skip(count)
    return this.#bytes.subarray(from, this.#at)
  }

  /** As {@link take}, for bytes that nobody looks at, or not yet: where they begin. @throws {MalformedMessage} */
  skip(count: number): number {
    if (count < 0 || this.#at + count > this.#end) throw new MalformedMessage('field runs over its message')
    const from = this.#at
    this.#at += count
    return from
  }

  int32(): number {
    const at = this.skip(4)
    const bytes = this.#bytes
    return ((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)
  }

  /** Counts are unsigned. */
  int16(): number {
    const at = this.skip(2)
    return ((this.#bytes[at] ?? 0) << 8) | (this.#bytes[at + 1] ?? 0)
  }

  /** @throws {MalformedMessage} */
  skipValue(): void {
    const length = this.int32()
    if (length !== -1) this.skip(length)
  }

  /** A value with its length in front; -1 is null. */
  value(): Buffer | null {
    const length = this.int32()
    if (length === -1) return null
    return this.take(length)
  }

  /** @throws {MalformedMessage} unless all was read. */
  end(): void {
    if (this.#at !== this.#end) throw new MalformedMessage('message longer than its fields')
  }
}
