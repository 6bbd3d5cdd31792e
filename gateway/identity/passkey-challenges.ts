/** What a passkey is asked to sign: random, for one person and one purpose, once. The store has the hash. */
import type { Subject } from '../model/identity.ts'
import { after } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import { hashOf, newSecret } from './cookie-secret.ts'
import type { IdentityParts } from './parts.ts'
import { number, type Row } from './row.ts'

/** Time to find the key and touch it. */
export const CHALLENGE_MS = 3 * 60_000
/** Of one person under way. More is not somebody with many tabs. */
const MOST = 30

/** `register`, `sign-in <id>`, or `target <name>`: an answer that was made for one is worth nothing for another. */
export type Purpose = 'register' | `sign-in ${string}` | `target ${string}`

type Parts = Pick<IdentityParts, 'state' | 'clock'>

/** @throws {Refusal} TOO_MANY. */
export async function newChallenge({ state, clock }: Parts, subject: Subject, purpose: Purpose): Promise<string> {
  const challenge = newSecret()
  const now = clock.now()
  await state.tx(async (tx) => {
    await tx.run('delete from passkey_challenges where expires_at <= $1', [now])
    const [row] = await tx.all<Row>('select count(*) as n from passkey_challenges where subject = $1', [subject])
    if (row !== undefined && number(row, 'n') >= MOST)
      throw new Refusal('TOO_MANY', 'Your passkey was asked for too often.', { next: 'Wait three minutes.' })
    await tx.run('insert into passkey_challenges (id, subject, purpose, expires_at) values ($1, $2, $3, $4)', [
      hashOf(challenge),
      subject,
      purpose,
      after(now, CHALLENGE_MS),
    ])
  })
  return challenge
}

/** Uses it up. False: not ours, not this person's, for something else, too old, or used before. */
export async function takeChallenge(
  { state, clock }: Parts,
  subject: Subject,
  purpose: Purpose,
  challenge: string,
): Promise<boolean> {
  const taken = await state.run(
    'delete from passkey_challenges where id = $1 and subject = $2 and purpose = $3 and expires_at > $4',
    [hashOf(challenge), subject, purpose, clock.now()],
  )
  return taken > 0
}
