/** Front door: the gateway's own pages and API over HTTPS. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createApplication } from './application.ts'
import { createListener, renewCertificate, startListening, stopListening, watchConnections } from './listener.ts'
import { PageSockets } from './page-sockets.ts'
import type { PortalParts, PortalSettings } from './parts.ts'
import { SQL_PATH } from './schema/sql.ts'
import { TERMINAL_PATH } from './schema/terminal.ts'
import { sqlDoor } from './sql-sockets.ts'
import { terminalDoor } from './terminal-sockets.ts'

export { selfSignedCertificate } from './certificate.ts'
export { drawPage } from './pages.ts'
export { WEB_PATHS } from './web-routes.ts'
export type {
  BrowserSession,
  Elsewhere,
  FrontDesk,
  PortalParts,
  PortalSettings,
  Question,
  WebHandOver,
} from './parts.ts'

/** How long answers under way may take when the portal closes. */
const GRACE_MS = 2000

export type Portal = {
  /** The portal alone, without TLS and without the choice by host name. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void
  /** Serves HTTPS. `close` ends event streams at once and waits at most 2 s for the other answers. */
  listen(where: {
    readonly host: string
    readonly port: number
    /** Several workers share one port. */
    readonly reusePort?: boolean
  }): Promise<{
    readonly port: number
    /** New connections get this certificate; those that are open keep theirs. @throws {Error} for a key that does not fit; the old one stays. */
    renew(tls: PortalSettings['tls']): void
    close(): Promise<void>
  }>
}

export function createPortal(parts: PortalParts): Portal {
  const { settings, elsewhere } = parts
  const { app, endStreams } = createApplication(parts)
  const { identity, passkeys, terminals, sqlPages, log } = parts
  const sockets = new PageSockets({
    identity,
    doors: {
      ...(terminals === undefined ? {} : { [TERMINAL_PATH]: terminalDoor({ passkeys, terminals }) }),
      ...(sqlPages === undefined ? {} : { [SQL_PATH]: sqlDoor({ passkeys, pages: sqlPages }) }),
    },
    publicUrl: new URL(settings.publicUrl),
    log,
  })
  const handler: Portal['handler'] = (request, response) => app.routing(request, response)
  return {
    handler: (request, response) => void app.ready().then(() => handler(request, response)),
    listen: async (where) => {
      // A route without a policy, a page that clashes with another: found before the port is open.
      await app.ready()
      const server = createListener({ settings, portal: handler, elsewhere, upgrade: sockets.upgrade.bind(sockets) })
      const open = watchConnections(server)
      const port = await startListening(server, where)
      return {
        port,
        renew: (tls) => renewCertificate(server, tls),
        close: async () => {
          endStreams()
          sockets.close()
          await stopListening(server, open, GRACE_MS)
          await app.close()
        },
      }
    },
  }
}
