/** A session channel from a client's shell, command or sftp to the same on the target, until one side is done or the session ends. */
import { Refusal } from '../../model/refusal.ts'
import type { Admission, Session } from '../../session/session.ts'
import type { JudgeOf } from '../readonly/judge.ts'
import { runReadOnly } from '../readonly/readonly.ts'
import type { Blocks } from './blocks.ts'
import { bytesLane } from './bytes-lane.ts'
import type { Channel } from './channel.ts'
import type { Client, Outcome, Run, SessionRequest, Terminal } from './contract.ts'
import { mayGoOn } from './go-on.ts'
import { inTime } from './in-time.ts'
import { tellLoss, withLoss } from './lost.ts'
import { accountOf, type Pool } from './pool.ts'
import { Relay } from './relay.ts'
import { ClientChannel } from './session-channel.ts'
import { type FileRule, sftpLane } from './sftp-lane.ts'
import { MARK, sweep } from './sweep.ts'
import { writeTerminal } from './terminal.ts'
import type { Typing } from './typing.ts'
import { string } from './wire.ts'

export type RunParts = {
  readonly pool: Pool
  /** What may be done to which file by sftp and scp under a full shell. */
  readonly files: ((admission: Admission) => FileRule) | undefined
  /** Left out, roles with a read-only shell have none. */
  readonly judge: JudgeOf | undefined
  readonly blocks: Blocks
  readonly typing: Typing
}

export async function run(parts: RunParts, { channel: client, connection, session, ...wish }: Run): Promise<Outcome> {
  if (!(client instanceof ClientChannel)) throw new TypeError('A channel of another engine.')
  const { blocks, files, judge, pool, typing } = parts
  const { request = client.request } = wish
  const { role } = session.admission
  const { terminal } = client
  const carried = { client, connection, session, request, terminal, files: files?.(session.admission), blocks, typing }
  if (role.ssh.shell === 'full') return carry(pool, carried)
  if (role.ssh.shell === 'read-only' && judge !== undefined)
    return runReadOnly({
      client,
      session,
      request,
      judge: judge(role.ssh, role.hold?.commands),
      account: accountOf(session.admission),
      upstream: (where) => pool.connect(connection, session, where),
      carry: (as) => carry(pool, { ...carried, ...as }),
    })
  throw new Refusal('NOT_ALLOWED', `Role ${role.name} has no full shell: ${request.kind} is not allowed.`)
}

type Carried = {
  readonly client: ClientChannel
  readonly connection: Client
  readonly session: Session
  readonly request: SessionRequest
  /** What the program gets; undefined also where the client has one that it is not to see. */
  readonly terminal: Terminal | undefined
  readonly files: FileRule | undefined
  readonly where?: 'outside' | undefined
  readonly blocks: Blocks
  readonly typing: Typing
}

/** Both legs as one, until one side is done. */
async function carry(
  pool: Pool,
  { blocks, client, connection, files, request, session, terminal: asked, typing, where }: Carried,
): Promise<Outcome> {
  const relay = new Relay({
    session,
    client: () => client.channel,
    hasTerminal: asked !== undefined,
    lane: request.kind === 'sftp' ? sftpLane(session, files) : bytesLane(session, blocks, asked && typing),
  })
  const upstream = await pool.connect(connection, session, where)
  const lost = upstream.closed
  const opening = upstream.open('session', tellLoss(relay.target, { client: client.channel, lost, session }))
  const target = await inTime(opening, session.ended, (late) => late.closeNow())
  relay.attach(target)
  try {
    await inTime(start(target, { environment: client.environment, terminal: asked }, request, session), session.ended)
  } catch (failure) {
    target.closeNow()
    throw failure
  }
  const outcome = relay.run()
  client.take(relay.client)
  if (asked !== undefined && client.terminal !== undefined && client.terminal !== asked) relay.resize(client.terminal)
  const stops = [client.onResize((size) => relay.resize(size)), client.onSignal((name) => relay.signal(name))]
  const clean = () => void sweep(upstream, session.id)
  if (session.ended.aborted) clean()
  else session.ended.addEventListener('abort', clean, { once: true })
  stops.push(() => session.ended.removeEventListener('abort', clean))
  try {
    return withLoss(await outcome, lost)
  } finally {
    for (const stop of stops) stop()
  }
}

async function start(
  target: Channel,
  { environment, terminal }: Pick<ClientChannel, 'environment' | 'terminal'>,
  request: SessionRequest,
  session: Session,
): Promise<void> {
  for (const [name, value] of environment) target.tell('env', string(name), string(value))
  // Last, so that it is ours whatever else was sent.
  target.tell('env', string(MARK), string(session.id))
  if (terminal !== undefined && !(await target.ask('pty-req', writeTerminal(terminal))))
    throw new Refusal('TARGET_UNREACHABLE', 'The target gave no terminal.')
  // The target took its time for all of this: nothing begins on it that the grant does not cover any more.
  await mayGoOn(session)
  const started =
    request.kind === 'shell'
      ? target.ask('shell')
      : request.kind === 'exec'
        ? target.ask('exec', string(request.command))
        : target.ask('subsystem', string('sftp'))
  if (!(await started)) throw new Refusal('TARGET_UNREACHABLE', `The target did not start the ${request.kind}.`)
}
