/** Connects to a target over TCP, or over a unix socket for a PostgreSQL directory. Needs an Admission, and dies with it. */
import { connect, type Socket, type TcpNetConnectOpts, type IpcNetConnectOpts } from 'node:net'
import type { Duplex } from 'node:stream'
import { join } from 'node:path'
import type { Log } from '../model/log.ts'
import { Fault, Refusal } from '../model/refusal.ts'
import type { Protocol, Target } from '../model/target.ts'
import type { Admission } from '../session/session.ts'

const CONNECT_MS = 10_000
/** When the admission ends: time for the caller to kill what runs there and to say goodbye. Its road lets nothing pass any more. */
const LAST_WORDS_MS = 500

/** @throws {Refusal} TARGET_UNREACHABLE, or why the admission is over. */
export async function dialTcp(log: Log, admission: Admission, signal?: AbortSignal): Promise<Duplex> {
  const over = admission.over()
  if (over !== undefined) throw over
  const { target } = admission
  const ended = signal === undefined ? admission.ended : AbortSignal.any([admission.ended, signal])
  const socket = connect(endpoint(admission.protocol, target))
  try {
    await connected(socket, ended)
  } catch (failure) {
    socket.destroy()
    if (failure instanceof Refusal) throw failure
    log({
      level: 'warn',
      room: 'upstreams',
      message: 'A target cannot be reached.',
      details: { target: target.name, protocol: admission.protocol },
      error: failure,
    })
    throw new Refusal('TARGET_UNREACHABLE', `${target.name} cannot be reached: ${why(failure)}`, { cause: failure })
  }
  const cut = () => setTimeout(() => socket.destroy(), LAST_WORDS_MS)
  ended.addEventListener('abort', cut, { once: true })
  socket.once('close', () => ended.removeEventListener('abort', cut))
  if (ended.aborted) cut()
  return socket
}

/**
 * A line for the gateway's own upkeep of a target (making and dropping database roles, cancelling a query): it has no Admission,
 * because no person is on it and no byte of a person may ever go this way. The caller closes it.
 *
 * @throws {Refusal} TARGET_UNREACHABLE, or the signal's reason.
 */
export async function reachTcp(target: Target, protocol: Protocol, signal: AbortSignal): Promise<Duplex> {
  const socket = connect(endpoint(protocol, target))
  try {
    await connected(socket, signal)
  } catch (failure) {
    socket.destroy()
    if (failure instanceof Refusal || signal.aborted) throw failure
    throw new Refusal('TARGET_UNREACHABLE', `${target.name} cannot be reached: ${why(failure)}`, { cause: failure })
  }
  const cut = () => socket.destroy()
  signal.addEventListener('abort', cut, { once: true })
  socket.once('close', () => signal.removeEventListener('abort', cut))
  return socket
}

function endpoint(protocol: Protocol, target: Target): TcpNetConnectOpts | IpcNetConnectOpts {
  if (protocol === 'ssh' && target.ssh !== undefined)
    return { host: target.ssh.host, port: target.ssh.port, noDelay: true, keepAlive: true }
  if (protocol === 'postgres' && target.postgres !== undefined) {
    const { host, port } = target.postgres
    return host.startsWith('/')
      ? { path: join(host, `.s.PGSQL.${port}`) }
      : { host, port, noDelay: true, keepAlive: true }
  }
  if (protocol === 'http' && target.http !== undefined) {
    const { hostname, port, protocol: scheme } = new URL(target.http.url)
    const host = hostname.replace(/^\[|\]$/g, '')
    return { host, port: port === '' ? (scheme === 'https:' ? 443 : 80) : Number(port), noDelay: true }
  }
  throw new Fault(`The target ${target.name} has no endpoint for ${protocol}.`)
}

function connected(socket: Socket, ended: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => done(new Error('it did not answer in time.')), CONNECT_MS)
    const abort = () =>
      done(ended.reason instanceof Refusal ? ended.reason : new Refusal('GRANT_ENDED', 'The session was ended.'))
    const done = (failure?: Error) => {
      clearTimeout(timer)
      ended.removeEventListener('abort', abort)
      socket.off('error', done)
      if (failure === undefined) {
        // Until the caller listens, a reset must not end the process.
        socket.on('error', () => undefined)
        resolve()
      } else reject(failure)
    }
    socket.once('connect', () => done())
    socket.on('error', done)
    if (ended.aborted) abort()
    else ended.addEventListener('abort', abort, { once: true })
  })
}

/** A sentence for a person: no address of the inside, no stack. */
function why(failure: unknown): string {
  const code = failure instanceof Error && 'code' in failure ? failure.code : undefined
  if (code === 'ECONNREFUSED') return 'nothing listens there.'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'its name is not known.'
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'there is no way to its network.'
  if (code === 'ENOENT') return 'its socket is not there.'
  return code === undefined && failure instanceof Error ? failure.message : 'the connection failed.'
}
