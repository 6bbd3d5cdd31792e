/** Rebuilds the lines that a person saw or typed from the bytes of a terminal, for search. Sans-IO. A best effort: screens that are painted in place are not lines. */

type Line = (text: string) => void

const MAX_CELLS = 4_096
const ESC = 0x1b
/** A few bytes can ask for thousands of blank or shifted cells: a line gets what screens need, and whoever asks for more a line that is wrong. */
const CELLS_PER_CHARACTER = 8
const MOST_SAVED_CELLS = 64 * 1024

/** What was shown: one line that can still change, let go when the cursor leaves it. */
export class ShownLines {
  readonly #line: Line
  readonly #decoder = new TextDecoder()
  #columns: number
  #cells: string[] = []
  #x = 0
  /** `string`: OSC, DCS and the like, up to BEL or ST. `skip`: one more character of an escape sequence. */
  #phase: 'text' | 'escape' | 'csi' | 'string' | 'string-escape' | 'skip' = 'text'
  #parameters = ''
  /** Cells that may be made or moved without being printed. */
  #saved = MOST_SAVED_CELLS

  constructor(line: Line, columns: number) {
    this.#line = line
    this.#columns = columns
  }

  resize(columns: number): void {
    this.#columns = columns
  }

  write(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true })
    for (const character of text) {
      this.#saved = Math.min(MOST_SAVED_CELLS, this.#saved + CELLS_PER_CHARACTER)
      this.#take(character, character.codePointAt(0) ?? 0)
    }
  }

  /** Lets go of the line as it is. */
  commit(): void {
    let text = ''
    for (const cell of this.#cells) text += cell ?? ' '
    text = text.trimEnd()
    if (text !== '') this.#line(text)
    this.#cells = []
    this.#x = 0
  }

  #take(character: string, code: number): void {
    switch (this.#phase) {
      case 'text':
        this.#print(character, code)
        return
      case 'escape':
        this.#escape(code)
        return
      case 'csi':
        if (code >= 0x40 && code <= 0x7e) {
          this.#phase = 'text'
          this.#control(character)
        } else if (this.#parameters.length < 64) this.#parameters += character
        return
      case 'string':
        if (code === 0x07) this.#phase = 'text'
        else if (code === ESC) this.#phase = 'string-escape'
        return
      case 'string-escape':
        this.#phase = code === 0x5c ? 'text' : 'string'
        return
      case 'skip':
        this.#phase = 'text'
    }
  }

  #print(character: string, code: number): void {
    if (code === ESC) this.#phase = 'escape'
    else if (code === 0x0a) this.commit()
    // A carriage return goes to the start of the row, not of a line that was wrapped.
    else if (code === 0x0d) this.#x = this.#x > 0 ? Math.floor((this.#x - 1) / this.#columns) * this.#columns : 0
    else if (code === 0x08) this.#x = Math.max(0, this.#x - 1)
    else if (code === 0x09) this.#x = Math.min((this.#x | 7) + 1, MAX_CELLS)
    else if (code >= 0x20 && code !== 0x7f && this.#x < MAX_CELLS) {
      if (!this.#spend(this.#x - this.#cells.length)) this.#x = this.#cells.length
      this.#cells[this.#x++] = character
    }
  }

  #escape(code: number): void {
    this.#parameters = ''
    this.#phase = 'text'
    if (code === 0x5b) this.#phase = 'csi'
    else if (code === 0x5d || code === 0x50 || code === 0x5e || code === 0x5f || code === 0x58) this.#phase = 'string'
    else if (code >= 0x20 && code <= 0x2f) this.#phase = 'skip'
    // RIS, RI, IND, NEL: the cursor leaves the line.
    else if (code === 0x63 || code === 0x4d || code === 0x44 || code === 0x45) this.commit()
  }

  /** ECMA-48 §8.3, as far as it changes one line; whatever leaves the line lets it go. */
  #control(final: string): void {
    const n = Math.min(Number.parseInt(this.#parameters, 10) || 1, MAX_CELLS)
    if (final === 'C') this.#x = Math.min(this.#x + n, MAX_CELLS)
    else if (final === 'D') this.#x = Math.max(0, this.#x - n)
    else if (final === 'G') this.#x = n - 1
    else if (final === 'P') this.#shift(n, 0)
    else if (final === '@') this.#shift(0, n)
    else if (final === 'K') this.#erase()
    else if ('HfABdJSTLM'.includes(final)) this.commit()
    else if ((final === 'h' || final === 'l') && /^\?(?:1049|1047|47)$/.test(this.#parameters)) this.commit()
    if (this.#cells.length > MAX_CELLS) this.#cells.length = MAX_CELLS
  }

  /** At the cursor: so many cells go, so many blanks come. */
  #shift(gone: number, blanks: number): void {
    if (!this.#spend(Math.max(0, this.#cells.length - this.#x) + blanks)) return
    this.#cells.splice(this.#x, gone, ...Array.from({ length: blanks }, () => ' '))
  }

  #spend(cells: number): boolean {
    if (cells <= 0) return true
    if (cells > this.#saved) return false
    this.#saved -= cells
    return true
  }

  #erase(): void {
    if (this.#parameters === '2') this.#cells = []
    else if (this.#parameters !== '1') this.#cells.length = Math.min(this.#cells.length, this.#x)
  }
}

/** What was typed, with the usual keys of a line applied. What was not echoed never comes here. */
export class TypedLines {
  readonly #line: Line
  readonly #decoder = new TextDecoder()
  #text: string[] = []
  #phase: 'text' | 'escape' | 'csi' | 'ss3' = 'text'

  constructor(line: Line) {
    this.#line = line
  }

  write(bytes: Uint8Array): void {
    for (const character of this.#decoder.decode(bytes, { stream: true }))
      this.#take(character, character.codePointAt(0) ?? 0)
  }

  commit(): void {
    const text = this.#text.join('').trim()
    if (text !== '') this.#line(text)
    this.#text = []
  }

  #take(character: string, code: number): void {
    if (this.#phase === 'escape') this.#phase = code === 0x5b ? 'csi' : code === 0x4f ? 'ss3' : 'text'
    else if (this.#phase === 'ss3') this.#phase = 'text'
    else if (this.#phase === 'csi') {
      if (code >= 0x40 && code <= 0x7e) this.#phase = 'text'
    } else if (code === ESC) this.#phase = 'escape'
    else if (code === 0x0d || code === 0x0a) this.commit()
    else if (code === 0x7f || code === 0x08) this.#text.pop()
    else if (code === 0x15 || code === 0x03) this.#text = []
    else if (code === 0x17) this.#eraseWord()
    else if (code >= 0x20 && this.#text.length < MAX_CELLS) this.#text.push(character)
  }

  #eraseWord(): void {
    const end = this.#text.findLastIndex((character) => character !== ' ')
    this.#text.length = this.#text.lastIndexOf(' ', end) + 1
  }
}
