/** A limit for what a target is asked at the start of a session. */
import { Refusal } from '../../model/refusal.ts'

const START_MS = 15_000

/**
 * A target that does not answer must not keep a session open, nor outlive its end.
 * @param tooLate gets what comes after nobody waits for it any more.
 */
export function inTime<T>(work: Promise<T>, ended: AbortSignal, tooLate?: (result: T) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let isOver = false
    const stop = () => {
      isOver = true
      clearTimeout(timer)
      ended.removeEventListener('abort', cut)
    }
    const fail = (failure: unknown) => {
      stop()
      reject(failure)
    }
    const late = () => fail(new Refusal('TARGET_UNREACHABLE', 'The target did not answer in time.'))
    const cut = () =>
      fail(ended.reason instanceof Refusal ? ended.reason : new Refusal('GRANT_ENDED', 'The session was ended.'))
    const timer = setTimeout(late, START_MS)
    const came = (result: T): void => {
      if (isOver) {
        tooLate?.(result)
        return
      }
      stop()
      resolve(result)
    }
    work.then(came, (failure: unknown) => (isOver ? undefined : fail(failure)))
    if (ended.aborted) cut()
    else ended.addEventListener('abort', cut, { once: true })
  })
}
