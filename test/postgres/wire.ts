/** A PostgreSQL client made of bytes, for what no real client would send. */
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { int32, readReport } from '../../gateway/postgres/message.ts'
import { sslRequest, startupMessage } from '../../gateway/postgres/startup.ts'
import type { Door } from './door.ts'

export type Message = { readonly type: string; readonly body: Buffer }

export async function tcp(door: Door): Promise<Socket> {
  const socket = connectTcp(door.port, '127.0.0.1')
  socket.on('error', () => undefined)
  await new Promise((resolve) => socket.once('connect', resolve))
  return socket
}

/** With TLS, by SSLRequest. */
export async function tls(
  door: Door,
  more: { readonly key?: string; readonly cert?: string; readonly session?: Buffer } = {},
): Promise<TLSSocket> {
  const socket = await tcp(door)
  socket.write(sslRequest())
  const [answer] = await new Promise<Buffer>((resolve) => socket.once('data', resolve))
  if (answer !== 0x53) throw new Error(`answer ${answer}`)
  const secure = connectTls({ socket, ca: door.tls.cert, servername: 'localhost', ...more })
  secure.on('error', () => undefined)
  await new Promise((resolve, reject) => {
    secure.once('secureConnect', () => resolve(undefined))
    secure.once('error', reject)
  })
  return secure
}

export const startup = (user: string, database: string, more: Readonly<Record<string, string>> = {}): Buffer =>
  startupMessage(new Map(Object.entries({ user, database, ...more })))

/** Reads messages until the peer closes, or one that is waited for has come. */
export class Reading {
  readonly messages: Message[] = []
  closed = false
  #bytes: Buffer = Buffer.alloc(0)
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk])
      while (this.#bytes.length >= 5) {
        const end = this.#bytes.readInt32BE(1) + 1
        if (this.#bytes.length < end) break
        this.messages.push({ type: String.fromCharCode(this.#bytes[0] ?? 0), body: this.#bytes.subarray(5, end) })
        this.#bytes = this.#bytes.subarray(end)
      }
      this.#wake()
    })
    for (const event of ['close', 'error', 'end'])
      socket.on(event, () => {
        this.closed = true
        this.#wake()
      })
  }

  get types(): string {
    return this.messages.map(({ type }) => type).join('')
  }

  /** Bytes that are no whole message. */
  get rest(): number {
    return this.#bytes.length
  }

  /** The nth message of this type; undefined once the peer has closed without it. */
  async next(type: string, nth = 1): Promise<Message | undefined> {
    for (;;) {
      const found = this.messages.filter((message) => message.type === type)[nth - 1]
      if (found !== undefined || this.closed) return found
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async end(): Promise<void> {
    while (!this.closed)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
  }

  /** Code and text of the nth error. */
  async error(nth = 1): Promise<string | undefined> {
    const found = await this.next('E', nth)
    if (found === undefined) return undefined
    const fields = readReport(found.body)
    return [fields.get('S'), fields.get('C'), fields.get('M'), fields.get('H')].filter(Boolean).join(' ')
  }
}

/** Signed in and ready. */
export async function session(
  door: Door,
  user = 'alice',
  database = 'prod-db',
): Promise<{ readonly socket: TLSSocket; readonly reading: Reading }> {
  const socket = await tls(door)
  const reading = new Reading(socket)
  socket.write(startup(user, database))
  if ((await reading.next('Z')) === undefined) throw new Error(`no session: ${await reading.error()}`)
  return { socket, reading }
}

export const cancelPacket = (processId: number, key: Buffer): Buffer =>
  Buffer.concat([int32(12 + key.length), int32(80877102), int32(processId), key])
