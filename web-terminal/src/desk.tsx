/** What is on the screen stays true: every answer that is shown is asked for again when the gateway says that something changed. */
import { createContext, useCallback, useContext, useEffect, useState, useSyncExternalStore } from 'react'
import { type Api, ApiFailure, apiUrl, signInUrl } from './api.ts'

export type Answer<T> =
  | { readonly state: 'loading' }
  | { readonly state: 'failed'; readonly failure: ApiFailure }
  | { readonly state: 'ready'; readonly data: T }

type Entry = { answer: Answer<unknown>; readonly listeners: Set<() => void>; busy: boolean; again: boolean }

const LOADING: Answer<never> = { state: 'loading' }
const KEEP_MS = 60_000

export class Desk {
  readonly api: Api
  readonly #entries = new Map<string, Entry>()
  readonly #lineListeners = new Set<() => void>()
  #line: 'up' | 'down' = 'up'
  #source: EventSource | undefined

  constructor(api: Api) {
    this.api = api
  }

  /** Listens for changes until the returned function is called. */
  open(): () => void {
    const source = new EventSource(apiUrl('/changes'))
    this.#source = source
    let lost: ReturnType<typeof setTimeout> | undefined
    source.addEventListener('open', () => {
      clearTimeout(lost)
      lost = undefined
      if (this.#line === 'down') this.refresh()
      this.#setLine('up')
    })
    source.addEventListener('change', () => this.refresh())
    source.addEventListener('signed-out', () => location.assign(signInUrl()))
    source.addEventListener('error', () => {
      lost ??= setTimeout(() => this.#setLine('down'), 4000)
      // A browser gives up for good after an answer that is no stream.
      if (source.readyState === EventSource.CLOSED && this.#source === source)
        setTimeout(() => {
          if (this.#source !== source) return
          close()
          close = this.open()
        }, 10_000)
    })
    const seen = (): void => {
      if (document.visibilityState === 'visible') this.refresh()
    }
    document.addEventListener('visibilitychange', seen)
    let close = (): void => {
      clearTimeout(lost)
      document.removeEventListener('visibilitychange', seen)
      source.close()
      if (this.#source === source) this.#source = undefined
    }
    return () => close()
  }

  /** Asks again for everything that is on the screen. */
  refresh(): void {
    for (const [path, entry] of this.#entries) if (entry.listeners.size > 0) void this.#fetch(path, entry, true)
  }

  answer(path: string): Answer<unknown> {
    return this.#entries.get(path)?.answer ?? LOADING
  }

  watch(path: string, listener: () => void): () => void {
    const entry = this.#entries.get(path) ?? { answer: LOADING, listeners: new Set(), busy: false, again: false }
    this.#entries.set(path, entry)
    entry.listeners.add(listener)
    if (entry.listeners.size === 1) void this.#fetch(path, entry, false)
    return () => {
      entry.listeners.delete(listener)
      if (entry.listeners.size === 0)
        setTimeout(() => {
          if (entry.listeners.size === 0 && this.#entries.get(path) === entry) this.#entries.delete(path)
        }, KEEP_MS)
    }
  }

  line(): 'up' | 'down' {
    return this.#line
  }

  watchLine(listener: () => void): () => void {
    this.#lineListeners.add(listener)
    return () => this.#lineListeners.delete(listener)
  }

  async #fetch(path: string, entry: Entry, isBackground: boolean): Promise<void> {
    if (entry.busy) {
      entry.again = true
      return
    }
    entry.busy = true
    let next: Answer<unknown>
    try {
      next = { state: 'ready', data: await this.api.get(path, isBackground) }
    } catch (failure) {
      if (!(failure instanceof ApiFailure)) throw failure
      next = { state: 'failed', failure }
    }
    entry.busy = false
    if (entry.again) {
      entry.again = false
      return this.#fetch(path, entry, isBackground)
    }
    if (next.state === 'failed' && next.failure.code === 'NOT_SIGNED_IN') return location.assign(signInUrl())
    // A short loss of the line does not wipe the screen; the header says that it may be old.
    const keep = next.state === 'failed' && next.failure.code === 'OFFLINE' && entry.answer.state === 'ready'
    if (!keep) entry.answer = next
    for (const listener of entry.listeners) listener()
  }

  #setLine(line: 'up' | 'down'): void {
    if (this.#line === line) return
    this.#line = line
    for (const listener of this.#lineListeners) listener()
  }
}

export const DeskContext = createContext<Desk | undefined>(undefined)

export function useDesk(): Desk {
  const desk = useContext(DeskContext)
  if (desk === undefined) throw new Error('no desk around this page')
  return desk
}

/** The answer to `GET path`, kept fresh. */
export function useAnswer<T>(path: string): Answer<T> {
  const desk = useDesk()
  const subscribe = useCallback((listener: () => void) => desk.watch(path, listener), [desk, path])
  return useSyncExternalStore(subscribe, () => desk.answer(path)) as Answer<T>
}

export function useLine(): 'up' | 'down' {
  const desk = useDesk()
  const subscribe = useCallback((listener: () => void) => desk.watchLine(listener), [desk])
  return useSyncExternalStore(subscribe, () => desk.line())
}

/** The gateway's time, renewed every `everyMs`. */
export function useNow(everyMs: number): number {
  const desk = useDesk()
  const [now, setNow] = useState(() => desk.api.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(desk.api.now()), everyMs)
    return () => clearInterval(timer)
  }, [desk, everyMs])
  return now
}

/** One deed at a time: busy while it runs, and the refusal when it was refused. */
export function useDeed(): {
  readonly busy: boolean
  readonly failure: ApiFailure | undefined
  /** True when it was done. */
  run(deed: () => Promise<unknown>): Promise<boolean>
} {
  const desk = useDesk()
  const [busy, setBusy] = useState(false)
  const [failure, setFailure] = useState<ApiFailure>()
  const run = async (deed: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true)
    setFailure(undefined)
    try {
      await deed()
      return true
    } catch (problem) {
      if (!(problem instanceof ApiFailure)) throw problem
      if (problem.code === 'NOT_SIGNED_IN') location.assign(signInUrl())
      setFailure(problem)
      return false
    } finally {
      setBusy(false)
      desk.refresh()
    }
  }
  return { busy, failure, run }
}
