/**
 * Signing in over ssh. A person is who a bound key says; a key that is not bound yet waits here until its person has signed in with a browser.
 * Never `none` (but for the inner connection of `ssh -J`), never a password. Nothing is kept from one attempt to the next but the count of failures.
 */
import type { Identity, Username } from '../model/identity.ts'
import { after, type Clock } from '../model/moment.ts'
import type { Log } from '../model/log.ts'
import { Refusal } from '../model/refusal.ts'
import type { SignInQuestion, SignIns } from '../session/session.ts'
import { namedPerson, type NamedPerson } from './auth-name.ts'
import { signInBanner, signedInBanner, reverseText } from './auth-words.ts'
import { denial, denialText } from './deny.ts'
import type { Attempt, Connection, Decision, ProvenKey } from './engine/contract.ts'

/** Who is on a connection, once it is accepted. */
export type Person = {
  identity: Identity
  readonly named: NamedPerson
  /** Undefined after a sign-in without a key. */
  readonly keyFingerprint: string | undefined
  /** Who stands behind this connection now, by whatever let it in; undefined once that is over. @throws {Refusal} LOCKED. */
  readonly still: () => Promise<Identity | undefined>
}

export type AuthParts = {
  readonly signIns: SignIns
  readonly clock: Clock
  readonly log: Log
  /** How long a key stays bound after a sign-in, where it is known: said to the person. */
  readonly boundForMs: number | undefined
  /** Called while an approval is waited for: time to sign in starts anew. */
  readonly stillWaiting: (connection: Connection) => void
}

type SignedIn = Pick<Person, 'identity' | 'still'>

const METHODS = ['publickey', 'keyboard-interactive'] as const
/** A client with `ServerAliveInterval 1` gives up after three silent seconds. */
const KEEP_ALIVE_MS = 2_000
/** Another connection of the same person with the same key may have been approved. */
const LOOK_EVERY_MS = 2_000
const CODE_TRIES = 5

/** One connection's attempts. `accepted` is called with the person right before success is sent. */
export class Authentication {
  readonly #parts: AuthParts
  readonly #connection: Connection
  readonly #maxFailures: number
  readonly #accepted: (person: Person) => void
  #failures = 0
  /** Somebody said no, or nobody said yes: the other keys of the client must not ask again. */
  #over = false

  constructor(parts: AuthParts, connection: Connection, maxFailures: number, accepted: (person: Person) => void) {
    this.#parts = parts
    this.#connection = connection
    this.#maxFailures = maxFailures
    this.#accepted = accepted
  }

  async attempt(attempt: Attempt, signal: AbortSignal): Promise<Decision> {
    if (attempt.method === 'none') return { accept: false, methods: METHODS }
    const named = namedPerson(attempt.username)
    if (named === undefined || this.#over) return this.#no()
    const key = attempt.method === 'publickey' ? attempt.key : undefined
    try {
      const signedIn =
        attempt.method === 'publickey'
          ? await this.#byKey(named, attempt.key, signal)
          : await this.#byCode(named, attempt.ask, signal)
      if (signedIn === undefined || signal.aborted) return this.#no()
      const { identity, still } = signedIn
      // Who signed in must be who ssh named; identity/ has looked, and this is the place where it would matter.
      if (identity.username !== named.username) return this.#no()
      this.#accepted({ identity, still, named, keyFingerprint: key?.fingerprint })
      return { accept: true }
    } catch (failure) {
      if (signal.aborted) return this.#no()
      this.#over = true
      const denied = denial(failure, this.#parts.log)
      this.#connection.sendBanner(denialText(denied))
      // `ssh -q` hides banners, so operators can see the reason, too.
      this.#parts.log({
        level: 'info',
        room: 'ssh',
        message: 'A sign-in was refused.',
        details: { username: named.username, address: this.#connection.origin.address, why: denied.sentence },
      })
      return this.#no()
    }
  }

  #no(): Decision {
    this.#failures += 1
    if (this.#failures >= this.#maxFailures) this.#connection.disconnect('Too many attempts to sign in.')
    return { accept: false, methods: METHODS }
  }

  async #byKey(named: NamedPerson, key: ProvenKey, signal: AbortSignal): Promise<SignedIn | undefined> {
    const { signIns, clock, boundForMs } = this.#parts
    const still = () => signIns.bound(named.username, key.fingerprint)
    const known = await still()
    if (signal.aborted) return undefined
    if (known !== undefined) return { identity: known, still }
    const waiting = await signIns.ask(this.#question(named, key.fingerprint))
    this.#connection.sendBanner(signInBanner(waiting, named.username, clock.now()))
    const stop = new AbortController()
    const both = AbortSignal.any([signal, stop.signal])
    try {
      const identity = await this.#meanwhile(
        Promise.race([waiting.wait(both), this.#boundMeanwhile(named.username, key.fingerprint, both)]),
      )
      const now = clock.now()
      const until = boundForMs === undefined ? undefined : after(now, boundForMs)
      if (!signal.aborted) this.#connection.sendBanner(signedInBanner(identity, now, until))
      return { identity, still }
    } finally {
      stop.abort()
    }
  }

  /** Resolves once the key is bound by another connection's approval; never otherwise. */
  async #boundMeanwhile(name: Username, fingerprint: string, signal: AbortSignal): Promise<Identity> {
    for (;;) {
      await pause(LOOK_EVERY_MS, signal)
      const identity = signal.aborted ? undefined : await this.#parts.signIns.bound(name, fingerprint)
      if (identity !== undefined) return identity
      if (signal.aborted) return new Promise(() => undefined)
    }
  }

  async #byCode(
    named: NamedPerson,
    ask: (Attempt & { readonly method: 'keyboard-interactive' })['ask'],
    signal: AbortSignal,
  ): Promise<SignedIn | undefined> {
    const { signIns, clock } = this.#parts
    const stop = new AbortController()
    const reverse = await signIns.askReverse(this.#question(named, undefined), AbortSignal.any([signal, stop.signal]))
    // Who never answers must not keep a place on the doorstep for ever.
    const late = setTimeout(
      () => this.#connection.disconnect('Nobody signed in, in time.'),
      Math.max(0, reverse.expiresAt - clock.now()),
    )
    try {
      let text = reverseText(reverse, named.username)
      for (let tries = 0; tries < CODE_TRIES && !signal.aborted; tries += 1) {
        const [code = ''] = await this.#meanwhile(
          ask('Sallyport', text, [{ prompt: 'The code that the browser shows: ', echo: true }]),
        )
        const identity = await reverse.attempt(code.trim().slice(0, 64))
        if (identity !== undefined) return { identity, still: () => reverse.still() }
        text = 'That is not the code.'
      }
    } finally {
      clearTimeout(late)
      stop.abort()
    }
    throw new Refusal('NOT_SIGNED_IN', 'None of these was the code.', { next: 'Connect again for a new one.' })
  }

  #question(named: NamedPerson, keyFingerprint: string | undefined): SignInQuestion {
    const { origin, clientVersion } = this.#connection
    return {
      kind: 'ssh',
      username: named.username,
      sourceAddress: origin.address,
      clientVersion,
      keyFingerprint,
      target: named.place?.target,
    }
  }

  /** Keeps a client alive that counts silent seconds, and the time to sign in open, while people are busy. */
  async #meanwhile<T>(work: Promise<T>): Promise<T> {
    this.#parts.stillWaiting(this.#connection)
    const timer = setInterval(() => {
      this.#connection.sendIgnore()
      this.#parts.stillWaiting(this.#connection)
    }, KEEP_ALIVE_MS)
    try {
      return await work
    } finally {
      clearInterval(timer)
    }
  }
}

/**
 * Asked for every channel, because a connection may stay open for days: a person who was locked, has logged out or whose key's time is over
 * opens nothing more.
 *
 * @throws {Refusal} LOCKED, NOT_SIGNED_IN.
 */
export async function stillSignedIn(person: Person): Promise<void> {
  const identity = await person.still()
  if (identity === undefined || identity.subject !== person.identity.subject)
    throw new Refusal('NOT_SIGNED_IN', 'Your sign-in has ended.', { next: 'Close this connection and connect again.' })
  // A second sign-in on this connection may be fresher than the one that let it in.
  const { proof } = person.identity
  person.identity = proof.authTime > identity.proof.authTime ? { ...identity, proof } : identity
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
