/** The first rows of a result for the recording, with the columns masked whose names say that they hold a secret or a person's details. */
import { MalformedMessage } from '../model/refusal.ts'
import { FieldReader } from './message.ts'

export type Column = { readonly name: string; readonly isBinary: boolean }
export type Sample = readonly (readonly (string | null)[])[]

const MASKED =
  /pass(word|wd|phrase)?|secret|token|api_?key|private|salt|hash|verifier|iban|card|cvv|ssn|tax_?id|birth|e_?mail|phone|mobile/i
const MASK = '***'
/** Characters of one value. */
const MAX_VALUE = 200
const DATA_ROW = 0x44

/** The columns of a RowDescription; none when it is cut short or broken, and then nothing is sampled. */
export function readColumns(body: Buffer): readonly Column[] {
  try {
    const fields = new FieldReader(body)
    return Array.from({ length: fields.int16() }, () => {
      const name = fields.string()
      fields.take(16)
      return { name, isBinary: fields.int16() === 1 }
    })
  } catch (failure) {
    if (failure instanceof MalformedMessage) return []
    throw failure
  }
}

/** @param bytes whole DataRow messages from the start of a result, the last perhaps cut off. */
export function readSample(bytes: Buffer, columns: readonly Column[], most: number): Sample {
  const rows: (string | null)[][] = []
  for (let at = 0; rows.length < most && bytes.length - at >= 5; ) {
    const end = at + 1 + bytes.readInt32BE(at + 1)
    if (bytes[at] !== DATA_ROW || end > bytes.length) break
    const row = readRow(bytes.subarray(at + 5, end), columns)
    if (row === undefined) break
    rows.push(row)
    at = end
  }
  return rows
}

function readRow(body: Buffer, columns: readonly Column[]): (string | null)[] | undefined {
  try {
    const fields = new FieldReader(body)
    // What is not described cannot be masked by its name.
    if (fields.int16() !== columns.length) return undefined
    return columns.map(({ name, isBinary }) => {
      const value = fields.value()
      if (value === null) return null
      if (MASKED.test(name)) return MASK
      const text = isBinary ? `\\x${value.toString('hex', 0, MAX_VALUE)}` : value.toString('utf8', 0, 4 * MAX_VALUE)
      return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE)}…` : text
    })
  } catch (failure) {
    if (failure instanceof MalformedMessage) return undefined
    throw failure
  }
}
