/** A limit for what a target is asked at the start of a session. */
import { Refusal } from '../../model/refusal.ts'

const START_MS = 15_000

/** A target that does not answer must not keep a session open. */
export function inTime(work: Promise<void>, ended: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = () => settle(new Refusal('TARGET_UNREACHABLE', 'The target did not answer in time.'))
    const cut = () =>
      settle(ended.reason instanceof Refusal ? ended.reason : new Refusal('GRANT_ENDED', 'The session was ended.'))
    const timer = setTimeout(late, START_MS)
    const settle = (failure?: Error) => {
      clearTimeout(timer)
      ended.removeEventListener('abort', cut)
      if (failure === undefined) resolve()
      else reject(failure)
    }
    work.then(() => settle(), settle)
    if (ended.aborted) cut()
    else ended.addEventListener('abort', cut, { once: true })
  })
}
