/** Tells apart what changed: grants, or who is in. Commits of heartbeats and of other rooms wake nobody. */
import type { Log } from '../model/log.ts'
import type { State } from '../state/state.ts'
import type { Topic } from './ledger.ts'

type Listeners = Record<Topic, Set<() => void>>

const LOOK_AGAIN_MS = 500

export class Changes {
  readonly #parts: { readonly state: State; readonly log: Log }
  readonly #listeners: Listeners = { 'grants-changed': new Set(), 'sessions-changed': new Set() }
  readonly #seen = new Map<string, number>()
  readonly #stop: () => void
  #looking = false
  #again = false
  #blind = false
  #closed = false
  #timer: NodeJS.Timeout | undefined

  constructor(parts: { readonly state: State; readonly log: Log }) {
    this.#parts = parts
    this.#stop = parts.state.onChange(() => void this.look())
    void this.look()
  }

  on(topic: Topic, listener: () => void): () => void {
    const own = () => listener()
    this.#listeners[topic].add(own)
    return () => void this.#listeners[topic].delete(own)
  }

  /** Never throws. A look that fails is made up for by the next one. */
  async look(): Promise<void> {
    this.#again = true
    if (this.#looking || this.#closed) return
    this.#looking = true
    try {
      while (this.#again) {
        this.#again = false
        await this.#compare()
      }
      this.#blind = false
    } catch (error) {
      if (!this.#blind) this.#parts.log({ level: 'warn', room: 'grants', message: 'Changes could not be read.', error })
      this.#blind = true
      clearTimeout(this.#timer)
      if (!this.#closed) this.#timer = setTimeout(() => void this.look(), LOOK_AGAIN_MS)
    } finally {
      this.#looking = false
    }
  }

  close(): void {
    this.#stop()
    this.#closed = true
    clearTimeout(this.#timer)
    for (const listeners of Object.values(this.#listeners)) listeners.clear()
  }

  async #compare(): Promise<void> {
    const rows = await this.#parts.state.all<{ name: Topic; value: number }>(
      "select name, value from counters where name in ('grants-changed', 'sessions-changed')",
    )
    for (const { name, value } of rows) {
      if (this.#seen.get(name) === value) continue
      this.#seen.set(name, value)
      for (const listener of this.#listeners[name]) listener()
    }
  }
}

/** Calls a listener at most once per span, and once more at its end when something came in between. */
export function coalesce(listener: () => void, spanMs: number): { call: () => void; stop: () => void } {
  let timer: NodeJS.Timeout | undefined
  let waiting = false
  const pass = () => {
    timer = undefined
    if (!waiting) return
    waiting = false
    timer = setTimeout(pass, spanMs)
    listener()
  }
  return {
    call: () => {
      waiting = true
      if (timer === undefined) pass()
    },
    stop: () => {
      waiting = false
      clearTimeout(timer)
    },
  }
}
