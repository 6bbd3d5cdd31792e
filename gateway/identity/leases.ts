/** One sign-in serves further connections of the same person from the same place for a while, whichever worker they reach. */
import type { Identity, Subject } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { refuseLocked } from './browser-sessions.ts'
import { hashOf } from './cookie-secret.ts'
import type { Statements } from '../state/state.ts'
import type { IdentityParts } from './parts.ts'
import { groupsKnownSince } from './people.ts'
import { identityOf, number, proofText, type Row } from './row.ts'

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'settings' | 'hooks'>

export class Leases {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** `key` holds everything that must be equal: person, address, target. @throws {Refusal} LOCKED. */
  async get(key: string): Promise<Identity | undefined> {
    const { state, clock, hooks } = this.#parts
    const [row] = await state.all<Row>(
      `select l.subject, l.provider, l.proof, l.expires_at, p.username, p.member_of
       from sign_in_leases l join people p on p.subject = l.subject where l.id = $1 and p.seen_at > $2`,
      [hashOf(key), groupsKnownSince(this.#parts)],
    )
    if (row === undefined) return undefined
    const identity = identityOf(row)
    await refuseLocked(hooks, identity)
    return number(row, 'expires_at') > clock.now() ? identity : undefined
  }

  /** `on`: within that transaction. */
  async put(key: string, who: Identity, expiresAt: Moment, on: Statements = this.#parts.state): Promise<void> {
    await on.run(
      `insert into sign_in_leases (id, subject, provider, proof, expires_at) values ($1, $2, $3, $4, $5)
       on conflict (id) do update set subject = excluded.subject, provider = excluded.provider, proof = excluded.proof,
         expires_at = excluded.expires_at`,
      [hashOf(key), who.subject, who.provider, proofText(who.proof), expiresAt],
    )
  }

  async revoke(who: { readonly subject: Subject }): Promise<void> {
    await this.#parts.state.run('delete from sign_in_leases where subject = $1', [who.subject])
  }
}
