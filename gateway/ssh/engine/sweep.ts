/**
 * What a session leaves running when it is cut: sshd passes no signals on for root, and none to what has left its process group. Programs of a
 * session carry its number in their environment, so that a last command of ours finds them. An aid, not a boundary: a program can hide its environment.
 */
import type { SessionId } from '../../model/event.ts'
import type { ChannelEvents } from './channel.ts'
import type { Upstream } from './upstream.ts'
import { string } from './wire.ts'

/** Passes where sshd accepts `LC_*`, as Debian's and Red Hat's do. */
export const MARK = 'LC_SALLYPORT_SESSION'
const PATIENCE_MS = 2000

/** Resolves when it has run, or {@link PATIENCE_MS} later. Never throws; the connection may be gone before it is done. */
export async function sweep(upstream: Upstream, id: SessionId): Promise<void> {
  if (upstream.hasWorkspace || !/^[0-9a-f-]{36}$/.test(id)) return
  const mark = `${MARK}=${id}`
  const command = `for e in /proc/[0-9]*/environ; do grep -qs ${mark} "$e" && p=\${e#/proc/} && kill -9 "\${p%/environ}"; done 2>/dev/null`
  const quiet: ChannelEvents = {
    data: () => undefined,
    eof: () => undefined,
    request: () => false,
    closed: () => undefined,
  }
  try {
    const channel = await upstream.open('session', quiet)
    const over = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, PATIENCE_MS)
      channel.listen({
        ...quiet,
        closed: () => {
          clearTimeout(timer)
          channel.closeNow()
          resolve()
        },
      })
    })
    if (await channel.ask('exec', string(`exec /bin/sh -c '${command}'`))) await over
    else channel.closeNow()
  } catch {
    // No way to say anything to the target any more.
  }
}
