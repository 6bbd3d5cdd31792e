/** Database tokens: a password for psql, drivers and pools that lives for hours. One per person; the store has what checks it, not what it is. */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import type { Identity, Subject, Username } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { refuseLocked } from './browser-sessions.ts'
import type { News } from './news.ts'
import { type IdentityParts, MOST_KEY_MS } from './parts.ts'
import { groupsKnownSince } from './people.ts'
import { identityOf, number, proofText, type Row, text } from './row.ts'

/** A token as it is kept: enough to check a password, not enough to be one. */
export type LiveToken = {
  /** As PostgreSQL writes it: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. */
  readonly verifier: string
  /** The person and the sign-in that stood behind the token when it was made. */
  readonly identity: Identity
}

/** PostgreSQL's own number. The token has 256 random bits, so nobody guesses it whatever this is. */
const ITERATIONS = 4096

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'settings' | 'hooks'> & { readonly news: News }

export class Tokens {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Takes the place of the person's token before. `token` is shown once and never again. It lives for at most twelve hours. */
  async issue(who: Identity, ms: number): Promise<{ readonly token: string; readonly expiresAt: Moment }> {
    const { state, clock, hooks, news } = this.#parts
    await refuseLocked(hooks, who)
    const token = `sallyport_${randomBytes(32).toString('base64url')}`
    const now = clock.now()
    const expiresAt = after(now, Math.max(0, Math.min(Math.floor(ms), MOST_KEY_MS)))
    await state.run(
      `insert into database_tokens (subject, verifier, provider, proof, issued_at, expires_at) values ($1, $2, $3, $4, $5, $6)
       on conflict (subject) do update set verifier = excluded.verifier, provider = excluded.provider,
         proof = excluded.proof, issued_at = excluded.issued_at, expires_at = excluded.expires_at`,
      [who.subject, verifierOf(token), who.provider, proofText(who.proof), now, expiresAt],
    )
    news('identity.token-issued', {
      actor: who.username,
      text: `${who.username} made a database token.`,
      details: { until: new Date(expiresAt).toISOString() },
    })
    return { token, expiresAt }
  }

  /** @throws {Refusal} LOCKED. */
  async live(username: Username): Promise<LiveToken | undefined> {
    const { state, clock, hooks } = this.#parts
    const [row] = await state.all<Row>(
      `select d.subject, d.provider, d.proof, d.verifier, d.expires_at, p.username, p.member_of
       from database_tokens d join people p on p.subject = d.subject where p.username = $1 and p.seen_at > $2`,
      [username, groupsKnownSince(this.#parts)],
    )
    if (row === undefined) return undefined
    const identity = identityOf(row)
    await refuseLocked(hooks, identity)
    return number(row, 'expires_at') > clock.now() ? { verifier: text(row, 'verifier'), identity } : undefined
  }

  /** When the person's token ends; undefined without one. */
  async until(who: Identity): Promise<Moment | undefined> {
    const { state, clock } = this.#parts
    const [row] = await state.all<Row>(
      'select expires_at from database_tokens where subject = $1 and expires_at > $2',
      [who.subject, clock.now()],
    )
    return row === undefined ? undefined : (number(row, 'expires_at') as Moment)
  }

  /** False: there was none. */
  async revoke(who: { readonly subject: Subject }): Promise<boolean> {
    return (await this.#parts.state.run('delete from database_tokens where subject = $1', [who.subject])) > 0
  }
}

/** RFC 5803 as PostgreSQL stores it; keys of RFC 5802 §3. The token is ASCII, so that SASLprep leaves it as it is. */
function verifierOf(token: string): string {
  const salt = randomBytes(16)
  const salted = pbkdf2Sync(token, salt, ITERATIONS, 32, 'sha256')
  const mac = (label: string) => createHmac('sha256', salted).update(label).digest()
  const storedKey = createHash('sha256').update(mac('Client Key')).digest('base64')
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${mac('Server Key').toString('base64')}`
}
