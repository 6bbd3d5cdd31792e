/** Messages of a client that wait for their turn. */
import type { FrontendMessage } from './frontend.ts'

const NONE: readonly FrontendMessage[] = []

export class Inbox {
  #messages: readonly FrontendMessage[] = NONE
  /** Where in them the next one stands. */
  #next = 0
  #bytes = 0

  get length(): number {
    return this.#messages.length - this.#next
  }

  get bytes(): number {
    return this.#bytes
  }

  add(messages: readonly FrontendMessage[]): void {
    this.#messages = this.length === 0 ? messages : [...this.#messages.slice(this.#next), ...messages]
    this.#next = 0
    for (const { start, end } of messages) this.#bytes += end - start
  }

  take(): FrontendMessage | undefined {
    const message = this.#messages[this.#next]
    if (message === undefined) return undefined
    this.#next += 1
    this.#bytes -= message.end - message.start
    // What was read must not stay in memory for as long as the session idles.
    if (this.#next === this.#messages.length) {
      this.#messages = NONE
      this.#next = 0
    }
    return message
  }
}
