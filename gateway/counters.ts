/** Plain counters of one worker: fields that are read from outside, so that the byte path pays an addition and nothing else. */
import type { SessionStart } from './model/event.ts'
import type { Protocol } from './model/target.ts'
import type { Recorder } from './session/session.ts'

/** Upper bounds of the buckets of revoke_to_cut_ms; the last one is everything above. */
export const CUT_BUCKETS_MS = [10, 25, 50, 100, 250, 500, 1000, 2000] as const

export type Counters = {
  sessionsOpen: Record<Protocol, number>
  sessionsTotal: Record<Protocol, number>
  verdicts: { allow: number; deny: number; hold: number }
  bytes: { fromClient: number; fromTarget: number }
  /** Lines that raised an alarm. */
  alerts: number
  /** Sessions that a grant's end, a kill or a broken journal cut. */
  cuts: number
  cutBuckets: number[]
  cutSumMs: number
}

export const newCounters = (): Counters => ({
  sessionsOpen: { ssh: 0, postgres: 0, http: 0 },
  sessionsTotal: { ssh: 0, postgres: 0, http: 0 },
  verdicts: { allow: 0, deny: 0, hold: 0 },
  bytes: { fromClient: 0, fromTarget: 0 },
  alerts: 0,
  cuts: 0,
  cutBuckets: [...CUT_BUCKETS_MS, Number.POSITIVE_INFINITY].map(() => 0),
  cutSumMs: 0,
})

export function noteCut(counters: Counters, ms: number): void {
  counters.cuts += 1
  counters.cutSumMs += ms
  const bucket = CUT_BUCKETS_MS.findIndex((bound) => ms <= bound)
  const at = bucket === -1 ? CUT_BUCKETS_MS.length : bucket
  counters.cutBuckets[at] = (counters.cutBuckets[at] ?? 0) + 1
}

export function addCounters(a: Counters, b: Counters): Counters {
  return {
    sessionsOpen: added(a.sessionsOpen, b.sessionsOpen),
    sessionsTotal: added(a.sessionsTotal, b.sessionsTotal),
    verdicts: added(a.verdicts, b.verdicts),
    bytes: added(a.bytes, b.bytes),
    alerts: a.alerts + b.alerts,
    cuts: a.cuts + b.cuts,
    cutBuckets: a.cutBuckets.map((n, i) => n + (b.cutBuckets[i] ?? 0)),
    cutSumMs: a.cutSumMs + b.cutSumMs,
  }
}

function added<T extends Record<string, number>>(a: T, b: T): T {
  return Object.fromEntries(Object.entries(a).map(([key, n]) => [key, n + (b[key] ?? 0)])) as T
}

/** What a span of telemetry hears of a session; see telemetry.ts. */
export type SessionWatcher = {
  opened(start: SessionStart): {
    statement(json: string): void
    outcome(json: string): void
    ended(cause: string): void
  }
}

/** A recorder that counts what passes, and lets a watcher know. The recording itself is untouched. */
export function counted(recorder: Recorder, counters: Counters, watcher: SessionWatcher | undefined): Recorder {
  return {
    open(start) {
      const recording = recorder.open(start)
      const seen = watcher?.opened(start)
      const { protocol } = start
      counters.sessionsOpen[protocol] += 1
      counters.sessionsTotal[protocol] += 1
      return {
        id: recording.id,
        failed: recording.failed,
        written: (then, when) => recording.written(then, when),
        durable: () => recording.durable(),
        take(kind, data, at) {
          recording.take(kind, data, at)
          if (kind === 'i') counters.bytes.fromClient += data.length
          else if (kind === 'o' || kind === 'e') counters.bytes.fromTarget += data.length
          else if (kind === 's') {
            const json = String(data)
            const decision = /"decision":"(allow|deny|hold)"/.exec(json)?.[1] as keyof Counters['verdicts'] | undefined
            if (decision !== undefined) counters.verdicts[decision] += 1
            seen?.statement(json)
          } else if (kind === 'd') seen?.outcome(String(data))
        },
        end(end) {
          counters.sessionsOpen[protocol] -= 1
          seen?.ended(end.cause)
          recording.end(end)
        },
      }
    },
  }
}
