/** A connection to a target that is lost while a session runs: the person and the recording are told, not only left. */
import type { Session } from '../../session/session.ts'
import type { ChannelEvents } from './channel.ts'
import type { ClientLeg } from './client-leg.ts'
import type { Outcome } from './contract.ts'

const LOST = 'The connection to the target was lost.'

/** What the relay listens to, with a last word before its end. @param lost aborts when the connection is gone. */
export function tellLoss(
  events: ChannelEvents,
  { client, lost, session }: { readonly client: ClientLeg; readonly lost: AbortSignal; readonly session: Session },
): ChannelEvents {
  return {
    ...events,
    closed: () => {
      if (lost.aborted && !session.ended.aborted && client.isOpen) {
        try {
          session.recording.take('m', LOST)
          client.send(Buffer.from(`\r\n[sallyport] ${LOST}\r\n`), 1)
        } catch {
          // The recording is broken: the session is being cut, and says so itself.
        }
      }
      events.closed()
    },
  }
}

export const withLoss = (outcome: Outcome, lost: AbortSignal): Outcome =>
  outcome.cause === 'failed' && lost.aborted ? { ...outcome, detail: LOST } : outcome
