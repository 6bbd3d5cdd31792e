/** Ends a group of messages at the target without a word to the client: a Sync of our own, whose ReadyForQuery stays here. */
import type { BackendScanner } from './backend.ts'
import { message } from './message.ts'

const memory = message('S')
export const SYNC = { type: 'sync', memory, start: 0, end: memory.length } as const

export class Settling {
  readonly #scanner: BackendScanner
  #resolve: ((isFine: boolean) => void) | undefined
  #hasFailed = false

  constructor(scanner: BackendScanner) {
    this.#scanner = scanner
  }

  /** Call before the Sync goes. Resolves with whether nothing in the group was refused. */
  begin(): Promise<boolean> {
    this.#scanner.holdReady(true)
    this.#hasFailed = false
    return new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** The target has refused something. */
  failed(): void {
    this.#hasFailed = true
  }

  /** Its ReadyForQuery has come; or, when the session is over, never will. @returns what the client gets in its place. */
  end(isOver = false): Buffer {
    this.#scanner.holdReady(false)
    this.#resolve?.(!isOver && !this.#hasFailed)
    this.#resolve = undefined
    return Buffer.alloc(0)
  }
}
