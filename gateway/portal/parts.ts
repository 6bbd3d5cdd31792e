/** What the portal is made of: the types of the parts that `gateway.ts` hands in. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Audit } from '../model/event.ts'
import type { Identity, Username } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import type { Role } from '../model/role.ts'
import type { AccessDesk, Library } from '../session/session.ts'

/** A browser that is signed in. */
export type Visit = {
  readonly identity: Identity
  /** The end whatever happens. */
  readonly expiresAt: Moment
  readonly idleMinutes: number
}

/** A sign-in of ssh or psql, as the approval page shows it. */
export type Question = {
  readonly id: string
  readonly kind: 'ssh' | 'postgres'
  /** `type`: the page takes the code of the terminal. `show`: the page shows the code. */
  readonly direction: 'type' | 'show'
  readonly username: Username
  readonly sourceAddress: string
  readonly clientVersion: string
  readonly keyFingerprint: string | undefined
  readonly target: string | undefined
  readonly askedAt: Moment
  readonly expiresAt: Moment
}

export type BoundKey = { readonly fingerprint: string; readonly boundAt: Moment; readonly expiresAt: Moment }

/** What the portal asks of identity/. `address` is always the browser's IP address; `cookie` is a secret that only the portal's cookies carry. */
export type FrontDesk = {
  /** Names and titles for the chooser. */
  readonly providers: readonly { readonly name: string; readonly title: string }[]
  /** `cookie` binds the browser to this sign-in. @throws {Refusal} BAD_INPUT, TOO_MANY, UNAVAILABLE. */
  beginSignIn(ask: {
    readonly provider: string | undefined
    readonly returnTo: string
    readonly address: string
  }): Promise<{ readonly location: string; readonly cookie: string }>
  /** `again` is set when the provider has to ask for the second factor: the browser goes there once more. @throws {Refusal} NOT_SIGNED_IN, MFA_MISSING, LOCKED. */
  finishSignIn(answer: {
    readonly url: URL
    readonly cookie: string | undefined
    readonly address: string
  }): Promise<
    | { readonly session: string; readonly returnTo: string }
    | { readonly again: { readonly location: string; readonly cookie: string } }
  >
  /** The visit behind a session cookie; undefined when it is over. Counts as activity. @throws {Refusal} LOCKED. */
  session(cookie: string): Promise<Visit | undefined>
  /** Where the provider wants the browser for its own sign-out; undefined: nowhere. */
  signOut(cookie: string): Promise<{ readonly location: string | undefined }>
  /** @throws {Refusal} for a logout token that is not sound. */
  backchannelLogout(logoutToken: string): Promise<void>
  /** @throws {Refusal} NOT_FOUND when it is over, or is not for this person. */
  question(id: string, visit: { readonly identity: Identity; readonly address: string }): Promise<Question>
  /** @throws {Refusal} when it is over, too many tries, or the address does not fit. */
  answer(
    id: string,
    code: string,
    visit: { readonly identity: Identity; readonly address: string },
  ): Promise<{ readonly right: true } | { readonly right: false; readonly triesLeft: number }>
  deny(id: string, visit: { readonly identity: Identity; readonly address: string }): Promise<void>
  revealCode(
    id: string,
    visit: { readonly identity: Identity; readonly address: string },
  ): Promise<{ readonly code: string; readonly expiresAt: Moment }>
  keys(identity: Identity): Promise<readonly BoundKey[]>
  /** @throws {Refusal} NOT_FOUND. */
  forgetKey(identity: Identity, fingerprint: string): Promise<void>
}

/** Requests for other host names on the same listener: the proxied web targets. Both see sockets that are already TLS. */
export type Elsewhere = {
  readonly request: (request: IncomingMessage, response: ServerResponse) => void
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
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
}

export type PortalParts = {
  readonly identity: FrontDesk
  readonly desk: AccessDesk
  readonly library: Library
  /** A role of the config, to show what a waiting request is about. */
  readonly role: (name: string) => Role | undefined
  readonly elsewhere?: Elsewhere | undefined
  readonly settings: PortalSettings
  readonly audit: Audit
  readonly clock: Clock
  readonly log: Log
}
