/** A line being typed: cells and a cursor. Pure; drawing is somebody else's. */
import type { Key } from '../screen/keys.ts'
import { width } from '../screen/text.ts'

/** More than the judge takes, so that the answer to too much is a sentence and not a silent cut. */
const MOST = 8 * 1024 + 1
const MOST_HISTORY = 500

export class LineEditor {
  /** A character each, with the marks that belong to it. */
  #cells: string[] = []
  #at = 0
  readonly #history: string[] = []
  /** Which line of the history is shown; the length of it: the new one. */
  #shown = 0
  #kept = ''

  get text(): string {
    return this.#cells.join('')
  }
  get before(): string {
    return this.#cells.slice(0, this.#at).join('')
  }
  get after(): string {
    return this.#cells.slice(this.#at).join('')
  }
  get isEmpty(): boolean {
    return this.#cells.length === 0
  }
  get isAtEnd(): boolean {
    return this.#at === this.#cells.length
  }

  /** True when something changed. */
  press(key: Key): boolean {
    switch (key.kind) {
      case 'text':
        return this.insert(key.text)
      case 'left':
        return this.#go(this.#at - 1)
      case 'right':
        return this.#go(this.#at + 1)
      case 'home':
        return this.#go(0)
      case 'last':
        return this.#go(this.#cells.length)
      case 'backspace':
        return this.#at > 0 && this.#cut(this.#at - 1, this.#at)
      case 'delete':
        return this.#cut(this.#at, this.#at + 1)
      case 'kill-line':
        return this.#cut(0, this.#at)
      case 'kill-rest':
        return this.#cut(this.#at, this.#cells.length)
      case 'kill-word':
        return this.#cut(this.#wordStart(), this.#at)
      case 'up':
        return this.#recall(this.#shown - 1)
      case 'down':
        return this.#recall(this.#shown + 1)
      case 'enter':
      case 'interrupt':
      case 'end':
      case 'clear':
      case 'tab':
      case 'escape':
      case 'other':
        return false
    }
    return key satisfies never
  }

  insert(text: string): boolean {
    if (this.#cells.length >= MOST) return false
    for (const character of text) {
      const previous = this.#cells[this.#at - 1]
      if (previous !== undefined && width(character) === 0) this.#cells[this.#at - 1] = previous + character
      else {
        if (this.isAtEnd) this.#cells.push(character)
        else this.#cells.splice(this.#at, 0, character)
        this.#at += 1
      }
    }
    return true
  }

  /** Puts `text` where the last `length` characters (UTF-16) before the cursor are. */
  replaceBefore(length: number, text: string): void {
    const { before } = this
    const { after } = this
    const start = before.slice(0, before.length - length)
    this.#set(start + text + after)
    this.#at = Array.from(start + text).filter((character) => width(character) > 0).length
  }

  /** The line is done: it becomes the last of the history, and a new one begins. */
  take(): string {
    const { text } = this
    if (text.trim() !== '' && this.#history.at(-1) !== text) this.#history.push(text)
    if (this.#history.length > MOST_HISTORY) this.#history.shift()
    this.clear()
    return text
  }

  clear(): void {
    this.#set('')
    this.#shown = this.#history.length
    this.#kept = ''
  }

  #go(at: number): boolean {
    const to = Math.max(0, Math.min(at, this.#cells.length))
    const moved = to !== this.#at
    this.#at = to
    return moved
  }

  #cut(from: number, to: number): boolean {
    const removed = this.#cells.splice(from, to - from)
    this.#at = Math.min(from, this.#cells.length)
    return removed.length > 0
  }

  #wordStart(): number {
    let at = this.#at
    while (at > 0 && this.#cells[at - 1] === ' ') at -= 1
    while (at > 0 && this.#cells[at - 1] !== ' ') at -= 1
    return at
  }

  #recall(index: number): boolean {
    if (index < 0 || index > this.#history.length) return false
    if (this.#shown === this.#history.length) this.#kept = this.text
    this.#shown = index
    this.#set(this.#history[index] ?? this.#kept)
    return true
  }

  #set(text: string): void {
    this.#cells = []
    this.#at = 0
    for (const character of text) this.insert(character)
  }
}
