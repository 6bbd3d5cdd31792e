/** Browsers that are signed in. The cookie is the only secret; the store has its hash. */
import type { Identity, Subject, Username } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Statements } from '../state/state.ts'
import { derive, hashOf, isSecret, newSecret, seal, unseal } from './cookie-secret.ts'
import type { IdentityParts } from './parts.ts'
import { groupsKnownSince } from './people.ts'
import { identityOf, number, proofText, type Row, text } from './row.ts'

/** A browser that is signed in. */
export type BrowserSession = {
  readonly identity: Identity
  /** Belongs to the cookie; unsafe methods must show it. */
  readonly csrfToken: string
  readonly createdAt: Moment
  /** The end whatever happens. */
  readonly expiresAt: Moment
  readonly idleMinutes: number
}

export type ClosedSession = { readonly identity: Identity; readonly idToken: string | undefined }

/** `seen_at` is written this often, not at each click. */
const NOTE_MS = 30_000

export class BrowserSessions {
  readonly #parts: Pick<IdentityParts, 'state' | 'clock' | 'settings' | 'hooks'>

  constructor(parts: Pick<IdentityParts, 'state' | 'clock' | 'settings' | 'hooks'>) {
    this.#parts = parts
  }

  /** A new value each time, so that a cookie that was planted before the sign-in is worth nothing after it. Ends `previous`. */
  async open(
    tx: Statements,
    who: Identity,
    how: {
      readonly idToken: string
      readonly providerSession: string | undefined
      readonly previous: string | undefined
    },
  ): Promise<string> {
    const { clock, settings } = this.#parts
    const cookie = newSecret()
    const now = clock.now()
    await tx.run(
      `insert into browser_sessions
         (id, subject, provider, proof, provider_session, sealed_id_token, created_at, seen_at, expires_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [
        hashOf(cookie),
        who.subject,
        who.provider,
        proofText(who.proof),
        how.providerSession ?? null,
        seal(cookie, 'id-token', how.idToken),
        now,
        now,
        after(now, settings.sessionMostMs),
      ],
    )
    if (how.previous !== undefined) await tx.run('delete from browser_sessions where id = $1', [hashOf(how.previous)])
    return cookie
  }

  /** The session of a cookie. Counts as activity unless `quiet`: an open event stream keeps nobody signed in. @throws {Refusal} LOCKED. */
  async visit(cookie: string, quiet = false): Promise<BrowserSession | undefined> {
    if (!isSecret(cookie)) return undefined
    const { state, clock, settings, hooks } = this.#parts
    const now = clock.now()
    const [row] = await state.all<Row>(
      `select s.subject, s.provider, s.proof, s.created_at, s.seen_at, s.expires_at, p.username, p.member_of
       from browser_sessions s join people p on p.subject = s.subject
       where s.id = $1 and s.seen_at > $2 and p.seen_at > $3`,
      [hashOf(cookie), now - settings.sessionIdleMs, groupsKnownSince(this.#parts)],
    )
    if (row === undefined) return undefined
    const identity = identityOf(row)
    await refuseLocked(hooks, identity)
    if (number(row, 'expires_at') <= now) return undefined
    if (!quiet && now - number(row, 'seen_at') > NOTE_MS)
      await state.run('update browser_sessions set seen_at = $1 where id = $2 and seen_at < $1', [now, hashOf(cookie)])
    return {
      identity,
      csrfToken: derive(cookie, 'csrf'),
      createdAt: number(row, 'created_at') as Moment,
      expiresAt: number(row, 'expires_at') as Moment,
      idleMinutes: settings.sessionIdleMs / 60_000,
    }
  }

  /** Undefined when there was none. */
  async close(cookie: string): Promise<ClosedSession | undefined> {
    if (!isSecret(cookie)) return undefined
    return this.#parts.state.tx(async (tx) => {
      const [row] = await tx.all<Row>(
        `select s.subject, s.provider, s.proof, s.sealed_id_token, p.username, p.member_of
         from browser_sessions s join people p on p.subject = s.subject where s.id = $1`,
        [hashOf(cookie)],
      )
      if (row === undefined) return undefined
      await tx.run('delete from browser_sessions where id = $1', [hashOf(cookie)])
      return { identity: identityOf(row), idToken: unseal(cookie, 'id-token', text(row, 'sealed_id_token')) }
    })
  }
}

/** @throws {Refusal} LOCKED. */
export async function refuseLocked(
  hooks: IdentityParts['hooks'],
  who: { readonly subject: Subject; readonly username: Username },
): Promise<void> {
  const why = await hooks.lockOf(who.subject, who.username)
  if (why !== undefined) throw new Refusal('LOCKED', why, { next: 'Ask an administrator.' })
}
