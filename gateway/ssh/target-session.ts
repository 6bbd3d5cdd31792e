/** One channel on a target: what is meant there, recording, the engine's relay, and what the person is told meanwhile. Every front of the room goes this way. */
import type { Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import { type Admission, type GrantNotice, openSession, type Session } from '../session/session.ts'
import { clockTime } from './commands/spans.ts'
import { DONE, denial } from './deny.ts'
import type { Client, Outcome, SessionChannel, SessionRequest } from './engine/contract.ts'
import { judged, meantCommand } from './granted-command.ts'
import type { SshParts } from './parts.ts'
import type { Console } from './screen/console.ts'
import { recordChanges } from './workspace-changes.ts'

/** What a front says to its person beside the target's output. */
export type Speaker = {
  /** A notice of the grant in this front's words: what is recorded, and shown. */
  words(notice: GrantNotice): string
  show(text: string, notice: GrantNotice | undefined): Promise<void>
}

export type TargetVisit = {
  readonly connection: Client
  readonly channel: SessionChannel
  readonly console: Console
  readonly speaker: Speaker
  /** What to open there; the channel may have asked for something else. */
  readonly request: SessionRequest
  /** What to say before a full shell without a terminal begins. */
  readonly withoutTerminal: string
  /** Aborts when the gateway is about to close; the reason is a sentence. */
  readonly closing: AbortSignal
  /** Told before anything is opened on the target. */
  readonly opened?: ((session: Session) => void) | undefined
}

/** Until the session is over; undefined when nothing was opened. @throws {Refusal} with the channel still open. */
export async function atTarget(
  parts: SshParts,
  visit: TargetVisit,
  admission: Admission,
): Promise<Outcome | undefined> {
  const { channel, console } = visit
  const meant = await meantCommand(console, admission, visit.request)
  if (meant.kind === 'left') {
    await channel.end(DONE)
    return undefined
  }
  console.release()
  if (meant.kind === 'other') return relay(parts, visit, admission)
  const request = { kind: 'exec', command: meant.line } as const
  return relay(parts, { ...visit, request }, admission, meant.line)
}

/** @param granted the words of one of the role's own commands; nothing else runs then. */
async function relay(parts: SshParts, visit: TargetVisit, admission: Admission, granted?: string): Promise<Outcome> {
  const { connection, channel, request, speaker } = visit
  const { terminal } = channel
  const session = await openSession(parts.road.open, admission, {
    account: parts.engine.account(admission),
    channel: request.kind,
    command: request.kind === 'exec' ? request.command : '',
    clientAddress: connection.origin.address,
    clientVersion: connection.clientVersion,
    // A terminal without a size (a pipe with `ssh -tt`) would leave a replay without one, too.
    terminal:
      terminal === undefined
        ? undefined
        : { columns: terminal.columns || 80, rows: terminal.rows || 24, type: terminal.type },
  })
  visit.opened?.(session)
  const deaf = admission.onNotice((notice) => void tell(visit, session, speaker.words(notice), notice))
  const atClosing = () => void tell(visit, session, String(visit.closing.reason))
  visit.closing.addEventListener('abort', atClosing)
  let outcome: Outcome = { cause: 'failed', detail: '', exitCode: undefined }
  try {
    if (request.kind === 'shell' && terminal === undefined && admission.role.ssh.shell === 'full')
      await visit.console.note(visit.withoutTerminal)
    outcome =
      granted === undefined
        ? await parts.engine.run({ connection, channel, session, request })
        : await runGranted(parts, visit, session, granted)
    await recordChanges(parts.engine, session)
    return outcome
  } catch (failure) {
    outcome = { cause: 'failed', detail: denial(failure, () => undefined).sentence, exitCode: undefined }
    throw failure
  } finally {
    deaf()
    visit.closing.removeEventListener('abort', atClosing)
    await session.close(outcome)
  }
}

async function runGranted(parts: SshParts, visit: TargetVisit, session: Session, line: string): Promise<Outcome> {
  const { clock } = parts.notes
  const { command, n } = await judged(session, line)
  const from = clock.now()
  const note = (error: string | undefined) =>
    session.road.outcome({
      n,
      result: error === undefined ? 'done' : 'error',
      ms: clock.now() - from,
      ...(error && { error }),
    })
  try {
    const outcome = await parts.engine.command({ ...visit, session, command })
    note(outcome.exitCode === 0 ? undefined : outcome.detail || `exit ${outcome.exitCode ?? 'unknown'}`)
    return outcome
  } catch (failure) {
    note(failure instanceof Refusal ? failure.message : 'It could not be run.')
    throw failure
  }
}

/** A notice is recorded as a marker, then shown. */
async function tell({ speaker }: TargetVisit, session: Session, text: string, notice?: GrantNotice): Promise<void> {
  try {
    session.recording.take('m', text)
  } catch {
    // The recording is broken: the session is being cut, and says so itself.
    return
  }
  await speaker.show(text, notice)
}

export function leftWords(notice: GrantNotice, now: Moment): string {
  const until = clockTime(notice.grant.expiresAt, now)
  if (notice.kind === 'extended') return `extended: this session may go on until ${until}.`
  return `${notice.minutes === 1 ? '1 minute' : `${notice.minutes} minutes`} left, until ${until}.`
}
