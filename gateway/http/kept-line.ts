/** A place for one connection of a pool: who is sent over it learns whether somebody was before, and whether the target has said anything since. */
import type { Socket } from 'node:net'
import { Client, type Dispatcher } from 'undici'

/** What is sent over a line is told which. */
export type Carried = Dispatcher.DispatchHandler & { line?: KeptLine | undefined }

type Connect = (callback: (...result: [null, Socket] | [Error, null]) => void) => void

export class KeptLine extends Client {
  #socket: Socket | undefined
  #uses = 0

  constructor(origin: URL, options: object, connect: Connect) {
    super(origin, {
      ...options,
      connect: (_, callback) =>
        connect((...result) => {
          const [, socket] = result
          this.#uses = 0
          if (socket !== null) this.#socket = socket
          callback(...result)
        }),
    })
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Carried): boolean {
    handler.line = this
    return super.dispatch(options, handler)
  }

  /** Call when something is sent. @returns how much was heard before, for {@link hasHeard}; undefined: the line is fresh. */
  use(): number | undefined {
    this.#uses += 1
    return this.#uses === 1 ? undefined : this.#heard
  }

  hasHeard(before: number): boolean {
    return this.#heard !== before
  }

  /** Of TLS what was deciphered. Streams of a tunnel do not count. */
  get #heard(): number {
    return this.#socket?.bytesRead ?? 0
  }
}
