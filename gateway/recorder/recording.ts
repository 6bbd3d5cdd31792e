/** One session's recording in the journal of a worker. */
import { ALERT_MARK } from '../model/alert.ts'
import type { EventKind, SessionEnd, SessionId, SessionStart } from '../model/event.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Recording } from '../session/session.ts'
import { Alarm, type AlertFinder, type AlertHit } from './alarm.ts'
import { Chain, type SigningKey, signCheckpoint } from './chain.ts'
import { EchoGate } from './echo.ts'
import { HoldFile } from './hold.ts'
import { idBytes, MAX_DATA, type SessionEntry } from './segment.ts'
import type { Writer } from './writer.ts'

export type RecordingParts = {
  readonly writer: Writer
  readonly key: SigningKey
  readonly clock: Clock
  /** Where what was not echoed yet is kept. */
  readonly holdFile: string
  /** The recording has ended; `isNoted` is false when the end could not be written anywhere yet. */
  readonly onEnd: (recording: SessionRecording, isNoted: boolean) => void
  /** Many events are not under a checkpoint: call {@link SessionRecording.seal} after the next write. */
  readonly onLong: (recording: SessionRecording) => void
  /** Undefined: nothing raises an alarm here. */
  readonly alerts: AlertFinder | undefined
  readonly onAlert: (hit: AlertHit) => void
}

/** Streams are cut into events of at most this many bytes. */
const MAX_EVENT = 1024 * 1024
/** A command is kept in full in its statement; the row of the session keeps this much. */
const MAX_COMMAND = 4_096
const SEAL_EVENTS = 1_000
const SEAL_MS = 10_000

export class SessionRecording implements Recording {
  readonly id: SessionId
  readonly start: SessionStart
  readonly #parts: RecordingParts
  readonly #idBytes: Buffer
  readonly #chain: Chain
  readonly #gate: EchoGate | undefined
  readonly #hold: HoldFile | undefined
  readonly #alarm: Alarm | undefined
  readonly #broken = new AbortController()
  #failure: Refusal | undefined
  #end: SessionEnd | undefined
  #seq = 0
  #version = 0
  #bytesIn = 0
  #bytesOut = 0
  #statements = 0
  #denials = 0
  #alerts = 0
  #sealedAt: number
  #rowSeq = 0

  constructor(parts: RecordingParts, start: SessionStart) {
    this.#parts = parts
    this.id = start.id
    this.start =
      start.command.length <= MAX_COMMAND ? start : { ...start, command: `${start.command.slice(0, MAX_COMMAND)}…` }
    this.#idBytes = idBytes(start.id)
    this.#chain = new Chain(this.#idBytes)
    this.#sealedAt = parts.clock.now()
    this.#gate =
      start.terminal === undefined ? undefined : new EchoGate((kind, data, at) => this.#append(kind, data, at))
    this.#hold = start.terminal === undefined ? undefined : new HoldFile(parts.holdFile)
    this.#alarm = parts.alerts === undefined ? undefined : new Alarm(parts.alerts, start, (hit) => this.#alert(hit))
  }

  get failed(): AbortSignal {
    return this.#broken.signal
  }

  get holding(): boolean {
    return this.#gate?.holding === true
  }

  take(kind: EventKind, data: Uint8Array | string, at: Moment = this.#parts.clock.now()): void {
    this.#check()
    if (data.length > MAX_EVENT) {
      if (isStream(kind)) {
        const bytes = asBuffer(data)
        for (let from = 0; from < bytes.length; from += MAX_EVENT)
          this.take(kind, bytes.subarray(from, from + MAX_EVENT), at)
        return
      }
      if (data.length * 3 > MAX_DATA)
        throw new Refusal('NOT_RECORDED', 'This is too large to be recorded, and what cannot be recorded does not run.')
    }
    const gate = this.#gate
    if (gate === undefined || (kind !== 'i' && kind !== 'o' && kind !== 'e')) {
      this.#append(kind, data, at)
      return
    }
    const bytes = asBuffer(data)
    if (kind === 'i') gate.input(bytes, at)
    else {
      const wasHolding = gate.holding
      gate.output(bytes, at)
      this.#append(kind, bytes, at)
      if (!wasHolding) return
    }
    this.#keepHeld(at)
  }

  written(then: (failure: Refusal | undefined) => void, when?: 'tick' | 'turn'): void {
    this.#parts.writer.written((failure) => then(this.#failure ?? failure), when)
  }

  async durable(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    if (this.holding) await this.#hold?.sync()
    await this.#parts.writer.durable()
  }

  end(end: SessionEnd): void {
    if (this.#end !== undefined) return
    this.#end = end
    if (this.#failure === undefined) {
      try {
        this.#gate?.end()
        this.#parts.writer.flush()
        this.#hold?.close()
        this.seal(end.endedAt)
        this.row(end.endedAt)
        this.#parts.onEnd(this, true)
        return
      } catch {
        this.#failure = this.#parts.writer.failure
      }
    }
    this.#parts.onEnd(this, this.#parts.writer.lastWords([this.#rowRecord(end.endedAt)]))
  }

  /** Called by the journal when its writer broke. */
  fail(failure: Refusal): void {
    if (this.#failure !== undefined) return
    this.#failure = failure
    try {
      this.#hold?.close()
    } catch {
      // Zeroing in place takes no new space; where even that fails the file is left to recovery.
    }
    this.#broken.abort(failure)
  }

  /** Now and then, with nothing of the journal unwritten: what was not echoed in time, checkpoints, the row for lists. Returns whether it signed. */
  tick(now: Moment, maySign: boolean): boolean {
    if (this.#end !== undefined || this.#failure !== undefined) return false
    const isNew = this.#chain.loose > 0 || this.#seq > this.#rowSeq
    const isDue = maySign && isNew && now - this.#sealedAt >= SEAL_MS
    if (isDue) {
      this.#sealedAt = now
      this.seal(now)
      this.row(now)
    }
    if (this.holding) {
      this.#gate?.tick(now)
      this.#keepHeld(now)
    }
    return isDue
  }

  /** Signs what was written so far; nothing of this session may be unwritten. */
  seal(now: Moment): void {
    if (this.#chain.loose === 0) return
    const { seq, head } = this.#chain.seal()
    const checkpoint = { id: this.#idBytes, seq, at: now, head }
    this.#parts.writer.append(undefined, {
      ...checkpoint,
      kind: 'C',
      data: signCheckpoint(this.#parts.key, checkpoint),
    })
  }

  /** What it was opened with is looked at, too. */
  begin(): void {
    this.#alarm?.begin(this.start)
  }

  /** Writes the row of the list of sessions as it is now. */
  row(now: Moment): void {
    this.#rowSeq = this.#seq
    this.#parts.writer.append(undefined, this.#rowRecord(now))
  }

  /** For the audit log. */
  entry(): SessionEntry {
    const { seq, head } = this.#chain.sealed
    return {
      start: this.start,
      end: this.#end,
      // After a failure: what the file has, not what was taken.
      events: this.#failure === undefined ? this.#seq : this.#chain.seq,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      statements: this.#statements,
      denials: this.#denials,
      alerts: this.#alerts,
      sealed: { seq, head: head.toString('hex') },
    }
  }

  #rowRecord(now: Moment) {
    this.#version += 1
    return { id: this.#idBytes, seq: this.#version, at: now, kind: 'S', data: JSON.stringify(this.entry()) } as const
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#end !== undefined) throw new Refusal('NOT_RECORDED', 'The session has ended.')
  }

  #append(kind: EventKind, data: Uint8Array | string, at: Moment): void {
    this.#parts.writer.append(this.#chain, { id: this.#idBytes, seq: this.#seq + 1, at, kind, data })
    this.#seq += 1
    if (this.#seq % SEAL_EVENTS === 0) this.#parts.onLong(this)
    if (kind === 'o' || kind === 'e') this.#bytesOut += data.length
    else if (kind === 'i') this.#bytesIn += data.length
    else if (kind === 'k') this.#bytesIn += Number(data)
    else if (kind === 's') {
      this.#statements += 1
      if (asText(data).includes('"verdict":{"decision":"deny"')) this.#denials += 1
    } else if (kind === 'm' && asText(data).startsWith(ALERT_MARK)) this.#alerts += 1
    if (this.#alarm !== undefined) this.#watch(this.#alarm, kind, data, at)
  }

  #watch(alarm: Alarm, kind: EventKind, data: Uint8Array | string, at: Moment): void {
    if (kind === 'i') alarm.typed(asBuffer(data), at)
    else if (kind === 'o' || kind === 'e') alarm.shown(asBuffer(data), at)
    else if (kind === 'r') alarm.resized(Number.parseInt(asText(data), 10) || 80)
  }

  #alert(hit: AlertHit): void {
    const { name, end } = hit.rule
    this.#append('m', `${ALERT_MARK}${name}: ${hit.line}`, this.#parts.clock.now())
    this.#parts.onAlert(hit)
    if (end)
      this.#broken.abort(
        new Refusal('NOT_ALLOWED', `This session was ended: it raised the alert ${name}.`, {
          next: 'Ask an administrator before you open another.',
        }),
      )
  }

  #keepHeld(now: Moment): void {
    // What was decided is in the journal before it leaves the hold file: a kill -9 in between must not lose it.
    this.#parts.writer.flush()
    try {
      this.#hold?.write(this.#gate?.held(now) ?? [])
    } catch (cause) {
      throw new Refusal(
        'NOT_RECORDED',
        'The recording could not be written, and what cannot be recorded does not run.',
        {
          cause,
        },
      )
    }
  }
}

const isStream = (kind: EventKind): boolean => kind === 'o' || kind === 'i' || kind === 'e'

const asText = (data: Uint8Array | string): string => (typeof data === 'string' ? data : asBuffer(data).toString())

const asBuffer = (data: Uint8Array | string): Buffer =>
  typeof data === 'string' ? Buffer.from(data) : Buffer.from(data.buffer, data.byteOffset, data.byteLength)
