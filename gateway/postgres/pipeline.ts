/**
 * What the server still owes for what was forwarded to it, message by message, and so what became of each statement.
 * It mirrors two rules of the protocol: after an error in the extended protocol the server skips everything up to the next Sync,
 * and it ignores Sync and Flush while a COPY takes data.
 */
import { hash } from 'node:crypto'
import type { OutcomeRecord } from '../model/event.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { readReport } from './message.ts'
import { type Column, readColumns, readSample, type Sample } from './sample.ts'

/** One recorded statement while it runs. */
type Run = {
  readonly n: number
  readonly startedAt: Moment
  rows: number
  bytes: number
  tag: string | undefined
  error: string | undefined
  /** Its result so far, for the digest. */
  result: Buffer[]
  /** The result became too long for one. */
  isLong: boolean
  /** Taken when it became too long, or at its end. */
  sample: Sample | undefined
}

type Mutable<T> = { -readonly [key in keyof T]: T[key] }

type Kind = 'query' | 'call' | 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'sync' | 'copy-done'

/** A refused message's replacement on its way: the word it is known by, and what the client sees instead of its error. */
export type Pill = { readonly word: string; readonly answer: Buffer }

export type Owed = {
  readonly kind: Kind
  run: Run | undefined
  readonly pill: Pill | undefined
  /** Takes back what this message was believed to have done. */
  readonly undo: (() => void) | undefined
}

export type Owing = { readonly n?: number; readonly pill?: Pill; readonly undo?: () => void }
const NOTHING: Owing = {}
const NO_RESULT: Buffer[] = []

/** Results up to this size get a digest; more would cost more than forwarding them. */
const MAX_DIGESTED = 1024 * 1024

export class Pipeline {
  readonly #clock: Clock
  readonly #outcome: (outcome: OutcomeRecord) => void
  #owed: Owed[] = []
  #groups = 0
  #skipping = false
  #copyIn = false
  readonly #sampleRows: number
  #columns: readonly Column[] = []

  /** @param sampleRows how many rows of each result are kept for the recording. */
  constructor(clock: Clock, outcome: (outcome: OutcomeRecord) => void, sampleRows = 0) {
    this.#clock = clock
    this.#outcome = outcome
    this.#sampleRows = sampleRows
  }

  /** How many ReadyForQuery are owed. */
  get groups(): number {
    return this.#groups
  }

  /** Messages that are not answered yet. */
  get length(): number {
    return this.#owed.length
  }

  get idle(): boolean {
    return this.#owed.length === 0
  }

  /** The pill that the next error belongs to, if it belongs to one. */
  get pill(): Pill | undefined {
    return this.#owed[0]?.pill
  }

  get hasPills(): boolean {
    return this.#owed.some((owed) => owed.pill !== undefined)
  }

  /** A message goes to the server. @returns what it owes for it; undefined when nothing. */
  sent(kind: Kind, owing: Owing = NOTHING): Owed | undefined {
    if (kind === 'copy-done') {
      if (this.#copyIn) this.#copyIn = false
      else if (this.#owed.length > 0) return this.#push(kind, owing)
      return undefined
    }
    if (kind === 'sync' && this.#copyIn) return undefined
    if (kind === 'sync') this.#skipping = false
    else if (this.#skipping) {
      if (owing.n !== undefined) this.#report(this.#begin(owing.n), 'skipped after an error')
      owing.undo?.()
      return undefined
    }
    return this.#push(kind, owing)
  }

  #push(kind: Kind, { n, pill, undo }: Owing): Owed {
    if (kind === 'sync' || kind === 'query' || kind === 'call') this.#groups += 1
    const owed: Owed = { kind, run: n === undefined ? undefined : this.#begin(n), pill, undo }
    this.#owed.push(owed)
    return owed
  }

  /** A message that was {@link sent} became a statement of its own in the recording. */
  recorded(n: number, owed: Owed | undefined): void {
    if (owed === undefined) this.#report(this.#begin(n), 'skipped after an error')
    else owed.run = this.#begin(n)
  }

  #begin(n: number): Run {
    return {
      n,
      startedAt: this.#clock.now(),
      rows: 0,
      bytes: 0,
      tag: undefined,
      error: undefined,
      result: NO_RESULT,
      isLong: false,
      sample: undefined,
    }
  }

  /** A stretch of rows has passed, as {@link BackendTaker} says. @returns whether the digest wants more of them. */
  rows(count: number, size: number, bytes: Buffer | undefined): boolean {
    const run = this.#owed[0]?.run
    if (run === undefined) return false
    run.rows += count
    run.bytes += size
    if (run.isLong) return false
    if (bytes !== undefined && size > 0) {
      if (run.result.length === 0) run.result = [bytes]
      else run.result.push(bytes)
    }
    if (run.bytes <= MAX_DIGESTED) return true
    this.#sample(run)
    run.isLong = true
    run.result = NO_RESULT
    return false
  }

  /** A message of the server has passed; its rows were counted before. */
  received(type: number, body: Buffer): void {
    this.#dropMarkers()
    const head = this.#owed[0]
    switch (type) {
      case 0x31: // ParseComplete
        if (head?.run) head.run.tag = 'PREPARED'
        return this.#done('parse')
      case 0x32: // BindComplete
        return this.#done('bind')
      case 0x33: // CloseComplete
        return this.#done('close')
      case 0x54: // RowDescription
        // Of several results of one message, the first is what is sampled.
        if (this.#sampleRows > 0 && (head?.run?.result.length ?? 0) === 0) this.#columns = readColumns(body)
        return this.#done('describe')
      case 0x6e: // NoData
        return this.#done('describe')
      case 0x73: // PortalSuspended
        if (head?.run) head.run.tag = 'SUSPENDED'
        return this.#done('execute')
      case 0x43: // CommandComplete
      case 0x49: // EmptyQueryResponse
        if (head?.run) head.run.tag = type === 0x49 ? '' : body.toString('utf8', 0, Math.max(0, body.length - 1))
        return this.#done('execute')
      case 0x47: // CopyInResponse
        return this.#copyStarts()
      case 0x45: // ErrorResponse
        return this.#failed(readReport(body))
      case 0x5a: // ReadyForQuery
        return this.#ready()
    }
  }

  #done(kind: Kind): void {
    const head = this.#owed[0]
    if (head?.kind !== kind) return
    this.#owed.shift()
    if (head.run !== undefined) this.#report(head.run, undefined)
  }

  #ready(): void {
    // Whatever stands before the next message that ends in ReadyForQuery was never answered; it must not stay for ever.
    while (this.#owed.length > 0) {
      const head = this.#owed.shift()
      if (head?.run !== undefined) this.#report(head.run, head.run.error)
      if (head?.kind !== 'sync' && head?.kind !== 'query' && head?.kind !== 'call') continue
      this.#groups -= 1
      return
    }
  }

  #failed(fields: ReadonlyMap<string, string>): void {
    this.#copyIn = false
    const head = this.#owed[0]
    if (head === undefined) return
    const error = `${fields.get('C') ?? ''} ${fields.get('M') ?? ''}`.trim().slice(0, 2000)
    if (head.kind === 'query' || head.kind === 'call') {
      if (head.run !== undefined) head.run.error = error
      return
    }
    if (head.kind === 'sync') return
    const end = this.#owed.findIndex((owed) => owed.kind === 'sync')
    const skipped = this.#owed.splice(0, end === -1 ? this.#owed.length : end)
    this.#skipping = end === -1
    for (const owed of skipped.toReversed()) owed.undo?.()
    for (const [i, owed] of skipped.entries()) {
      if (owed.kind === 'query' || owed.kind === 'call') this.#groups -= 1
      if (owed.run !== undefined) this.#report(owed.run, i === 0 ? error : 'skipped after an error')
    }
  }

  #copyStarts(): void {
    const head = this.#owed[0]
    const rest = this.#owed.slice(1)
    const marker = rest.findIndex((owed) => owed.kind === 'copy-done')
    const inside = marker === -1 ? rest : rest.slice(0, marker)
    const after = marker === -1 ? [] : rest.slice(marker + 1)
    this.#groups -= inside.filter((owed) => owed.kind === 'sync').length
    this.#copyIn = marker === -1
    this.#owed = [...(head ? [head] : []), ...inside.filter((owed) => owed.kind !== 'sync'), ...after]
  }

  /** A CopyDone that no COPY was waiting for: the server ignores it, and so do we. */
  #dropMarkers(): void {
    while (this.#owed[0]?.kind === 'copy-done') this.#owed.shift()
  }

  /** The line is closed: what was still running has no known end. */
  close(why: string): void {
    for (const { run } of this.#owed.splice(0)) if (run !== undefined) this.#report(run, run.error ?? why)
    this.#groups = 0
  }

  #sample(run: Run): void {
    if (this.#sampleRows === 0 || run.sample !== undefined || run.result.length === 0) return
    const start = run.result.length === 1 ? run.result[0] : Buffer.concat(run.result)
    run.sample = readSample(start ?? Buffer.alloc(0), this.#columns, this.#sampleRows)
  }

  #report(run: Run, error: string | undefined): void {
    this.#sample(run)
    const { n, rows, bytes, tag, sample } = run
    const outcome: Mutable<OutcomeRecord> = {
      n,
      result: error === undefined ? 'done' : 'error',
      ms: this.#clock.now() - run.startedAt,
      rows,
      bytes,
    }
    if (tag !== undefined) outcome.tag = tag
    if (error !== undefined) outcome.error = error
    if (run.result.length > 0) outcome.sha256 = digest(run.result)
    if (sample !== undefined && sample.length > 0) outcome.sample = sample
    this.#outcome(outcome)
  }
}

function digest(result: readonly Buffer[]): string {
  const [only] = result
  return hash('sha256', result.length === 1 && only !== undefined ? only : Buffer.concat(result), 'hex')
}
