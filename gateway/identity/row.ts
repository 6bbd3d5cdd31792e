/** From rows of the state store to the words of the model. */
import type { Identity, Proof, Subject, Username } from '../model/identity.ts'
import { Fault } from '../model/refusal.ts'
import type { Value } from '../state/state.ts'

/** One row as the store gives it. */
export type Row = Readonly<Record<string, Value>>

export function text(row: Row, column: string): string {
  const value = row[column]
  if (typeof value !== 'string') throw new Fault(`column ${column} holds no text`)
  return value
}

export const textOrNone = (row: Row, column: string): string | undefined =>
  row[column] === null ? undefined : text(row, column)

export function number(row: Row, column: string): number {
  const value = Number(row[column] ?? Number.NaN)
  if (!Number.isSafeInteger(value)) throw new Fault(`column ${column} holds no whole number`)
  return value
}

/** Of a row that joins `people` with the columns `provider` and `proof` of a sign-in. */
export const identityOf = (row: Row): Identity => ({
  subject: text(row, 'subject') as Subject,
  username: text(row, 'username') as Username,
  groups: JSON.parse(text(row, 'member_of')) as readonly string[],
  provider: text(row, 'provider'),
  proof: proofOf(text(row, 'proof')),
})

export const proofText = (proof: Proof): string =>
  JSON.stringify({ acr: proof.acr ?? null, amr: proof.amr, authTime: proof.authTime })

function proofOf(json: string): Proof {
  const { acr, ...rest } = JSON.parse(json) as Omit<Proof, 'acr'> & { readonly acr: string | null }
  return { ...rest, acr: acr ?? undefined }
}
