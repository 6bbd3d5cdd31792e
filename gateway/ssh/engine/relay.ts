/**
 * Between a client's channel and a target's: every byte goes through the session's road, and a side may send only as much as the other
 * has taken (window-coupled: no buffer of our own grows, and while the recorder lags no window is given back).
 */
import type { Outcome, Terminal } from './contract.ts'
import type { Session } from '../../session/session.ts'
import { MalformedMessage, Refusal } from '../../model/refusal.ts'
import type { Channel, ChannelEvents, Stream } from './channel.ts'
import type { ClientLeg } from './client-leg.ts'
import { type Exit, exitCodeOf, readExit, sendExit } from './exit.ts'
import type { Taker } from './session-channel.ts'
import { writeSize } from './terminal.ts'
import { string } from './wire.ts'

/** What is done with the bytes of each direction, which are lent until the call returns. `bytesLane` records them as they are. */
export type Lane = {
  fromClient(bytes: Buffer): void
  fromTarget(bytes: Buffer, stream: Stream): void
  /** Something follows that must come after these bytes. */
  flush?(): void
  /** The last words of the recording. */
  end(): void
}

export type Ends = {
  /** Delivers, then gives the other side's window back, and lets `delivered` know. */
  toTarget(bytes: Buffer, credit: number, delivered?: () => void): void
  toClient(bytes: Buffer, stream: Stream, credit: number, delivered?: () => void): void
}

/** A client must take what it is told when the session is cut within this time. */
const FAREWELL_MS = 800

export class Relay {
  readonly #session: Session
  readonly #client: () => ClientLeg
  readonly #hasTerminal: boolean
  readonly #lane: Lane
  readonly #done: Promise<Outcome>
  #resolve: (outcome: Outcome) => void = () => undefined
  #target: Channel | undefined
  #exit: Exit | undefined
  #clientClosed = false
  /** The client knows that nothing more will come. */
  #outputIsOver = false
  #targetClosed = false
  #isCut = false
  #stop: () => void = () => undefined
  #isFinished = false

  constructor(parts: {
    readonly session: Session
    readonly client: () => ClientLeg
    readonly hasTerminal: boolean
    readonly lane: (ends: Ends) => Lane
  }) {
    this.#session = parts.session
    this.#client = parts.client
    this.#hasTerminal = parts.hasTerminal
    this.#lane = parts.lane({
      toTarget: (bytes, credit, delivered) =>
        this.#target?.send(bytes, 0, () => {
          this.#client().credit(credit)
          delivered?.()
        }),
      toClient: (bytes, stream, credit, delivered) =>
        this.#client().send(bytes, stream, () => {
          this.#target?.credit(credit)
          delivered?.()
        }),
    })
    this.#done = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** For the channel towards the target. */
  readonly target: ChannelEvents = {
    borrows: true,
    data: (bytes, stream) => this.#pass(() => this.#lane.fromTarget(bytes, stream)),
    eof: () =>
      this.#after(() => {
        const client = this.#client()
        client.eof()
        client.after(() => {
          this.#outputIsOver = true
        })
      }),
    request: (type, body) => {
      if (type === 'eow@openssh.com') this.#client().tell(type)
      const exit = readExit(type, body)
      this.#exit ??= exit
      return exit !== undefined
    },
    closed: () => {
      this.#targetClosed = true
      this.#target?.closeNow()
      if (this.#isCut) return
      if (this.#client().isOpen) this.#after(() => this.#goodbye())
      else if (this.#clientClosed) this.#finish()
    },
  }

  /** For the client's channel. */
  readonly client: Taker = {
    data: (bytes) => this.#pass(() => this.#lane.fromClient(bytes)),
    eof: () => this.#after(() => this.#target?.eof()),
    endOfWrite: () => this.#target?.tell('eow@openssh.com'),
    closed: () => {
      this.#clientClosed = true
      const client = this.#client()
      // Who has seen the end of all output closes, and still waits for the exit status (ssh with ControlMaster does), however long the program runs.
      if (this.#outputIsOver && client.isOpen && !this.#isCut) return undefined
      client.closeNow()
      if (this.#isCut) return undefined
      const target = this.#target
      if (this.#targetClosed || target === undefined || !target.isOpen) return this.#finish()
      // What was read before still goes out; then a pty's processes get the hangup, others see the end of their streams.
      const leave = () => {
        clearTimeout(timer)
        target.closeNow()
        this.#finish()
      }
      const timer = setTimeout(leave, FAREWELL_MS)
      this.#lane.flush?.()
      target.after(leave)
      return undefined
    },
  }

  /** The channel towards the target; call before its program starts. */
  attach(target: Channel): void {
    this.#target = target
  }

  /** Call once the target's program has started. */
  run(): Promise<Outcome> {
    const { ended } = this.#session
    const cut = () => this.#cut(ended.reason)
    this.#stop = () => ended.removeEventListener('abort', cut)
    if (ended.aborted) cut()
    else ended.addEventListener('abort', cut, { once: true })
    return this.#done
  }

  resize(terminal: Terminal): void {
    this.#take('r', `${terminal.columns}x${terminal.rows}`)
    this.#after(() => this.#target?.tell('window-change', writeSize(terminal)))
  }

  signal(name: string): void {
    this.#take('m', `The client sent the signal ${name}.`)
    this.#after(() => this.#target?.tell('signal', string(name)))
  }

  #goodbye(): void {
    const client = this.#client()
    const exit = this.#exit
    // It can have left while the last words of the target were being recorded.
    if (!client.isOpen) return this.#finish()
    client.eof()
    client.after(() => {
      if (exit !== undefined) sendExit(client, exit)
      client.closeNow()
      this.#finish()
    })
  }

  #cut(reason: unknown): void {
    if (this.#isCut || this.#isFinished) return
    this.#isCut = true
    const why = reason instanceof Refusal ? reason.message : 'The session was ended.'
    this.#kill()
    this.#take('m', why)
    const client = this.#client()
    if (!client.isOpen) return this.#finish(why)
    client.drop()
    const timer = setTimeout(() => {
      client.abandon()
      this.#finish(why)
    }, FAREWELL_MS)
    client.send(Buffer.from(`\r\n[sallyport] ${why}\r\n`), 1)
    client.eof()
    client.after(() => {
      clearTimeout(timer)
      sendExit(client, { code: 255 })
      client.closeNow()
      this.#finish(why)
    })
    return undefined
  }

  /** Once what came before has been passed on. */
  #after(run: () => void): void {
    this.#lane.flush?.()
    this.#session.road.pass(run)
  }

  /** A lane throws when a side broke its protocol: nothing of it goes any further. */
  #pass(forward: () => void): void {
    if (this.#isCut) return
    try {
      forward()
    } catch (failure) {
      if (!(failure instanceof MalformedMessage)) throw failure
      this.#session.road.close()
      this.#cut(new Refusal('BAD_INPUT', failure.message, { cause: failure }))
    }
  }

  /** sshd passes signals on to the whole process group; closing the channel hangs a pty up, which reaches the groups of its jobs, too. */
  #kill(): void {
    const target = this.#target
    if (target === undefined) return
    target.drop()
    target.tell('signal', string('HUP'))
    target.tell('signal', string('TERM'))
    if (!this.#hasTerminal) target.tell('signal', string('KILL'))
    target.closeNow()
  }

  #finish(cut?: string): void {
    if (this.#isFinished) return
    this.#isFinished = true
    this.#stop()
    try {
      this.#lane.end()
    } catch {
      // The journal is broken; the session says so itself.
    }
    const exitCode = this.#exit === undefined ? undefined : exitCodeOf(this.#exit)
    if (exitCode !== undefined) this.#take('x', String(exitCode))
    const cause =
      cut !== undefined ? 'cut' : this.#exit !== undefined ? 'exited' : this.#clientClosed ? 'closed' : 'failed'
    this.#resolve({ cause, detail: cut ?? '', exitCode })
  }

  #take(kind: 'r' | 'm' | 'x', data: string): void {
    this.#lane.flush?.()
    try {
      this.#session.recording.take(kind, data)
    } catch {
      // A recording that fails ends the session by itself; nothing is forwarded on the strength of this event alone.
    }
  }
}
