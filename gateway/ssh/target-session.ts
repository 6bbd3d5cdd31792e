/** One channel on a target: admission, recording, the engine's relay, and what the person is told meanwhile. */
import { Refusal } from '../model/refusal.ts'
import { type Admission, admit, type GrantNotice, openSession, type Session } from '../session/session.ts'
import { type Person, stillSignedIn } from './auth.ts'
import { signInBanner } from './auth-words.ts'
import { askForAccess, noGrant } from './commands/ask-access.ts'
import { type Context, typed } from './commands/command.ts'
import { clockTime } from './commands/spans.ts'
import { BROKEN, DONE, denial, denialText, isRefused, noteRefused, WRONG_USAGE } from './deny.ts'
import type { Connection, Outcome, SessionChannel, SessionRequest } from './engine/contract.ts'
import { judged, meantCommand } from './granted-command.ts'
import type { SshParts } from './parts.ts'
import { wrapped } from './screen/text.ts'

/** A channel, and who is behind it. */
export type Guest = {
  readonly connection: Connection
  readonly channel: SessionChannel
  readonly person: Person
  /** Aborts when the gateway is about to close; the reason is a sentence. */
  readonly closing: AbortSignal
}

export type Visit = Guest & {
  readonly context: Context
  readonly target: string
  /** What to open there; the channel may have asked for something else. */
  readonly request: SessionRequest
}

/** Ends the channel in every case. Never throws. */
export async function visitTarget(parts: SshParts, visit: Visit): Promise<void> {
  const { channel, context } = visit
  try {
    const admission = await enter(parts, visit)
    const meant = await meantCommand(context.console, admission, visit.request)
    if (meant.kind === 'left') return await channel.end(DONE)
    context.console.release()
    if (meant.kind === 'other') return await relay(parts, visit, admission)
    const request = { kind: 'exec', command: meant.line } as const
    return await relay(parts, { ...visit, request }, admission, meant.line)
  } catch (failure) {
    // Nobody is there to read it: what broke is that they left.
    if (channel.closed.aborted) return channel.end(BROKEN)
    const denied = denial(failure, parts.notes.log)
    await context.console.note(denialText(denied))
    noteRefused(parts.notes, visit.person, visit.target, failure)
    await channel.end(isRefused(failure) || denied.exitCode === WRONG_USAGE ? denied.exitCode : BROKEN)
  }
}

/** A live grant, or a way to one: a second sign-in where the first is too old, a request where there is a terminal. */
async function enter(parts: SshParts, visit: Visit): Promise<Admission> {
  const { context, person, target } = visit
  const { role } = person.named
  let asked = false
  let signedIn = false
  for (;;) {
    try {
      return await admit(parts.road.admit, { identity: person.identity, target, protocol: 'ssh', role })
    } catch (failure) {
      const code = failure instanceof Refusal ? failure.code : undefined
      if (code === 'MFA_MISSING' && !signedIn) {
        signedIn = true
        await signInAgain(parts, visit, failure as Refusal)
      } else if (code === 'NO_GRANT' && !asked && context.console.hasTerminal) {
        asked = true
        await askForAccess({ ...context, identity: person.identity }, target, role)
        // An approval can be long in coming.
        await stillSignedIn(person)
      } else if (code === 'NO_GRANT') throw await noGrant(context, target, role)
      else throw failure
    }
  }
}

async function signInAgain(parts: SshParts, visit: Visit, why: Refusal): Promise<void> {
  const { connection, context, person } = visit
  const { console } = context
  const waiting = await parts.people.signIns.ask({
    kind: 'ssh',
    username: person.identity.username,
    sourceAddress: connection.origin.address,
    clientVersion: connection.clientVersion,
    keyFingerprint: person.keyFingerprint,
    target: visit.target,
  })
  await console.note(`${why.message}\n${signInBanner(waiting, person.identity.username, context.clock.now())}`)
  const identity = await waiting.wait(console.closed)
  if (identity.subject !== person.identity.subject) throw new Refusal('NOT_SIGNED_IN', 'Somebody else has signed in.')
  person.identity = identity
}

/** @param granted the words of one of the role's own commands; nothing else runs then. */
async function relay(parts: SshParts, visit: Visit, admission: Admission, granted?: string): Promise<void> {
  const { connection, channel, context, request } = visit
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
  const deaf = admission.onNotice((notice) => void tell(context, session, noticeText(context, notice)))
  const atClosing = () => void tell(context, session, String(visit.closing.reason))
  visit.closing.addEventListener('abort', atClosing)
  let outcome: Outcome = { cause: 'failed', detail: '', exitCode: undefined }
  try {
    if (request.kind === 'shell' && terminal === undefined && admission.role.ssh.shell === 'full')
      await context.console.note(`no terminal: use ${typed(context, admission.target.name, ' -t')}\n`)
    outcome =
      granted === undefined
        ? await parts.engine.run({ connection, channel, session, request })
        : await runGranted(parts, visit, session, granted)
  } catch (failure) {
    outcome = { cause: 'failed', detail: denial(failure, () => undefined).sentence, exitCode: undefined }
    throw failure
  } finally {
    deaf()
    visit.closing.removeEventListener('abort', atClosing)
    await session.close(outcome)
  }
}

async function runGranted(parts: SshParts, visit: Visit, session: Session, line: string): Promise<Outcome> {
  const { clock } = visit.context
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

/** A notice is recorded as a marker, then shown: on the first lines of a terminal, so that prompts and editors keep theirs. */
async function tell(context: Context, session: Session, text: string): Promise<void> {
  try {
    session.recording.take('m', text)
  } catch {
    // The recording is broken: the session is being cut, and says so itself.
    return
  }
  const { console } = context
  if (console.columns === undefined) await console.note(`${text}\n`)
  else
    await console.raw(
      `\u001b7${wrapped(text, console.columns - 2)
        .map((line, at) => `\u001b[${at + 1};1H\u001b[0;7m ${line} \u001b[0m\u001b[K`)
        .join('')}\u001b8\u0007`,
    )
}

export function noticeText(context: Pick<Context, 'clock' | 'address' | 'identity'>, notice: GrantNotice): string {
  const until = clockTime(notice.grant.expiresAt, context.clock.now())
  if (notice.kind === 'extended') return `[sallyport] extended: this session may go on until ${until}.`
  const left = notice.minutes === 1 ? '1 minute' : `${notice.minutes} minutes`
  return `[sallyport] ${left} left, until ${until}. More time: ${typed(context, `extend ${notice.grant.id}`)}`
}
