/** Our client side towards a target: TLS with CA verification, SCRAM-SHA-256 and nothing weaker, then the server's greeting. */
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect, TLSSocket } from 'node:tls'
import { MalformedMessage, Refusal } from '../model/refusal.ts'
import type { PostgresEndpoint } from '../model/target.ts'
import { cstring, int32, message, readParameterStatus, readReport } from './message.ts'
import { ByteReader } from './reader.ts'
import { ScramClient } from './scram.ts'
import { cancelRequest, sslRequest, startupMessage } from './startup.ts'

export type Login = {
  readonly username: string
  readonly password: string
  readonly database: string
  /** Further start-up parameters. */
  readonly parameters: ReadonlyMap<string, string>
}

export type Upstream = {
  readonly stream: Duplex
  /** As the server reported them last, as far as somebody listens. */
  readonly parameters: Map<string, string>
  readonly processId: number
  readonly key: Buffer
  /** What the server sent after its first ReadyForQuery. */
  readonly ahead: Buffer
}

/** A target that does not say who it is within this time is not reachable. */
const LOGIN_MS = 15_000
const MAX_LOGIN_MESSAGE = 64 * 1024
/** A greeting is some twenty parameters. */
const MAX_LOGIN_MESSAGES = 500

/**
 * Takes a fresh line to the target through TLS and login. The line is destroyed when that fails.
 *
 * @throws {Refusal} TARGET_UNREACHABLE, with the cause; the target's own refusal is told in its words.
 */
export async function logIn(line: Duplex, endpoint: PostgresEndpoint, login: Login): Promise<Upstream> {
  const stop = setTimeout(() => line.destroy(), LOGIN_MS)
  try {
    const stream = await secure(line, endpoint)
    return await greet(stream, login)
  } catch (failure) {
    line.destroy()
    if (failure instanceof Refusal) throw failure
    throw new Refusal('TARGET_UNREACHABLE', 'The target does not answer as a PostgreSQL server should.', {
      cause: failure,
    })
  } finally {
    clearTimeout(stop)
  }
}

/** Asks the target to cancel what the connection with this key is doing. Closes the line. Never throws. */
export async function cancelOn(
  line: Duplex,
  endpoint: PostgresEndpoint,
  processId: number,
  key: Buffer,
): Promise<void> {
  const stop = setTimeout(() => line.destroy(), LOGIN_MS)
  try {
    const stream = await secure(line, endpoint)
    await new Promise<void>((resolve) => {
      stream.once('close', resolve)
      stream.once('error', () => resolve())
      stream.end(cancelRequest(processId, key))
      stream.resume()
    })
  } catch {
    // The query goes on; its session is ended by other means.
  } finally {
    clearTimeout(stop)
    line.destroy()
  }
}

async function secure(line: Duplex, endpoint: PostgresEndpoint): Promise<Duplex> {
  line.on('error', () => undefined)
  const { tls } = endpoint
  if (tls.mode === 'off') return line
  const reader = new ByteReader(line)
  line.write(sslRequest())
  const answer = (await reader.take(1))[0]
  if (reader.ahead > 0) throw new MalformedMessage('bytes before TLS')
  reader.release()
  if (answer !== 0x53) throw new MalformedMessage('the target refuses TLS')
  const servername = tls.serverName ?? endpoint.host
  const socket = connect({
    socket: line,
    ...(isIP(servername) ? { host: servername } : { servername, host: servername }),
    // Whoever names a CA means that one, also where it is not the root.
    ...(tls.ca === undefined ? {} : { ca: tls.ca, allowPartialTrustChain: true }),
    ALPNProtocols: ['postgresql'],
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  })
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed during the TLS handshake')))
  })
  socket.on('error', () => undefined)
  return socket
}

async function greet(stream: Duplex, login: Login): Promise<Upstream> {
  const reader = new ByteReader(stream)
  const identity = new Map([
    ['user', login.username],
    ['database', login.database],
  ])
  stream.write(startupMessage(new Map([...identity, ...login.parameters])))
  const parameters = new Map<string, string>()
  const authentication = new Authentication(stream, login.password)
  let processId = 0
  let key: Buffer = Buffer.alloc(0)
  for (let count = 0; count < MAX_LOGIN_MESSAGES; count++) {
    const { type, body } = await reader.message(MAX_LOGIN_MESSAGE)
    if (type === 'E') throw told(readReport(body))
    if (type === 'N') continue
    if (type === 'R') {
      await authentication.answer(body)
      continue
    }
    if (!authentication.done) throw new MalformedMessage(`message ${type} before the login`)
    if (type === 'S') parameters.set(...readParameterStatus(body))
    else if (type === 'K') {
      if (body.length < 8 || body.length > 260) throw new MalformedMessage('cancel key')
      processId = body.readInt32BE(0)
      key = Buffer.from(body.subarray(4))
    } else if (type === 'Z') return { stream, parameters, processId, key, ahead: reader.release() }
    else throw new MalformedMessage(`message ${type} during the login`)
  }
  throw new MalformedMessage('a greeting without an end')
}

/** Server-side reasons are for the person: a full server, a database that is not there. The secret is in none of them. */
function told(fields: ReadonlyMap<string, string>): Refusal {
  const text = fields.get('M') ?? 'no reason given'
  return new Refusal('TARGET_UNREACHABLE', `The target says: ${text}`, { cause: fields.get('C') })
}

/** The login's conversation. Only SCRAM proves both sides to each other; whatever else is asked for ends it. */
class Authentication {
  readonly #stream: Duplex
  readonly #password: string
  #scram: ScramClient | undefined
  #verified = false
  done = false

  constructor(stream: Duplex, password: string) {
    this.#stream = stream
    this.#password = password
  }

  async answer(body: Buffer): Promise<void> {
    const kind = body.length < 4 ? -1 : body.readInt32BE(0)
    const data = body.toString('utf8', 4)
    if (kind === 10 && this.#scram === undefined) {
      const certificate = this.#stream instanceof TLSSocket ? this.#stream.getPeerCertificate().raw : undefined
      this.#scram = new ScramClient(data.split('\0').filter(Boolean), certificate)
      const first = Buffer.from(this.#scram.first())
      this.#stream.write(message('p', cstring(this.#scram.mechanism), int32(first.length), first))
    } else if (kind === 11 && this.#scram !== undefined)
      this.#stream.write(message('p', Buffer.from(await this.#scram.final(data, this.#password))))
    else if (kind === 12 && this.#scram !== undefined) {
      this.#scram.verify(data)
      this.#verified = true
    } else if (kind === 0 && this.#verified) this.done = true
    else throw new MalformedMessage(`authentication method ${kind} of the target is not safe`)
  }
}
