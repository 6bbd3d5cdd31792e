/** Front door: who is this? Sign-in by OpenID Connect with a judged second factor, browser approval for ssh and psql, bound keys. */
import type { Identity, Subject } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { Fault } from '../model/refusal.ts'
import type { SignInQuestion, SignIns } from '../session/session.ts'
import type { IdentityParts } from './parts.ts'

export { type IdentityHooks, type IdentityParts, type IdentitySettings, PATHS, type ProviderSettings } from './parts.ts'

/** A browser that is signed in. */
export type BrowserSession = {
  readonly identity: Identity
  /** Belongs to the cookie; unsafe methods must show it. */
  readonly csrfToken: string
  readonly createdAt: Moment
  /** The end whatever happens. */
  readonly expiresAt: Moment
  readonly idleMinutes: number
}

/** What the approval page shows. */
export type Question = SignInQuestion & {
  readonly id: string
  /** `type`: the page takes the code of the terminal. `show`: the page shows the code. */
  readonly direction: 'type' | 'show'
  readonly askedAt: Moment
  readonly expiresAt: Moment
  /** Whether the browser is where the terminal is. */
  readonly sameAddress: boolean
  /** The sign-in behind this browser is too old to approve: send the person through `beginSignIn` with this page as `returnTo`. */
  readonly signInAgain: boolean
  /** How many connections this one approval lets in. */
  readonly connections: number
}

/** Who asks, from where. `address` is the browser's IP address. */
export type Visitor = { readonly identity: Identity; readonly address: string }

export type BoundKey = { readonly fingerprint: string; readonly boundAt: Moment; readonly expiresAt: Moment }

export type Person = { readonly subject: Subject; readonly username: string; readonly groups: readonly string[] }

/** The browser's side. Cookie values are secrets; the portal sets them `__Host-`, HttpOnly, Secure, SameSite=Lax. */
export type FrontDesk = {
  readonly providers: readonly { readonly name: string; readonly title: string }[]
  /**
   * `cookie` binds the browser to this sign-in. `returnTo` that is not a path of ours becomes `/`; when it is the page of a
   * waiting sign-in, or with `stepUp`, the provider is asked for a proof that is fresh enough to approve.
   * @throws {Refusal} BAD_INPUT, TOO_MANY, UNAVAILABLE.
   */
  beginSignIn(ask: {
    readonly provider?: string | undefined
    readonly returnTo: string
    readonly address: string
    readonly stepUp?: boolean
  }): Promise<{ readonly location: string; readonly cookie: string }>
  /**
   * `again`: the provider answered from an old sign-in without a second factor, so the browser goes there once more.
   * `previous` is the session that this one takes the place of.
   * @throws {Refusal} NOT_SIGNED_IN, MFA_MISSING, LOCKED, UNAVAILABLE.
   */
  finishSignIn(answer: {
    readonly url: URL
    readonly cookie: string | undefined
    readonly address: string
    readonly previous?: string | undefined
  }): Promise<
    | { readonly session: string; readonly returnTo: string; readonly identity: Identity }
    | { readonly again: { readonly location: string; readonly cookie: string } }
  >
  /** Counts as activity. @throws {Refusal} LOCKED. */
  session(cookie: string): Promise<BrowserSession | undefined>
  /** Where the provider wants the browser for its own sign-out; undefined: nowhere. */
  signOut(cookie: string): Promise<{ readonly location: string | undefined }>
  /** @throws {Refusal} BAD_INPUT for a token that is not sound. */
  backchannelLogout(logoutToken: string): Promise<void>
  /** @throws {Refusal} NOT_FOUND when it is over or not for this person. */
  question(id: string, visitor: Visitor): Promise<Question>
  /** @throws {Refusal} NOT_FOUND, NOT_ALLOWED (other address), MFA_MISSING (sign in again first), CONFLICT, LOCKED; NOT_SIGNED_IN after the last wrong code. */
  answer(
    id: string,
    code: string,
    visitor: Visitor,
  ): Promise<{ readonly right: true } | { readonly right: false; readonly triesLeft: number }>
  deny(id: string, visitor: Visitor): Promise<void>
  /** Each call makes a new code; the one before is worthless. @throws {Refusal} as {@link FrontDesk.answer}. */
  revealCode(id: string, visitor: Visitor): Promise<{ readonly code: string; readonly expiresAt: Moment }>
  keys(identity: Identity): Promise<readonly BoundKey[]>
  /** @throws {Refusal} NOT_FOUND. */
  forgetKey(identity: Identity, fingerprint: string): Promise<void>
}

export type IdentityRoom = SignIns &
  FrontDesk & {
    /** Somebody who has signed in before. */
    person(username: string): Promise<Person | undefined>
    /** Forgets what is over. Call it every minute or so, in any one process. */
    sweep(): Promise<void>
  }

export function createIdentity(parts: IdentityParts): IdentityRoom {
  throw new Fault(`identity for ${parts.settings.publicUrl} is not built yet`)
}
