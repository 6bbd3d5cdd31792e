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
  /** How many connections this one approval lets in. */
  readonly connections: number
}

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'settings' | 'hooks'> & {
  readonly keys: Keys
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
      signInAgain: this.#isOld(visitor.identity),
      connections: await connections(this.#parts.state, waiting.joint, this.#parts.clock.now()),
    }
  }

  /** @throws {Refusal} NOT_FOUND, NOT_ALLOWED, MFA_MISSING, LOCKED. */
  async answer(
    id: string,
    code: string,
    visitor: Visitor,
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
    const isApproved = await state.tx(async (tx) => {
      if (!(await approve(tx, waiting, identity, clock.now()))) return false
      if (waiting.keyFingerprint !== undefined) await keys.bind(tx, identity, waiting.keyFingerprint)
      return true
    })
    if (!isApproved) throw over()
    if (waiting.keyFingerprint !== undefined) keys.announce(identity, waiting.keyFingerprint)
    news('identity.signed-in', {
      actor: identity.username,
      text: `${identity.username} let a ${waiting.kind} sign-in through.`,
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
    if (this.#isOld(visitor.identity))
      throw new Refusal('MFA_MISSING', 'Your sign-in in this browser is too old to approve another.', {
        next: 'Sign in again.',
      })
    return waiting
  }

  #isOld(identity: Identity): boolean {
    const { clock, settings } = this.#parts
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
