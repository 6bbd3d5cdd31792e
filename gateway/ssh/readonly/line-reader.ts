/** The prompt on a terminal: reads a line with the keys that people know from their shell, and draws it. */
import type { Console } from '../screen/console.ts'
import type { Key } from '../screen/keys.ts'
import { plain, width } from '../screen/text.ts'
import { LineEditor } from './line-editor.ts'

/** `painted` takes the columns of `text`. */
export type Prompt = { readonly text: string; readonly painted: string }

/** What Tab found for the text before the cursor: how much of it to replace, and what could stand there. */
export type Completion = {
  readonly replaces: number
  readonly insert: string
  readonly choices: readonly string[]
}

export type Read =
  | { readonly kind: 'line'; readonly text: string }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'left' }

const MOST_CHOICES = 200

export class LineReader {
  readonly #console: Console
  readonly #complete: (before: string) => Promise<Completion | undefined>
  readonly #editor = new LineEditor()
  #prompt: Prompt = { text: '', painted: '' }
  /** Row of the cursor below the first row of the prompt, as drawn last. */
  #row = 0
  /** And its column. */
  #column = 0

  constructor(console: Console, complete: (before: string) => Promise<Completion | undefined>) {
    this.#console = console
    this.#complete = complete
  }

  async read(prompt: Prompt): Promise<Read> {
    this.#prompt = prompt
    this.#editor.clear()
    this.#row = 0
    await this.#draw()
    for (;;) {
      const key = await this.#console.key()
      if (key === undefined) return { kind: 'left' }
      const read = await this.#pressed(key)
      if (read !== undefined) return read
    }
  }

  async #pressed(key: Key): Promise<Read | undefined> {
    const editor = this.#editor
    switch (key.kind) {
      case 'enter': {
        await this.#finish('')
        return { kind: 'line', text: editor.take() }
      }
      case 'interrupt':
        await this.#finish('^C')
        editor.clear()
        return { kind: 'interrupted' }
      case 'end':
        if (editor.isEmpty) {
          await this.#console.raw('\r\n')
          return { kind: 'left' }
        }
        if (editor.press({ kind: 'delete' })) await this.#draw()
        return undefined
      case 'clear':
        this.#row = 0
        await this.#console.raw('\u001b[H\u001b[2J')
        await this.#draw()
        return undefined
      case 'tab':
        await this.#tab()
        return undefined
      case 'text':
        return this.#text(key.text)
      case 'left':
      case 'right':
      case 'home':
      case 'last':
      case 'up':
      case 'down':
      case 'backspace':
      case 'delete':
      case 'kill-line':
      case 'kill-rest':
      case 'kill-word':
      case 'escape':
      case 'other':
        if (editor.press(key)) await this.#draw()
        return undefined
    }
    return key satisfies never
  }

  /** The usual case, a character at the end, is its own echo. */
  async #text(text: string): Promise<undefined> {
    const column = this.#column + width(text)
    const isPlainEcho = this.#editor.isAtEnd && width(text) > 0 && column < this.#columns
    if (!this.#editor.insert(text)) return undefined
    if (!isPlainEcho) await this.#draw()
    else {
      this.#column = column
      await this.#console.raw(plain(text))
    }
    return undefined
  }

  async #tab(): Promise<void> {
    const found = await this.#complete(this.#editor.before)
    if (found === undefined) return this.#console.raw('\u0007')
    if (found.insert !== '') {
      this.#editor.replaceBefore(found.replaces, found.insert)
      return this.#draw()
    }
    if (found.choices.length < 2) return this.#console.raw('\u0007')
    await this.#finish('')
    await this.#console.raw(columned(found.choices, this.#columns))
    return this.#draw()
  }

  /** Leaves the line as it is and goes below it. */
  async #finish(mark: string): Promise<void> {
    const [row] = this.#place(this.#editor.text)
    const down = row - this.#row
    await this.#console.raw(`${down > 0 ? `\u001b[${down}B` : ''}${mark}\r\n`)
    this.#row = 0
  }

  async #draw(): Promise<void> {
    const { text } = this.#editor
    const [row, column] = this.#place(this.#editor.before)
    const [last, lastColumn] = this.#place(text)
    const up = this.#row > 0 ? `\u001b[${this.#row}A` : ''
    // A row that is just full leaves the cursor on it: only what follows brings it to the next one.
    const wrap = lastColumn === 0 && last > 0 ? '\r\n' : ''
    const back = last > row ? `\u001b[${last - row}A` : ''
    const right = column > 0 ? `\u001b[${column}C` : ''
    await this.#console.raw(`${up}\r\u001b[J${this.#prompt.painted}${plain(text, Infinity)}${wrap}${back}\r${right}`)
    this.#row = row
    this.#column = column
  }

  get #columns(): number {
    return this.#console.columns ?? 80
  }

  /** Row and column after the prompt and this text; a wide character does not stand across the edge. */
  #place(text: string): readonly [row: number, column: number] {
    const columns = this.#columns
    let row = 0
    let column = 0
    for (const character of this.#prompt.text + plain(text, Infinity)) {
      const wide = width(character)
      if (column + wide > columns) {
        row += 1
        column = 0
      }
      column += wide
      if (column >= columns) {
        row += 1
        column = 0
      }
    }
    return [row, column]
  }
}

function columned(choices: readonly string[], columns: number): string {
  const shown = choices.slice(0, MOST_CHOICES).map((choice) => plain(choice, 200))
  const each = Math.min(columns, Math.max(...shown.map(width)) + 2)
  const perRow = Math.max(1, Math.floor(columns / each))
  const rows: string[] = []
  for (let at = 0; at < shown.length; at += perRow)
    rows.push(
      shown
        .slice(at, at + perRow)
        .map((choice) => choice + ' '.repeat(Math.max(0, each - width(choice))))
        .join('')
        .trimEnd(),
    )
  if (choices.length > MOST_CHOICES) rows.push(`… and ${choices.length - MOST_CHOICES} more`)
  return `${rows.join('\r\n')}\r\n`
}
