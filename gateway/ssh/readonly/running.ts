/** One judged command on the target: an exec channel of its own, without input unless it has a terminal, until it ends or is interrupted. */
import { Refusal } from '../../model/refusal.ts'
import type { Session } from '../../session/session.ts'
import type { Channel, ChannelEvents, Stream } from '../engine/channel.ts'
import type { Terminal } from '../engine/contract.ts'
import { type Exit, exitCodeOf, readExit } from '../engine/exit.ts'
import { inTime } from '../engine/in-time.ts'
import { MARK, sweep } from '../engine/sweep.ts'
import { writeSize, writeTerminal } from '../engine/terminal.ts'
import type { Upstream } from '../engine/upstream.ts'
import { string } from '../engine/wire.ts'
import { passed } from './recorded-channel.ts'

export type RunningParts = {
  readonly upstream: Upstream
  readonly session: Session
  readonly environment: ReadonlyMap<string, string>
  /** Only for programs that are worth one. */
  readonly terminal: Terminal | undefined
  /** Resolves when the person has taken it: the target may send as much again. */
  readonly show: (bytes: Buffer, stream: Stream) => Promise<void>
}

const INTERRUPTED = 130

export class Running {
  readonly #parts: RunningParts
  /** The exit code, after everything was shown. */
  readonly done: Promise<number>
  bytes = 0
  #resolve: (code: number) => void = () => undefined
  #channel: Channel | undefined
  #exit: Exit | undefined
  #unshown = 0
  #isClosed = false
  #isInterrupted = false
  #swept: Promise<void> | undefined

  private constructor(parts: RunningParts) {
    this.#parts = parts
    this.done = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** @throws {Refusal} TARGET_UNREACHABLE, or why the session is over; nothing runs then. */
  static async start(parts: RunningParts, line: string): Promise<Running> {
    const running = new Running(parts)
    const opening = parts.upstream.open('session', running.#events)
    const channel = await inTime(opening, parts.session.ended, (late) => late.closeNow())
    running.#channel = channel
    try {
      await inTime(running.#begin(channel, line), parts.session.ended)
    } catch (failure) {
      channel.closeNow()
      throw failure
    }
    const { ended } = parts.session
    const cut = () => running.#kill()
    if (ended.aborted) cut()
    else ended.addEventListener('abort', cut, { once: true })
    void running.done.then(() => ended.removeEventListener('abort', cut))
    return running
  }

  /** Keys for a program with a terminal. Resolves when they have left. */
  type(bytes: Buffer): Promise<void> {
    const channel = this.#channel
    if (channel === undefined || !channel.isOpen) return Promise.resolve()
    return Promise.race([
      new Promise<void>((resolve) => channel.send(bytes, 0, resolve)),
      this.done.then(() => undefined),
    ])
  }

  get hasTerminal(): boolean {
    return this.#parts.terminal !== undefined
  }

  resize(terminal: Terminal): void {
    if (this.#parts.terminal !== undefined) this.#channel?.tell('window-change', writeSize(terminal))
  }

  /** What is still on its way is not shown any more. */
  interrupt(): void {
    if (this.#isInterrupted || this.#isClosed) return
    this.#isInterrupted = true
    this.#channel?.tell('signal', string('INT'))
    this.#channel?.closeNow()
    this.#sweep()
    this.#closed()
  }

  readonly #events: ChannelEvents = {
    data: (bytes, stream) => this.#show(bytes, stream),
    eof: () => undefined,
    request: (type, body) => {
      const exit = readExit(type, body)
      this.#exit ??= exit
      return exit !== undefined
    },
    closed: () => {
      this.#channel?.closeNow()
      this.#closed()
    },
  }

  async #begin(channel: Channel, line: string): Promise<void> {
    const { environment, session, terminal } = this.#parts
    for (const [name, value] of environment) channel.tell('env', string(name), string(value))
    // Last, so that it is ours whatever else was sent.
    channel.tell('env', string(MARK), string(session.id))
    if (terminal !== undefined && !(await channel.ask('pty-req', writeTerminal(terminal))))
      throw new Refusal('TARGET_UNREACHABLE', 'The target gave no terminal.')
    let started: Promise<boolean> | undefined
    await passed(session, (go) =>
      session.road.pass(() => {
        started = channel.ask('exec', string(line))
        go()
      }),
    )
    if (!(await started)) throw new Refusal('TARGET_UNREACHABLE', 'The target did not start the command.')
    if (terminal === undefined) channel.eof()
  }

  #show(bytes: Buffer, stream: Stream): void {
    if (this.#isInterrupted) return
    this.bytes += bytes.length
    this.#unshown += 1
    const shown = () => {
      this.#unshown -= 1
      this.#channel?.credit(bytes.length)
      this.#settle()
    }
    this.#parts.show(bytes, stream).then(shown, shown)
  }

  #closed(): void {
    this.#isClosed = true
    this.#settle()
  }

  #settle(): void {
    if (!this.#isClosed || this.#unshown > 0) return
    const code = this.#isInterrupted ? INTERRUPTED : this.#exit === undefined ? 255 : exitCodeOf(this.#exit)
    // The next command carries the same mark: it must not start while this one is being swept away.
    void (this.#swept ?? Promise.resolve()).then(() => this.#resolve(code))
  }

  /** The session is over, or the person has left. */
  #kill(): void {
    if (this.#isClosed) return
    for (const name of ['HUP', 'TERM', 'KILL']) this.#channel?.tell('signal', string(name))
    this.#channel?.closeNow()
    this.#sweep()
    this.#closed()
  }

  leave(): void {
    this.#kill()
  }

  #sweep(): void {
    const { session, upstream } = this.#parts
    this.#swept ??= sweep(upstream, session.id)
  }
}
