/** A session channel from a client's shell, command or sftp to the same on the target, until one side is done or the session ends. */
import type { SessionId } from '../../model/event.ts'
import { Refusal } from '../../model/refusal.ts'
import type { Admission } from '../../session/session.ts'
import type { Channel } from './channel.ts'
import type { Outcome, Run, SessionRequest } from './contract.ts'
import type { Pool } from './pool.ts'
import { bytesLane, Relay } from './relay.ts'
import { ClientChannel } from './session-channel.ts'
import { type FileRule, sftpLane } from './sftp-lane.ts'
import { MARK, sweep } from './sweep.ts'
import { writeTerminal } from './terminal.ts'
import { string } from './wire.ts'

export type RunParts = {
  readonly pool: Pool
  /** What may be done to which file by sftp and scp. */
  readonly files: ((admission: Admission) => FileRule) | undefined
}

const START_MS = 15_000

export async function run(
  { files, pool }: RunParts,
  { channel: client, connection, session, ...wish }: Run,
): Promise<Outcome> {
  if (!(client instanceof ClientChannel)) throw new TypeError('A channel of another engine.')
  const { request = client.request } = wish
  const { role } = session.admission
  if (role.ssh.shell !== 'full')
    throw new Refusal('NOT_ALLOWED', `Role ${role.name} has no full shell: ${request.kind} is not allowed.`)
  const relay = new Relay({
    session,
    client: () => client.channel,
    hasTerminal: client.terminal !== undefined,
    lane: request.kind === 'sftp' ? sftpLane(session, files?.(session.admission)) : bytesLane(session),
  })
  const upstream = await pool.connect(connection, session)
  const target = await upstream.open('session', relay.target)
  relay.attach(target)
  const asked = client.terminal
  try {
    await inTime(start(target, client, request, session.id), session.ended)
  } catch (failure) {
    target.closeNow()
    throw failure
  }
  const outcome = relay.run()
  client.take(relay.client)
  if (client.terminal !== undefined && client.terminal !== asked) relay.resize(client.terminal)
  const stops = [client.onResize((size) => relay.resize(size)), client.onSignal((name) => relay.signal(name))]
  const clean = () => void sweep(upstream, session.id)
  if (session.ended.aborted) clean()
  else session.ended.addEventListener('abort', clean, { once: true })
  stops.push(() => session.ended.removeEventListener('abort', clean))
  try {
    return await outcome
  } finally {
    for (const stop of stops) stop()
  }
}

async function start(target: Channel, client: ClientChannel, request: SessionRequest, id: SessionId): Promise<void> {
  const { environment, terminal } = client
  target.tell('env', string(MARK), string(id))
  for (const [name, value] of environment) target.tell('env', string(name), string(value))
  if (terminal !== undefined && !(await target.ask('pty-req', writeTerminal(terminal))))
    throw new Refusal('TARGET_UNREACHABLE', 'The target gave no terminal.')
  const started =
    request.kind === 'shell'
      ? target.ask('shell')
      : request.kind === 'exec'
        ? target.ask('exec', string(request.command))
        : target.ask('subsystem', string('sftp'))
  if (!(await started)) throw new Refusal('TARGET_UNREACHABLE', `The target did not start the ${request.kind}.`)
}

/** A target that does not answer must not keep a session open. */
export function inTime(work: Promise<void>, ended: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = () => settle(new Refusal('TARGET_UNREACHABLE', 'The target did not answer in time.'))
    const cut = () =>
      settle(ended.reason instanceof Refusal ? ended.reason : new Refusal('GRANT_ENDED', 'The session was ended.'))
    const timer = setTimeout(late, START_MS)
    const settle = (failure?: Error) => {
      clearTimeout(timer)
      ended.removeEventListener('abort', cut)
      if (failure === undefined) resolve()
      else reject(failure)
    }
    work.then(() => settle(), settle)
    if (ended.aborted) cut()
    else ended.addEventListener('abort', cut, { once: true })
  })
}
