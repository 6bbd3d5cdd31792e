/** Browsers on the host names of web targets: handed over from the portal's session by a one-time code, and over when that session is. */
import type { GrantId } from '../model/grant.ts'
import type { Identity, Subject } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { type PasskeyProof, provenBy } from '../model/passkey.ts'
import { Refusal } from '../model/refusal.ts'
import { refuseLocked } from './browser-sessions.ts'
import { hashOf, isSame, isSecret, newSecret } from './cookie-secret.ts'
import type { IdentityParts } from './parts.ts'
import { takeConfirmation } from './passkey-confirmations.ts'
import { groupsKnownSince } from './people.ts'
import { identityOf, number, type Row, text, textOrNone } from './row.ts'

const CODE_MS = 60_000
/** Activity is written this often, not at each request. */
const NOTE_MS = 30_000
/** Codes under way for one browser. More is not a person with many tabs. */
const MOST_CODES = 100

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'hooks'> & {
  readonly settings: Pick<IdentityParts['settings'], 'sessionIdleMs' | 'groupsHoldMs'>
}

export type WebSessionsRoom = {
  /**
   * A code for the browser behind the portal's cookie, worth 60 s and one use, on that target, and only together with the nonce
   * whose SHA-256 (base64url) is `state`. With `touch` the visit that it begins has the touch of a passkey, for that grant alone.
   * @throws {Refusal} NOT_SIGNED_IN, TOO_MANY, NOT_ALLOWED for a confirmation that is not good here: it is used up all the same.
   */
  mint(ask: {
    readonly portalCookie: string
    readonly target: string
    readonly returnTo: string
    readonly state: string
    readonly touch?: { readonly confirmation: string; readonly grant: GrantId } | undefined
  }): Promise<string>
  /** Undefined for a code that is not good here; it is used up all the same. */
  redeem(ask: {
    readonly code: string
    readonly target: string
    readonly nonce: string
  }): Promise<{ readonly cookie: string; readonly returnTo: string } | undefined>
  /** Undefined when it is over, as it is once the passkey that was touched is removed. Counts as activity of the portal's session unless `quiet`. @throws {Refusal} LOCKED. */
  lookup(
    cookie: string,
    target: string,
    how: { readonly quiet: boolean },
  ): Promise<
    | {
        readonly id: string
        readonly identity: Identity
        /** A proof for one admission within the minute; undefined: the visit began without a touch. */
        readonly passkey: () => PasskeyProof | undefined
      }
    | undefined
  >
  end(cookie: string, target: string): Promise<void>
  publishKey(kid: string, jwk: string, expiresAt: Moment): Promise<void>
  /** Of all processes, as JSON texts. */
  publicKeys(): Promise<readonly string[]>
}

export function createWebSessions({ state, clock, settings, hooks }: Parts): WebSessionsRoom {
  const aliveSince = () => clock.now() - settings.sessionIdleMs

  /** The credential of a touch by the person of that browser, for that target. */
  const takeTouch = async (browser: string, target: string, confirmation: string): Promise<string> => {
    const [row] = await state.all<Row>('select subject from browser_sessions where id = $1', [browser])
    const taken =
      row &&
      (await takeConfirmation({ state, clock }, { subject: text(row, 'subject') as Subject, target }, confirmation))
    if (taken !== undefined) return taken.credential
    throw new Refusal('NOT_ALLOWED', 'This touch was used before, is too old, or was for something else.', {
      next: 'Use your passkey again.',
    })
  }

  const mint: WebSessionsRoom['mint'] = async ({ portalCookie, target, returnTo, state: nonceHash, touch }) => {
    const code = newSecret()
    const browser = hashOf(portalCookie)
    const touchedWith = touch && (await takeTouch(browser, target, touch.confirmation))
    const now = clock.now()
    const made = await state.tx(async (tx) => {
      const [waiting] = await tx.all<Row>(
        'select count(*) as n from web_codes where browser = $1 and expires_at > $2',
        [browser, now],
      )
      if (waiting !== undefined && number(waiting, 'n') >= MOST_CODES)
        throw new Refusal('TOO_MANY', 'Too many ways in were asked for at once.', { next: 'Wait a minute.' })
      return tx.run(
        `insert into web_codes (id, browser, target, nonce_hash, return_to, expires_at, touched_for, touched_with)
         select $1, id, $3, $4, $5, $6, $9, $10 from browser_sessions where id = $2 and expires_at > $7 and seen_at > $8`,
        [
          hashOf(code),
          browser,
          target,
          nonceHash,
          returnTo,
          after(now, CODE_MS),
          now,
          aliveSince(),
          touch?.grant ?? null,
          touchedWith ?? null,
        ],
      )
    })
    if (made === 0) throw new Refusal('NOT_SIGNED_IN', 'You are not signed in.', { next: 'Sign in.' })
    return code
  }

  const redeem: WebSessionsRoom['redeem'] = async ({ code, target, nonce }) => {
    const cookie = newSecret()
    const now = clock.now()
    return state.tx(async (tx) => {
      const [row] = await tx.all<Row>('delete from web_codes where id = $1 returning *', [hashOf(code)])
      const isGood =
        row !== undefined &&
        number(row, 'expires_at') > now &&
        text(row, 'target') === target &&
        isSame(text(row, 'nonce_hash'), hashOf(nonce))
      if (!isGood) return undefined
      const made = await tx.run(
        `insert into web_sessions (id, browser, target, created_at, expires_at, touched_for, touched_with)
         select $1, id, $3, $4, expires_at, $6, $7 from browser_sessions where id = $2 and expires_at > $4 and seen_at > $5`,
        [
          hashOf(cookie),
          text(row, 'browser'),
          target,
          now,
          aliveSince(),
          textOrNone(row, 'touched_for') ?? null,
          textOrNone(row, 'touched_with') ?? null,
        ],
      )
      return made === 0 ? undefined : { cookie, returnTo: text(row, 'return_to') }
    })
  }

  const lookup: WebSessionsRoom['lookup'] = async (cookie, target, { quiet }) => {
    if (!isSecret(cookie)) return undefined
    const id = hashOf(cookie)
    const now = clock.now()
    const [row] = await state.all<Row>(
      `select s.id as browser, s.subject, s.provider, s.proof, s.seen_at, s.expires_at, p.username, p.member_of,
         w.touched_for, w.touched_with
       from web_sessions w join browser_sessions s on s.id = w.browser join people p on p.subject = s.subject
       where w.id = $1 and w.target = $2 and s.seen_at > $3 and p.seen_at > $4
         and (w.touched_with is null or w.touched_with in (select id from passkeys where subject = s.subject))`,
      [id, target, aliveSince(), groupsKnownSince({ clock, settings })],
    )
    if (row === undefined) return undefined
    const identity = identityOf(row)
    await refuseLocked(hooks, identity)
    if (number(row, 'expires_at') <= now) return undefined
    if (!quiet && now - number(row, 'seen_at') > NOTE_MS)
      await state.run('update browser_sessions set seen_at = $1 where id = $2 and seen_at < $1', [
        now,
        text(row, 'browser'),
      ])
    const [grant, credential] = [textOrNone(row, 'touched_for'), textOrNone(row, 'touched_with')]
    const isTouched = grant !== undefined && credential !== undefined
    const touch = { subject: identity.subject, target, grant: grant as GrantId }
    return {
      id,
      identity,
      passkey: () => (isTouched ? provenBy({ ...touch, credential, provenAt: now }) : undefined),
    }
  }

  return {
    mint,
    redeem,
    lookup,
    end: async (cookie, target) => {
      await state.run('delete from web_sessions where id = $1 and target = $2', [hashOf(cookie), target])
    },
    publishKey: async (kid, jwk, expiresAt) => {
      await state.run('delete from web_keys where expires_at <= $1', [clock.now()])
      await state.run('insert into web_keys (kid, jwk, expires_at) values ($1, $2, $3)', [kid, jwk, expiresAt])
    },
    publicKeys: async () =>
      (await state.all<Row>('select jwk from web_keys where expires_at > $1 order by expires_at', [clock.now()])).map(
        (row) => text(row, 'jwk'),
      ),
  }
}
