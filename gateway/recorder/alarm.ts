/** Watches the lines of one session for alerts, as they are recorded: what was not echoed never comes here. An alarm, not a boundary. */
import type { AlertRule } from '../model/alert.ts'
import type { SessionStart } from '../model/event.ts'
import type { Moment } from '../model/moment.ts'
import { ShownLines, TypedLines } from './lines.ts'

export type AlertHit = { readonly rule: AlertRule; readonly line: string }
/** The rules that a line fits. */
export type AlertFinder = (line: string, source: 'typed' | 'shown') => readonly AlertRule[]

/** More of one rule in one session say nothing new. */
const MAX_HITS = 20
/** In a second and a direction; more is nobody's typing, and went by too fast to be read. */
const MAX_BYTES = 256 * 1024
/** Of a line, in the recording and the audit log. */
const MAX_SHOWN_LINE = 400

export class Alarm {
  readonly #find: AlertFinder
  readonly #hit: (hit: AlertHit) => void
  readonly #typed = new TypedLines((line) => this.#look(line, 'typed'))
  readonly #shown: ShownLines
  readonly #hits = new Map<string, number>()
  /** Typed lines that rang: each is shown as well. */
  readonly #echoes = new Map<string, string>()
  readonly #typedPace = new Pace()
  readonly #shownPace = new Pace()

  constructor(find: AlertFinder, start: SessionStart, hit: (hit: AlertHit) => void) {
    this.#find = find
    this.#hit = hit
    this.#shown = new ShownLines((line) => this.#look(line, 'shown'), start.terminal?.columns ?? 80)
  }

  /** What the client asked to be run, before it is. */
  begin({ command }: SessionStart): void {
    for (const line of command.split('\n')) if (line !== '') this.#look(line, 'typed')
  }

  typed(bytes: Uint8Array, at: Moment): void {
    if (this.#typedPace.takes(bytes.length, at)) this.#typed.write(bytes)
  }

  shown(bytes: Uint8Array, at: Moment): void {
    if (this.#shownPace.takes(bytes.length, at)) this.#shown.write(bytes)
  }

  resized(columns: number): void {
    this.#shown.resize(columns)
  }

  #look(line: string, source: 'typed' | 'shown'): void {
    for (const rule of this.#find(line, source)) {
      const echo = this.#echoes.get(rule.name)
      this.#echoes.delete(rule.name)
      if (source === 'typed') this.#echoes.set(rule.name, line)
      else if (echo !== undefined && line.includes(echo)) continue
      const hits = (this.#hits.get(rule.name) ?? 0) + 1
      this.#hits.set(rule.name, hits)
      if (hits <= MAX_HITS)
        this.#hit({ rule, line: line.length > MAX_SHOWN_LINE ? `${line.slice(0, MAX_SHOWN_LINE)}…` : line })
    }
  }
}

class Pace {
  #second = 0
  #bytes = 0

  takes(bytes: number, at: Moment): boolean {
    const second = Math.floor(at / 1000)
    if (second !== this.#second) {
      this.#second = second
      this.#bytes = 0
    }
    if (this.#bytes > MAX_BYTES) return false
    this.#bytes += bytes
    return true
  }
}
