/** Hangs the HTTP door of one worker: web targets on host names of their own, behind the portal's listener. */
import type { Config } from '../config/load.ts'
import { createHttpDoor, type HttpDoor } from './http/http.ts'
import type { Grants } from './grants/grants.ts'
import type { WebSessionsRoom } from './identity/identity.ts'
import type { Audit } from './model/event.ts'
import type { Log } from './model/log.ts'
import { drawPage, WEB_PATHS } from './portal/portal.ts'
import type { AdmitParts, OpenParts } from './session/session.ts'
import type { Upstreams } from './upstreams/upstreams.ts'

export type WebDoorParts = {
  readonly config: Config
  readonly sessions: WebSessionsRoom
  readonly grants: Grants
  readonly upstreams: Upstreams
  readonly road: { readonly admit: AdmitParts; readonly open: OpenParts }
  readonly notes: { readonly log: Log; readonly audit: Audit }
}

/** Undefined where the config names no domain for web targets. */
export function openWebDoor(parts: WebDoorParts): HttpDoor | undefined {
  const { config, road, upstreams, notes } = parts
  if (config.web === undefined) return undefined
  return createHttpDoor({
    sessions: parts.sessions,
    road: { ...road, desk: parts.grants },
    upstream: {
      dial: (admission, signal) => upstreams.dial(admission, signal),
      secret: (ref) => upstreams.secret(ref),
    },
    settings: { publicUrl: config.public_url, domain: config.web.domain, portalPaths: WEB_PATHS, draw: drawPage },
    notes: { ...notes, clock: road.open.clock },
  })
}
