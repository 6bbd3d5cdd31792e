/** A page's line to one shell: it comes back by itself after a lost network, and neither input nor output is lost or doubled. */
import type {
  FromPage,
  INPUT_WINDOW,
  TERMINAL_PATH,
  TerminalHello,
  ToPage,
} from '../../../gateway/portal/schema/terminal.ts'

const path: typeof TERMINAL_PATH = '/api/v1/terminal'
const inputWindow: typeof INPUT_WINDOW = 131_072
const PIECE = 32 * 1024
/** For so long the gateway keeps a shell whose page is away. */
const AWAY_MS = 120_000
/** Longer than that nobody asks: the gateway has said by then that the shell is gone, or is gone itself. */
const GIVE_UP_MS = 180_000
const BEAT_MS = 5_000
const SILENT_MS = 13_000
const RETRY_MS: readonly number[] = [0, 500, 1_000, 2_000, 3_000]
const DRAWN_EVERY = 32 * 1024
const DRAWN_MS = 100

export type Size = { readonly columns: number; readonly rows: number }

export type LineState =
  | { readonly kind: 'opening' }
  | { readonly kind: 'open' }
  | { readonly kind: 'lost'; readonly until: number }
  /** Another window has it. */
  | { readonly kind: 'moved' }
  /** Nothing was opened; `OFFLINE`: nobody answered. */
  | { readonly kind: 'refused'; readonly code: string; readonly text: string; readonly next: string | null }
  | { readonly kind: 'ended'; readonly cause: string; readonly text: string; readonly exitCode: number | null }

/** What is known of the grant behind the shell. */
export type Held = { readonly grant: string; readonly role: string; readonly expiresAt: string }

export type LineParts = {
  readonly target: string
  readonly under: string | undefined
  /** For a touch of a passkey. */
  readonly confirmation: string | undefined
  /** Brings this browser back to a shell that it has. */
  readonly shell: string | undefined
  readonly csrf: () => string
  readonly size: () => Size
  /** `isOld`: it was on a screen before, and nothing in it is answered again. Call `drawn` once it is on this one. */
  readonly output: (bytes: Uint8Array, isOld: boolean, drawn: () => void) => void
  readonly notice: (text: string) => void
  readonly changed: () => void
  /** The gateway did not let the line in. */
  readonly turnedAway: () => void
}

export class Line {
  readonly #parts: LineParts
  #socket: WebSocket | undefined
  #state: LineState = { kind: 'opening' }
  #held: Held | undefined
  #shell: string | undefined
  /** Position behind the last output that came; undefined: none has. */
  #position: number | undefined
  #old = 0
  #drawn = 0
  #told = 0
  #tellLater: ReturnType<typeof setTimeout> | undefined
  /** Input from position `#base` on: what the gateway has not passed on yet, and what has not been sent. */
  #input: Uint8Array[] = []
  #base = 0
  #sent = 0
  #end = 0
  #lostAt = 0
  #tries = 0
  #retry: ReturnType<typeof setTimeout> | undefined
  #beat: ReturnType<typeof setInterval> | undefined
  #heardAt = 0

  constructor(parts: LineParts) {
    this.#parts = parts
    this.#shell = parts.shell
    addEventListener('offline', this.#offline)
    addEventListener('online', this.#online)
    this.#connect()
  }

  get state(): LineState {
    return this.#state
  }

  get held(): Held | undefined {
    return this.#held
  }

  /** A secret of this browser's. */
  get shell(): string | undefined {
    return this.#shell
  }

  /** Bytes that wait to be passed on. */
  get waiting(): number {
    return this.#end - this.#base
  }

  /** Does nothing while the line is away: nobody types into what they cannot see. */
  type(bytes: Uint8Array): void {
    if (this.#state.kind !== 'open') return
    this.#input.push(bytes)
    this.#end += bytes.length
    this.#pump()
  }

  resize({ columns, rows }: Size): void {
    this.#say({ kind: 'resize', columns, rows })
  }

  /** Not later, now. */
  hurry(): void {
    if (this.#state.kind !== 'lost') return
    clearTimeout(this.#retry)
    this.#connect()
  }

  /** Takes the shell back from another window. */
  bringBack(): void {
    if (this.#state.kind !== 'moved') return
    this.#become({ kind: 'opening' })
    this.#connect()
  }

  /** The person is done with it: nothing is kept. */
  leave(): void {
    this.#say({ kind: 'leave' })
    this.dispose()
  }

  /** The shell stays, for as long as the gateway keeps it. */
  dispose(): void {
    this.#forget()
    removeEventListener('offline', this.#offline)
    removeEventListener('online', this.#online)
    clearTimeout(this.#retry)
    clearTimeout(this.#tellLater)
  }

  readonly #offline = (): void => {
    if (this.#state.kind === 'open') this.#lost()
  }
  readonly #online = (): void => this.hurry()

  #become(state: LineState): void {
    this.#state = state
    this.#parts.changed()
  }

  #connect(): void {
    this.#forget()
    const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}${path}`)
    socket.binaryType = 'arraybuffer'
    this.#socket = socket
    const mine = (listener: (event: MessageEvent) => void) => (event: Event) => {
      if (this.#socket === socket) listener(event as MessageEvent)
    }
    let wasOpen = false
    socket.addEventListener(
      'open',
      mine(() => {
        wasOpen = true
        socket.send(JSON.stringify(this.#hello()))
      }),
    )
    socket.addEventListener(
      'message',
      mine(({ data }) => {
        this.#heardAt = performance.now()
        if (data instanceof ArrayBuffer) this.#output(new Uint8Array(data))
        else this.#heard(JSON.parse(String(data)) as ToPage)
      }),
    )
    socket.addEventListener(
      'close',
      mine(() => {
        if (!wasOpen) this.#parts.turnedAway()
        this.#lost()
      }),
    )
    this.#heardAt = performance.now()
    this.#beat = setInterval(() => {
      if (performance.now() - this.#heardAt > SILENT_MS) this.#lost()
      else if (socket.readyState === WebSocket.OPEN) socket.send('{"kind":"beat"}')
    }, BEAT_MS)
  }

  #hello(): TerminalHello {
    const { confirmation, csrf, size, target, under } = this.#parts
    const { columns, rows } = size()
    const token = csrf()
    if (this.#shell === undefined)
      return {
        kind: 'open',
        csrf: token,
        target,
        ...(under === undefined ? {} : { under }),
        ...(confirmation === undefined ? {} : { confirmation }),
        columns,
        rows,
      }
    const from = this.#position
    return {
      kind: 'back',
      csrf: token,
      shell: this.#shell,
      ...(from === undefined ? {} : { from }),
      columns,
      rows,
    }
  }

  #output(bytes: Uint8Array): void {
    const from = this.#position ?? 0
    this.#position = from + bytes.length
    const old = Math.min(Math.max(this.#old - from, 0), bytes.length)
    for (const [part, isOld] of [
      [bytes.subarray(0, old), true],
      [bytes.subarray(old), false],
    ] as const)
      if (part.length > 0) {
        const end = from + (isOld ? old : bytes.length)
        this.#parts.output(part, isOld, () => this.#noteDrawn(end))
      }
  }

  #heard(message: ToPage): void {
    switch (message.kind) {
      case 'opened':
        return this.#opened(message)
      case 'taken':
        this.#taken(message.bytes)
        return this.#pump()
      case 'notice':
        if (message.expiresAt !== null && this.#held !== undefined)
          this.#held = { ...this.#held, expiresAt: message.expiresAt }
        this.#parts.notice(message.text)
        return this.#parts.changed()
      case 'moved':
        return this.#stop(message)
      case 'ended':
        this.#shell = undefined
        return this.#stop(message)
      case 'refused':
        this.#shell = undefined
        return this.#stop(
          this.#held === undefined && this.#parts.shell === undefined
            ? message
            : { kind: 'ended', cause: 'failed', text: message.text, exitCode: null },
        )
      case 'beat':
    }
  }

  #opened({ arrived, at, drawn, expiresAt, grant, role, shell }: Extract<ToPage, { kind: 'opened' }>): void {
    const isNew = this.#position === undefined
    this.#shell = shell
    this.#held = { grant, role, expiresAt }
    this.#position = at
    this.#old = isNew ? drawn : 0
    if (isNew) {
      this.#drawn = at
      ;[this.#base, this.#sent, this.#end] = [arrived, arrived, arrived]
    }
    // What had arrived is not sent again.
    this.#taken(arrived)
    this.#sent = arrived
    this.#lostAt = 0
    this.#tries = 0
    this.#become({ kind: 'open' })
    // What was drawn while the line was away: the gateway waits for it.
    this.#tellDrawn()
    this.#pump()
  }

  #taken(position: number): void {
    while (this.#base < position) {
      const first = this.#input[0]
      if (first === undefined) break
      const rest = first.subarray(position - this.#base)
      this.#base += first.length - rest.length
      if (rest.length === 0) this.#input.shift()
      else this.#input[0] = rest
    }
    this.#sent = Math.max(this.#sent, this.#base)
  }

  #pump(): void {
    let at = this.#base
    for (const bytes of this.#input) {
      const from = Math.max(this.#sent - at, 0)
      for (let start = from; start < bytes.length; start += PIECE) {
        const piece = bytes.slice(start, Math.min(start + PIECE, bytes.length))
        if (this.#sent - this.#base + piece.length > inputWindow || this.#socket?.readyState !== WebSocket.OPEN) return
        this.#socket.send(piece)
        this.#sent += piece.length
      }
      at += bytes.length
    }
  }

  #noteDrawn(position: number): void {
    this.#drawn = Math.max(this.#drawn, position)
    if (this.#drawn - this.#told >= DRAWN_EVERY) this.#tellDrawn()
    else this.#tellLater ??= setTimeout(() => this.#tellDrawn(), DRAWN_MS)
  }

  #tellDrawn(): void {
    clearTimeout(this.#tellLater)
    this.#tellLater = undefined
    this.#told = this.#drawn
    this.#say({ kind: 'drawn', bytes: this.#drawn })
  }

  #say(message: FromPage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message))
  }

  #lost(): void {
    this.#forget()
    const now = Date.now()
    if (this.#lostAt === 0) this.#lostAt = now
    if (this.#shell === undefined) return this.#become({ kind: 'refused', code: 'OFFLINE', text: '', next: null })
    if (now - this.#lostAt > GIVE_UP_MS)
      return this.#become({ kind: 'ended', cause: 'failed', text: '', exitCode: null })
    const wait = RETRY_MS[Math.min(this.#tries, RETRY_MS.length - 1)] ?? 0
    this.#tries += 1
    this.#retry = setTimeout(() => this.#connect(), wait)
    return this.#become({ kind: 'lost', until: this.#lostAt + AWAY_MS })
  }

  #stop(state: LineState): void {
    this.#forget()
    this.#become(state)
  }

  #forget(): void {
    clearInterval(this.#beat)
    const socket = this.#socket
    this.#socket = undefined
    socket?.close()
  }
}
