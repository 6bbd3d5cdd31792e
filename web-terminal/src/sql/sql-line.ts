/** The page's end of a database session: one socket, one statement at a time, results that grow while they arrive. */
import type { FromSqlPage, SqlHello, SQL_PATH, ToSqlPage } from '../../../gateway/portal/schema/sql.ts'

const path: typeof SQL_PATH = '/api/v1/sql'

export type Form = Extract<FromSqlPage, { kind: 'run' }>['form']
export type Opened = Extract<ToSqlPage, { kind: 'opened' }>
export type SqlError = Extract<ToSqlPage, { kind: 'error' }>
/** Undefined members are left out on the way. */
export type Hello = { readonly [K in keyof Omit<SqlHello, 'kind'>]: SqlHello[K] | undefined }
type Ended = { readonly code: string; readonly text: string; readonly next: string | null }

export type Result = {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rows: (readonly (string | null)[])[]
  tag: string | undefined
}

export type Run = {
  readonly id: number
  readonly sql: string
  readonly form: Form
  readonly startedAt: number
  readonly results: Result[]
  readonly notices: { readonly text: string; readonly hint: string | null }[]
  /** Parts of a file. */
  readonly parts: string[]
  rows: number
  error: SqlError | undefined
  end: Extract<ToSqlPage, { kind: 'done' }> | undefined
}

export type LineState =
  | { readonly at: 'connecting' }
  | { readonly at: 'open'; readonly opened: Opened }
  /** Nothing was opened. */
  | { readonly at: 'refused'; readonly why: Ended }
  | { readonly at: 'ended'; readonly why: Ended; readonly opened: Opened | undefined }

/** For `useSyncExternalStore`: {@link version} is another number after every change. */
export class SqlLine {
  state: LineState = { at: 'connecting' }
  /** What runs or ran last, of what the person started. */
  shown: Run | undefined
  status: 'I' | 'T' | 'E' = 'I'
  version = 0
  readonly #hello: Hello
  #socket: WebSocket | undefined
  readonly #listeners = new Set<() => void>()
  readonly #queue: { readonly run: Run; readonly done: (run: Run) => void }[] = []
  #running: { readonly run: Run; readonly done: (run: Run) => void } | undefined
  #next = 1
  #due = false

  constructor(hello: Hello) {
    this.#hello = hello
  }

  open(): void {
    const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}${path}`)
    this.#socket = socket
    socket.addEventListener('open', () => socket.send(JSON.stringify({ kind: 'open', ...this.#hello })))
    socket.addEventListener('message', ({ data }) => this.#heard(JSON.parse(String(data)) as ToSqlPage))
    socket.addEventListener('close', () => this.#over({ code: 'OFFLINE', text: '', next: null }))
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get isRunning(): boolean {
    return this.shown !== undefined && this.shown.end === undefined
  }

  /** `isShown`: the person wants to see it; else it is for the page itself. Resolves when it is done, or the line is. */
  run(sql: string, how: { readonly form?: Form; readonly isShown?: boolean } = {}): Promise<Run> {
    const run: Run = {
      id: this.#next++,
      sql,
      form: how.form ?? 'rows',
      startedAt: Date.now(),
      results: [],
      notices: [],
      parts: [],
      rows: 0,
      error: undefined,
      end: undefined,
    }
    if (how.isShown === true) this.shown = run
    return new Promise((done) => {
      this.#queue.push({ run, done })
      this.#go()
    })
  }

  cancel(): void {
    this.#say({ kind: 'cancel' })
  }

  close(): void {
    this.#socket?.close()
  }

  #say(message: FromSqlPage): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message))
  }

  #go(): void {
    if (this.#running !== undefined || this.state.at !== 'open') return
    const next = this.#queue.shift()
    if (next === undefined) return
    this.#running = next
    const { id, sql, form } = next.run
    this.#say({ kind: 'run', id, sql, form })
    this.#changed()
  }

  #heard(message: ToSqlPage): void {
    const run = this.#running?.run
    switch (message.kind) {
      case 'opened':
        this.state = { at: 'open', opened: message }
        this.#go()
        break
      case 'columns':
        run?.results.push({ columns: message.columns, rows: [], tag: undefined })
        break
      case 'batch':
        run?.results.at(-1)?.rows.push(...message.rows)
        if (run !== undefined) run.rows += message.rows.length
        this.#say({ kind: 'taken', batches: 1 })
        break
      case 'text':
        run?.parts.push(message.text)
        if (run !== undefined) run.rows += message.rows
        this.#say({ kind: 'taken', batches: 1 })
        break
      case 'complete':
        this.#complete(run, message.tag)
        break
      case 'error':
        if (run !== undefined) run.error = message
        break
      case 'notice':
        ;(run ?? this.shown)?.notices.push(message)
        break
      case 'done':
        this.#done(message)
        break
      case 'ended':
        this.#over({ code: 'ENDED', ...message })
        break
      case 'refused':
        this.#over(message)
        break
    }
    this.#changed()
  }

  /** A statement without rows has a result, too: what it did. */
  #complete(run: Run | undefined, tag: string): void {
    const last = run?.results.at(-1)
    if (last !== undefined && last.tag === undefined) last.tag = tag
    else run?.results.push({ columns: [], rows: [], tag })
  }

  #done(message: Extract<ToSqlPage, { kind: 'done' }>): void {
    const running = this.#running
    if (running === undefined) return
    this.#running = undefined
    this.status = message.status
    running.run.end = message
    running.done(running.run)
    this.#go()
  }

  #over(why: Ended): void {
    if (this.state.at === 'refused' || this.state.at === 'ended') return
    const opened = this.state.at === 'open' ? this.state.opened : undefined
    this.state = opened === undefined && why.code !== 'ENDED' ? { at: 'refused', why } : { at: 'ended', why, opened }
    for (const { run, done } of [this.#running, ...this.#queue].filter((one) => one !== undefined)) {
      run.end ??= { kind: 'done', id: run.id, status: 'I', isCut: false, ms: Date.now() - run.startedAt }
      done(run)
    }
    this.#running = undefined
    this.#socket?.close()
    this.#changed()
  }

  /** Screens draw at most once a frame, however many batches come. */
  #changed(): void {
    if (this.#due) return
    this.#due = true
    setTimeout(() => {
      this.#due = false
      this.version += 1
      for (const listener of this.#listeners) listener()
    }, 16)
  }
}
