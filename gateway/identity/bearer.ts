/** Access tokens as a sign-in, for clients that speak OAUTHBEARER: a signed JWT (RFC 9068) of a provider of ours, made out to us, with a judged second factor. */
import { decodeJwt } from 'jose'
import type { Identity, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import { mfaReason } from './assurance.ts'
import { refuseLocked } from './browser-sessions.ts'
import { type Claims, claimsOf } from './claims.ts'
import type { News } from './news.ts'
import type { IdentityParts } from './parts.ts'
import { groupsKnownSince, rememberSaid } from './people.ts'
import type { Provider } from './provider.ts'
import { reasonOf } from './provider-errors.ts'

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'settings' | 'hooks'> & {
  readonly providers: readonly Provider[]
  readonly news: News
}

const MOST_CHARACTERS = 16 * 1024

export class Bearer {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /**
   * Whose token this is; undefined: it is not sound, not made out to us, or of somebody else.
   * @throws {Refusal} LOCKED, MFA_MISSING, UNAVAILABLE.
   */
  async identity(username: Username, token: string): Promise<Identity | undefined> {
    const { state, clock, settings, hooks, news } = this.#parts
    const refused = (why: string): undefined => {
      news('identity.refused', {
        actor: username,
        text: `An access token for ${username} was refused.`,
        details: { via: 'bearer', why },
      })
      return undefined
    }
    const found = await this.#verified(token)
    if ('why' in found) return refused(found.why)
    const { claims, provider, saidAt } = found
    if (claims.username !== username) return refused(`it is ${claims.username}'s`)
    const wanted = { ...provider.settings.mfa, maxAgeMs: settings.sessionMostMs }
    const why = mfaReason(claims.proof, wanted, clock.now())
    if (claims.proof === undefined || why !== undefined) {
      refused(why ?? 'auth_time is absent')
      throw new Refusal('MFA_MISSING', 'Your token shows no recent second factor.', {
        next: 'Sign in again, with one.',
      })
    }
    if (saidAt <= groupsKnownSince(this.#parts)) return refused('what it says about groups is too old')
    await refuseLocked(hooks, claims)
    const { subject, proof } = claims
    const said: Identity = { subject, username, groups: claims.groups, provider: provider.settings.name, proof }
    const known = await state.tx((tx) => rememberSaid(tx, said, saidAt))
    if (known === undefined) return refused('its person has another user name by now')
    const identity: Identity = { ...said, groups: known.groups }
    news('identity.signed-in', {
      actor: identity.username,
      text: `${identity.username} signed in with an access token.`,
      details: { via: 'bearer', provider: identity.provider, groups: identity.groups, ...identity.proof },
    })
    return identity
  }

  async #verified(
    token: string,
  ): Promise<
    { readonly claims: Claims; readonly provider: Provider; readonly saidAt: Moment } | { readonly why: string }
  > {
    const { clock, providers, settings } = this.#parts
    try {
      if (token.length > MOST_CHARACTERS) return { why: 'it is too long' }
      // Only to choose whose keys to check it with; nothing in it is believed before.
      const claimed = decodeJwt(token).iss
      const provider = providers.find(
        ({ settings: { issuer } }) => issuer.replace(/\/$/, '') === claimed?.replace(/\/$/, ''),
      )
      if (provider === undefined) return { why: 'the issuer is not a provider of ours' }
      const payload = await provider.accessToken(token, settings.publicUrl)
      const saidAt = Math.min((payload.iat ?? 0) * 1000, clock.now()) as Moment
      return { provider, claims: claimsOf(payload, {}, provider.settings), saidAt }
    } catch (error) {
      if (error instanceof Refusal && error.code === 'UNAVAILABLE') throw error
      return { why: reasonOf(error) }
    }
  }
}
