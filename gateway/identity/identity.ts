/** Front door: who is this? Sign-in by OpenID Connect with a judged second factor, browser approval for ssh and psql, bound keys. */
import type { Identity } from '../model/identity.ts'
import type { Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { SignIns } from '../session/session.ts'
import { Approval, type Question, type Visitor } from './approval.ts'
import { Asking } from './asking.ts'
import { type BrowserSession, BrowserSessions } from './browser-sessions.ts'
import { type BoundKey, Keys } from './keys.ts'
import { Logout, type LogoutParts } from './logout.ts'
import { Machines } from './machines.ts'
import { newsTo } from './news.ts'
import { type IdentityParts, PATHS } from './parts.ts'
import { type PasskeyAnswer, Passkeys } from './passkeys.ts'
import { type Person, person, release } from './people.ts'
import { Provider } from './provider.ts'
import { Roster } from './roster.ts'
import { SignIn } from './sign-in.ts'
import { Bearer } from './bearer.ts'
import { sweep } from './sweep.ts'
import { Leases } from './leases.ts'
import { Tokens } from './tokens.ts'

export type { Question, Visitor } from './approval.ts'
export type { BrowserSession } from './browser-sessions.ts'
export type { BoundKey } from './keys.ts'
export { type IdentityHooks, type IdentityParts, type IdentitySettings, PATHS, type ProviderSettings } from './parts.ts'
export { endSignIns, type Person } from './people.ts'
export type { NewPasskey, Passkey, PasskeyAnswer } from './passkeys.ts'
export type { LiveToken } from './tokens.ts'
export { createWebSessions, type WebSessionsRoom } from './web-sessions.ts'

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
  session(cookie: string, how?: { readonly quiet: boolean }): Promise<BrowserSession | undefined>
  /** Where the provider wants the browser for its own sign-out; undefined: nowhere. */
  signOut(cookie: string): Promise<{ readonly location: string | undefined }>
  /** @throws {Refusal} BAD_INPUT for a token that is not sound. */
  backchannelLogout(logoutToken: string): Promise<void>
  /** @throws {Refusal} NOT_FOUND when it is over or not for this person. */
  question(id: string, visitor: Visitor): Promise<Question>
  /** @throws {Refusal} NOT_FOUND, NOT_ALLOWED (other address), MFA_MISSING (sign in again first), LOCKED. With no tries left it is over. */
  answer(
    id: string,
    code: string,
    visitor: Visitor,
    passkey?: PasskeyAnswer,
  ): Promise<{ readonly right: true } | { readonly right: false; readonly triesLeft: number }>
  /** For a question that asks for a passkey: what the browser shows to it. @throws {Refusal} as {@link FrontDesk.answer}, PASSKEY_MISSING, TOO_MANY. */
  passkey(id: string, visitor: Visitor): ReturnType<Passkeys['begin']>
  deny(id: string, visitor: Visitor): Promise<void>
  /** Each call makes a new code; the one before is worthless. @throws {Refusal} as {@link FrontDesk.answer}. */
  revealCode(id: string, visitor: Visitor): Promise<{ readonly code: string; readonly expiresAt: Moment }>
  keys(identity: Identity): Promise<readonly BoundKey[]>
  /** @throws {Refusal} NOT_FOUND. */
  forgetKey(identity: Identity, fingerprint: string): Promise<void>
}

export type IdentityRoom = SignIns &
  FrontDesk & {
    /** Passwords for psql, drivers and pools. */
    readonly tokens: Pick<Tokens, 'issue' | 'live' | 'until' | 'revoke'>
    /** Keys that a person touches where a role asks for it. */
    readonly passkeys: Pick<
      Passkeys,
      'list' | 'beginRegistration' | 'finishRegistration' | 'forget' | 'begin' | 'confirm' | 'redeem'
    >
    /** For clients that bring a token of the provider instead of a browser. */
    readonly bearer: Pick<Bearer, 'identity'>
    /** Programs that come with a certificate. */
    readonly machines: Pick<Machines, 'identity'>
    /** For postgres/: what one sign-in serves. */
    readonly leases: Pick<Leases, 'get' | 'put'>
    /** For administrators. */
    readonly roster: Pick<Roster, 'list' | 'expel'>
    /** Asks every provider, now. */
    health(): Promise<readonly { readonly title: string; readonly isReachable: boolean }[]>
    /** Somebody who has signed in before. */
    person(username: string): Promise<Person | undefined>
    /**
     * Frees a user name that belongs to a subject which is no more. Whether `by` may do that is judged before.
     * Everything that the subject had here ends; its grants stay with the subject.
     * @throws {Refusal} NOT_FOUND.
     */
    release(username: string, by: Identity): Promise<void>
    /** Forgets what is over. It also happens by itself, now and then, when somebody signs in. Call it every minute or so, in any one process. */
    sweep(): Promise<void>
  }

const TIDY_MS = 5 * 60_000

export function createIdentity(parts: IdentityParts): IdentityRoom {
  const { state, clock, log, settings, hooks } = parts
  const news = newsTo(parts.audit, clock)
  const providers = settings.providers.map(
    (provider) =>
      new Provider({
        settings: provider,
        redirectUri: new URL(PATHS.callback, settings.publicUrl).href,
        isOneOfSeveral: settings.providers.length > 1,
        secret: (ref) => hooks.secret(ref),
        clock,
        log,
      }),
  )
  const sessions = new BrowserSessions(parts)
  const keys = new Keys({ ...parts, news })
  const leases = new Leases(parts)
  const asking = new Asking({ ...parts, keys, leases, news })
  const passkeys = new Passkeys({ ...parts, news })
  const approval = new Approval({ ...parts, keys, passkeys, news })
  const signIn = new SignIn({ ...parts, providers, sessions, news })
  const tokens = new Tokens({ ...parts, news })
  const bearer = new Bearer({ ...parts, providers, news })
  const machines = new Machines({ ...parts, machines: settings.machines ?? (() => []), news })
  const forgetAll: LogoutParts['forgetAll'] = async (who, why) => {
    await tokens.revoke(who)
    await leases.revoke(who)
    return keys.forgetAll(who, why)
  }
  const roster = new Roster({ ...parts, forgetAll, news })
  const logout = new Logout({ ...parts, providers, sessions, forgetAll, news })
  let tidiedAt = 0
  const tidy = () => {
    if (clock.now() - tidiedAt < TIDY_MS) return
    tidiedAt = clock.now()
    sweep(parts, tidiedAt as Moment).catch((error: unknown) =>
      log({ level: 'warn', room: 'identity', message: 'What is over could not be forgotten.', error }),
    )
  }
  return {
    providers: settings.providers.map(({ name, title }) => ({ name, title: title ?? name })),
    beginSignIn: (ask) => {
      tidy()
      return signIn.begin(ask)
    },
    finishSignIn: (answer) => signIn.finish(answer),
    session: (cookie, how) => sessions.visit(cookie, how?.quiet),
    signOut: (cookie) => logout.signOut(cookie),
    backchannelLogout: (token) => logout.backchannel(token),
    question: (id, visitor) => approval.question(id, visitor),
    answer: (id, code, visitor, passkey) => approval.answer(id, code, visitor, passkey),
    passkey: (id, visitor) => approval.passkey(id, visitor),
    deny: (id, visitor) => approval.deny(id, visitor),
    revealCode: (id, visitor) => approval.revealCode(id, visitor),
    bound: (username, fingerprint) => keys.bound(username, fingerprint),
    ask: (question) => {
      tidy()
      return asking.ask(question)
    },
    askPasskey: (who, question) => {
      tidy()
      return asking.askPasskey(who, question)
    },
    askReverse: (question, gone) => asking.askReverse(question, gone),
    forget: (identity) => forgetAll(identity, 'they signed out'),
    keys: (identity) => keys.list(identity),
    forgetKey: (identity, fingerprint) => keys.forget(identity, fingerprint),
    tokens,
    passkeys,
    bearer,
    machines,
    leases,
    roster,
    health: () =>
      Promise.all(
        providers.map(async (provider) => ({
          title: provider.settings.title ?? provider.settings.name,
          isReachable: await provider.answers(),
        })),
      ),
    person: (username) => person(state, username),
    release: async (username, by) => {
      if (!(await state.tx((tx) => release(tx, username))))
        throw new Refusal('NOT_FOUND', `Nobody here has the user name ${username}.`)
      const text = `The user name ${username} is free for another subject.`
      news('identity.name-released', { actor: by.username, text, details: { username } })
    },
    sweep: () => sweep(parts, clock.now()),
  }
}
