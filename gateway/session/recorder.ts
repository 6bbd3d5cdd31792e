/** What the road asks of a recorder. recorder/ fits. */
import type { EventKind, SessionEnd, SessionId, SessionStart } from '../model/event.ts'
import type { Moment } from '../model/moment.ts'
import type { Refusal } from '../model/refusal.ts'

/** One session's recording. Events keep the order in which they were taken. */
export type Recording = {
  readonly id: SessionId
  /**
   * Takes one event into memory. The bytes are copied.
   * Input (`i`) of a session with a terminal that turns out not to be echoed is kept as its length only; that is the recorder's affair.
   * @throws {Refusal} NOT_RECORDED once the journal is broken or full.
   */
  take(kind: EventKind, data: Uint8Array | string, at?: Moment): void
  /**
   * Calls `then` once everything taken so far has been written to the journal file (it survives a kill -9 of the gateway).
   * At the latest at the end of the current turn of the event loop (`tick`: before it goes on at all, for those who wait for an echo),
   * in the order of the calls, never before this function returned.
   * With a Refusal the journal failed: nothing may be forwarded.
   */
  written(then: (failure: Refusal | undefined) => void, when?: 'tick' | 'turn'): void
  /** Resolves when everything taken so far is on disk (fsync). */
  durable(): Promise<void>
  /** Aborts with a Refusal: NOT_RECORDED when the journal breaks while the session is idle, NOT_ALLOWED when an alert ends it. */
  readonly failed: AbortSignal
  /** The last event; a recording ends once. */
  end(end: SessionEnd): void
}

export type Recorder = {
  /** @throws {Refusal} NOT_RECORDED when nothing can be recorded now. */
  open(start: SessionStart): Recording
}
