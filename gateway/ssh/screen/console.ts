/** A channel as the command line and the menus use it: lines out, keys in, colour only where there is a terminal. */
import type { SessionChannel } from '../engine/contract.ts'
import { USUAL_COLUMNS } from './text.ts'
import { keyFrom, type Key } from './keys.ts'

const COLOURS = { red: 31, green: 32, yellow: 33, blue: 34, cyan: 36, dim: 2, bold: 1, reverse: 7 } as const
const INTERRUPT = 0x03
/** Bytes that are looked through for a Ctrl-C and held meanwhile. */
const MOST_AHEAD = 4096
export type Colour = keyof typeof COLOURS

export class Console {
  readonly #channel: SessionChannel
  #pending: Buffer = Buffer.alloc(0)

  constructor(channel: SessionChannel) {
    this.#channel = channel
  }

  get hasTerminal(): boolean {
    return this.#channel.terminal !== undefined
  }
  /** Undefined without a terminal. */
  get columns(): number | undefined {
    return this.#channel.terminal === undefined ? undefined : Math.max(20, this.#channel.terminal.columns || 80)
  }
  /** Columns for what is laid out in lines, also where nothing says how many there are. */
  get width(): number {
    return this.columns ?? USUAL_COLUMNS
  }
  get rows(): number | undefined {
    return this.#channel.terminal === undefined ? undefined : Math.max(5, this.#channel.terminal.rows || 24)
  }
  get closed(): AbortSignal {
    return this.#channel.closed
  }

  paint(colour: Colour, text: string): string {
    return this.hasTerminal ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text
  }

  /** Text as it is; line ends become those of a terminal. */
  print(text: string): Promise<void> {
    return this.#channel.write(this.#ends(text))
  }

  /** Text or bytes exactly as they are. */
  raw(data: string | Uint8Array): Promise<void> {
    return this.#channel.write(data)
  }

  /** What is not the result of a command: hints, questions, refusals. */
  async note(text: string): Promise<void> {
    await (this.hasTerminal ? this.#channel.write(this.#ends(text)) : this.#channel.writeError(text))
  }

  /** The next key; undefined at the end of input. */
  async key(signal?: AbortSignal): Promise<Key | undefined> {
    for (;;) {
      const [key, used] = keyFrom(this.#pending)
      if (key !== undefined) {
        this.#pending = this.#pending.subarray(used)
        return key
      }
      const more = await this.#channel.read(signal)
      if (more === undefined) return undefined
      this.#pending = Buffer.concat([this.#pending, more])
    }
  }

  /** True once Ctrl-C was typed; false when it cannot be any more. What else is typed stays. Rejects with the signal's reason. */
  async interrupted(signal: AbortSignal): Promise<boolean> {
    while (!this.#pending.includes(INTERRUPT)) {
      const more = this.#pending.length < MOST_AHEAD ? await this.#channel.read(signal) : undefined
      if (more === undefined) return false
      this.#pending = Buffer.concat([this.#pending, more])
    }
    return true
  }

  /** Gives back what was typed ahead. Call before the channel is handed on. */
  release(): void {
    if (this.#pending.length > 0) this.#channel.unread(this.#pending)
    this.#pending = Buffer.alloc(0)
  }

  #ends(text: string): string {
    return this.hasTerminal ? text.replace(/\r?\n/g, '\r\n') : text
  }
}
