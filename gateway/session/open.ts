/** Opens a session: admission, registration among the live ones, recording, road; and closes all of them together. */
import { randomBytes } from 'node:crypto'
import type { SessionEnd, SessionId, SessionStart } from '../model/event.ts'
import type { Clock } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Admission } from './admit.ts'
import { type HoldDesk, type Permit, secondPerson } from './hold.ts'
import type { HeldStatement } from '../model/hold.ts'
import type { Recorder, Recording } from './recorder.ts'
import { Road } from './road.ts'

/** Who is in, across all workers. grants/ fits. */
export type SessionBook = {
  /** Registers a session. `killed` aborts with a Refusal when somebody ends it by hand. */
  enter(start: SessionStart): Promise<{ readonly killed: AbortSignal; leave(): Promise<void> }>
}

export type OpenParts = {
  readonly recorder: Recorder
  readonly sessions: SessionBook
  /** Without it nothing is held: what a role does not allow is refused. */
  readonly holds?: HoldDesk | undefined
  readonly clock: Clock
  /** Calls back after the configuration was read again: sessions that it no longer opens so are cut then, not at their next byte. Returns how to stop. */
  readonly onReload?: ((listener: () => void) => () => void) | undefined
  /** Told once per session that was cut, after both legs are closed: how long after the grant's end (or the kill) that was. */
  readonly onCut?: ((why: Refusal, ms: number) => void) | undefined
}

/** What the terminator knows about the connection; the rest comes from the admission. */
export type Opening = Pick<
  SessionStart,
  'account' | 'channel' | 'command' | 'clientAddress' | 'clientVersion' | 'terminal'
>

export type Session = {
  readonly id: SessionId
  readonly admission: Admission
  readonly recording: Recording
  readonly road: Road
  /** Aborts when the grant ends, somebody kills the session, or it can no longer be recorded. The reason is a {@link Refusal}. */
  readonly ended: AbortSignal
  /** Undefined where nothing can be held. */
  readonly hold: Hold | undefined
  /** Call once, after both legs are closed. */
  close(end: Omit<SessionEnd, 'endedAt'>): Promise<void>
}

/** Asks a second person, and tells them what became of it. */
export type Hold = {
  /** `stop` aborts when the person takes it back or has left; the session's end stops the wait by itself. @throws {Refusal} */
  ask(held: Omit<HeldStatement, 'under' | 'session'>, tell: (text: string) => void, stop: AbortSignal): Promise<Permit>
  ran(permit: Permit, outcome: string): Promise<void>
}

/** @throws {Refusal} NOT_RECORDED, or the reason why the grant is over. */
export async function openSession(parts: OpenParts, admission: Admission, opening: Opening): Promise<Session> {
  const { grant, identity, target, role, protocol } = admission
  const start: SessionStart = {
    ...opening,
    id: newSessionId(parts.clock),
    grant: grant.id,
    subject: identity.subject,
    username: identity.username,
    target: target.name,
    role: role.name,
    protocol,
    reason: grant.reason,
    startedAt: parts.clock.now(),
  }
  const place = await parts.sessions.enter(start)
  let recording: Recording
  try {
    recording = parts.recorder.open(start)
  } catch (failure) {
    await place.leave()
    throw failure
  }
  // One signal of our own, not AbortSignal.any: that one would stay with the grant for as long as the grant lives.
  const cut = new AbortController()
  const ended = cut.signal
  const unfollow = follow(cut, [admission.ended, place.killed, recording.failed])
  const stopLooking = parts.onReload?.(() => {
    const why = admission.over()
    if (why !== undefined) cut.abort(why)
  })
  const over = () => (ended.aborted ? asRefusal(ended.reason) : admission.over())
  const road = new Road({ recording, over, cut: (why) => cut.abort(why) })
  let endedAt: number | undefined
  const note = () => {
    endedAt = asRefusal(ended.reason).since ?? parts.clock.now()
  }
  if (ended.aborted) note()
  else ended.addEventListener('abort', note, { once: true })
  let closed = false
  return {
    id: start.id,
    admission,
    recording,
    road,
    ended,
    hold:
      admission.role.hold === undefined || parts.holds === undefined
        ? undefined
        : holdOf(parts.holds, admission, start.id, ended),
    close: async (end) => {
      if (closed) return
      closed = true
      stopLooking?.()
      unfollow()
      road.close()
      recording.end({ ...end, endedAt: parts.clock.now() })
      if (endedAt !== undefined) parts.onCut?.(asRefusal(ended.reason), Math.max(0, parts.clock.now() - endedAt))
      await place.leave()
    },
  }
}

function holdOf(desk: HoldDesk, admission: Admission, session: SessionId, ended: AbortSignal): Hold {
  return {
    ask: (held, tell, stop) => {
      const { grant } = admission
      const statement = { ...held, under: grant.id, session }
      return secondPerson({ desk, grant, held: statement, tell, stop: AbortSignal.any([stop, ended]) })
    },
    ran: (permit, outcome) => desk.ran(permit.request, outcome),
  }
}

/** Aborts `cut` with the reason of whichever comes first. Returns how to stop. */
function follow(cut: AbortController, signals: readonly AbortSignal[]): () => void {
  const listeners = signals.map((signal) => {
    const listener = () => cut.abort(signal.reason)
    if (signal.aborted) listener()
    else signal.addEventListener('abort', listener, { once: true })
    return () => signal.removeEventListener('abort', listener)
  })
  return () => {
    for (const stop of listeners) stop()
  }
}

const asRefusal = (reason: unknown): Refusal =>
  reason instanceof Refusal ? reason : new Refusal('GRANT_ENDED', 'The session was ended.')

/** UUID version 7 (RFC 9562 §5.7): sorts by time of birth. */
function newSessionId(clock: Clock): SessionId {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(clock.now(), 0, 6)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-') as SessionId
}
