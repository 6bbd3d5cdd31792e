/** Front door: internal web applications for people with a live grant, each on a host name of its own. */
import { Door } from './door.ts'
import type { HttpDoor, HttpParts } from './parts.ts'

export type { HttpDoor, HttpParts, HttpSettings, WebSessions, WebVisit } from './parts.ts'

/** Takes what the portal's listener has for other host names: sockets are TLS already. */
export const createHttpDoor = (parts: HttpParts): HttpDoor => new Door(parts)
