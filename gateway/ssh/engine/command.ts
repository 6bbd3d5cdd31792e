/**
 * One granted command on the target, without input and without a terminal of its own: exact words, a limit of time and of output.
 * An agent runs the words with execve. An sshd hands every command to the account's login shell, so the words are quoted for it.
 */
import { Refusal } from '../../model/refusal.ts'
import type { Session } from '../../session/session.ts'
import { type GrantedCommand, isGrantedCommand } from '../command-grants.ts'
import type { Channel } from './channel.ts'
import type { CommandRun, Outcome } from './contract.ts'
import { mayGoOn } from './go-on.ts'
import { tellLoss, withLoss } from './lost.ts'
import type { Pool } from './pool.ts'
import { type Ends, type Lane, Relay } from './relay.ts'
import { inTime } from './in-time.ts'
import { ClientChannel } from './session-channel.ts'
import { MARK, sweep } from './sweep.ts'
import { string } from './wire.ts'

/** What an agent's own shell understands: the words as JSON behind this name, as a subsystem. */
const SUBSYSTEM = 'argv@sallyport '
const ENVIRONMENT = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 HOME=/'
const INTERRUPT = 3

export async function runCommand(
  pool: Pool,
  { channel: client, command, connection, session }: CommandRun,
): Promise<Outcome> {
  if (!(client instanceof ClientChannel)) throw new TypeError('A channel of another engine.')
  const { role } = session.admission
  if (!isGrantedCommand(command) || role.ssh.commands?.includes(command.grant) !== true)
    throw new Refusal('NOT_ALLOWED', `Role ${role.name} does not have this command.`)
  const limit = new AbortController()
  const tell = (why: string) => limit.abort(new Refusal('GRANT_ENDED', why))
  const { maxBytes, timeoutMs } = command.grant
  const limited: Session = { ...session, ended: AbortSignal.any([session.ended, limit.signal]) }
  const relay = new Relay({
    session: limited,
    client: () => client.channel,
    // No terminal on the target's side.
    hasTerminal: false,
    lane: outputLane(session, client, {
      maxBytes,
      tooMuch: () => tell(`The command wrote more than ${maxBytes} bytes.`),
      interrupted: () => tell('Interrupted.'),
    }),
  })
  const upstream = await pool.connect(connection, session)
  const lost = upstream.closed
  const opening = upstream.open('session', tellLoss(relay.target, { client: client.channel, lost, session: limited }))
  const target = await inTime(opening, session.ended, (late) => late.closeNow())
  relay.attach(target)
  try {
    await inTime(start(target, session, command, upstream.runsWords), session.ended)
  } catch (failure) {
    target.closeNow()
    throw failure
  }
  target.eof()
  const timer = setTimeout(() => tell(`The command was stopped after ${Math.round(timeoutMs / 1000)} s.`), timeoutMs)
  const clean = () => void sweep(upstream, session.id)
  limited.ended.addEventListener('abort', clean, { once: true })
  const outcome = relay.run()
  client.take(relay.client)
  try {
    return withLoss(await outcome, lost)
  } finally {
    clearTimeout(timer)
    limited.ended.removeEventListener('abort', clean)
  }
}

async function start(target: Channel, session: Session, command: GrantedCommand, runsWords: boolean): Promise<void> {
  const { id } = session
  target.tell('env', string(MARK), string(id))
  await mayGoOn(session)
  const started = runsWords
    ? target.ask('subsystem', string(`${SUBSYSTEM}${JSON.stringify(command.argv)}`))
    : target.ask('exec', string(`exec /usr/bin/env -i ${MARK}=${id} ${ENVIRONMENT} ${command.text}`))
  if (!(await started)) throw new Refusal('TARGET_UNREACHABLE', 'The target did not start the command.')
}

type Limits = { readonly maxBytes: number; readonly tooMuch: () => void; readonly interrupted: () => void }

/** Keys go nowhere but for Ctrl-C; lines end as the client's terminal needs it. */
const outputLane =
  (session: Session, client: ClientChannel, { interrupted, maxBytes, tooMuch }: Limits) =>
  (ends: Ends): Lane => {
    let left = maxBytes
    return {
      fromClient: (bytes) => {
        client.channel.credit(bytes.length)
        if (client.terminal !== undefined && bytes.includes(INTERRUPT)) interrupted()
      },
      fromTarget: (bytes, stream) => {
        left -= bytes.length
        if (left < 0) return tooMuch()
        const shown = client.terminal === undefined ? bytes : withReturns(bytes)
        return session.road.bytes(stream === 1 ? 'e' : 'o', shown, () => ends.toClient(shown, stream, bytes.length))
      },
      end: () => undefined,
    }
  }

const withReturns = (bytes: Buffer): Buffer => Buffer.from(bytes.toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1')
