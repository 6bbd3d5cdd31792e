/** Everybody who ever signed in, for administrators: what lets them in just now, and an end to all of it. Nothing here is a secret. */
import type { Identity, Subject, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { BoundKey } from './keys.ts'
import type { News } from './news.ts'
import type { IdentityParts } from './parts.ts'
import { person } from './people.ts'
import { number, type Row, text } from './row.ts'

export type RosterEntry = {
  readonly subject: Subject
  readonly username: Username
  readonly groups: readonly string[]
  /** The last sign-in. */
  readonly seenAt: Moment
  readonly keys: readonly BoundKey[]
  /** Browsers that are signed in. */
  readonly browsers: number
  readonly passkeys: number
  readonly tokenUntil: Moment | undefined
}

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'settings'> & {
  readonly news: News
  /** Ends tokens, shared sign-ins and keys; returns how many keys. */
  readonly forgetAll: (who: { readonly subject: Subject; readonly username: string }, why: string) => Promise<number>
}

const MOST = 1000

export class Roster {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Who signed in last comes first. */
  async list(): Promise<readonly RosterEntry[]> {
    const { state, clock, settings } = this.#parts
    const now = clock.now()
    const people = await state.all<Row>(
      `select p.subject, p.username, p.member_of, p.seen_at,
         (select count(*) from browser_sessions b where b.subject = p.subject and b.expires_at > $1 and b.seen_at > $2) as browsers,
         (select count(*) from passkeys k where k.subject = p.subject) as passkeys,
         (select max(d.expires_at) from database_tokens d where d.subject = p.subject and d.expires_at > $1) as token_until
       from people p order by p.seen_at desc limit ${MOST}`,
      [now, now - settings.sessionIdleMs],
    )
    const keys = await state.all<Row>(
      'select subject, fingerprint, bound_at, expires_at from bound_keys where expires_at > $1 order by bound_at desc',
      [now],
    )
    return people.map((row) => ({
      subject: text(row, 'subject') as Subject,
      username: text(row, 'username') as Username,
      groups: JSON.parse(text(row, 'member_of')) as readonly string[],
      seenAt: number(row, 'seen_at') as Moment,
      browsers: number(row, 'browsers'),
      passkeys: number(row, 'passkeys'),
      tokenUntil: row['token_until'] === null ? undefined : (number(row, 'token_until') as Moment),
      keys: keys
        .filter((key) => key['subject'] === row['subject'])
        .map((key) => ({
          fingerprint: text(key, 'fingerprint'),
          boundAt: number(key, 'bound_at') as Moment,
          expiresAt: number(key, 'expires_at') as Moment,
        })),
    }))
  }

  /** Browsers, keys, tokens and shared sign-ins end; the person may sign in again. Whether `by` may do that is judged before. @throws {Refusal} NOT_FOUND. */
  async expel(username: string, by: Identity): Promise<void> {
    const { state, news, forgetAll } = this.#parts
    const who = await person(state, username)
    if (who === undefined) throw new Refusal('NOT_FOUND', `Nobody here has the user name ${username}.`)
    const browsers = await state.run('delete from browser_sessions where subject = $1', [who.subject])
    const keys = await forgetAll(who, `${by.username} signed them out`)
    news('identity.signed-out', {
      actor: by.username,
      text: `${by.username} signed ${who.username} out everywhere.`,
      details: { username: who.username, browsers, keys },
    })
  }
}
