/** A small client for the gateway's own statements on a target: roles are made and dropped through it. */
import type { Duplex } from 'node:stream'
import { MalformedMessage } from '../model/refusal.ts'
import type { PostgresEndpoint } from '../model/target.ts'
import { cstring, FieldReader, message, readReport, TERMINATE } from './message.ts'
import { ByteReader } from './reader.ts'
import { type Login, logIn } from './upstream.ts'

/** The target refused one of our own statements. */
export class UpkeepError extends Error {
  override readonly name = 'UpkeepError'
  readonly code: string
  constructor(code: string, text: string) {
    super(`${code} ${text}`)
    this.code = code
  }
}

const MAX_ROW = 1024 * 1024

export type Row = readonly (string | null)[]

export class UpkeepClient {
  readonly #stream: Duplex
  readonly #reader: ByteReader
  readonly serverVersion: number
  #last: Promise<unknown> = Promise.resolve()

  private constructor(stream: Duplex, serverVersion: number) {
    this.#stream = stream
    this.#reader = new ByteReader(stream)
    this.serverVersion = serverVersion
    stream.resume()
  }

  static async open(line: Duplex, endpoint: PostgresEndpoint, login: Login): Promise<UpkeepClient> {
    const { stream, parameters } = await logIn(line, endpoint, login)
    return new UpkeepClient(stream, Number.parseInt(parameters.get('server_version') ?? '0', 10))
  }

  get isOpen(): boolean {
    return !this.#stream.destroyed
  }

  /** One after the other. @throws {UpkeepError} after which the connection is still good. */
  query(sql: string): Promise<readonly Row[]> {
    const run = this.#last.then(() => this.#query(sql))
    this.#last = run.catch(() => undefined)
    return run
  }

  async #query(sql: string): Promise<readonly Row[]> {
    this.#stream.write(message('Q', cstring(sql)))
    const rows: Row[] = []
    let failure: UpkeepError | undefined
    for (;;) {
      const { type, body } = await this.#reader.message(MAX_ROW)
      if (type === 'Z') break
      if (type === 'E') {
        const fields = readReport(body)
        failure ??= new UpkeepError(fields.get('C') ?? '', fields.get('M') ?? '')
      } else if (type === 'D') rows.push(readRow(body))
      else if (!'TCINSA'.includes(type)) throw new MalformedMessage(`message ${type} of the target`)
    }
    if (failure !== undefined) throw failure
    return rows
  }

  close(): void {
    if (!this.#stream.destroyed) this.#stream.end(TERMINATE)
    this.#stream.destroy()
  }
}

function readRow(body: Buffer): Row {
  const fields = new FieldReader(body)
  return Array.from({ length: fields.int16() }, () => fields.value()?.toString('utf8') ?? null)
}

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Safe under either setting of standard_conforming_strings. */
export const quoteText = (text: string): string =>
  text.includes('\\') ? ` E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'` : `'${text.replaceAll("'", "''")}'`
