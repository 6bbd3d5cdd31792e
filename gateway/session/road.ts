/** The one road between a client and production: judge → journal → look at the grant again → forward. Never another order. */
import type { OutcomeRecord, StatementRecord } from '../model/event.ts'
import type { Refusal } from '../model/refusal.ts'
import type { Statement, Verdict } from '../model/statement.ts'
import type { Recording } from './recorder.ts'

export type RoadParts = {
  readonly recording: Recording
  /** Why nothing may pass any more; asked again for each thing, right before it is forwarded. */
  readonly over: () => Refusal | undefined
  /** Ends the session. Called at most once by a road, with the reason why bytes could not pass. */
  readonly cut: (why: Refusal) => void
}

export type Judged = {
  readonly statement: Statement
  readonly verdict: Verdict
  readonly record?: {
    readonly [key in 'fingerprint' | 'tables' | 'parameters' | 'headers' | 'approved']?:
      | StatementRecord[key]
      | undefined
  }
}

/** Statement texts are kept up to this many characters, with a mark where they were cut. */
const MAX_TEXT = 256 * 1024

export class Road {
  readonly #parts: RoadParts
  #statements = 0
  #closed = false

  constructor(parts: RoadParts) {
    this.#parts = parts
  }

  /**
   * Bytes that need no verdict of their own: keys and output of a full shell.
   * `forward` runs after they are in the journal file and the grant was looked at again; it never runs when either fails.
   */
  bytes(kind: 'i' | 'o' | 'e', data: Uint8Array, forward: () => void): void {
    if (this.#closed) return
    try {
      this.#parts.recording.take(kind, data)
    } catch (failure) {
      this.#cut(failure as Refusal)
      return
    }
    this.#parts.recording.written((failure) => this.#go(failure, forward), 'tick')
  }

  /**
   * What is recorded by events of its own, taken before this call or summed up later (a window's size, the bytes of a file whose
   * transfer is one event): `forward` runs after all that was taken is in the journal file and the grant was looked at again.
   */
  pass(forward: () => void): void {
    if (this.#closed) return
    this.#parts.recording.written((failure) => this.#go(failure, forward))
  }

  /**
   * One judged statement. Exactly one of `forward` and `refuse` runs, after the verdict is in the journal file;
   * neither runs when the journal fails or the grant has ended: then the session is cut, and the recording says `not-sent`.
   *
   * @returns the statement's number, for {@link outcome}.
   */
  statement(judged: Judged, forward: (n: number) => void, refuse: (verdict: Verdict, n: number) => void): number {
    this.#statements += 1
    const n = this.#statements
    if (this.#closed) return n
    const { statement, verdict, record } = judged
    const entry: { readonly [key in keyof StatementRecord]: StatementRecord[key] | undefined } = {
      n,
      kind: statement.kind,
      text: statement.text.length > MAX_TEXT ? statement.text.slice(0, MAX_TEXT) : statement.text,
      verdict,
      truncated: statement.text.length > MAX_TEXT,
      ...record,
    }
    try {
      this.#parts.recording.take('s', JSON.stringify(entry))
    } catch (failure) {
      this.#cut(failure as Refusal)
      return n
    }
    this.#parts.recording.written((failure) => {
      if (verdict.decision !== 'allow' && failure === undefined) {
        if (!this.#closed) refuse(verdict, n)
        return
      }
      const sent = this.#go(failure, forward, n)
      if (!sent && failure === undefined) this.#note({ n, result: 'not-sent', ms: 0 })
    })
    return n
  }

  /** What became of a statement that was forwarded. */
  outcome(outcome: OutcomeRecord): void {
    this.#note(outcome)
  }

  /** From now on nothing passes. */
  close(): void {
    this.#closed = true
  }

  #note(outcome: OutcomeRecord): void {
    try {
      this.#parts.recording.take('d', JSON.stringify(outcome))
    } catch (failure) {
      this.#cut(failure as Refusal)
    }
  }

  #go(failure: Refusal | undefined, forward: (n: number) => void, n = 0): boolean {
    if (this.#closed) return false
    const why = failure ?? this.#parts.over()
    if (why !== undefined) {
      this.#cut(why)
      return false
    }
    forward(n)
    return true
  }

  #cut(why: Refusal): void {
    if (this.#closed) return
    this.#closed = true
    this.#parts.cut(why)
  }
}
