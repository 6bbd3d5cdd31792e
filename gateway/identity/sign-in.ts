/** A browser's way to the provider and back: one issuer, one browser, one use per attempt. */
import type { Identity } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import { mfaReason } from './assurance.ts'
import { type BrowserSessions, refuseLocked } from './browser-sessions.ts'
import { derive, hashOf, isSame, isSecret, newSecret } from './cookie-secret.ts'
import type { News } from './news.ts'
import { type IdentityParts, PATHS } from './parts.ts'
import { remember } from './people.ts'
import type { Provider } from './provider.ts'
import { reasonOf } from './provider-errors.ts'
import { pathOfOurs } from './return-to.ts'
import { number, type Row, text } from './row.ts'

/** Time for a password, a phone that is in another room, and a policy to accept. */
const ATTEMPT_MS = 10 * 60_000
/** Attempts under way: of one address (an office shares one), and in all. */
const MOST = { ofAddress: 200, inAll: 20_000 }

export type Begun = { readonly location: string; readonly cookie: string }
export type Finished =
  | { readonly session: string; readonly returnTo: string; readonly identity: Identity }
  | { readonly again: Begun }

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'log' | 'settings' | 'hooks'> & {
  readonly providers: readonly Provider[]
  readonly sessions: BrowserSessions
  readonly news: News
}

type Attempt = {
  readonly id: string
  readonly provider: Provider
  readonly returnTo: string
  readonly maxAgeMs: number
  readonly isSecond: boolean
  readonly beganAt: Moment
}

export class SignIn {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @throws {Refusal} BAD_INPUT, TOO_MANY, UNAVAILABLE. */
  async begin(ask: {
    readonly provider?: string | undefined
    readonly returnTo: string
    readonly address: string
    readonly stepUp?: boolean
  }): Promise<Begun> {
    const { providers, settings } = this.#parts
    const [only, second] = providers
    const named = providers.find(({ settings }) => settings.name === ask.provider)
    const provider = ask.provider === undefined && second === undefined ? only : named
    if (provider === undefined)
      throw new Refusal('BAD_INPUT', 'There is no such sign-in provider.', {
        next: `Choose one of ${providers.map(({ settings }) => settings.name).join(', ')}.`,
      })
    const returnTo = pathOfOurs(ask.returnTo)
    // Who is on the way to an approval will need a fresh proof there: half of its time is left for typing the code.
    const usual = returnTo.startsWith(PATHS.approve)
      ? Math.floor(settings.approvalWithinMs / 2)
      : settings.sessionMostMs
    return this.#start({ provider, returnTo, maxAgeMs: ask.stepUp === true ? 0 : usual, isSecond: false }, ask.address)
  }

  /** @throws {Refusal} NOT_SIGNED_IN, MFA_MISSING, LOCKED, UNAVAILABLE. */
  async finish(answer: {
    readonly url: URL
    readonly cookie: string | undefined
    readonly address: string
    readonly previous?: string | undefined
  }): Promise<Finished> {
    const attempt = await this.#attemptOf(answer.cookie)
    if (attempt === undefined || answer.cookie === undefined)
      throw new Refusal('NOT_SIGNED_IN', 'No sign-in is under way in this browser.', { next: 'Sign in again.' })
    let who = ''
    try {
      await this.#take(attempt, answer.url.searchParams, answer.cookie)
      const signedIn = await this.#check(attempt, answer, (username) => (who = username))
      return signedIn
    } catch (refusal) {
      const details = { provider: attempt.provider.settings.name, address: answer.address, reason: reasonOf(refusal) }
      this.#parts.log({ level: 'warn', room: 'identity', message: 'A sign-in came to nothing.', details })
      const code = refusal instanceof Refusal ? refusal.code : 'FAULT'
      const text = refusal instanceof Refusal ? refusal.message : 'The gateway broke.'
      this.#parts.news('identity.refused', { actor: who, text, details: { ...details, code } })
      throw refusal
    }
  }

  async #check(
    attempt: Attempt,
    answer: { readonly url: URL; readonly address: string; readonly previous?: string | undefined } & {
      readonly cookie: string | undefined
    },
    heard: (username: string) => void,
  ): Promise<Finished> {
    const { clock, state, sessions, hooks, news } = this.#parts
    const { provider } = attempt
    const { name, mfa } = provider.settings
    // After a request for a fresh sign-in, "fresh" is since we asked.
    const maxAgeMs = attempt.maxAgeMs === 0 ? clock.now() - attempt.beganAt : attempt.maxAgeMs
    const { claims, idToken } = await provider.redeem(
      answer.url.searchParams,
      answer.cookie ?? '',
      Math.ceil(maxAgeMs / 1000),
    )
    heard(claims.username)
    const why = mfaReason(claims.proof, { ...mfa, maxAgeMs }, clock.now())
    if (claims.proof === undefined || why !== undefined) {
      const isOld = claims.proof !== undefined && claims.proof.authTime + 1000 < attempt.beganAt
      if (isOld && !attempt.isSecond)
        return { again: await this.#start({ ...attempt, maxAgeMs: 0, isSecond: true }, answer.address) }
      throw new Refusal('MFA_MISSING', 'Your sign-in shows no recent second factor.', {
        next: 'Set up a second factor with your sign-in provider, then sign in again.',
        cause: new Error(why ?? 'auth_time is absent'),
      })
    }
    await refuseLocked(hooks, claims)
    const identity: Identity = {
      subject: claims.subject,
      username: claims.username,
      groups: claims.groups,
      provider: name,
      proof: claims.proof,
    }
    const { providerSession } = claims
    const session = await state.tx(async (tx) => {
      await remember(tx, identity, clock.now())
      return sessions.open(tx, identity, { idToken, providerSession, previous: answer.previous })
    })
    news('identity.signed-in', {
      actor: identity.username,
      text: `${identity.username} signed in with a browser.`,
      details: { via: 'browser', provider: name, address: answer.address, groups: identity.groups, ...identity.proof },
    })
    return { session, returnTo: attempt.returnTo, identity }
  }

  async #start(
    what: Pick<Attempt, 'provider' | 'returnTo' | 'maxAgeMs' | 'isSecond'>,
    address: string,
  ): Promise<Begun> {
    const { state, clock } = this.#parts
    const cookie = newSecret()
    const now = clock.now()
    // Before anything is kept: a provider that is away fills no table.
    const location = await what.provider.authorizationUrl(cookie, Math.floor(what.maxAgeMs / 1000))
    await state.tx(async (tx) => {
      await tx.run('delete from sign_in_attempts where expires_at <= $1', [now])
      const [counted] = await tx.all<Row>(
        'select count(*) as all_of_them, coalesce(sum(case when address = $1 then 1 else 0 end), 0) as of_address from sign_in_attempts',
        [address],
      )
      if (
        counted === undefined ||
        number(counted, 'of_address') >= MOST.ofAddress ||
        number(counted, 'all_of_them') >= MOST.inAll
      )
        throw new Refusal('TOO_MANY', 'Too many sign-ins are under way.', { next: 'Try again in ten minutes.' })
      await tx.run(
        `insert into sign_in_attempts (id, provider, return_to, max_age_ms, is_second, address, began_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [
          hashOf(cookie),
          what.provider.settings.name,
          what.returnTo,
          what.maxAgeMs,
          what.isSecond ? 1 : 0,
          address,
          now,
          after(now, ATTEMPT_MS),
        ],
      )
    })
    return { location, cookie }
  }

  async #attemptOf(cookie: string | undefined): Promise<Attempt | undefined> {
    if (cookie === undefined || !isSecret(cookie)) return undefined
    const { state, clock, providers } = this.#parts
    const [row] = await state.all<Row>('select * from sign_in_attempts where id = $1 and expires_at > $2', [
      hashOf(cookie),
      clock.now(),
    ])
    const provider = providers.find(({ settings }) => row !== undefined && settings.name === row['provider'])
    if (row === undefined || provider === undefined) return undefined
    return {
      id: text(row, 'id'),
      provider,
      returnTo: text(row, 'return_to'),
      maxAgeMs: number(row, 'max_age_ms'),
      isSecond: number(row, 'is_second') === 1,
      beganAt: number(row, 'began_at') as Moment,
    }
  }

  /** The state is looked at before the attempt is used up, so that a forged callback does not end a sign-in that is under way. */
  async #take(attempt: Attempt, answer: URLSearchParams, cookie: string): Promise<void> {
    if (!isSame(answer.get('state') ?? '', derive(cookie, 'state')))
      throw new Refusal('NOT_SIGNED_IN', 'This answer belongs to another sign-in.', {
        next: 'Sign in again.',
        cause: new Error('state does not belong to this browser'),
      })
    const taken = await this.#parts.state.run(
      'update sign_in_attempts set used_at = $1 where id = $2 and used_at is null',
      [this.#parts.clock.now(), attempt.id],
    )
    if (taken === 0)
      throw new Refusal('NOT_SIGNED_IN', 'This sign-in was used before.', {
        next: 'Sign in again.',
        cause: new Error('the attempt was used before'),
      })
  }
}
