/** The ends of a sign-in: the person's own, and the provider's word that it is over (OpenID Connect Back-Channel Logout 1.0). */
import { decodeJwt, type JWTPayload } from 'jose'
import type { Subject } from '../model/identity.ts'
import { after } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Statements } from '../state/state.ts'
import type { BrowserSessions } from './browser-sessions.ts'
import { subjectOf } from './claims.ts'
import { hashOf } from './cookie-secret.ts'
import type { News } from './news.ts'
import { type IdentityParts, PATHS } from './parts.ts'
import type { Provider } from './provider.ts'
import { reasonOf } from './provider-errors.ts'
import { type Row, text } from './row.ts'

export type LogoutParts = Pick<IdentityParts, 'state' | 'clock' | 'log' | 'settings' | 'hooks'> & {
  readonly providers: readonly Provider[]
  readonly sessions: BrowserSessions
  readonly forgetAll: (who: { readonly subject: Subject; readonly username: string }, why: string) => Promise<number>
  readonly news: News
}

const EVENT = 'http://schemas.openid.net/event/backchannel-logout'
const MOST_CHARACTERS = 16 * 1024
/** A token is refused when it is older than a few minutes; until then its use is remembered. */
const REMEMBERED_MS = 15 * 60_000

export class Logout {
  readonly #parts: LogoutParts

  constructor(parts: LogoutParts) {
    this.#parts = parts
  }

  /** Ends this browser's session here. `location` is the provider's own sign-out. */
  async signOut(cookie: string): Promise<{ readonly location: string | undefined }> {
    const { sessions, providers, news, settings } = this.#parts
    const closed = await sessions.close(cookie)
    if (closed === undefined) return { location: undefined }
    const { identity, idToken } = closed
    news('identity.signed-out', {
      actor: identity.username,
      text: `${identity.username} signed out of a browser.`,
      details: { provider: identity.provider },
    })
    const provider = providers.find(({ settings }) => settings.name === identity.provider)
    const landing = new URL(PATHS.signedOut, settings.publicUrl).href
    return { location: await provider?.endSessionUrl(idToken, landing) }
  }

  /**
   * Ends the browser sessions that the token names, all keys of the person, and what waits for them.
   * @throws {Refusal} BAD_INPUT when the token is not sound, UNAVAILABLE when it cannot be checked.
   */
  async backchannel(token: string): Promise<void> {
    const { provider, payload } = await this.#verified(token)
    const { state, clock, forgetAll, hooks, news } = this.#parts
    const issuer = String(payload.iss)
    const subject = payload.sub === undefined ? undefined : subjectOf(issuer, payload.sub)
    const sid = typeof payload['sid'] === 'string' ? payload['sid'] : undefined
    const people = await state.tx(async (tx) => {
      const isFirst = await tx.run(
        'insert into spent_logout_tokens (id, expires_at) values ($1, $2) on conflict do nothing',
        [hashOf(`${issuer} ${payload.jti}`), after(clock.now(), REMEMBERED_MS)],
      )
      if (isFirst === 0) throw unsound(new Error('the token was used before'))
      return endSessions(tx, { provider: provider.settings.name, subject, sid })
    })
    for (const who of people) {
      await forgetAll(who, 'the sign-in provider ended the sign-in')
      news('identity.signed-out', {
        actor: who.username,
        text: `The sign-in provider signed ${who.username} out.`,
        details: { provider: provider.settings.name },
      })
      hooks.signedOut(who.subject)
    }
  }

  async #verified(token: string): Promise<{ readonly provider: Provider; readonly payload: JWTPayload }> {
    const { providers, log } = this.#parts
    try {
      if (token.length > MOST_CHARACTERS) throw new Error('the token is too long')
      // Only to choose whose keys to check it with; nothing in it is believed before.
      const claimed = decodeJwt(token).iss
      const provider = providers.find(({ settings }) => isSameIssuer(settings.issuer, claimed))
      if (provider === undefined) throw new Error('the issuer is not a provider of ours')
      const payload = await provider.logoutToken(token)
      const events = payload['events']
      if (typeof events !== 'object' || events === null || !(EVENT in events)) throw new Error('it is no logout event')
      if (payload['nonce'] !== undefined) throw new Error('it has a nonce, so it is another kind of token')
      if (payload.sub === undefined && typeof payload['sid'] !== 'string') throw new Error('it names nobody')
      return { provider, payload }
    } catch (error) {
      if (error instanceof Refusal) throw error
      log({
        level: 'warn',
        room: 'identity',
        message: 'A logout token was refused.',
        details: { reason: reasonOf(error) },
      })
      throw unsound(error)
    }
  }
}

const unsound = (cause: unknown): Refusal => new Refusal('BAD_INPUT', 'The logout token is not sound.', { cause })

const isSameIssuer = (configured: string, claimed: string | undefined): boolean =>
  claimed !== undefined && URL.canParse(claimed) && new URL(claimed).href === new URL(configured).href

/** A token that names a session of the provider ends that one; a token that names only a person ends all of theirs. */
async function endSessions(
  tx: Statements,
  which: { readonly provider: string; readonly subject: Subject | undefined; readonly sid: string | undefined },
): Promise<readonly { readonly subject: Subject; readonly username: string }[]> {
  const { provider, subject, sid } = which
  const rows = await tx.all<Row>(
    `select distinct p.subject, p.username from people p left join browser_sessions s on s.subject = p.subject
     where p.subject = $1 or (s.provider = $2 and s.provider_session = $3)`,
    [subject ?? '', provider, sid ?? ''],
  )
  const people = rows.map((row) => ({ subject: text(row, 'subject') as Subject, username: text(row, 'username') }))
  await (sid === undefined
    ? tx.run('delete from browser_sessions where subject = $1', [subject ?? ''])
    : tx.run('delete from browser_sessions where provider = $1 and provider_session = $2', [provider, sid]))
  for (const who of people)
    await tx.run(
      `update waiting_sign_ins set state = 'over', detail = 'The sign-in provider ended the sign-in.'
       where subject = $1 and state in ('shown', 'approved')`,
      [who.subject],
    )
  return people
}
