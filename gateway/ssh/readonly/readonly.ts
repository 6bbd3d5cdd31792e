/**
 * A read-only shell: the gateway reads, judges and records each line, and runs what is allowed by an exec of its own, quoted anew.
 * The host's own shell never sees what a person typed. It says what a role is for; where a kernel can refuse writes (a workspace), that is the barrier.
 */
import { Refusal } from '../../model/refusal.ts'
import { READ_ONLY_DEFAULTS } from '../../model/role.ts'
import type { Session } from '../../session/session.ts'
import type { Outcome, SessionRequest, Terminal } from '../engine/contract.ts'
import type { ClientChannel } from '../engine/session-channel.ts'
import type { FileRule } from '../engine/sftp-lane.ts'
import type { Upstream } from '../engine/upstream.ts'
import { PipeFace, TerminalFace } from './faces.ts'
import { letThrough } from './held.ts'
import type { CommandJudgement, LineJudgement, ShellJudge } from './judge.ts'
import { linesOf } from './lines.ts'
import { atPrompt } from './prompt.ts'
import { RecordedChannel } from './recorded-channel.ts'
import { Shell } from './shell.ts'
import { stated } from './stated.ts'
import { targetLine } from './target-line.ts'

export type ReadOnlyParts = {
  readonly client: ClientChannel
  readonly session: Session
  readonly request: SessionRequest
  readonly judge: ShellJudge
  readonly account: string
  /** `outside`: not in the workspace that a read-only shell has on a host with an agent. */
  readonly upstream: (where?: 'outside') => Promise<Upstream>
  /** Both legs as one, as a full shell's: for what was judged as a whole. */
  readonly carry: (as: {
    readonly request: SessionRequest
    readonly terminal: Terminal | undefined
    readonly files?: FileRule
    readonly where?: 'outside' | undefined
  }) => Promise<Outcome>
}

const REFUSED = 1
/** A client must take what it is told when the session is cut within this time. */
const FAREWELL_MS = 800

type Visit = ReadOnlyParts & {
  readonly shell: Shell
  readonly channel: RecordedChannel
  readonly face: TerminalFace | PipeFace
}

/** @throws {Refusal} before anything ran, with the channel still open. */
export async function runReadOnly(parts: ReadOnlyParts): Promise<Outcome> {
  const { client, judge, request, session, upstream } = parts
  const channel = new RecordedChannel(client, session)
  const face = client.terminal === undefined ? new PipeFace(channel) : new TerminalFace(channel)
  const shell = new Shell({ session, judge, upstream, environment: client.environment, face })
  const visit: Visit = { ...parts, shell, channel, face }
  if (request.kind === 'sftp') return serveFiles(visit)
  if (request.kind === 'exec') return runCommand(visit, request.command)
  return untilCut(visit, () =>
    face instanceof TerminalFace ? atPrompt({ ...visit, face, target: targetOf(session) }) : atPipe(visit),
  )
}

const targetOf = (session: Session): string => session.admission.target.name

/** The kernel cannot tell the files that a role may write from the others: the judge does. */
const whereToCopy = ({ admission }: Session): 'outside' | undefined =>
  (admission.role.ssh.readOnly ?? READ_ONLY_DEFAULTS).files.write.length > 0 ? 'outside' : undefined

async function serveFiles({ carry, judge, session, shell }: Visit): Promise<Outcome> {
  await shell.settle()
  const context = shell.home === undefined ? {} : { home: shell.home }
  const files: FileRule = (operation, path, to) => {
    const verdict = judge.file(operation, path, context)
    return verdict.decision !== 'allow' || to === undefined ? verdict : judge.file(operation, to, context)
  }
  return carry({ request: { kind: 'sftp' }, terminal: undefined, files, where: whereToCopy(session) })
}

async function runCommand(visit: Visit, command: string): Promise<Outcome> {
  const { client, face, judge, session, shell } = visit
  let judged: CommandJudgement = judge.command(command)
  if (judged.kind === 'sftp') return serveFiles(visit)
  if (judged.kind === 'copy' && judged.needsHome) {
    await shell.settle()
    if (shell.home !== undefined) judged = judge.command(command, { home: shell.home })
  }
  if (judged.kind === 'line' && judged.held !== undefined) return runHeld(visit, command, judged)
  const n = await stated(session, command, judged.verdict, (sentence) => face.tell(sentence))
  if (n === undefined || judged.kind === 'sftp') return finished(visit, REFUSED)
  if (judged.kind === 'copy') return carried(visit, n, judged.text, { where: whereToCopy(session) })
  const { line } = judged
  if (line === undefined) return finished(visit, REFUSED)
  if (client.terminal !== undefined && !line.wantsTerminal)
    return untilCut(visit, async () => {
      await shell.perform(line, n)
      return shell.status
    })
  return carried(visit, n, line.text(await shell.contextFor(line)), { terminal: client.terminal })
}

/** One command that a second person lets through, or does not. */
async function runHeld(visit: Visit, command: string, judged: LineJudgement): Promise<Outcome> {
  const { client, face, judge, session, shell } = visit
  const { held, line, verdict } = judged
  if (held === undefined || line === undefined) return finished(visit, REFUSED)
  if (client.terminal !== undefined)
    return untilCut(visit, async () => {
      await shell.run(command)
      return shell.status
    })
  const again = () => {
    const now = judge.command(command)
    return now.kind === 'line' ? now.held : undefined
  }
  const through = await letThrough({ session, face, line: command, verdict, held, directory: undefined, again })
  if (through === undefined) return finished(visit, REFUSED)
  const outcome = await carried(visit, through.n, line.text({}), { where: 'outside' })
  await session.hold?.ran(through.permit, `exit ${outcome.exitCode ?? 'unknown'}`)
  return outcome
}

/** Bytes both ways as they are, until the one program ends. */
async function carried(
  { carry, judge, session }: Visit,
  n: number,
  text: string | undefined,
  { terminal, where }: { readonly terminal?: Terminal | undefined; readonly where?: 'outside' | undefined },
): Promise<Outcome> {
  if (text === undefined) throw new Refusal('NOT_ALLOWED', 'This command was not judged.')
  const since = performance.now()
  const note = (error: string | undefined) =>
    session.road.outcome({
      n,
      result: error === undefined ? 'done' : 'error',
      ms: Math.round(performance.now() - since),
      ...(error === undefined ? {} : { error }),
    })
  try {
    const outcome = await carry({ request: { kind: 'exec', command: targetLine(text, judge) }, terminal, where })
    note(outcome.exitCode === 0 ? undefined : outcome.detail || `exit ${outcome.exitCode ?? 'unknown'}`)
    return outcome
  } catch (failure) {
    note(failure instanceof Refusal ? failure.message : 'It could not be run.')
    throw failure
  }
}

/** Lines one after another, as a shell takes a script. */
async function atPipe({ channel, shell }: Visit): Promise<number> {
  for await (const line of linesOf(channel)) {
    if (line.trim() === '') continue
    if ((await shell.run(line)) === 'exit') break
  }
  return shell.status
}

/** Our own faces end the channel themselves; when the session is cut, at once and with the reason. */
async function untilCut(visit: Visit, work: () => Promise<number>): Promise<Outcome> {
  const { channel, session } = visit
  const { ended } = session
  const unsized = channel.onResize(({ columns, rows }) => noted(session, `${columns}x${rows}`))
  const { promise: cut, resolve } = Promise.withResolvers<'cut'>()
  const onEnd = () => resolve('cut')
  if (ended.aborted) onEnd()
  else ended.addEventListener('abort', onEnd, { once: true })
  const worked = work().catch((failure: unknown) => {
    // The signal tells it better than whoever was interrupted by it.
    if (ended.aborted) return cut
    throw failure
  })
  try {
    const code = await Promise.race([cut, worked])
    if (code === 'cut') return await farewell(visit)
    return channel.closed.aborted ? { cause: 'closed', detail: '', exitCode: undefined } : await finished(visit, code)
  } finally {
    unsized()
    ended.removeEventListener('abort', onEnd)
  }
}

function noted(session: Session, size: string): void {
  try {
    session.recording.take('r', size)
  } catch {
    // The journal is broken: the session ends of that by itself.
  }
}

async function finished({ channel, session }: Visit, code: number): Promise<Outcome> {
  session.recording.take('x', String(code))
  await channel.end(code)
  return { cause: 'exited', detail: '', exitCode: code }
}

async function farewell({ client, session }: Visit): Promise<Outcome> {
  const { reason } = session.ended
  const why = reason instanceof Refusal ? reason.message : 'The session was ended.'
  try {
    session.recording.take('m', why)
  } catch {
    // The journal is broken: that is what they are being told.
  }
  const { channel } = client
  channel.drop()
  const timer = setTimeout(() => channel.abandon(), FAREWELL_MS)
  await client.writeError(`\r\n[sallyport] ${why}\r\n`)
  await client.end(255)
  clearTimeout(timer)
  return { cause: 'cut', detail: why, exitCode: undefined }
}
