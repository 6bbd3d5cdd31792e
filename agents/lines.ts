/** A line to every worker of the gateway, for as long as the agent runs: whichever is lost is dialled anew, with patience and jitter. */
import type { Line } from './tunnel.ts'

export type LinesParts = {
  /** Dials; which worker answers is chance. */
  readonly open: () => Promise<Line>
  readonly say: (sentence: string) => void
  readonly random: () => number
}

const LEAST_MS = 1_000
const MOST_MS = 30_000
const MISS_MS = 100
/** Tries in a row that may end at a worker that has a line already. */
const TRIES_PER_WORKER = 12

/** Runs until the signal aborts; then every line is closed. */
export async function keepLines({ open, random, say }: LinesParts, signal: AbortSignal): Promise<void> {
  const held = new Map<number, Line>()
  let resting = Promise.withResolvers<void>()
  const wake = () => resting.resolve()
  let backoff = LEAST_MS
  let misses = 0
  let wanted = 1
  signal.addEventListener('abort', wake, { once: true })
  /** Until something happened, at most so long. */
  const rest = async (ms?: number): Promise<void> => {
    resting = Promise.withResolvers<void>()
    if (signal.aborted) return
    const timer = ms === undefined ? undefined : setTimeout(wake, ms)
    await resting.promise
    clearTimeout(timer)
  }
  const pause = async () => {
    await rest(backoff * (0.5 + random() / 2))
    backoff = Math.min(MOST_MS, backoff * 2)
  }
  while (!signal.aborted) {
    if (held.size >= wanted) {
      await rest()
      continue
    }
    try {
      const line = await open()
      wanted = Math.max(1, line.workers)
      for (const [worker, old] of held) if (worker > wanted) old.close()
      if (held.has(line.worker)) {
        line.close()
        misses += 1
        // A worker that has just died is not there yet: the others have better things to do than to greet us.
        if (misses > wanted * TRIES_PER_WORKER) await pause()
        else await rest(MISS_MS * Math.min(misses, wanted * 4))
        continue
      }
      misses = 0
      backoff = LEAST_MS
      held.set(line.worker, line)
      line.offer()
      say(`Connected to worker ${line.worker} of ${line.workers}.`)
      void forgetLater(line)
    } catch (failure) {
      say(failure instanceof Error ? failure.message : String(failure))
      await pause()
    }
  }
  for (const line of held.values()) line.close()

  async function forgetLater(line: Line): Promise<void> {
    const why = await line.gone
    if (held.get(line.worker) === line) held.delete(line.worker)
    if (!signal.aborted) say(`The line to worker ${line.worker} is gone: ${why}`)
    wake()
  }
}
