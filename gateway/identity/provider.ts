/** One OpenID provider: found when it is first needed, found again when it was away, and never believed without a signature. */
import { createRemoteJWKSet, customFetch, decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose'
import * as openid from 'openid-client'
import type { Log } from '../model/log.ts'
import { after, type Clock, type Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import { cappedFetch } from './capped-fetch.ts'
import { type Claims, claimsOf } from './claims.ts'
import { derive } from './cookie-secret.ts'
import type { IdentityHooks, ProviderSettings } from './parts.ts'
import { refusalOf } from './provider-errors.ts'

/** Signatures by a key that only the provider has. `none` and shared secrets are not among them. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519']
const TIMEOUT_SECONDS = 10
/** Endpoints of a provider may move; its keys are looked up more often than this by the libraries themselves. */
const FRESH_MS = 3_600_000
/** After a failed discovery the next one waits this long, so that a sign-in page under load does not hammer a provider that is down. */
const PAUSE_MS = 2000

export type ProviderParts = {
  readonly settings: ProviderSettings
  /** Where it sends the browser back. */
  readonly redirectUri: string
  /** With several providers an answer must say whose it is (RFC 9207): otherwise one of them could be fed with the code of another. */
  readonly isOneOfSeveral: boolean
  readonly secret: IdentityHooks['secret']
  readonly clock: Clock
  readonly log: Log
}

type Known = {
  readonly config: openid.Configuration
  readonly keys: ReturnType<typeof createRemoteJWKSet> | undefined
  readonly until: Moment
}

export type Redeemed = { readonly claims: Claims; readonly idToken: string }

export class Provider {
  readonly #parts: ProviderParts
  #known: Known | undefined
  #finding: Promise<Known> | undefined
  #notBefore = 0

  constructor(parts: ProviderParts) {
    this.#parts = parts
  }

  get settings(): ProviderSettings {
    return this.#parts.settings
  }

  /** Where the browser signs in. State, nonce and PKCE come from the secret in the browser's cookie. @throws {Refusal} UNAVAILABLE. */
  async authorizationUrl(secret: string, maxAgeSeconds: number): Promise<string> {
    const { config } = await this.#find()
    const { scopes, mfa } = this.settings
    const url = openid.buildAuthorizationUrl(config, {
      redirect_uri: this.#parts.redirectUri,
      scope: scopes.includes('openid') ? scopes.join(' ') : ['openid', ...scopes].join(' '),
      state: derive(secret, 'state'),
      nonce: derive(secret, 'nonce'),
      code_challenge: await openid.calculatePKCECodeChallenge(derive(secret, 'pkce')),
      code_challenge_method: 'S256',
      max_age: String(maxAgeSeconds),
      ...(mfa.acr.length === 0 ? {} : { acr_values: mfa.acr.join(' ') }),
    })
    return url.href
  }

  /** Takes the code of the provider's answer to the token endpoint and checks the ID token. @throws {Refusal} NOT_SIGNED_IN, UNAVAILABLE. */
  async redeem(answer: URLSearchParams, secret: string, maxAgeSeconds: number): Promise<Redeemed> {
    const { config } = await this.#find()
    if (this.#parts.isOneOfSeveral && !answer.has('iss'))
      throw new Refusal('NOT_SIGNED_IN', 'The sign-in provider did not say who it is.', {
        cause: new Error('several providers are configured, and the answer has no iss parameter (RFC 9207)'),
      })
    // Only the query of what the browser asked for is used: its host could be anything.
    const url = new URL(this.#parts.redirectUri)
    url.search = answer.toString()
    try {
      const tokens = await openid.authorizationCodeGrant(config, url, {
        expectedState: derive(secret, 'state'),
        expectedNonce: derive(secret, 'nonce'),
        pkceCodeVerifier: derive(secret, 'pkce'),
        maxAge: maxAgeSeconds,
        idTokenExpected: true,
      })
      const idToken = tokens.id_token ?? ''
      const { alg } = decodeProtectedHeader(idToken)
      const inToken = tokens.claims()
      if (inToken === undefined || alg === undefined || !ALGORITHMS.includes(alg))
        throw new Error('the ID token is signed in a way that proves nothing')
      const needed = [this.settings.username_claim, this.settings.groups_claim]
      const more =
        needed.every((claim) => claim in inToken) || config.serverMetadata().userinfo_endpoint === undefined
          ? {}
          : await openid.fetchUserInfo(config, tokens.access_token, inToken.sub)
      return { claims: claimsOf(inToken, more, this.settings), idToken }
    } catch (cause) {
      throw refusalOf(cause)
    }
  }

  /** Undefined when the provider has no sign-out of its own, or is away. */
  async endSessionUrl(idToken: string | undefined, landing: string): Promise<string | undefined> {
    try {
      const { config } = await this.#find()
      if (config.serverMetadata().end_session_endpoint === undefined) return undefined
      const hint = idToken === undefined ? {} : { id_token_hint: idToken }
      return openid.buildEndSessionUrl(config, { ...hint, post_logout_redirect_uri: landing }).href
    } catch {
      return undefined
    }
  }

  /** OpenID Connect Back-Channel Logout 1.0 §2.6. @throws when anything about the token is not as it must be. */
  async logoutToken(token: string): Promise<JWTPayload> {
    const { config, keys } = await this.#find()
    if (keys === undefined) throw new Error('the provider publishes no keys')
    const { payload } = await jwtVerify(token, keys, {
      issuer: config.serverMetadata().issuer,
      audience: this.settings.client_id,
      typ: 'logout+jwt',
      algorithms: ALGORITHMS,
      requiredClaims: ['iss', 'aud', 'iat', 'jti', 'events'],
      maxTokenAge: '3 minutes',
      clockTolerance: 60,
    })
    return payload
  }

  /** RFC 9068: a signed access token made out to `audience`. @throws when anything about the token is not as it must be. */
  async accessToken(token: string, audience: string): Promise<JWTPayload> {
    const { config, keys } = await this.#find()
    if (keys === undefined) throw new Error('the provider publishes no keys')
    const { payload } = await jwtVerify(token, keys, {
      issuer: config.serverMetadata().issuer,
      audience,
      typ: 'at+jwt',
      algorithms: ALGORITHMS,
      requiredClaims: ['iss', 'aud', 'sub', 'exp', 'iat'],
      clockTolerance: 60,
    })
    return payload
  }

  /** Whether it tells about itself just now, whatever is known from before. */
  async answers(): Promise<boolean> {
    return await this.#discover().then(
      () => true,
      () => false,
    )
  }

  async #find(): Promise<Known> {
    const { clock } = this.#parts
    if (this.#known !== undefined && clock.now() < this.#known.until) return this.#known
    if (clock.now() >= this.#notBefore) this.#finding ??= this.#discover().finally(() => (this.#finding = undefined))
    if (this.#known === undefined) {
      if (this.#finding === undefined) throw unavailable(undefined)
      return this.#finding
    }
    // What was known goes on being used while it is looked up again, and while the provider is away.
    this.#finding?.catch(() => undefined)
    return this.#known
  }

  async #discover(): Promise<Known> {
    const { settings, clock, log, secret } = this.#parts
    try {
      const password = settings.client_secret === undefined ? undefined : await secret(settings.client_secret)
      const config = await openid.discovery(
        new URL(settings.issuer),
        settings.client_id,
        {},
        password === undefined ? openid.None() : openid.ClientSecretBasic(password),
        {
          // Without the first a token signed by anybody is taken. The second exists for development only.
          execute: [
            openid.enableNonRepudiationChecks,
            ...(settings.insecure_http ? [openid.allowInsecureRequests] : []),
          ],
          timeout: TIMEOUT_SECONDS,
          [openid.customFetch]: (url, options) => cappedFetch(url, options as RequestInit),
        },
      )
      this.#known = {
        config,
        keys: this.#keysAt(config.serverMetadata().jwks_uri),
        until: after(clock.now(), FRESH_MS),
      }
      return this.#known
    } catch (error) {
      this.#notBefore = clock.now() + PAUSE_MS
      log({
        level: 'warn',
        room: 'identity',
        message: 'A sign-in provider cannot be used.',
        details: { provider: settings.name, issuer: settings.issuer },
        error,
      })
      throw unavailable(error)
    }
  }

  #keysAt(uri: string | undefined): Known['keys'] {
    if (uri === undefined || !(uri.startsWith('https://') || this.settings.insecure_http)) return undefined
    return createRemoteJWKSet(new URL(uri), { timeoutDuration: TIMEOUT_SECONDS * 1000, [customFetch]: cappedFetch })
  }
}

const unavailable = (cause: unknown): Refusal =>
  new Refusal('UNAVAILABLE', 'The sign-in provider cannot be reached.', {
    cause,
    next: 'Try again in a minute. Who is signed in already goes on.',
  })
