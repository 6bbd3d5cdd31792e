/**
 * SQL in a browser: the page is a client of the same door as psql. Its statements go as messages of the protocol through
 * the same judge, recorder and relay; this is only the client at the other end.
 */
import { type Duplex, duplexPair } from 'node:stream'
import { Fault, MalformedMessage, Refusal } from '../../model/refusal.ts'
import type { Log } from '../../model/log.ts'
import type { Clock } from '../../model/moment.ts'
import { choiceText } from '../../model/target-name.ts'
import type { FromSqlPage, Session, SqlAsk, PageGuest, SqlWire } from '../../session/session.ts'
import type { Connection, ConnectionParts } from '../connection.ts'
import { cstring, message, readParameterStatus, readReport, TERMINATE } from '../message.ts'
import { ByteReader } from '../reader.ts'
import { type BackendMessage, BackendReader } from './backend-reader.ts'
import { PageRun } from './page-run.ts'

/** Batches that may be on the way to the page. */
const AHEAD = 8
/** How soon it is noticed that the browser has signed out. */
const LOOK_MS = 3_000
const COPY_FAIL = message('f', cstring('The console takes no COPY FROM STDIN: use psql.'))

export type PageSessionParts = {
  readonly wire: SqlWire
  readonly guest: PageGuest
  readonly ask: SqlAsk
  readonly clock: Clock
  readonly log: Log
  /** The gateway's own end of the connection. */
  readonly connect: (client: Pick<ConnectionParts, 'client' | 'address' | 'known'>) => Connection
  /** A CancelRequest. */
  readonly cancel: (processId: number, key: Buffer) => void
}

type Fields = ReadonlyMap<string, string>

export class PageSession {
  readonly #parts: PageSessionParts
  readonly #stream: Duplex
  readonly #serverSide: Duplex
  readonly #reader = new BackendReader()
  #session: Session | undefined
  #key: { readonly processId: number; readonly key: Buffer } | undefined
  #version = ''
  #isReady = false
  #run: { readonly page: PageRun; readonly startedAt: number } | undefined
  #onTheWay = 0
  #last: { readonly text: string; readonly next: string | undefined } | undefined
  #isOver = false

  constructor(parts: PageSessionParts) {
    this.#parts = parts
    const [mine, theirs] = duplexPair()
    this.#stream = mine
    this.#serverSide = theirs
  }

  /** Until the session is over. Never throws. */
  async run(): Promise<void> {
    const { wire, guest, ask, connect } = this.#parts
    const stream = this.#serverSide
    const leave = () => this.#stream.destroy()
    wire.onMessage((said) => this.#heard(said))
    wire.onClose(leave)
    this.#stream.on('data', (chunk: Buffer) => this.#answered(chunk))
    for (const end of [stream, this.#stream]) end.on('error', leave)
    // What ends one end of the pair ends the other: nobody waits for half a connection.
    this.#stream.once('close', () => stream.destroy())
    stream.once('close', () => this.#stream.destroy())
    const look = setInterval(() => void this.#stillThere(false), LOOK_MS)
    try {
      const connection = connect({
        client: {
          type: 'client',
          stream,
          reader: new ByteReader(stream),
          parameters: parametersOf(guest, ask),
          secure: undefined,
        },
        address: guest.address,
        known: { identity: guest.identity, passkey: ask.passkey, opened: (session) => (this.#session = session) },
      })
      await connection.run()
      this.#end(this.#last ?? { text: 'The session is over.', next: undefined })
    } catch (failure) {
      this.#failed(failure)
    } finally {
      clearInterval(look)
      stream.destroy()
      wire.close()
    }
  }

  #failed(failure: unknown): void {
    const { wire, log } = this.#parts
    if (failure instanceof Refusal) {
      const { code, message: text, next } = failure
      if (this.#session === undefined && !this.#isOver) return wire.send({ kind: 'refused', code, text, next })
      return this.#end({ text, next })
    }
    if (this.#stream.destroyed) return undefined
    const { reference } = failure instanceof Fault ? failure : new Fault('', { cause: failure })
    log({
      level: 'error',
      room: 'postgres',
      message: 'a page lost its session',
      error: failure,
      details: { reference },
    })
    return this.#end({ text: `The gateway could not do this (reference ${reference}).`, next: undefined })
  }

  #end(why: { readonly text: string; readonly next: string | undefined }): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#parts.wire.send({ kind: 'ended', ...why })
  }

  #heard(said: FromSqlPage): void {
    switch (said.kind) {
      case 'run':
        void this.#start(said)
        return undefined
      case 'taken':
        this.#onTheWay = Math.max(0, this.#onTheWay - said.batches)
        if (this.#onTheWay < AHEAD) this.#stream.resume()
        return undefined
      case 'cancel':
        return this.#cancel()
    }
    return said satisfies never
  }

  async #start({ id, sql, form }: Extract<FromSqlPage, { kind: 'run' }>): Promise<void> {
    const { wire, clock } = this.#parts
    const no = (code: string, text: string) => {
      wire.send({ kind: 'error', id, code, text, detail: undefined, hint: undefined, position: undefined })
      wire.send({ kind: 'done', id, status: 'I', isCut: false, ms: 0 })
    }
    const session = this.#session
    if (!this.#isReady || session === undefined || this.#run !== undefined)
      return no('55000', 'Another statement is running here.')
    if (sql.includes('\0')) return no('22021', 'A statement cannot hold a NUL.')
    const { downloadRows = 0 } = session.admission.role.postgres
    if (form !== 'rows' && downloadRows === 0)
      return no('42501', `Role ${session.admission.role.name} does not let results be taken as a file.`)
    const page = new PageRun({
      id,
      form,
      downloadRows,
      send: (toPage) => wire.send(toPage),
      enough: () => this.#cancel(),
    })
    this.#run = { page, startedAt: clock.now() }
    if (!(await this.#stillThere(true))) return undefined
    try {
      if (form !== 'rows') session.recording.take('m', `The result of the next statement is taken as a file (${form}).`)
    } catch {
      this.#run = undefined
      return no('58030', 'What cannot be recorded does not run.')
    }
    this.#stream.write(message('Q', cstring(sql)))
    return undefined
  }

  #cancel(): void {
    if (this.#run !== undefined && this.#key !== undefined) this.#parts.cancel(this.#key.processId, this.#key.key)
  }

  /** A browser that has signed out has no session any more. */
  async #stillThere(isActive: boolean): Promise<boolean> {
    const { guest } = this.#parts
    const who = await guest.still(isActive).catch((failure: unknown) => {
      this.#last = failure instanceof Refusal ? { text: failure.message, next: failure.next } : undefined
      return undefined
    })
    if (who?.subject === guest.identity.subject) return true
    this.#end(this.#last ?? { text: 'You signed out, or your sign-in is over.', next: 'Sign in again.' })
    this.#stream.destroy()
    return false
  }

  #answered(chunk: Buffer): void {
    try {
      for (const answer of this.#reader.push(chunk)) this.#take(answer)
    } catch (failure) {
      if (!(failure instanceof MalformedMessage)) throw failure
      this.#end({ text: failure.message, next: 'Open the console again, and select less.' })
      this.#stream.destroy()
    }
    this.#onTheWay += this.#run?.page.sent() ?? 0
    if (this.#onTheWay >= AHEAD) this.#stream.pause()
  }

  #take({ type, body }: BackendMessage): void {
    const { wire } = this.#parts
    const page = this.#run?.page
    switch (type) {
      case 'T':
        return page?.columns(body)
      case 'D':
        return page?.row(body)
      case 'C':
        return page?.complete(body.toString('utf8', 0, body.length - 1))
      case 'G':
        this.#stream.write(COPY_FAIL)
        return undefined
      case 'E':
        return this.#error(readReport(body))
      case 'N': {
        const fields = readReport(body)
        return wire.send({ kind: 'notice', text: fields.get('M') ?? '', hint: fields.get('H') })
      }
      case 'S': {
        const [name, value] = readParameterStatus(body)
        if (name === 'server_version') this.#version = value
        return undefined
      }
      case 'K':
        this.#key = { processId: body.readInt32BE(0), key: Buffer.from(body.subarray(4)) }
        return undefined
      case 'Z':
        return this.#ready(statusOf(body))
    }
    return undefined
  }

  #error(fields: Fields): void {
    const [text = '', code = '', hint, detail] = ['M', 'C', 'H', 'D'].map((name) => fields.get(name))
    this.#run?.page.flush()
    if (fields.get('V') === 'FATAL') {
      this.#last = { text, next: hint }
      return
    }
    const position = Number(fields.get('P') ?? Number.NaN)
    const id = this.#run?.page.id ?? 0
    const at = Number.isSafeInteger(position) ? position : undefined
    this.#parts.wire.send({ kind: 'error', id, code, text, detail, hint, position: at })
  }

  #ready(status: 'I' | 'T' | 'E'): void {
    const { wire, clock } = this.#parts
    const run = this.#run
    this.#run = undefined
    if (run !== undefined) {
      const { id, isCut } = run.page
      // The next run begins with nothing on the way: what the page still takes of this one is not counted.
      this.#onTheWay = 0
      wire.send({ kind: 'done', id, status, isCut, ms: clock.now() - run.startedAt })
    } else if (!this.#isReady) this.#opened()
    this.#isReady = true
  }

  #opened(): void {
    const session = this.#session
    if (session === undefined) return
    const { grant, role, target } = session.admission
    this.#parts.wire.send({
      kind: 'opened',
      grant: grant.id,
      role: role.name,
      expiresAt: grant.expiresAt,
      database: this.#parts.ask.database ?? target.postgres?.database ?? '',
      version: this.#version,
      isReadOnly: role.postgres.mode === 'read-only',
      downloadRows: role.postgres.downloadRows ?? 0,
    })
  }

  /** The gateway is about to stop. */
  leave(): void {
    this.#stream.write(TERMINATE)
  }
}

const statusOf = (body: Buffer): 'I' | 'T' | 'E' => {
  const status = String.fromCharCode(body[0] ?? 0)
  return status === 'T' || status === 'E' ? status : 'I'
}

/** What psql would say of itself. */
function parametersOf(
  { identity, browser }: PageGuest,
  { target, under, database }: SqlAsk,
): ReadonlyMap<string, string> {
  const name = `${target}${under === undefined ? '' : `%${choiceText(under)}`}${database === undefined ? '' : `/${database}`}`
  return new Map([
    ['user', identity.username],
    ['database', name],
    ['application_name', `console ${browser}`.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 63)],
    ['client_encoding', 'UTF8'],
    ['datestyle', 'ISO, YMD'],
  ])
}
