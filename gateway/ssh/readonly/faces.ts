/** The two faces of a read-only shell: a person at a terminal, and a program that reads a pipe. */
import type { Stream } from '../engine/channel.ts'
import type { Terminal } from '../engine/contract.ts'
import { wrapped } from '../screen/text.ts'
import type { RecordedChannel } from './recorded-channel.ts'
import type { Face } from './face.ts'
import type { Running } from './running.ts'

const INTERRUPT = 3
/** Typed ahead of a prompt: more than anybody types, less than somebody floods. */
const MOST_AHEAD = 1024 * 1024

export class TerminalFace implements Face {
  readonly #channel: RecordedChannel
  /** Whether a prompt can be drawn where the cursor is. */
  isAtLineStart = true

  constructor(channel: RecordedChannel) {
    this.#channel = channel
  }

  get terminal(): Terminal | undefined {
    return this.#channel.terminal
  }

  async show(bytes: Buffer, _stream: Stream, isRaw = false): Promise<void> {
    if (bytes.length === 0) return
    this.isAtLineStart = isRaw || bytes.at(-1) === 0x0a
    await this.#channel.write(isRaw ? bytes : withReturns(bytes))
  }

  tell(text: string): Promise<void> {
    const columns = Math.max(20, (this.terminal?.columns ?? 0) || 80)
    const lines = text.split('\n').flatMap((line) => wrapped(line, columns - 1))
    return this.show(Buffer.from(lines.join('\n')), 0)
  }

  async interrupted(over: AbortSignal): Promise<void> {
    for (;;) {
      const bytes = await this.#channel.read(over)
      if (bytes === undefined) return
      if (!bytes.includes(INTERRUPT)) continue
      await this.show(Buffer.from('^C\n'), 0)
      return
    }
  }

  attend(running: Running): Promise<number> {
    return attended(this.#channel, running, async (over) => {
      const ahead: Buffer[] = []
      let length = 0
      try {
        for (;;) {
          const bytes = await this.#channel.read(over)
          if (bytes === undefined) return
          if (running.hasTerminal) {
            await running.type(bytes)
            continue
          }
          const stop = bytes.lastIndexOf(INTERRUPT)
          if (stop !== -1) {
            ahead.length = length = 0
            await this.show(Buffer.from('^C\n'), 0)
            running.interrupt()
          }
          const rest = bytes.subarray(stop + 1)
          length += rest.length
          if (length <= MOST_AHEAD) ahead.push(rest)
        }
      } finally {
        this.#channel.unread(Buffer.concat(ahead))
      }
    })
  }
}

export class PipeFace implements Face {
  readonly #channel: RecordedChannel
  readonly terminal = undefined

  constructor(channel: RecordedChannel) {
    this.#channel = channel
  }

  show(bytes: Buffer, stream: Stream): Promise<void> {
    return stream === 0 ? this.#channel.write(bytes) : this.#channel.writeError(bytes)
  }

  tell(text: string): Promise<void> {
    return this.#channel.writeError(text)
  }

  interrupted(over: AbortSignal): Promise<void> {
    const { closed } = this.#channel
    return new Promise((resolve) => {
      const stop = this.#channel.onSignal((name) => name === 'INT' && leave())
      const leave = () => {
        stop()
        for (const signal of [closed, over]) signal.removeEventListener('abort', leave)
        resolve()
      }
      for (const signal of [closed, over]) signal.addEventListener('abort', leave, { once: true })
      if (closed.aborted || over.aborted) leave()
    })
  }

  attend(running: Running): Promise<number> {
    return attended(this.#channel, running, async () => undefined)
  }
}

/** Until the program is over; what the person does meanwhile is `listen`'s affair. */
async function attended(
  channel: RecordedChannel,
  running: Running,
  listen: (over: AbortSignal) => Promise<void>,
): Promise<number> {
  const over = new AbortController()
  const leave = () => running.leave()
  channel.closed.addEventListener('abort', leave, { once: true })
  if (channel.closed.aborted) leave()
  const stops = [
    channel.onResize((terminal) => running.resize(terminal)),
    channel.onSignal((name) => name === 'INT' && running.interrupt()),
  ]
  const heard = listen(over.signal).catch(() => undefined)
  const code = await running.done
  over.abort()
  await heard
  for (const stop of stops) stop()
  channel.closed.removeEventListener('abort', leave)
  return code
}

/** Lines end as a terminal needs it, byte by byte: the output may be anything. */
export const withReturns = (bytes: Buffer): Buffer =>
  Buffer.from(bytes.toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1')
