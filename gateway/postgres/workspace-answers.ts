/** What a target answers to a workspace: the state of its one transaction, and rows of questions that are the gateway's own. */
import { MalformedMessage } from '../model/refusal.ts'
import { FieldReader, readReport } from './message.ts'

export type Status = 'I' | 'T' | 'E'

/** A question of our own: its answer stays here. */
export type Own = { readonly rows: (readonly (string | null)[])[]; failure: string | undefined }

/** @param bytes one whole message. */
export function keepAnswer(own: Own, type: string, bytes: Buffer): void {
  if (type === 'E') own.failure ??= readReport(bytes.subarray(5)).get('M') ?? 'refused'
  if (type !== 'D') return
  const fields = new FieldReader(bytes, 5)
  own.rows.push(Array.from({ length: fields.int16() }, () => fields.value()?.toString('utf8') ?? null))
}

/** @param bytes a whole ReadyForQuery. @throws {MalformedMessage} when no transaction is open any more. */
export function statusOf(bytes: Buffer): Status {
  const status = String.fromCharCode(bytes[5] ?? 0)
  if (status === 'T' || status === 'E') return status
  throw new MalformedMessage('the transaction is over')
}
