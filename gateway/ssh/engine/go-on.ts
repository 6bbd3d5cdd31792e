/** The last look before anything begins on a target: connections and channels take their time, and grants end meanwhile. */
import { Refusal } from '../../model/refusal.ts'
import type { Session } from '../../session/session.ts'

/** Resolves once all that was taken is in the journal and the grant still stands; rejects with the reason when the session is over. */
export function mayGoOn({ ended, road }: Pick<Session, 'ended' | 'road'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const cut = (): void =>
      reject(ended.reason instanceof Refusal ? ended.reason : new Refusal('GRANT_ENDED', 'The session was ended.'))
    if (ended.aborted) {
      cut()
      return
    }
    ended.addEventListener('abort', cut, { once: true })
    road.pass(() => {
      ended.removeEventListener('abort', cut)
      resolve()
    })
  })
}
