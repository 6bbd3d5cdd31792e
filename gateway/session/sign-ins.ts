/** What terminators ask of identity/: is this key known, and if not, let a person sign in through a browser while the client waits. */
import type { Identity, Username } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import type { PasskeyProof } from '../model/passkey.ts'

export type SignInQuestion = {
  readonly kind: 'ssh' | 'postgres'
  /** Whom the client says it is; who signs in must be this person. */
  readonly username: Username
  /** IP address without port. */
  readonly sourceAddress: string
  readonly clientVersion: string
  /** `SHA256:…` of the key whose signature was verified on this connection; undefined without a key. */
  readonly keyFingerprint: string | undefined
  readonly target: string | undefined
}

/** A sign-in that waits for a person. The code is shown by the client and typed into the page; it is never part of the URL. */
export type WaitingSignIn = {
  readonly id: string
  readonly url: string
  readonly code: string
  readonly expiresAt: Moment
  /** @throws {Refusal} NOT_SIGNED_IN on denial, wrong codes, timeout; MFA_MISSING; LOCKED; or the signal's reason. */
  wait(signal: AbortSignal): Promise<Identity>
}

/** The other way round, for clients without a key: the page shows the code, the person types it into the client. */
export type ReverseSignIn = {
  readonly url: string
  readonly expiresAt: Moment
  /** One try; undefined when the code is wrong. @throws {Refusal} after five tries, a timeout, or when nobody signed in. */
  attempt(code: string): Promise<Identity | undefined>
  /**
   * For a connection that stays open: who signed in, for as long as a key would stand for them and no logout has ended it.
   * @throws {Refusal} LOCKED.
   */
  still(): Promise<Identity | undefined>
}

/** A session that waits for the touch of a passkey, in the browser. The code is shown by the client and typed into the page. */
export type WaitingPasskey = Omit<WaitingSignIn, 'wait'> & {
  /** @throws {Refusal} NOT_SIGNED_IN on denial, wrong codes, timeout, or another person; LOCKED; or the signal's reason. */
  wait(signal: AbortSignal): Promise<PasskeyProof>
}

export type SignIns = {
  /**
   * The person behind a key that was bound at an earlier sign-in and is still within its time.
   * @throws {Refusal} LOCKED.
   */
  bound(username: Username, keyFingerprint: string): Promise<Identity | undefined>
  /** The key (when there is one) is bound to the person for the configured time once the sign-in succeeds. @throws {Refusal} TOO_MANY. */
  ask(question: SignInQuestion): Promise<WaitingSignIn>
  /** For one session of somebody who is signed in, under a role that asks for a passkey. Binds no key. @throws {Refusal} TOO_MANY. */
  askPasskey(who: Identity, question: SignInQuestion & { readonly target: string }): Promise<WaitingPasskey>
  /** `gone` aborts when the client has left: nobody waits any more. @throws {Refusal} TOO_MANY. */
  askReverse(question: SignInQuestion, gone?: AbortSignal): Promise<ReverseSignIn>
  /** Forgets every bound key of that person; returns how many. */
  forget(identity: Identity): Promise<number>
  /** Somebody who has signed in before. */
  person(username: string): Promise<{ readonly username: Username } | undefined>
}
