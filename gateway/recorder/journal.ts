/** The journal of one worker: what cannot be written here does not run. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, renameSync } from 'node:fs'
import path from 'node:path'
import type { AuditEvent, SessionStart } from '../model/event.ts'
import type { Log } from '../model/log.ts'
import type { Clock } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Recorder, Recording } from '../session/session.ts'
import type { AlertFinder, AlertHit } from './alarm.ts'
import { Chain, openSigningKey, type SigningKey, signCheckpoint } from './chain.ts'
import { claim, markClosed } from './owner.ts'
import { SessionRecording } from './recording.ts'
import { idBytes, type RecordingNote } from './segment.ts'
import { type JournalLimits, Space } from './space.ts'
import { syncDirectory, Writer } from './writer.ts'

export type JournalStats = {
  readonly state: 'open' | 'broken' | 'closed'
  readonly liveSessions: number
  readonly bytes: number
  readonly writes: number
  readonly syncs: number
}

/** Of one worker. Beside audit events its chain notes where each recording began and ended. */
export type Journal = Recorder & {
  /** Never throws: what cannot be written now is kept in memory (up to a limit) and written later. */
  audit(event: AuditEvent): void
  /** Resolves when everything taken so far is on disk. */
  durable(): Promise<void>
  stats(): JournalStats
  /** Ends what is still open, signs, syncs and closes. */
  close(): Promise<void>
}

export type JournalParts = {
  /** `<dataDir>/journal`: the same for all workers and the shipper. */
  readonly dir: string
  /** A name like `worker-1`; a directory of its own is made below `dir`. */
  readonly worker: string
  readonly clock: Clock
  readonly log: Log
  readonly limits: JournalLimits
  /** What raises an alarm in a session, if anything does; and who is told beside the recording and the audit log. */
  readonly alerts?: ((start: SessionStart) => AlertFinder | undefined) | undefined
  readonly onAlert?: ((event: AuditEvent) => void) | undefined
}

const TICK_MS = 250
const SEAL_AUDIT_MS = 10_000
/** Signing costs 0.1 ms: all that is due is spread over this many ticks. */
const SIGN_TICKS = 20
/** Audit events that wait for a broken journal. */
const MAX_LATE = 10_000

class WorkerJournal implements Journal {
  readonly #parts: JournalParts
  readonly #dir: string
  readonly #key: SigningKey
  readonly #writer: Writer
  readonly #space: Space
  readonly #live = new Set<SessionRecording>()
  readonly #long = new Set<SessionRecording>()
  readonly #chain: Chain
  readonly #ticker: NodeJS.Timeout
  #auditSeq = 0
  #auditSealedAt: number
  #late: (() => void)[] = []
  #closed = false

  constructor(parts: JournalParts) {
    const { dir, worker, clock, limits } = parts
    this.#parts = parts
    this.#dir = path.join(dir, `${worker}-${process.pid}-${clock.now()}`)
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    this.#key = openSigningKey(dir)
    const chain = randomUUID()
    // Nobody sees the directory before it says whose it is: without an owner it would look like a dead one's.
    const draft = path.join(dir, `.${path.basename(this.#dir)}`)
    mkdirSync(draft, { mode: 0o700 })
    claim(draft, chain)
    renameSync(draft, this.#dir)
    this.#chain = new Chain(idBytes(chain))
    this.#auditSealedAt = clock.now()
    this.#space = new Space({ dir, limits, clock })
    this.#writer = new Writer({
      dir: this.#dir,
      onBroken: (failure) => this.#broken(failure),
      onSegment: () => this.#snapshot(),
      onWritten: () => this.#sealLong(),
    })
    syncDirectory(dir)
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    this.#ticker.unref()
  }

  open(start: SessionStart): Recording {
    if (this.#closed) throw new Refusal('NOT_RECORDED', 'The gateway is stopping.')
    const refusal = this.#space.refusal()
    if (refusal !== undefined) throw refusal
    if (!this.#heal())
      throw new Refusal('NOT_RECORDED', 'No new sessions now: nothing can be recorded.', {
        cause: this.#writer.failure,
        next: 'Tell an operator; try again later.',
      })
    const recording = new SessionRecording(
      {
        writer: this.#writer,
        key: this.#key,
        clock: this.#parts.clock,
        holdFile: path.join(this.#dir, `${start.id}.hold`),
        onEnd: (ended, isNoted) => this.#ended(ended, isNoted),
        onLong: (long) => this.#long.add(long),
        alerts: this.#parts.alerts?.(start),
        onAlert: (hit) => this.#alert(start, hit),
      },
      start,
    )
    recording.row(start.startedAt)
    this.#live.add(recording)
    const { id: session, grant } = start
    this.#note({
      id: randomUUID(),
      at: start.startedAt,
      kind: 'recording.began',
      session,
      grant,
      start: recording.start,
    })
    recording.begin()
    return recording
  }

  #alert({ id: session, grant, username, target }: SessionStart, { rule, line }: AlertHit): void {
    const event: AuditEvent = {
      id: randomUUID(),
      at: this.#parts.clock.now(),
      kind: 'session.alert',
      actor: username,
      grant,
      session,
      target,
      text: `${username} raised the alert ${rule.name} on ${target}${rule.end ? ', which ended the session' : ''}.`,
      details: { alert: rule.name, line, ends: rule.end },
    }
    this.audit(event)
    this.#parts.onAlert?.(event)
  }

  audit(event: AuditEvent): void {
    this.#note(event)
  }

  #note(event: AuditEvent | RecordingNote): void {
    const write = () => {
      this.#writer.append(this.#chain, {
        id: this.#chain.id,
        seq: this.#auditSeq + 1,
        at: event.at,
        kind: 'A',
        data: JSON.stringify(event),
      })
      this.#auditSeq += 1
    }
    try {
      write()
    } catch (error) {
      if (this.#late.length >= MAX_LATE)
        this.#parts.log({
          level: 'error',
          room: 'recorder',
          message: 'an audit event was lost',
          details: { event },
          error,
        })
      else this.#late.push(write)
    }
  }

  durable(): Promise<void> {
    return this.#writer.durable()
  }

  stats(): JournalStats {
    const { failure, bytes, writes, syncs } = this.#writer
    const state = this.#closed ? 'closed' : failure === undefined ? 'open' : 'broken'
    return { state, liveSessions: this.#live.size, bytes, writes, syncs }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#ticker)
    const endedAt = this.#parts.clock.now()
    for (const recording of this.#live)
      recording.end({ endedAt, cause: 'cut', detail: 'The gateway was stopped.', exitCode: undefined })
    const healthy = this.#heal()
    if (healthy) {
      this.#writer.flush()
      this.#sealAudit()
    }
    await this.#writer.close()
    if (healthy) markClosed(this.#dir)
  }

  #heal(): boolean {
    if (this.#writer.failure === undefined) return true
    if (!this.#writer.heal()) return false
    this.#parts.log({ level: 'info', room: 'recorder', message: 'the journal can be written again' })
    const late = this.#late
    this.#late = []
    for (const write of late) write()
    return true
  }

  #ended(recording: SessionRecording, isNoted: boolean): void {
    this.#live.delete(recording)
    const { start, end, ...totals } = recording.entry()
    if (!isNoted) this.#late.push(() => recording.row(this.#parts.clock.now()))
    const at = end?.endedAt ?? this.#parts.clock.now()
    const { id: session, grant } = start
    this.#note({ id: randomUUID(), at, kind: 'recording.ended', session, grant, totals: { end, ...totals } })
  }

  #broken(failure: Refusal): void {
    this.#space.forget()
    this.#parts.log({
      level: 'error',
      room: 'recorder',
      message: 'the journal cannot be written: all sessions of this worker end',
      details: { sessions: this.#live.size },
      error: failure.cause,
    })
    for (const recording of this.#live) recording.fail(failure)
  }

  /** A segment says by itself which sessions were live when it began. */
  #snapshot(): void {
    const now = this.#parts.clock.now()
    for (const recording of this.#live) recording.row(now)
  }

  #sealLong(): void {
    if (this.#long.size === 0) return
    const long = [...this.#long]
    this.#long.clear()
    for (const recording of long) recording.seal(this.#parts.clock.now())
  }

  #tick(): void {
    const now = this.#parts.clock.now()
    if (this.#writer.failure !== undefined) {
      if (this.#late.length > 0 && this.#space.refusal() === undefined) this.#heal()
      return
    }
    // A checkpoint covers what the file has, and comes after it there.
    this.#writer.flush()
    let signatures = Math.ceil(this.#live.size / SIGN_TICKS)
    for (const recording of this.#live) {
      try {
        if (recording.tick(now, signatures > 0)) signatures -= 1
      } catch (failure) {
        if (failure instanceof Refusal) recording.fail(failure)
        else throw failure
      }
    }
    if (now - this.#auditSealedAt >= SEAL_AUDIT_MS) {
      this.#auditSealedAt = now
      this.#sealAudit()
    }
  }

  #sealAudit(): void {
    if (this.#chain.loose === 0 || this.#writer.failure !== undefined) return
    const { seq, head } = this.#chain.seal()
    const checkpoint = { id: this.#chain.id, seq, at: this.#parts.clock.now(), head }
    this.#writer.append(undefined, { ...checkpoint, kind: 'C', data: signCheckpoint(this.#key, checkpoint) })
    // Outside of the audit store, so that somebody who may change that store cannot take off a tail unseen.
    const details = { chain: this.#chain.id.toString('hex'), seq, head: head.toString('hex') }
    this.#parts.log({ level: 'info', room: 'recorder', message: 'the audit log was sealed', details })
  }
}

/** @throws when the directory cannot be made or written: a worker that cannot record must not serve. */
export const openJournal = (parts: JournalParts): Journal => new WorkerJournal(parts)
