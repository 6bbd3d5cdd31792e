/** The browser's side of a sign-in that waits: what the page shows, and what the person behind it may do. */
import type { Identity } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { SignInQuestion } from '../session/session.ts'
import { isSameAddress } from './address.ts'
import { placeOf } from './asking.ts'
import { refuseLocked } from './browser-sessions.ts'
import { isCode, newCode } from './code.ts'
import type { Keys } from './keys.ts'
import type { News } from './news.ts'
import type { PasskeyAnswer, Passkeys } from './passkeys.ts'
import type { IdentityParts } from './parts.ts'
import { approve, connections, type Direction, find, finish, show, spendTry, type Waiting } from './waiting.ts'

/** Who asks, from where. `address` is the browser's IP address. */
export type Visitor = { readonly identity: Identity; readonly address: string }

/** What the approval page shows. */
export type Question = SignInQuestion & {
  readonly id: string
  /** `type`: the page takes the code of the terminal. `show`: the page shows the code. */
  readonly direction: Direction
  readonly askedAt: Moment
  readonly expiresAt: Moment
  /** Whether the browser is where the terminal is. */
  readonly sameAddress: boolean
  /** The sign-in behind this browser is too old to approve: send the person through `beginSignIn` with this page as `returnTo`. */
  readonly signInAgain: boolean
  /** The role behind it asks for a passkey, too: {@link Approval.passkey} first. */
  readonly passkey: boolean
  /** How many connections this one approval lets in. */
  readonly connections: number
}

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'settings' | 'hooks'> & {
  readonly keys: Keys
  readonly passkeys: Pick<Passkeys, 'begin' | 'check'>
  readonly news: News
}

export class Approval {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @throws {Refusal} NOT_FOUND, LOCKED. */
  async question(id: string, visitor: Visitor): Promise<Question> {
    const waiting = await this.#mine(id, visitor)
    const { kind, username, sourceAddress, clientVersion, keyFingerprint, target, direction } = waiting
    return {
      id: waiting.id,
      direction,
      kind,
      username,
      sourceAddress,
      clientVersion,
      keyFingerprint,
      target,
      askedAt: waiting.askedAt,
      expiresAt: waiting.expiresAt,
      sameAddress: isSameAddress(sourceAddress, visitor.address),
      passkey: waiting.passkey !== undefined,
      signInAgain: this.#isTooOld(waiting, visitor.identity),
      connections: await connections(this.#parts.state, waiting.joint, this.#parts.clock.now()),
    }
  }

  /** @throws {Refusal} NOT_FOUND, NOT_ALLOWED, MFA_MISSING, PASSKEY_MISSING, LOCKED. */
  async answer(
    id: string,
    code: string,
    visitor: Visitor,
    touched?: PasskeyAnswer,
  ): Promise<{ readonly right: true } | { readonly right: false; readonly triesLeft: number }> {
    const { state, clock, keys, news } = this.#parts
    const waiting = await this.#approvable(id, visitor, 'type')
    const spent = await spendTry(state, waiting.id, clock.now())
    if (spent === undefined) throw over()
    if (!isCode(waiting.id, code, waiting.codeHash)) {
      if (spent.left === 0 && (await finish(state, { id: waiting.id }, 'Too many wrong codes.')))
        this.#refused(waiting, visitor, 'Too many wrong codes.')
      return { right: false, triesLeft: spent.left }
    }
    const { identity } = visitor
    const passkey = await this.#touched(waiting, identity, touched)
    // A touch is for one session; a key stands for its person because of a sign-in.
    const key = passkey === undefined ? waiting.keyFingerprint : undefined
    const isApproved = await state.tx(async (tx) => {
      if (!(await approve(tx, waiting, identity, { now: clock.now(), passkey }))) return false
      if (key !== undefined) await keys.bind(tx, identity, key)
      return true
    })
    if (!isApproved) throw over()
    if (key !== undefined) keys.announce(identity, key)
    if (passkey !== undefined) {
      const text = `${identity.username} confirmed a session with a passkey.`
      const details = { via: waiting.kind, ...placeOf(waiting), browser: visitor.address, passkey }
      news('identity.passkey-used', { actor: identity.username, text, target: waiting.target, details })
      return { right: true }
    }
    news('identity.signed-in', {
      actor: identity.username,
      text: `${identity.username} let a sign-in by ${waiting.kind} through.`,
      target: waiting.target,
      details: {
        via: waiting.kind,
        ...placeOf(waiting),
        browser: visitor.address,
        provider: identity.provider,
        ...identity.proof,
      },
    })
    return { right: true }
  }

  /** What the browser shows to the person's passkeys. @throws {Refusal} NOT_FOUND, NOT_ALLOWED, PASSKEY_MISSING, LOCKED, TOO_MANY. */
  async passkey(id: string, visitor: Visitor): ReturnType<Passkeys['begin']> {
    const waiting = await this.#approvable(id, visitor, 'type')
    if (waiting.passkey === undefined) throw over()
    return this.#parts.passkeys.begin(visitor.identity, `sign-in ${waiting.id}`)
  }

  /** The credential, where one is asked for. @throws {Refusal} NOT_ALLOWED, LOCKED. */
  async #touched(waiting: Waiting, who: Identity, touched: PasskeyAnswer | undefined): Promise<string | undefined> {
    if (waiting.passkey === undefined) return undefined
    if (touched === undefined)
      throw new Refusal('PASSKEY_MISSING', 'This session asks for your passkey.', {
        next: 'Use the page to confirm it.',
      })
    return this.#parts.passkeys.check(who, `sign-in ${waiting.id}`, touched)
  }

  /** No fresh proof and no equal address is asked for: who sees somebody else at the door must be able to say so. */
  async deny(id: string, visitor: Visitor): Promise<void> {
    const waiting = await this.#mine(id, visitor)
    const why = `${visitor.identity.username} said no in the browser.`
    if (!(await finish(this.#parts.state, { joint: waiting.joint }, why))) throw over()
    this.#refused(waiting, visitor, why)
  }

  /** @throws {Refusal} NOT_FOUND, NOT_ALLOWED, MFA_MISSING, LOCKED. */
  async revealCode(id: string, visitor: Visitor): Promise<{ readonly code: string; readonly expiresAt: Moment }> {
    const waiting = await this.#approvable(id, visitor, 'show')
    const code = newCode()
    const { state, clock } = this.#parts
    if (!(await show(state, waiting.id, code, visitor.identity, clock.now()))) throw over()
    return { code, expiresAt: waiting.expiresAt }
  }

  /** One answer for "there is none", "it is over" and "it is somebody else's". */
  async #mine(id: string, visitor: Visitor): Promise<Waiting> {
    const { state, clock, hooks } = this.#parts
    const waiting = await find(state, id)
    await refuseLocked(hooks, visitor.identity)
    if (waiting === undefined) throw over()
    if (waiting.username !== visitor.identity.username) {
      this.#refused(waiting, visitor, 'Somebody else opened a waiting sign-in.')
      throw over()
    }
    const isOpen = waiting.state === 'waiting' || waiting.state === 'shown'
    if (!isOpen || clock.now() >= waiting.expiresAt) throw over()
    return waiting
  }

  async #approvable(id: string, visitor: Visitor, direction: Direction): Promise<Waiting> {
    const waiting = await this.#mine(id, visitor)
    if (waiting.direction !== direction) throw over()
    const isHere = isSameAddress(waiting.sourceAddress, visitor.address)
    if (!isHere && !this.#parts.settings.allowOtherAddress) {
      const text = 'This browser is not where the sign-in comes from.'
      this.#refused(waiting, visitor, text)
      throw new Refusal('NOT_ALLOWED', text, {
        next: `Open the page on the machine at ${waiting.sourceAddress}. If that is not yours, deny the sign-in and tell your security team.`,
      })
    }
    if (this.#isTooOld(waiting, visitor.identity))
      throw new Refusal('MFA_MISSING', 'Your sign-in in this browser is too old to approve another.', {
        next: 'Sign in again.',
      })
    return waiting
  }

  /** A touch of a passkey is a fresh proof itself. */
  #isTooOld(waiting: Waiting, identity: Identity): boolean {
    const { clock, settings } = this.#parts
    if (waiting.passkey !== undefined) return false
    return clock.now() - identity.proof.authTime > settings.approvalWithinMs
  }

  #refused(waiting: Waiting, visitor: Visitor, text: string): void {
    this.#parts.news('identity.refused', {
      actor: visitor.identity.username,
      text,
      target: waiting.target,
      details: { via: waiting.kind, for: waiting.username, ...placeOf(waiting), browser: visitor.address },
    })
  }
}

const over = (): Refusal =>
  new Refusal('NOT_FOUND', 'This sign-in is over, or it is not yours.', { next: 'Connect again from your terminal.' })
