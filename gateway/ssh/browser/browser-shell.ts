/** One shell of one browser: it outlives the browser's line for a while, and gives what was missed to the one that comes back. */
import { Refusal } from '../../model/refusal.ts'
import type { Admission, FromPage, PageGuest, PageWire, Session, Size, ToPage } from '../../session/session.ts'
import { denial, noteRefused } from '../deny.ts'
import type { Seat } from '../engine/contract.ts'
import type { SshParts } from '../parts.ts'
import { Console } from '../screen/console.ts'
import { atTarget, leftWords } from '../target-session.ts'
import { BrowserLeg } from './browser-leg.ts'
import { clientOf } from './browser-name.ts'

/** For so long a shell waits for its browser. */
export const AWAY_MS = 120_000
/** Input that may be on its way through us; a page that sends more does not keep to what it was told. */
const MOST_INPUT = 256 * 1024
/** How often a page is told what was passed on. */
const TELL_EVERY = 16 * 1024
const TELL_MS = 200

/** A terminal that reads UTF-8: IUTF8 set (RFC 8160), then TTY_OP_END. */
const MODES = Uint8Array.from([42, 0, 0, 0, 1, 0])
const ENVIRONMENT = { LANG: 'C.UTF-8', COLORTERM: 'truecolor' } as const

export type ShellParts = {
  readonly ssh: SshParts
  readonly guest: PageGuest
  readonly admission: Admission
  readonly size: Size
  /** What brings the browser back. */
  readonly token: string
  readonly awayMs: number
  readonly closing: AbortSignal
  /** Nothing of it is needed any more: it is over, and its browser knows or has not come back. */
  readonly forget: () => void
}

export class BrowserShell {
  readonly #parts: ShellParts
  readonly #leg: BrowserLeg
  readonly #seat: Seat
  /** Resolves when recording and both legs are closed. */
  readonly over: Promise<void>
  #wire: PageWire | undefined
  #away: NodeJS.Timeout | undefined
  #session: Session | undefined
  /** Why the gateway itself ended it. */
  #why: string | undefined
  #last: ToPage | undefined
  #arrived = 0
  #taken = 0
  #told = 0
  #tellLater: NodeJS.Timeout | undefined
  #hasTyped = false

  constructor(parts: ShellParts, wire: PageWire) {
    this.#parts = parts
    this.#leg = new BrowserLeg({
      credited: (length) => this.#credited(length),
      closed: () => this.#seat.leave(),
    })
    this.#seat = parts.ssh.engine.sit(this.#leg, {
      request: { kind: 'shell' },
      terminal: { type: 'xterm-256color', ...parts.size, widthPixels: 0, heightPixels: 0, modes: MODES },
      environment: ENVIRONMENT,
    })
    this.attach(wire, undefined)
    this.over = this.#run()
  }

  get guest(): PageGuest {
    return this.#parts.guest
  }

  /** True once after input: somebody is there. */
  takeActivity(): boolean {
    const has = this.#hasTyped
    this.#hasTyped = false
    return has
  }

  /** The line of the page that comes back; an older one ends. */
  comeBack(wire: PageWire, from: number | undefined, address: string, { columns, rows }: Size): void {
    this.#mark(`[sallyport] The browser is back, from ${address}.`)
    this.attach(wire, from)
    this.#seat.resize(columns, rows)
  }

  attach(wire: PageWire, from: number | undefined): void {
    const older = this.#wire
    this.#wire = wire
    older?.send({ kind: 'moved' })
    older?.close()
    clearTimeout(this.#away)
    this.#away = undefined
    const { admission, token } = this.#parts
    const { at, bytes } = this.#leg.missed(from)
    const { expiresAt, id } = admission.grant
    wire.send({
      kind: 'opened',
      shell: token,
      grant: id,
      role: admission.role.name,
      expiresAt,
      at,
      drawn: this.#leg.drawn,
      arrived: this.#arrived,
    })
    if (bytes.length > 0) wire.send({ kind: 'output', bytes })
    this.#leg.follow((more) => wire.send({ kind: 'output', bytes: more }))
    wire.onMessage((message) => {
      if (this.#wire === wire) this.#heard(message)
    })
    wire.onClose(() => {
      if (this.#wire === wire) this.#lost()
    })
    if (this.#last !== undefined) this.#farewell(this.#last)
  }

  /** Ends it from this side; `why` is a sentence for the person and the recording. */
  end(why: string): void {
    if (this.#last !== undefined) return this.#parts.forget()
    this.#why ??= why
    this.#mark(`[sallyport] ${why}`)
    this.#leg.drop()
    this.#seat.leave()
    return undefined
  }

  async #run(): Promise<void> {
    const { admission, closing, guest, ssh } = this.#parts
    const gone = new AbortController()
    const { channel } = this.#seat
    try {
      const outcome = await atTarget(
        ssh,
        {
          connection: clientOf(guest, gone.signal),
          channel,
          console: new Console(channel),
          request: channel.request,
          withoutTerminal: '',
          closing,
          speaker: {
            words: (notice) => `[sallyport] ${leftWords(notice, ssh.notes.clock.now())}`,
            show: async (text, notice) =>
              this.#wire?.send({
                kind: 'notice',
                text: text.replace(/^\[sallyport\] /, ''),
                expiresAt: notice?.grant.expiresAt,
              }),
          },
          opened: (session) => {
            this.#session = session
          },
        },
        admission,
      )
      const { cause = 'closed', detail = '', exitCode } = outcome ?? {}
      this.#finish({
        kind: 'ended',
        cause: this.#why === undefined ? cause : 'cut',
        text: this.#why ?? detail,
        exitCode,
      })
    } catch (failure) {
      const denied = denial(failure, ssh.notes.log)
      noteRefused(ssh.notes, guest, admission.target.name, failure)
      const text = [denied.sentence, denied.next ?? ''].join(' ').trim()
      const cause = failure instanceof Refusal && failure.code === 'GRANT_ENDED' ? 'cut' : 'refused'
      this.#finish({ kind: 'ended', cause, text: this.#why ?? text, exitCode: undefined })
    } finally {
      gone.abort(new Error('The shell is over.'))
    }
  }

  #finish(last: ToPage): void {
    this.#leg.closeNow()
    this.#last = last
    this.#session = undefined
    if (this.#wire !== undefined) this.#farewell(last)
    else if (this.#away === undefined) this.#parts.forget()
  }

  #farewell(last: ToPage): void {
    const wire = this.#wire
    this.#wire = undefined
    wire?.send(last)
    wire?.close()
    clearTimeout(this.#tellLater)
    this.#parts.forget()
  }

  #heard(message: FromPage): void {
    switch (message.kind) {
      case 'input':
        return this.#input(message.bytes)
      case 'drawn':
        return this.#leg.noteDrawn(message.bytes)
      case 'resize':
        return this.#seat.resize(message.columns, message.rows)
      case 'signal':
        return this.#seat.signal(message.name)
      case 'leave':
        this.#leg.follow(undefined)
        this.#leg.drop()
        return this.#seat.leave()
    }
  }

  #input(bytes: Buffer): void {
    if (this.#arrived - this.#taken + bytes.length > MOST_INPUT)
      return this.end('The page sent more than it was allowed to.')
    this.#hasTyped = true
    this.#arrived += bytes.length
    this.#seat.input(bytes)
    return undefined
  }

  #credited(length: number): void {
    this.#taken += length
    if (this.#taken - this.#told >= TELL_EVERY) this.#tell()
    else this.#tellLater ??= setTimeout(() => this.#tell(), TELL_MS)
  }

  #tell(): void {
    clearTimeout(this.#tellLater)
    this.#tellLater = undefined
    this.#told = this.#taken
    this.#wire?.send({ kind: 'taken', bytes: this.#taken })
  }

  #lost(): void {
    this.#wire = undefined
    this.#leg.follow(undefined)
    const { awayMs } = this.#parts
    this.#mark(`[sallyport] The line to the browser is lost. The shell waits ${Math.round(awayMs / 1000)} s for it.`)
    this.#away = setTimeout(() => {
      this.#away = undefined
      this.end('The browser did not come back.')
    }, awayMs)
  }

  #mark(text: string): void {
    try {
      this.#session?.recording.take('m', text)
    } catch {
      // The recording is broken: the session is being cut, and says so itself.
    }
  }
}
