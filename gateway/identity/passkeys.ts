/** Passkeys (WebAuthn): a person registers theirs, and touches one where a role asks for it. User verification is always required. */
import {
  type AuthenticationResponseJSON,
  generateAuthenticationOptions,
  generateRegistrationOptions,
  type PublicKeyCredentialCreationOptionsJSON,
  type PublicKeyCredentialRequestOptionsJSON,
  type RegistrationResponseJSON,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
  type WebAuthnCredential,
} from '@simplewebauthn/server'
import type { Identity } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { type PasskeyProof, provenBy } from '../model/passkey.ts'
import { Refusal } from '../model/refusal.ts'
import { refuseLocked } from './browser-sessions.ts'
import { hashOf } from './cookie-secret.ts'
import type { News } from './news.ts'
import type { IdentityParts } from './parts.ts'
import { newConfirmation, takeConfirmation } from './passkey-confirmations.ts'
import { CHALLENGE_MS, newChallenge, type Purpose, takeChallenge } from './passkey-challenges.ts'
import { number, type Row, text } from './row.ts'

export type Passkey = {
  readonly id: string
  /** As its owner calls it. */
  readonly name: string
  readonly createdAt: Moment
  readonly usedAt: Moment | undefined
}

/** As browsers give it (`PublicKeyCredential.toJSON()`); nothing in it is believed before it was verified. */
export type { AuthenticationResponseJSON as PasskeyAnswer, RegistrationResponseJSON as NewPasskey }

const MOST_PASSKEYS = 10
/** Ed25519, ES256, RS256 (COSE numbers). */
const ALGORITHMS = [-8, -7, -257]

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'log' | 'settings' | 'hooks'> & { readonly news: News }

export class Passkeys {
  readonly #parts: Parts
  readonly #origin: string
  readonly #rpId: string

  constructor(parts: Parts) {
    this.#parts = parts
    const { origin, hostname } = new URL(parts.settings.publicUrl)
    this.#origin = origin
    this.#rpId = hostname
  }

  async list(who: Identity): Promise<readonly Passkey[]> {
    const rows = await this.#parts.state.all<Row>(
      'select id, name, created_at, used_at from passkeys where subject = $1 order by created_at',
      [who.subject],
    )
    return rows.map((row) => ({
      id: text(row, 'id'),
      name: text(row, 'name'),
      createdAt: number(row, 'created_at') as Moment,
      usedAt: row['used_at'] === null ? undefined : (number(row, 'used_at') as Moment),
    }))
  }

  /** @throws {Refusal} MFA_MISSING when the sign-in is old, LOCKED, TOO_MANY, CONFLICT. */
  async beginRegistration(who: Identity): Promise<PublicKeyCredentialCreationOptionsJSON> {
    await this.#refuseOld(who)
    const known = await this.list(who)
    if (known.length >= MOST_PASSKEYS)
      throw new Refusal('CONFLICT', `You have ${known.length} passkeys.`, { next: 'Remove one first.' })
    return generateRegistrationOptions({
      rpName: 'Sallyport',
      rpID: this.#rpId,
      userName: who.username,
      userID: Buffer.from(hashOf(who.subject), 'base64url'),
      challenge: Buffer.from(await newChallenge(this.#parts, who.subject, 'register'), 'base64url'),
      timeout: CHALLENGE_MS,
      attestationType: 'none',
      supportedAlgorithmIDs: ALGORITHMS,
      excludeCredentials: known.map(({ id }) => ({ id })),
      authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
    })
  }

  /** @throws {Refusal} NOT_ALLOWED when the answer does not hold, MFA_MISSING, LOCKED, CONFLICT. */
  async finishRegistration(who: Identity, name: string, answer: RegistrationResponseJSON): Promise<void> {
    await this.#refuseOld(who)
    const { state, clock, news } = this.#parts
    const checked = await this.#checked(() =>
      verifyRegistrationResponse({
        response: answer,
        expectedChallenge: (challenge) => takeChallenge(this.#parts, who.subject, 'register', challenge),
        expectedOrigin: this.#origin,
        expectedRPID: this.#rpId,
        requireUserVerification: true,
        supportedAlgorithmIDs: ALGORITHMS,
      }),
    )
    if (checked?.verified !== true) throw notAccepted()
    const { credential } = checked.registrationInfo
    const made = await state.run(
      `insert into passkeys (id, subject, name, public_key, counter, transports, created_at, used_at)
       values ($1, $2, $3, $4, $5, $6, $7, null) on conflict (id) do nothing`,
      [
        credential.id,
        who.subject,
        name,
        Buffer.from(credential.publicKey).toString('base64url'),
        credential.counter,
        JSON.stringify(credential.transports ?? []),
        clock.now(),
      ],
    )
    if (made === 0) throw new Refusal('CONFLICT', 'This passkey is registered already.')
    news('identity.passkey-registered', {
      actor: who.username,
      text: `${who.username} registered a passkey.`,
      details: { passkey: credential.id, name },
    })
  }

  /** @throws {Refusal} NOT_FOUND, MFA_MISSING, LOCKED. */
  async forget(who: Identity, id: string): Promise<void> {
    await this.#refuseOld(who)
    const { state, news } = this.#parts
    const gone = await state.run('delete from passkeys where id = $1 and subject = $2', [id, who.subject])
    if (gone === 0) throw new Refusal('NOT_FOUND', 'There is no such passkey of yours.')
    news('identity.passkey-removed', {
      actor: who.username,
      text: `${who.username} removed a passkey.`,
      details: { passkey: id },
    })
  }

  /** What the browser shows to the person's passkeys. @throws {Refusal} PASSKEY_MISSING when there is none, LOCKED, TOO_MANY. */
  async begin(who: Identity, purpose: Purpose): Promise<PublicKeyCredentialRequestOptionsJSON> {
    const { state, hooks, settings } = this.#parts
    await refuseLocked(hooks, who)
    const rows = await state.all<Row>('select id, transports from passkeys where subject = $1', [who.subject])
    if (rows.length === 0)
      throw new Refusal('PASSKEY_MISSING', 'You have no passkey here.', {
        next: `Register one first: ${new URL('/me', settings.publicUrl).href}`,
      })
    return generateAuthenticationOptions({
      rpID: this.#rpId,
      challenge: Buffer.from(await newChallenge(this.#parts, who.subject, purpose), 'base64url'),
      timeout: CHALLENGE_MS,
      allowCredentials: rows.map((row) => ({ id: text(row, 'id'), transports: transportsOf(row) })),
      userVerification: 'required',
    })
  }

  /** The credential that answered. @throws {Refusal} NOT_ALLOWED when the answer does not hold, LOCKED. */
  async check(who: Identity, purpose: Purpose, answer: AuthenticationResponseJSON): Promise<string> {
    const { state, clock, hooks } = this.#parts
    await refuseLocked(hooks, who)
    const [row] = await state.all<Row>('select * from passkeys where id = $1 and subject = $2', [
      answer.id.slice(0, 1400),
      who.subject,
    ])
    if (row === undefined) throw notAccepted()
    const credential: WebAuthnCredential = {
      id: text(row, 'id'),
      publicKey: new Uint8Array(Buffer.from(text(row, 'public_key'), 'base64url')),
      counter: number(row, 'counter'),
      transports: transportsOf(row),
    }
    const checked = await this.#checked(() =>
      verifyAuthenticationResponse({
        response: answer,
        expectedChallenge: (challenge) => takeChallenge(this.#parts, who.subject, purpose, challenge),
        expectedOrigin: this.#origin,
        expectedRPID: this.#rpId,
        credential,
        requireUserVerification: true,
      }),
    )
    if (checked?.verified !== true) throw notAccepted()
    // Compared once more where it is written: of two answers with one count, one is a copy.
    const counted = await state.run(
      'update passkeys set counter = $1, used_at = $2 where id = $3 and subject = $4 and (counter < $1 or (counter = 0 and $1 = 0))',
      [checked.authenticationInfo.newCounter, clock.now(), credential.id, who.subject],
    )
    if (counted === 0) throw notAccepted()
    return credential.id
  }

  /** For a session that a browser opens: a token for {@link redeem}, worth one use within a minute. @throws {Refusal} as {@link check}. */
  async confirm(
    who: Identity,
    target: string,
    answer: AuthenticationResponseJSON,
  ): Promise<{ readonly confirmation: string; readonly expiresAt: Moment }> {
    const credential = await this.check(who, `target ${target}`, answer)
    const confirmed = await newConfirmation(this.#parts, { subject: who.subject, target }, credential)
    this.#parts.news('identity.passkey-used', {
      actor: who.username,
      text: `${who.username} confirmed a session with a passkey.`,
      target,
      details: { via: 'browser', passkey: credential },
    })
    return confirmed
  }

  /** Undefined for a token that is not good here; it is used up all the same. */
  async redeem(who: Identity, target: string, confirmation: string): Promise<PasskeyProof | undefined> {
    const place = { subject: who.subject, target }
    const taken = await takeConfirmation(this.#parts, place, confirmation)
    return taken && provenBy({ ...place, ...taken })
  }

  /** Whoever stole a browser's cookie must not be able to add a key of their own. */
  async #refuseOld(who: Identity): Promise<void> {
    const { clock, settings, hooks } = this.#parts
    await refuseLocked(hooks, who)
    if (clock.now() - who.proof.authTime > settings.approvalWithinMs)
      throw new Refusal('MFA_MISSING', 'Your sign-in is too old to change passkeys.', { next: 'Sign in again.' })
  }

  /** The library throws for every answer that does not hold; why is for operators. */
  async #checked<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof Refusal) throw error
      this.#parts.log({ level: 'warn', room: 'identity', message: 'A passkey was not accepted.', error })
      return undefined
    }
  }
}

type Transports = NonNullable<WebAuthnCredential['transports']>
const transportsOf = (row: Row): Transports => JSON.parse(text(row, 'transports')) as Transports

const notAccepted = (): Refusal =>
  new Refusal('NOT_ALLOWED', 'This passkey was not accepted.', { next: 'Try again, or use another one.' })
