/** Plays a tape onto a screen: play, pause, seek, speed, and the end of a tape that still grows. */
import { type Mark, parseSize, type Size } from './cast.ts'
import type { Screen } from './screen.ts'
import type { Tape } from './tape.ts'

export type PlayerState = {
  /** Squeezed seconds. */
  readonly position: number
  readonly length: number
  readonly isPlaying: boolean
  readonly speed: number
  /** At the end of a session that runs, and staying there. */
  readonly isFollowing: boolean
  /** Input marks of the last moment, for the overlay. */
  readonly keys: readonly Mark[]
}

/** How long a key stays on the overlay, in seconds of the viewer. */
const KEY_SECONDS = 1.6
const MOST_KEYS = 24
/** States per second that the page sees while it plays. */
const TICK_MS = 100
/** Characters that go to the screen at a time. */
const STRETCH = 65_536

type Parts = {
  readonly tape: Tape
  readonly screen: Screen
  readonly frame: (callback: (now: number) => void) => number
  readonly cancelFrame: (id: number) => void
}

export class Player {
  readonly #parts: Parts
  readonly #listeners = new Set<() => void>()
  readonly #unsubscribe: () => void
  #state: PlayerState
  /** The next mark that has not been drawn. */
  #next = 0
  /** Where drawing has to get to; it may be behind. */
  #position = 0
  #drawing: Promise<void> | undefined
  #redraw = false
  #loop: number | undefined
  #lastFrame = 0
  #lastTick = 0
  #keys: { readonly mark: Mark; readonly until: number }[] = []
  #disposed = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#state = {
      position: 0,
      length: parts.tape.length,
      isPlaying: false,
      speed: 1,
      isFollowing: false,
      keys: [],
    }
    this.#unsubscribe = parts.tape.onChange(() => this.#grown())
  }

  state = (): PlayerState => this.#state

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  play(): void {
    if (this.#state.isPlaying) return
    if (this.#position >= this.#parts.tape.length && !this.#state.isFollowing) this.#goTo(0)
    this.#set({ isPlaying: true, isFollowing: false })
    this.#lastFrame = performance.now()
    this.#loop = this.#parts.frame((now) => this.#tick(now))
  }

  pause(): void {
    if (this.#loop !== undefined) this.#parts.cancelFrame(this.#loop)
    this.#loop = undefined
    this.#set({ position: this.#position, isPlaying: false, isFollowing: false, keys: [] })
  }

  toggle(): void {
    if (this.#state.isPlaying || this.#state.isFollowing) this.pause()
    else this.play()
  }

  /** To a squeezed second; playing goes on from there. */
  seek(position: number): void {
    this.#keys = []
    this.#goTo(Math.max(0, Math.min(position, this.#parts.tape.length)))
    this.#set({ isFollowing: false, keys: [] })
  }

  /** Stays at the end while the tape grows. */
  follow(): void {
    this.pause()
    this.#goTo(this.#parts.tape.length)
    this.#set({ isFollowing: true })
  }

  speed(speed: number): void {
    this.#set({ speed })
  }

  /** Other pauses move every time; what is on the screen stays. */
  squeeze(idle: number): void {
    const last = this.#parts.tape.marks[this.#next - 1]?.seconds ?? 0
    this.#parts.tape.squeeze(idle)
    this.#position = this.#parts.tape.timeOf(last)
    this.#set({ position: this.#position, length: this.#parts.tape.length })
  }

  /** Resolves when the screen shows the position. */
  async settled(): Promise<void> {
    while (this.#drawing !== undefined) await this.#drawing
  }

  dispose(): void {
    this.pause()
    this.#disposed = true
    this.#unsubscribe()
    this.#listeners.clear()
  }

  #tick(now: number): void {
    const seconds = (now - this.#lastFrame) / 1000
    this.#lastFrame = now
    const { length } = this.#parts.tape
    // A hidden tab gets no frames: when it comes back it goes on, it does not jump.
    const position = Math.min(length, this.#position + Math.min(seconds, 0.25) * this.#state.speed)
    this.#goTo(position, now)
    if (position >= length) return this.pause()
    if (now - this.#lastTick >= TICK_MS) {
      this.#lastTick = now
      this.#keys = this.#keys.filter(({ until }) => until > now).slice(-MOST_KEYS)
      this.#set({ keys: this.#keys.map(({ mark }) => mark) })
    }
    this.#loop = this.#parts.frame((next) => this.#tick(next))
  }

  #grown(): void {
    const { length } = this.#parts.tape
    if (this.#state.isFollowing) this.#goTo(length)
    // Marks that came late may lie before what is drawn.
    this.#set({ length })
  }

  #goTo(position: number, now?: number): void {
    const { tape } = this.#parts
    if (position < this.#position) this.#redraw = true
    else if (now !== undefined)
      for (let index = this.#next; tape.timeAt(index) <= position && index < tape.marks.length; index += 1) {
        const mark = tape.marks[index]
        if (mark?.kind === 'i' || mark?.kind === 'k') this.#keys.push({ mark, until: now + KEY_SECONDS * 1000 })
      }
    this.#position = position
    if (now === undefined || now - this.#lastTick >= TICK_MS) this.#set({ position })
    this.#drawing ??= this.#draw().finally(() => {
      this.#drawing = undefined
      // What the screen held back may have changed.
      this.#set({})
    })
  }

  /** One at a time; a seek meanwhile only moves the aim, or starts over. */
  async #draw(): Promise<void> {
    const { tape, screen } = this.#parts
    await Promise.resolve()
    while (!this.#disposed) {
      if (this.#redraw) {
        this.#redraw = false
        this.#next = 0
        screen.clear(tape.size)
      }
      const { output, size } = this.#take()
      if (output === '' && size === undefined) return
      if (output !== '') await screen.write(output, () => this.#redraw || this.#disposed)
      if (size !== undefined && !this.#redraw) screen.resize(size)
    }
  }

  /** The next stretch of output up to the position, and the resize that ended it. */
  #take(): { readonly output: string; readonly size: Size | undefined } {
    const { tape } = this.#parts
    let output = ''
    while (output.length < STRETCH && this.#next < tape.marks.length && tape.timeAt(this.#next) <= this.#position) {
      const mark = tape.marks[this.#next]
      this.#next += 1
      if (mark?.kind === 'o' || mark?.kind === 'e') output += mark.text
      const size = mark?.kind === 'r' ? parseSize(mark.text) : undefined
      if (size !== undefined) return { output, size }
    }
    return { output, size: undefined }
  }

  #set(change: Partial<PlayerState>): void {
    if (this.#disposed) return
    this.#state = { ...this.#state, ...change }
    for (const listener of this.#listeners) listener()
  }
}
