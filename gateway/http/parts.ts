/** What the HTTP door is made of: the types of the parts that `gateway.ts` hands in. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Duplex } from 'node:stream'
import type { Audit } from '../model/event.ts'
import type { Identity } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import type { Clock, Moment } from '../model/moment.ts'
import type { PasskeyProof } from '../model/passkey.ts'
import type { SecretRef } from '../model/target.ts'
import type { AccessDesk, Admission, AdmitParts, OpenParts } from '../session/session.ts'
import type { Draw } from './pages.ts'

/** A browser that was handed over from the portal to one target's own host name. */
export type WebVisit = {
  /** Names the visit; no secret. */
  readonly id: string
  readonly identity: Identity
  /** A proof for one admission of the touch that the visit began with; undefined: there was none. */
  readonly passkey: () => PasskeyProof | undefined
}

/** identity/ fits. Cookie values, codes and nonces are secrets; the store has their hashes. */
export type WebSessions = {
  /** One use, within 60 s, by the browser that has `nonce`, for that target. Undefined for every other. */
  redeem(ask: {
    readonly code: string
    readonly target: string
    readonly nonce: string
  }): Promise<{ readonly cookie: string; readonly returnTo: string } | undefined>
  /** Undefined when it is over: with the sign-in at the portal, above all. `quiet` does not count as activity. @throws {Refusal} LOCKED. */
  lookup(cookie: string, target: string, how: { readonly quiet: boolean }): Promise<WebVisit | undefined>
  end(cookie: string, target: string): Promise<void>
  /** Makes the public half of a signing key known to everybody until then. `jwk` is JSON. */
  publishKey(kid: string, jwk: string, expiresAt: Moment): Promise<void>
}

export type HttpSettings = {
  /** `https://gateway.example`, without a path. */
  readonly publicUrl: string
  /** Targets are at `https://<target>.<domain>`, on the port of {@link publicUrl}. */
  readonly domain: string
  /** Where the portal signs in, hands a browser over (with the touch of a passkey, where a role asks for it), and takes requests for access. */
  readonly portalPaths: {
    readonly signIn: string
    readonly handOver: string
    readonly touch: string
    readonly ask: string
  }
  /** Our own pages, on a target's name. */
  readonly draw: Draw
  /** Milliseconds; defaults 10 s, 60 s, 5 min, 5 min. */
  readonly connectMs?: number
  /** Until the target begins to answer. */
  readonly headersMs?: number
  /** Without a byte in either direction. Event streams and WebSockets may be silent. */
  readonly idleMs?: number
  /** A recorded session that nobody uses ends after this. */
  readonly sessionIdleMs?: number
}

export type HttpParts = {
  readonly sessions: WebSessions
  readonly road: {
    readonly admit: AdmitParts
    readonly open: OpenParts
    readonly desk: Pick<AccessDesk, 'targets' | 'grants'>
  }
  readonly upstream: {
    /** A line to the target's HTTP endpoint, before TLS: that is this room's. */
    dial(admission: Admission, signal: AbortSignal): Promise<Duplex>
    secret(ref: SecretRef): Promise<Buffer>
  }
  readonly settings: HttpSettings
  readonly notes: { readonly clock: Clock; readonly log: Log; readonly audit: Audit }
}

/** What the portal's listener hands every request and upgrade for other host names to. */
export type HttpDoor = {
  request(request: IncomingMessage, response: ServerResponse): void
  /** The same over HTTP/2. `fields` is name, value, name, value, as they came. */
  stream(stream: ServerHttp2Stream, fields: readonly string[]): void
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Live sessions are cut; resolves once their recordings are closed. */
  close(): Promise<void>
}
