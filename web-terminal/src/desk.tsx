/** What is on the screen stays true: every answer that is shown is asked for again when the gateway says that something changed. */
import { createContext, useCallback, useContext, useEffect, useState, useSyncExternalStore } from 'react'
import type { SignedOut } from '../../gateway/portal/schema/person.ts'
import { type Api, ApiFailure, apiUrl, signInUrl } from './api.ts'
import { routes } from './routes.ts'

export type Answer<T> =
  | { readonly state: 'loading' }
  | { readonly state: 'failed'; readonly failure: ApiFailure }
  | { readonly state: 'ready'; readonly data: T }

type Entry = { answer: Answer<unknown>; readonly listeners: Set<() => void>; busy: boolean; again: boolean }

const LOADING: Answer<never> = { state: 'loading' }
/** An answer that nobody shows any more is kept so long, for the way back. */
const KEEP_MS = 60_000
/** A line that is lost for so long is told. */
const LOST_MS = 4000
const AGAIN_MS = 10_000
/** Browsers hold six lines to a gateway, tabs and all. */
const HIDDEN_MS = 5000

export class Desk {
  readonly api: Api
  readonly #entries = new Map<string, Entry>()
  readonly #lineListeners = new Set<() => void>()
  #line: 'up' | 'down' = 'up'
  #isLeaving = false

  constructor(api: Api) {
    this.api = api
  }

  /** Listens for changes until the returned function is called; a tab that nobody looks at leaves the line to others. */
  open(): () => void {
    let source: EventSource | undefined
    let lost: ReturnType<typeof setTimeout> | undefined
    let later: ReturnType<typeof setTimeout> | undefined
    const disconnect = (): void => {
      clearTimeout(lost)
      clearTimeout(later)
      lost = undefined
      source?.close()
      source = undefined
    }
    const connect = (): void => {
      disconnect()
      source = this.#listen({
        up: () => {
          clearTimeout(lost)
          lost = undefined
        },
        down: (isOver) => {
          lost ??= setTimeout(() => this.#setLine('down'), LOST_MS)
          // A browser gives up for good after an answer that is no stream.
          if (isOver) later = setTimeout(connect, AGAIN_MS)
        },
      })
    }
    const look = (): void => {
      clearTimeout(later)
      if (document.visibilityState === 'hidden') later = setTimeout(disconnect, HIDDEN_MS)
      else {
        if (source === undefined || source.readyState === EventSource.CLOSED) connect()
        this.refresh()
      }
    }
    document.addEventListener('visibilitychange', look)
    connect()
    return () => {
      document.removeEventListener('visibilitychange', look)
      disconnect()
    }
  }

  #listen(then: { readonly up: () => void; readonly down: (isOver: boolean) => void }): EventSource {
    const source = new EventSource(apiUrl('/changes'))
    source.addEventListener('open', () => {
      then.up()
      if (this.#line === 'down') this.refresh()
      this.#setLine('up')
    })
    source.addEventListener('change', () => this.refresh())
    source.addEventListener('signed-out', () => this.signIn())
    source.addEventListener('error', () => then.down(source.readyState === EventSource.CLOSED))
    return source
  }

  /** Goes to sign in and back here; not from a page that is signing out. */
  signIn(): void {
    if (!this.#isLeaving) location.assign(signInUrl())
  }

  /** Signs out, and goes where the provider wants the browser. */
  async signOut(): Promise<void> {
    this.#isLeaving = true
    try {
      location.assign((await this.api.post<SignedOut>(routes.signOut, {})).location)
    } catch (failure) {
      this.#isLeaving = false
      throw failure
    }
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
    if (next.state === 'failed' && next.failure.code === 'NOT_SIGNED_IN') return this.signIn()
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

/** For what the gateway tells nobody about by itself: asks again every `everyMs` while the page is looked at. */
export function useFresh(everyMs: number, isWanted = true): void {
  const desk = useDesk()
  useEffect(() => {
    if (!isWanted) return undefined
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') desk.refresh()
    }, everyMs)
    return () => clearInterval(timer)
  }, [desk, everyMs, isWanted])
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
      if (problem.code === 'NOT_SIGNED_IN') desk.signIn()
      setFailure(problem)
      return false
    } finally {
      setBusy(false)
      desk.refresh()
    }
  }
  return { busy, failure, run }
}
