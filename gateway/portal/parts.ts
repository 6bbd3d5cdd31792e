/** What the portal is made of: the types of the parts that `gateway.ts` hands in. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Audit } from '../model/event.ts'
import type { GrantId } from '../model/grant.ts'
import type { Identity } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import type { PasskeyProof } from '../model/passkey.ts'
import type { Role } from '../model/role.ts'
import type { NewPasskey, PasskeyAnswer } from './schema/passkeys.ts'
import type { ControlRoom } from './control-room.ts'
import type { KeptDesk } from './kept-routes.ts'
import type { AccessDesk, Library, SignInQuestion, SqlPages, Terminals } from '../session/session.ts'

/** A browser that is signed in. */
export type BrowserSession = {
  readonly identity: Identity
  /** Belongs to the cookie; unsafe methods must show it. */
  readonly csrfToken: string
  /** The end whatever happens. */
  readonly expiresAt: Moment
  readonly idleMinutes: number
}

/** What the approval page shows of a sign-in of ssh or psql. */
export type Question = SignInQuestion & {
  readonly id: string
  /** `type`: the page takes the code of the terminal. `show`: the page shows the code. */
  readonly direction: 'type' | 'show'
  readonly askedAt: Moment
  readonly expiresAt: Moment
  readonly sameAddress: boolean
  /** The sign-in behind this browser is too old to approve. */
  readonly signInAgain: boolean
  /** The role behind it asks for a passkey, too. */
  readonly passkey: boolean
  /** How many connections this one approval lets in. */
  readonly connections: number
}

/** Who asks, from where: the browser's IP address. */
export type Asker = { readonly identity: Identity; readonly address: string }

export type BoundKey = { readonly fingerprint: string; readonly boundAt: Moment; readonly expiresAt: Moment }

/** What the portal asks of identity/. Cookie values are secrets; here they become `__Host-` cookies. */
export type FrontDesk = {
  readonly providers: readonly { readonly name: string; readonly title: string }[]
  /** `cookie` binds the browser to this sign-in. @throws {Refusal} BAD_INPUT, TOO_MANY, UNAVAILABLE. */
  beginSignIn(ask: {
    readonly provider?: string | undefined
    readonly returnTo: string
    readonly address: string
    readonly stepUp?: boolean
  }): Promise<{ readonly location: string; readonly cookie: string }>
  /** `again`: the browser goes to the provider once more. @throws {Refusal} NOT_SIGNED_IN, MFA_MISSING, LOCKED, UNAVAILABLE. */
  finishSignIn(answer: {
    readonly url: URL
    readonly cookie: string | undefined
    readonly address: string
    readonly previous?: string | undefined
  }): Promise<
    | { readonly session: string; readonly returnTo: string }
    | { readonly again: { readonly location: string; readonly cookie: string } }
  >
  /** Undefined when it is over. Counts as activity unless `quiet`: an open event stream keeps nobody signed in. @throws {Refusal} LOCKED. */
  session(cookie: string, how?: { readonly quiet: boolean }): Promise<BrowserSession | undefined>
  /** Where the provider wants the browser for its own sign-out; undefined: nowhere. */
  signOut(cookie: string): Promise<{ readonly location: string | undefined }>
  /** @throws {Refusal} BAD_INPUT for a token that is not sound. */
  backchannelLogout(logoutToken: string): Promise<void>
  /** @throws {Refusal} NOT_FOUND when it is over or not for this person. */
  question(id: string, asker: Asker): Promise<Question>
  answer(
    id: string,
    code: string,
    asker: Asker,
    passkey?: PasskeyAnswer,
  ): Promise<{ readonly right: true } | { readonly right: false; readonly triesLeft: number }>
  /** What the browser shows to the person's passkeys. @throws {Refusal} PASSKEY_MISSING when there is none. */
  passkey(id: string, asker: Asker): Promise<object>
  deny(id: string, asker: Asker): Promise<void>
  revealCode(id: string, asker: Asker): Promise<{ readonly code: string; readonly expiresAt: Moment }>
  keys(identity: Identity): Promise<readonly BoundKey[]>
  /** @throws {Refusal} NOT_FOUND. */
  forgetKey(identity: Identity, fingerprint: string): Promise<void>
}

/** Requests for other host names on the same listener: the proxied web targets. Both see sockets that are already TLS. */
export type Elsewhere = {
  readonly request: (request: IncomingMessage, response: ServerResponse) => void
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** A request over HTTP/2. */
  readonly stream: (stream: ServerHttp2Stream, fields: readonly string[]) => void
}

/** What identity/ does for browsers on the host names of web targets. */
export type WebHandOver = {
  /**
   * A code for the browser behind our cookie, worth one use on that target with the nonce behind `state`. With `touch` what it
   * begins has the touch of a passkey, for that grant alone. @throws {Refusal} NOT_SIGNED_IN, TOO_MANY, NOT_ALLOWED.
   */
  mint(ask: {
    readonly portalCookie: string
    readonly target: string
    readonly returnTo: string
    readonly state: string
    readonly touch?: { readonly confirmation: string; readonly grant: GrantId } | undefined
  }): Promise<string>
  /** Public keys of what web targets are told about people: JSON texts. */
  publicKeys(): Promise<readonly string[]>
}

export type PortalSettings = {
  /** `https://gateway.example`, without a path. Its host is the portal's own name; every other name goes elsewhere. */
  readonly publicUrl: string
  /** Certificate chain and private key, PEM. */
  readonly tls: { readonly key: string; readonly cert: string }
  /** What people type to reach the other doors; undefined: that door is closed. */
  readonly doors: {
    readonly ssh: { readonly host: string; readonly port: number } | undefined
    readonly postgres: { readonly host: string; readonly port: number } | undefined
  }
  /** The folder of the built browser application. */
  readonly dist: string
  /** Between two comments that keep an event stream alive and check its session. Default 15 s. */
  readonly heartbeatMs?: number
  /** How long a request to the portal may take to arrive whole. Default 30 s. */
  readonly requestMs?: number
  /** Where providers send browsers and logout tokens. */
  readonly paths: { readonly callback: string; readonly backchannelLogout: string; readonly signedOut: string }
}

/** Keys that a person touches where a role asks for it. identity/ fits; options are WebAuthn's JSON. */
export type PasskeyDesk = {
  list(who: Identity): Promise<
    readonly {
      readonly id: string
      readonly name: string
      readonly createdAt: Moment
      readonly usedAt: Moment | undefined
    }[]
  >
  /** @throws {Refusal} MFA_MISSING when the sign-in is old. */
  beginRegistration(who: Identity): Promise<object>
  /** @throws {Refusal} NOT_ALLOWED when the answer does not hold. */
  finishRegistration(who: Identity, name: string, answer: NewPasskey): Promise<void>
  forget(who: Identity, id: string): Promise<void>
  /** @throws {Refusal} PASSKEY_MISSING when there is none. */
  begin(who: Identity, purpose: `target ${string}`): Promise<object>
  /** @throws {Refusal} NOT_ALLOWED when the answer does not hold. */
  confirm(
    who: Identity,
    target: string,
    answer: PasskeyAnswer,
  ): Promise<{ readonly confirmation: string; readonly expiresAt: Moment }>
  /** Undefined for one that is not good here; it is used up all the same. */
  redeem(who: Identity, target: string, confirmation: string): Promise<PasskeyProof | undefined>
}

/** Passwords for databases, one per person. identity/ fits. */
export type TokenDesk = {
  issue(who: Identity, ms: number): Promise<{ readonly token: string; readonly expiresAt: Moment }>
  until(who: Identity): Promise<Moment | undefined>
  revoke(who: Identity): Promise<boolean>
}

export type PortalParts = {
  readonly identity: FrontDesk
  readonly passkeys: PasskeyDesk
  /** Undefined where the gateway has no database door. */
  readonly tokens?: TokenDesk | undefined
  readonly desk: AccessDesk
  readonly library: Library
  /** Undefined: nothing is kept anywhere. ssh/ fits. */
  readonly kept?: KeptDesk | undefined
  /** Undefined: no web terminal. ssh/ fits. */
  readonly terminals?: Terminals | undefined
  /** Undefined where the gateway has no database door. postgres/ fits. */
  readonly sqlPages?: SqlPages | undefined
  /** A role of the config, to show what a waiting request is about. */
  readonly role: (name: string) => Role | undefined
  readonly elsewhere?: Elsewhere | undefined
  /** Undefined: this portal has no pages for administrators. */
  readonly room?: ControlRoom | undefined
  /** Web targets are at `https://<target>.<domain>`, on our port; undefined: there are none. */
  readonly web?: { readonly sessions: WebHandOver; readonly domain: string } | undefined
  readonly settings: PortalSettings
  readonly audit: Audit
  readonly clock: Clock
  readonly log: Log
}
