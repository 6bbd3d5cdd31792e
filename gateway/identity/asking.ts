/** The terminal's side of a sign-in by browser: asks, shows or takes the code, and waits. */
import type { Identity } from '../model/identity.ts'
import { after, type Moment } from '../model/moment.ts'
import { provenBy } from '../model/passkey.ts'
import { Refusal } from '../model/refusal.ts'
import type { ReverseSignIn, SignInQuestion, WaitingPasskey, WaitingSignIn } from '../session/session.ts'
import { refuseLocked } from './browser-sessions.ts'
import { isCode, newCode } from './code.ts'
import type { Keys } from './keys.ts'
import type { Leases } from './leases.ts'
import type { News } from './news.ts'
import { type IdentityParts, MOST_KEY_MS, PATHS } from './parts.ts'
import { changed } from './change.ts'
import { find, finish, insert, spendTry, take, type Taken, type Waiting } from './waiting.ts'

type Parts = Pick<IdentityParts, 'state' | 'clock' | 'log' | 'settings' | 'hooks'> & {
  readonly keys: Keys
  readonly leases: Leases
  readonly news: News
}

/** For the case that a change is not announced. */
const POLL_MS = 1000

export class Asking {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** @throws {Refusal} TOO_MANY. */
  async ask(question: SignInQuestion): Promise<WaitingSignIn> {
    const code = newCode()
    const { id, expiresAt, url } = await this.#insert(question, { direction: 'type', code, passkey: false })
    return { id, url, code, expiresAt, wait: async (signal) => (await this.#wait(id, expiresAt, signal)).identity }
  }

  /** @throws {Refusal} TOO_MANY. */
  async askPasskey(who: Identity, question: SignInQuestion & { readonly target: string }): Promise<WaitingPasskey> {
    const code = newCode()
    const { id, expiresAt, url } = await this.#insert(question, { direction: 'type', code, passkey: true })
    const { subject } = who
    const { target } = question
    const wait: WaitingPasskey['wait'] = async (signal) => {
      const { identity, passkey } = await this.#wait(id, expiresAt, signal)
      if (identity.subject !== subject || passkey === undefined || passkey === '')
        throw new Refusal('NOT_SIGNED_IN', 'Somebody else has answered.', { next: 'Connect again.' })
      return provenBy({ subject, target, credential: passkey, provenAt: this.#parts.clock.now() })
    }
    return { id, url, code, expiresAt, wait }
  }

  /** @throws {Refusal} TOO_MANY. */
  async askReverse(question: SignInQuestion, gone?: AbortSignal): Promise<ReverseSignIn> {
    const { id, expiresAt, url } = await this.#insert(question, { direction: 'show', code: undefined, passkey: false })
    // A place in the queue that nobody waits in must not turn others away.
    const leave = () => void finish(this.#parts.state, { id }, 'The client has gone.').catch(() => false)
    if (gone?.aborted === true) leave()
    else gone?.addEventListener('abort', leave, { once: true })
    return {
      url,
      expiresAt,
      attempt: (code) => this.#attempt(id, code),
      still: () => this.#parts.leases.get(leaseOf(id)),
    }
  }

  async #insert(
    question: SignInQuestion,
    how: { readonly direction: 'type' | 'show'; readonly code: string | undefined; readonly passkey: boolean },
  ) {
    const { state, clock, log, settings } = this.#parts
    try {
      const { id, expiresAt } = await state.tx((tx) =>
        insert(tx, question, { ...how, now: clock.now(), ms: settings.signInWaitMs }),
      )
      return { id, expiresAt, url: new URL(PATHS.approve + id, settings.publicUrl).href }
    } catch (refusal) {
      // A flood goes to the operators; it must not push the auditors' events aside.
      if (refusal instanceof Refusal)
        log({ level: 'warn', room: 'identity', message: refusal.message, details: placeOf(question) })
      throw refusal
    }
  }

  async #wait(id: string, expiresAt: Moment, signal: AbortSignal): Promise<Taken> {
    const { state } = this.#parts
    for (;;) {
      if (signal.aborted) {
        await finish(state, { id }, 'The client has gone.').catch(() => false)
        throw signal.reason
      }
      const change = changed((listener) => state.onChange(listener), { signal, atMostMs: POLL_MS })
      try {
        const taken = await this.#look(id, expiresAt)
        if (taken !== undefined) return taken
        await change.next
      } finally {
        change.cancel()
      }
    }
  }

  async #look(id: string, expiresAt: Moment): Promise<Taken | undefined> {
    const { state, clock, log } = this.#parts
    try {
      const waiting = await find(state, id)
      if (waiting === undefined) throw over()
      return await this.#settled(waiting)
    } catch (error) {
      // A store that is out of reach for a moment is no reason to lose the place in the queue.
      const isPassing = error instanceof Refusal && error.code === 'UNAVAILABLE' && clock.now() < expiresAt
      if (!isPassing) throw error
      log({ level: 'warn', room: 'identity', message: 'A waiting sign-in could not be looked up.', error })
      return undefined
    }
  }

  /** Undefined while there is no answer. */
  async #settled(waiting: Waiting): Promise<Taken | undefined> {
    const { state, clock, hooks } = this.#parts
    if (waiting.state === 'approved') {
      const taken = await state.tx((tx) => take(tx, waiting.id, 'approved', waiting.codeHash, clock.now()))
      if (taken === undefined) throw over()
      await refuseLocked(hooks, taken.identity)
      return taken
    }
    if (waiting.state !== 'waiting')
      throw new Refusal('NOT_SIGNED_IN', waiting.detail === '' ? 'This sign-in is over.' : waiting.detail, {
        next: 'Connect again.',
      })
    if (clock.now() < waiting.expiresAt) return undefined
    await finish(state, { id: waiting.id }, 'Nobody signed in, in time.')
    throw this.#late(waiting)
  }

  async #attempt(id: string, code: string): Promise<Identity | undefined> {
    const { state, clock, hooks, settings, keys, leases, news } = this.#parts
    const waiting = await find(state, id)
    if (waiting === undefined) throw over()
    if (waiting.state === 'over') throw new Refusal('NOT_SIGNED_IN', waiting.detail, { next: 'Connect again.' })
    if (waiting.state !== 'waiting' && waiting.state !== 'shown') throw over()
    if (clock.now() >= waiting.expiresAt) {
      await finish(state, { id }, 'Nobody signed in, in time.')
      throw this.#late(waiting)
    }
    const spent = await spendTry(state, id, clock.now())
    if (spent === undefined) throw over()
    if (waiting.state === 'waiting' || !isCode(id, code, waiting.codeHash)) {
      if (spent.left > 0) return undefined
      const refusal = new Refusal('NOT_SIGNED_IN', 'Too many wrong codes.', { next: 'Connect again.' })
      if (await finish(state, { id }, refusal.message)) this.#refused(waiting, refusal)
      throw refusal
    }
    const until = after(clock.now(), Math.min(settings.keyBoundForMs, MOST_KEY_MS))
    const identity = await state.tx(async (tx) => {
      const taken = await take(tx, id, 'shown', waiting.codeHash, clock.now())
      if (taken === undefined) return undefined
      await leases.put(leaseOf(id), taken.identity, until, tx)
      if (waiting.keyFingerprint !== undefined) await keys.bind(tx, taken.identity, waiting.keyFingerprint)
      return taken.identity
    })
    if (identity === undefined) throw over()
    await refuseLocked(hooks, identity)
    if (waiting.keyFingerprint !== undefined) keys.announce(identity, waiting.keyFingerprint)
    news('identity.signed-in', {
      actor: identity.username,
      text: `${identity.username} signed in to ${waiting.kind} with a code from the browser.`,
      target: waiting.target,
      details: { via: waiting.kind, ...placeOf(waiting), provider: identity.provider, ...identity.proof },
    })
    return identity
  }

  #late(waiting: Waiting): Refusal {
    const refusal = new Refusal('NOT_SIGNED_IN', 'Nobody signed in, in time.', { next: 'Connect again.' })
    this.#refused(waiting, refusal)
    return refusal
  }

  #refused(question: SignInQuestion, refusal: Refusal): void {
    this.#parts.news('identity.refused', {
      actor: question.username,
      text: refusal.message,
      target: question.target,
      details: { via: question.kind, code: refusal.code, ...placeOf(question) },
    })
  }
}

/** A connection without a key has nothing else that stands for its person. */
const leaseOf = (id: string): string => `connection ${id}`

export const placeOf = (question: SignInQuestion) => ({
  address: question.sourceAddress,
  client: question.clientVersion,
  key: question.keyFingerprint,
})

const over = (): Refusal => new Refusal('NOT_SIGNED_IN', 'This sign-in is over.', { next: 'Connect again.' })
