/**
 * Follows PostgreSQL v3 backend messages by their headers and lets the bytes go on as they came.
 * Bodies are looked at only where somebody asked; a row costs a few nanoseconds.
 */
import { MalformedMessage } from '../model/refusal.ts'

export type BackendTaker = {
  /** A message of a wanted type has passed. `body` holds its first {@link MAX_BODY} bytes. */
  readonly message: (type: number, body: Buffer) => void
  /** A whole message of a held type; what is returned goes on instead, if it is anything. */
  readonly held: (type: number, bytes: Buffer) => Buffer
  /**
   * A stretch of DataRow and CopyData messages has passed, headers included: how many began in it, how many bytes it has,
   * and the bytes themselves, a view of the chunk, while {@link BackendScanner.watchRows} is on. Before the message that follows them.
   */
  readonly rows: (count: number, size: number, bytes: Buffer | undefined) => void
}

/** Enough of an error text or a command tag to record it. */
export const MAX_BODY = 64 * 1024
/** A held message is kept whole; no error message of a server comes near this. */
const MAX_HELD = 16 * 1024 * 1024

const PASSES = 1
const NOTIFIES = 2
const COLLECTS = 3
const HOLDS = 4

const DATA_ROW = 0x44
const COPY_DATA = 0x64
const READY = 0x5a
const NOTHING = Buffer.alloc(0)
/** The bodies of ReadyForQuery; there is one for every statement. */
const STATUSES = Array.from({ length: 256 }, (_, status) => Buffer.from([status]))

function plan(): Uint8Array {
  const types = new Uint8Array(256)
  const set = (letters: string, how: number) => {
    for (const letter of letters) types[letter.charCodeAt(0)] = how
  }
  // Whatever is not named here cannot come from a server after the login: CopyBoth is for replication.
  set('AcdDHNtV', PASSES)
  set('123InsGT', NOTIFIES)
  set('CESZ', COLLECTS)
  return types
}

/** One per connection. Not to be fed again after it threw. */
export class BackendScanner {
  readonly #taker: BackendTaker
  readonly #types = plan()
  readonly #header = Buffer.alloc(5)
  #headerBytes = 0
  /** Of the message that is passing: its type, what is still to come of its body, how it is treated. */
  #type = 0
  #left = 0
  #how = PASSES
  #body: Buffer[] = []
  #collected = 0
  /** Of the chunk that is passing: where its rows began, and how many; -1 when none are passing. */
  #rowsFrom = -1
  #rows = 0
  watchRows = false

  constructor(taker: BackendTaker) {
    this.#taker = taker
  }

  /** Bytes of a message under way that were not handed on yet; at 0 something may be said in between. */
  get left(): number {
    return this.#how === HOLDS ? 0 : this.#left
  }

  /** From now on ErrorResponses are held whole and may be replaced. */
  holdErrors(on: boolean): void {
    this.#types[0x45] = on ? HOLDS : COLLECTS
  }

  /** From now on ReadyForQuery is held, too. */
  holdReady(on: boolean): void {
    this.#types[READY] = on ? HOLDS : COLLECTS
  }

  /** From now on RowDescriptions are told with their bodies. */
  describeRows(): void {
    this.#types[0x54] = COLLECTS
  }

  /**
   * @returns the bytes to hand on: mostly the chunk itself. A header that is not whole is kept back until it is.
   * @throws {MalformedMessage}
   */
  push(chunk: Buffer): readonly Buffer[] {
    const pieces: Buffer[] = []
    const size = chunk.length
    let from = 0
    let at = 0
    this.#rowsFrom = -1
    while (at < size) {
      if (this.#left > 0) {
        const take = this.#left < size - at ? this.#left : size - at
        if (isRow(this.#type) && this.#rowsFrom < 0) this.#rowsFrom = at
        if (this.#how >= COLLECTS) this.#collect(chunk, at, at + take)
        at += take
        this.#left -= take
        if (this.#how === HOLDS) from = at
        if (this.#left === 0) this.#whole(pieces)
        continue
      }
      let start = at
      if (this.#headerBytes === 0 && size - at >= 5) {
        this.#begin(
          chunk[at] ?? 0,
          ((chunk[at + 1] ?? 0) << 24) |
            ((chunk[at + 2] ?? 0) << 16) |
            ((chunk[at + 3] ?? 0) << 8) |
            (chunk[at + 4] ?? 0),
        )
        at += 5
      } else {
        if (this.#headerBytes === 0) {
          this.#endRows(chunk, at)
          if (at > from) pieces.push(chunk.subarray(from, at))
        }
        while (this.#headerBytes < 5 && at < size) {
          this.#header[this.#headerBytes] = chunk[at] ?? 0
          this.#headerBytes += 1
          at += 1
        }
        from = at
        if (this.#headerBytes < 5) break
        this.#headerBytes = 0
        this.#begin(this.#header[0] ?? 0, this.#header.readInt32BE(1))
        start = at
        const header = Buffer.from(this.#header)
        if (this.#how !== HOLDS) pieces.push(header)
        if (isRow(this.#type)) this.#taker.rows(0, 5, this.watchRows ? header : undefined)
      }
      if (isRow(this.#type)) {
        this.#rows += 1
        if (this.#rowsFrom < 0) this.#rowsFrom = start
      } else this.#endRows(chunk, start)
      if (this.#how === HOLDS) {
        if (start > from) pieces.push(chunk.subarray(from, start))
        from = at
      }
      if (this.#left === 0) this.#whole(pieces)
    }
    this.#endRows(chunk, at)
    if (at > from) pieces.push(from === 0 && at === size ? chunk : chunk.subarray(from, at))
    return pieces
  }

  #endRows(chunk: Buffer, end: number): void {
    const from = this.#rowsFrom
    if (from < 0) return
    const count = this.#rows
    this.#rowsFrom = -1
    this.#rows = 0
    this.#taker.rows(count, end - from, this.watchRows ? chunk.subarray(from, end) : undefined)
  }

  #begin(type: number, length: number): void {
    const how = this.#types[type] ?? 0
    if (how === 0) throw new MalformedMessage(`message type ${type} from the server`)
    if (length < 4 || (type === 0x5a && length !== 5)) throw new MalformedMessage(`message length ${length}`)
    if (how === HOLDS && length > MAX_HELD) throw new MalformedMessage(`message length ${length}`)
    this.#type = type
    this.#left = length - 4
    this.#how = how
    if (how !== HOLDS) return
    const header = Buffer.allocUnsafe(5)
    header[0] = type
    header.writeInt32BE(length, 1)
    this.#body.push(header)
  }

  #collect(chunk: Buffer, from: number, end: number): void {
    if (this.#type === READY) {
      this.#body.push(STATUSES[chunk[from] ?? 0] ?? NOTHING)
      return
    }
    const room = this.#how === HOLDS ? end - from : MAX_BODY - this.#collected
    if (room <= 0) return
    const kept = chunk.subarray(from, end - from > room ? from + room : end)
    // The rest comes with another chunk, and the memory of this one may be somebody else's then.
    this.#body.push(end - from < this.#left ? Buffer.from(kept) : kept)
    this.#collected += kept.length
  }

  #whole(pieces: Buffer[]): void {
    const how = this.#how
    if (how === PASSES) return
    this.#how = PASSES
    if (how === NOTIFIES) {
      this.#taker.message(this.#type, NOTHING)
      return
    }
    const [only] = this.#body
    const body = this.#body.length === 1 && only !== undefined ? only : Buffer.concat(this.#body)
    this.#body.length = 0
    this.#collected = 0
    if (how === HOLDS) {
      const instead = this.#taker.held(this.#type, body)
      if (instead.length > 0) pieces.push(instead)
    } else this.#taker.message(this.#type, body)
  }
}

const isRow = (type: number): boolean => type === DATA_ROW || type === COPY_DATA
