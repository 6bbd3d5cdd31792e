/** What a browser gets for a touch: a token worth one use within a minute, for that person and target. The store has the hash. */
import type { Subject } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { hashOf, isSecret, newSecret } from './cookie-secret.ts'
import type { IdentityParts } from './parts.ts'
import { number, type Row, text } from './row.ts'

const CONFIRMED_MS = 60_000

type Parts = Pick<IdentityParts, 'state' | 'clock'>
type Place = { readonly subject: Subject; readonly target: string }

export async function newConfirmation(
  { state, clock }: Parts,
  { subject, target }: Place,
  credential: string,
): Promise<{ readonly confirmation: string; readonly expiresAt: Moment }> {
  const confirmation = newSecret()
  const now = clock.now()
  const expiresAt = after(now, CONFIRMED_MS)
  await state.run(
    `insert into passkey_confirmations (id, subject, target, credential, proven_at, expires_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [hashOf(confirmation), subject, target, credential, now, expiresAt],
  )
  return { confirmation, expiresAt }
}

/** Undefined for a token that is not good here; it is used up all the same. */
export async function takeConfirmation(
  { state, clock }: Parts,
  { subject, target }: Place,
  confirmation: string,
): Promise<{ readonly credential: string; readonly provenAt: Moment } | undefined> {
  if (!isSecret(confirmation)) return undefined
  const [row] = await state.all<Row>(
    'delete from passkey_confirmations where id = $1 returning subject, target, credential, proven_at, expires_at',
    [hashOf(confirmation)],
  )
  const isGood =
    row !== undefined &&
    number(row, 'expires_at') > clock.now() &&
    text(row, 'subject') === subject &&
    text(row, 'target') === target
  return isGood ? { credential: text(row, 'credential'), provenAt: number(row, 'proven_at') as Moment } : undefined
}
