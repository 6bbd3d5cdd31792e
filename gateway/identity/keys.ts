/** Keys that stand for their person for a while, because that person signed in while the key's owner waited. */
import type { Identity, Subject, Username } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Statements } from '../state/state.ts'
import { refuseLocked } from './browser-sessions.ts'
import type { News } from './news.ts'
import { type IdentityParts, MOST_KEY_MS } from './parts.ts'
import { groupsKnownSince } from './people.ts'
import { identityOf, number, proofText, type Row, text } from './row.ts'

export type BoundKey = { readonly fingerprint: string; readonly boundAt: Moment; readonly expiresAt: Moment }

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'settings' | 'hooks'> & { readonly news: News }

export class Keys {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Within the transaction that answers the sign-in; {@link announce} after it. Binding again starts the time anew. */
  async bind(tx: Statements, who: Identity, fingerprint: string): Promise<void> {
    const now = this.#parts.clock.now()
    await tx.run(
      `insert into bound_keys (subject, fingerprint, provider, proof, bound_at, expires_at) values ($1, $2, $3, $4, $5, $6)
       on conflict (subject, fingerprint) do update set provider = excluded.provider, proof = excluded.proof,
         bound_at = excluded.bound_at, expires_at = excluded.expires_at`,
      [who.subject, fingerprint, who.provider, proofText(who.proof), now, this.#end(now)],
    )
  }

  announce(who: Identity, fingerprint: string): void {
    this.#parts.news('identity.key-bound', {
      actor: who.username,
      text: `A key stands for ${who.username} from now on.`,
      details: { fingerprint, until: new Date(this.#end(this.#parts.clock.now())).toISOString() },
    })
  }

  /** @throws {Refusal} LOCKED. */
  async bound(username: Username, fingerprint: string): Promise<Identity | undefined> {
    const { state, clock, hooks } = this.#parts
    const [row] = await state.all<Row>(
      `select k.subject, k.provider, k.proof, k.expires_at, p.username, p.member_of
       from bound_keys k join people p on p.subject = k.subject
       where p.username = $1 and k.fingerprint = $2 and p.seen_at > $3`,
      [username, fingerprint, groupsKnownSince(this.#parts)],
    )
    if (row === undefined) return undefined
    const identity = identityOf(row)
    await refuseLocked(hooks, identity)
    return number(row, 'expires_at') > clock.now() ? identity : undefined
  }

  async list(who: Identity): Promise<readonly BoundKey[]> {
    const rows = await this.#parts.state.all<Row>(
      'select fingerprint, bound_at, expires_at from bound_keys where subject = $1 and expires_at > $2 order by bound_at desc',
      [who.subject, this.#parts.clock.now()],
    )
    return rows.map((row) => ({
      fingerprint: text(row, 'fingerprint'),
      boundAt: number(row, 'bound_at') as Moment,
      expiresAt: number(row, 'expires_at') as Moment,
    }))
  }

  /** @throws {Refusal} NOT_FOUND. */
  async forget(who: Identity, fingerprint: string): Promise<void> {
    const gone = await this.#parts.state.run('delete from bound_keys where subject = $1 and fingerprint = $2', [
      who.subject,
      fingerprint,
    ])
    if (gone === 0) throw new Refusal('NOT_FOUND', 'There is no such key of yours.')
    this.#unbound(who.username, 'A key no longer stands for its person.', { fingerprint })
  }

  /** All of a person; returns how many. `why` is the end of a sentence for auditors. */
  async forgetAll(who: { readonly subject: Subject; readonly username: string }, why: string): Promise<number> {
    const gone = await this.#parts.state.run('delete from bound_keys where subject = $1', [who.subject])
    if (gone > 0) this.#unbound(who.username, `No key stands for ${who.username} any more: ${why}.`, { keys: gone })
    return gone
  }

  #end(from: Moment): Moment {
    return after(from, Math.min(this.#parts.settings.keyBoundForMs, MOST_KEY_MS))
  }

  #unbound(actor: string, text: string, details: Readonly<Record<string, unknown>>): void {
    this.#parts.news('identity.key-unbound', { actor, text, details })
  }
}
