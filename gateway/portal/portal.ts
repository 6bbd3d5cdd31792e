/** Front door: the gateway's own pages and API over HTTPS. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PortalParts } from './parts.ts'

export { selfSignedCertificate } from './certificate.ts'
export type { BoundKey, Elsewhere, FrontDesk, PortalParts, PortalSettings, Question, Visit } from './parts.ts'

export type Portal = {
  /** The portal alone, without TLS and without the choice by host name. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void
  /** Serves HTTPS. `close` ends event streams at once and waits for the other answers. */
  listen(where: {
    readonly host: string
    readonly port: number
    /** Several workers share one port. */
    readonly reusePort?: boolean
  }): Promise<{ readonly port: number; close(): Promise<void> }>
}

export declare function createPortal(parts: PortalParts): Portal
