/** A PostgreSQL client that sends exactly the messages of a case, and keeps every answer. */
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { cstring, FieldReader, int16, int32, message, readReport } from '../../gateway/postgres/message.ts'
import { startupMessage } from '../../gateway/postgres/startup.ts'
import { logIn } from '../../gateway/postgres/upstream.ts'

export type Answer = { readonly type: string; readonly body: Buffer }

/** As the corpus writes them: `["P", "name", "sql"]` (and types, by name, if need be), `["B", "portal", "statement", ["1"]]` (and `"binary"`, for the results), `["S"]`… */
export type Step = readonly [string, ...(string | readonly string[])[]]

/** The number of a function, given with its argument types, or of a type. */
export type OidOf = (name: string) => Promise<number>

export type Login = {
  readonly port: number
  readonly user: string
  readonly password: string
  readonly database: string
  readonly startup: Readonly<Record<string, string>>
}

const text = (part: string | readonly string[] | undefined): string => (typeof part === 'string' ? part : '')
const texts = (part: string | readonly string[] | undefined): readonly string[] => (Array.isArray(part) ? part : [])
const values = (parts: readonly string[]): Buffer =>
  Buffer.concat([int16(parts.length), ...parts.flatMap((p) => [int32(Buffer.byteLength(p)), Buffer.from(p)])])
const numbers = async (names: readonly string[], oid: OidOf | undefined): Promise<Buffer> =>
  Buffer.concat([int16(names.length), ...(await Promise.all(names.map(async (n) => int32((await oid?.(n)) ?? 0))))])
const resultFormats = (format: Step[number] | undefined): Buffer =>
  format === 'binary' ? Buffer.concat([int16(1), int16(1)]) : int16(0)
/** Without the builder's guard: a NUL in the text is what some cases are about. */
const raw = (words: string): Buffer => Buffer.from(`${words}\0`)

async function tcp(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  socket.on('error', () => undefined)
  return socket
}

export class SqlClient {
  readonly #stream: Duplex
  #answers: Answer[] = []
  #bytes: Buffer
  #wake: () => void = () => undefined
  closed = false

  private constructor(stream: Duplex, ahead: Buffer = Buffer.alloc(0)) {
    this.#stream = stream
    this.#bytes = ahead
    stream.on('data', (chunk: Buffer) => {
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
      this.#wake()
    })
    for (const event of ['close', 'end', 'error'])
      stream.on(event, () => {
        this.closed = true
        this.#wake()
      })
    stream.resume()
  }

  /** To the server itself. @throws when it does not let us in. */
  static async direct({ port, user, password, database, startup }: Login): Promise<SqlClient> {
    const endpoint = {
      host: '127.0.0.1',
      port,
      database,
      tls: { mode: 'off' },
      credential: { kind: 'static', username: user, password },
    } as const
    const parameters = new Map(Object.entries({ client_encoding: 'UTF8', ...startup }))
    const { stream, ahead } = await logIn(await tcp(port), endpoint, { username: user, password, database, parameters })
    return new SqlClient(stream, ahead)
  }

  /** To the gateway, signed in by a browser of ours. The answers show whether it let us in. */
  static async gateway(
    port: number,
    parameters: Readonly<Record<string, string>>,
  ): Promise<{ readonly client: SqlClient; readonly answers: readonly Answer[] }> {
    const socket = await tcp(port)
    const client = new SqlClient(socket)
    socket.write(startupMessage(new Map(Object.entries(parameters))))
    return { client, answers: await client.#untilReady() }
  }

  query(sql: string, data?: string): Promise<readonly Answer[]> {
    return this.run([['Q', sql], ...(data === undefined ? [] : ([['d', data], ['c']] as const))], undefined)
  }

  /** @param oid numbers of the functions that `F` names, and of the types that `P` declares. */
  async run(steps: readonly Step[], oid: OidOf | undefined): Promise<readonly Answer[]> {
    const answers: Answer[] = []
    let isOpen = false
    for (const [at, step] of steps.entries()) {
      if (this.closed) break
      this.#stream.write(await encode(step, oid))
      const [kind] = step
      isOpen = 'PBEDC'.includes(kind)
      const takesData = kind === 'Q' && steps[at + 1]?.[0] === 'd'
      if ((kind === 'Q' && !takesData) || kind === 'S' || kind === 'F') answers.push(...(await this.#untilReady()))
      else if (takesData) answers.push(...(await this.#untilReady('G')))
      else if (kind === 'c' && answers.at(-1)?.type === 'G') answers.push(...(await this.#untilReady()))
    }
    if (isOpen && !this.closed) {
      this.#stream.write(message('S'))
      answers.push(...(await this.#untilReady()))
    }
    return answers
  }

  close(): void {
    if (!this.closed) this.#stream.end(message('X'))
    this.#stream.destroy()
  }

  async #untilReady(or = 'Z'): Promise<readonly Answer[]> {
    const deadline = setTimeout(() => this.#stream.destroy(), 30_000)
    for (;;) {
      while (this.#bytes.length >= 5) {
        const end = this.#bytes.readInt32BE(1) + 1
        if (this.#bytes.length < end) break
        const type = String.fromCharCode(this.#bytes[0] ?? 0)
        this.#answers.push({ type, body: this.#bytes.subarray(5, end) })
        this.#bytes = this.#bytes.subarray(end)
        if (type === 'Z' || type === or) return this.#taken(deadline)
      }
      if (this.closed) return this.#taken(deadline)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #taken(deadline: NodeJS.Timeout): readonly Answer[] {
    clearTimeout(deadline)
    const answers = this.#answers
    this.#answers = []
    return answers
  }
}

async function encode(step: Step, oid: OidOf | undefined): Promise<Buffer> {
  const [kind, first, second, third, fourth] = step
  switch (kind) {
    case 'Q':
      return message('Q', raw(text(first)))
    case 'P':
      return message('P', cstring(text(first)), raw(text(second)), await numbers(texts(third), oid))
    case 'B':
      return message(
        'B',
        cstring(text(first)),
        cstring(text(second)),
        int16(0),
        values(texts(third)),
        resultFormats(fourth),
      )
    case 'E':
      return message('E', cstring(text(first)), int32(0))
    case 'F':
      return message('F', int32((await oid?.(text(first))) ?? 0), int16(0), values(texts(second)), int16(0))
    case 'D':
    case 'C':
      return message(kind, Buffer.from(text(first)), cstring(text(second)))
    case 'd':
      return message('d', Buffer.from(text(first)))
    case 'S':
    case 'H':
    case 'c':
      return message(kind)
    default:
      throw new Error(`message ${kind} of a case`)
  }
}

/** A server's own errors say where in its source they arose; the gateway's do not. */
export const refusals = (answers: readonly Answer[]): readonly string[] =>
  answers.flatMap(({ type, body }) => {
    if (type !== 'E') return []
    const fields = readReport(body)
    return fields.has('R') ? [] : [fields.get('M') ?? '']
  })

/** What a client can tell of the answers: columns, rows, tags, SQLSTATEs. */
export const told = (answers: readonly Answer[], withRows = true): string =>
  answers
    .flatMap(({ type, body }) => {
      if (type === 'C') return [withRows ? `C ${body.toString()}` : `C ${body.toString().split(' ')[0] ?? ''}`]
      if (type === 'E') return [`E ${readReport(body).get('C')}`]
      if (type === 'D' || type === 'd') return withRows ? [`${type} ${body.toString('latin1')}`] : []
      if (type === 'T') return [`T ${columns(body).join()}`]
      return 'I12s3nGHcVZ'.includes(type) ? [`${type} ${type === 'Z' ? body.toString() : ''}`] : []
    })
    .join('\n')

function columns(body: Buffer): readonly string[] {
  const fields = new FieldReader(body)
  return Array.from({ length: fields.int16() }, () => {
    const name = fields.string()
    fields.take(6)
    const type = fields.int32()
    fields.take(8)
    return `${name}:${type}`
  })
}
