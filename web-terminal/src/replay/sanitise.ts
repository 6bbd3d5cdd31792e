/**
 * Takes the teeth out of recorded output before xterm.js sees it. What a host wrote is hostile: only sequences that draw text get through,
 * their numbers are clamped, and nothing that asks the terminal for an answer, a title, a link or the clipboard survives.
 */

/** What was held back, so that the viewer can say so. */
export type Trick = 'clipboard' | 'title' | 'link' | 'query' | 'oversized' | 'bidi' | 'hidden' | 'other'

export type Tricks = Readonly<Partial<Record<Trick, number>>>

/** A control string (OSC, DCS…) that is longer than this ends at the next line end, so that an unterminated one hides little. */
const MAX_STRING = 4096
const MAX_SEQUENCE = 128
const MAX_TITLE = 80
const MAX_PARAMETERS = 32
/** Combining characters that may pile up on one cell. */
const MAX_COMBINING = 8
/** Work in one piece, in cells touched: xterm.js can rest between pieces, never inside one. */
const PIECE = 16_384

const ESC = '\x1b'
/** Printable runs that need no second look: everything but controls, surrogates, marks and invisible characters. */
const PLAIN = /[^\p{Cc}\p{Cf}\p{Cs}\p{M}\u2028\u2029]+/uy
/** C0 controls that only move the cursor or switch the character set. */
const MOVERS = new Set(['\b', '\t', '\n', '\v', '\f', '\r', '\x0e', '\x0f'])
/** Final bytes of CSI without prefix or intermediate whose first number is a count, with what one step costs. */
const COUNTS: Readonly<Record<string, number>> = {
  '@': 1,
  A: 0,
  B: 0,
  C: 0,
  D: 0,
  E: 0,
  F: 0,
  I: 1,
  L: 64,
  M: 64,
  P: 1,
  S: 64,
  T: 64,
  X: 1,
  Z: 1,
  a: 0,
  b: 1,
  e: 0,
}
/** Final bytes of CSI that place, erase or save. */
const PLACES = new Set(['G', 'H', 'J', 'K', '`', 'd', 'f', 'g', 'r', 's', 'u'])
/** DEC private modes that change how text is drawn, and nothing else. */
const MODES = new Set([6, 7, 12, 25, 45, 47, 1047, 1048, 1049])
/** CSI of DSR (status, cursor) and DA (primary, secondary), whose answers say nothing of the person or the page. */
const QUESTIONS = new Set(['5n', '6n', '?6n', 'c', '0c', '>c', '>0c'])
const CHARSETS = /^[()*+][0-9A-Za-z<>=%]?$/

/** What a screen with a person at its keys gets beside drawing; a replay gets nothing of it. */
export type Liberties = {
  /** DEC private modes more: what keys and mouse send. */
  readonly modes: ReadonlySet<number>
  /** Whether the terminal may be asked what it is, or where its cursor stands: the answer becomes input. */
  readonly mayAsk: () => boolean
  /** Takes a title: one line, no longer than {@link MAX_TITLE}. */
  readonly title: (text: string) => void
}

type State = 'ground' | 'escape' | 'csi' | 'string'

export class Sanitiser {
  #state: State = 'ground'
  /** Bytes of the sequence so far, without its introducer. */
  #held = ''
  /** Length of the control string so far, and its first characters. */
  #length = 0
  #combining = 0
  #high = ''
  #columns: number
  #rows: number
  #out = ''
  #cost = 0
  #pieces: string[] = []
  #tricks: Partial<Record<Trick, number>> = {}

  readonly #liberties: Liberties | undefined
  #title = ''

  constructor(columns: number, rows: number, liberties?: Liberties) {
    this.#columns = columns
    this.#rows = rows
    this.#liberties = liberties
  }

  get tricks(): Tricks {
    return this.#tricks
  }

  resize(columns: number, rows: number): void {
    this.#columns = columns
    this.#rows = rows
  }

  /** What may be written, in pieces of bounded work. A sequence that is cut off waits for the next chunk. */
  push(chunk: string): readonly string[] {
    const text = this.#high + chunk
    this.#high = ''
    for (let at = 0; at < text.length; ) at = this.#step(text, at)
    this.#flush()
    const pieces = this.#pieces
    this.#pieces = []
    return pieces
  }

  #step(text: string, at: number): number {
    if (this.#state === 'ground') {
      PLAIN.lastIndex = at
      const run = PLAIN.exec(text)?.[0]
      if (run !== undefined) {
        for (let from = 0; from < run.length; from += PIECE) this.#plain(run.slice(from, from + PIECE))
        return at + run.length
      }
    }
    const code = text.codePointAt(at) ?? 0
    const end = at + (code > 0xffff ? 2 : 1)
    if (code >= 0xd800 && code <= 0xdbff && end === text.length) {
      this.#high = text.slice(at)
      return end
    }
    this.#character(code >= 0xd800 && code <= 0xdfff ? '\ufffd' : text.slice(at, end), code)
    return end
  }

  #character(character: string, code: number): void {
    if (character === ESC) return this.#restart('escape')
    if (code === 0x18 || code === 0x1a) return this.#restart('ground')
    // C1 controls are the same sequences in one character.
    if (code >= 0x80 && code <= 0x9f && this.#state !== 'string') {
      this.#restart('escape')
      return this.#escape(String.fromCharCode(code - 0x40))
    }
    switch (this.#state) {
      case 'ground':
        return this.#ground(character, code)
      case 'escape':
        return this.#inside(character, code, () => this.#escape(character))
      case 'csi':
        return this.#inside(character, code, () => this.#csi(character, code))
      case 'string':
        return this.#string(character, code)
    }
  }

  /** A terminal obeys cursor controls in the middle of a sequence at once. */
  #inside(character: string, code: number, then: () => void): void {
    if (code < 0x20) this.#ground(character, code)
    else then()
  }

  #restart(state: State): void {
    if (this.#state === 'string') this.#dropString()
    this.#state = state
    this.#held = ''
  }

  #ground(character: string, code: number): void {
    if (code < 0x20) {
      if (MOVERS.has(character)) this.#emit(character, character === '\n' ? 4 : 1)
      if (character !== '\x07') this.#combining = 0
      return
    }
    if (code === 0x7f) return
    if (isReordering(code)) {
      this.#trick('bidi')
      this.#emit('\ufffd', 1)
      return
    }
    if (!/^[\p{M}\p{Cf}]$/u.test(character)) return this.#plain(character)
    this.#combining += 1
    if (this.#combining <= MAX_COMBINING) this.#emit(character, 1)
  }

  #plain(text: string): void {
    this.#combining = 0
    this.#emit(text, text.length)
  }

  #escape(character: string): void {
    if (this.#held !== '') return this.#charset(character)
    switch (character) {
      case '[':
        this.#state = 'csi'
        return
      case ']':
      case 'P':
      case 'X':
      case '^':
      case '_':
        this.#state = 'string'
        this.#held = character
        this.#length = 0
        this.#title = ''
        return
      case '7':
      case '8':
      case 'D':
      case 'E':
      case 'H':
      case 'M':
      case 'c':
        this.#state = 'ground'
        this.#emit(ESC + character, character === 'c' ? this.#columns * this.#rows : Math.max(64, this.#rows * 2))
        return
      case '\\':
        this.#state = 'ground'
        return
      case '=':
      case '>':
        // The keypad's own codes: a matter of keys.
        if (this.#liberties === undefined) return this.#drop('other')
        this.#state = 'ground'
        return this.#emit(ESC + character, 1)
    }
    if (/[ -/]/.test(character)) this.#held = character
    else this.#drop('other')
  }

  #charset(character: string): void {
    const sequence = this.#held + character
    if (/[ -/]/.test(character) && sequence.length < 4) {
      this.#held = sequence
      return
    }
    if (CHARSETS.test(sequence)) this.#emit(ESC + sequence, 1)
    else if (sequence === '#8') this.#emit(`${ESC}#8`, this.#columns * this.#rows)
    else return this.#drop('other')
    this.#restart('ground')
  }

  #csi(character: string, code: number): void {
    if (code < 0x40 || code > 0x7e) {
      if (code >= 0x7f) return
      if (this.#held.length < MAX_SEQUENCE) this.#held += character
      // Too long: remember only that it was, until its end comes.
      else this.#held = '!'.repeat(MAX_SEQUENCE)
      return
    }
    const held = this.#held
    this.#restart('ground')
    const safe = this.#judge(held, character)
    if (safe === undefined) this.#trick(heldBack(held, character))
    else this.#emit(ESC + '[' + safe.text, safe.cost)
  }

  /** The sequence that may pass in place of `held` + `final`; undefined: none. */
  #judge(held: string, final: string): { readonly text: string; readonly cost: number } | undefined {
    if (held === ' ' || /^[0-6] $/.test(held)) return final === 'q' ? { text: `${held}q`, cost: 1 } : undefined
    if (held === '!' && final === 'p') return { text: '!p', cost: 1 }
    if (final === 'h' || final === 'l') return this.#mode(held, final)
    if (QUESTIONS.has(held + final))
      return this.#liberties?.mayAsk() === true ? { text: held + final, cost: 64 } : undefined
    if (/^\?[0-2]?$/.test(held) && (final === 'J' || final === 'K')) return { text: held + final, cost: 256 }
    if (!/^[0-9;:]*$/.test(held)) return undefined
    if (final === 'm') return { text: `${this.#colours(held)}m`, cost: 4 }
    const step = COUNTS[final]
    if (step === undefined && !PLACES.has(final)) return undefined
    const numbers = held.split(';').slice(0, 4).map(parseNumber)
    const most = step === 64 || 'ABEFe'.includes(final) ? this.#rows : Math.max(this.#columns, this.#rows)
    const clamped = numbers.map((number) => (number === undefined ? '' : String(Math.min(number, most))))
    const count = Math.min(Math.max(numbers[0] ?? 1, 1), most)
    const cost = step === undefined ? (final === 'J' ? this.#columns * this.#rows : this.#columns) : 4 + step * count
    return { text: clamped.join(';') + final, cost }
  }

  #mode(held: string, final: string): { readonly text: string; readonly cost: number } | undefined {
    if (held === '4') return { text: held + final, cost: 1 }
    if (!held.startsWith('?')) return undefined
    const wanted = held
      .slice(1)
      .split(';')
      .filter((number) => MODES.has(Number(number)) || this.#liberties?.modes.has(Number(number)) === true)
      .slice(0, MAX_PARAMETERS)
    return wanted.length === 0
      ? undefined
      : { text: `?${wanted.join(';')}${final}`, cost: this.#columns * this.#rows * wanted.length }
  }

  /** Colours without "hidden" (8): an auditor sees what was written. */
  #colours(held: string): string {
    const parameters = held.split(';').slice(0, MAX_PARAMETERS)
    const kept: string[] = []
    for (let i = 0; i < parameters.length; i += 1) {
      const parameter = parameters[i] ?? ''
      const skip = parameter === '38' || parameter === '48' || parameter === '58'
      if (skip) {
        const count = parameters[i + 1] === '5' ? 2 : parameters[i + 1] === '2' ? 4 : 0
        kept.push(...parameters.slice(i, i + 1 + count).map(clampColour))
        i += count
      } else if (/^0*8$/.test(parameter)) this.#trick('hidden')
      else kept.push(clampColour(parameter))
    }
    // "8" alone must not become "", which would mean "reset".
    return kept.length === 0 && held !== '' ? '28' : kept.join(';')
  }

  #string(character: string, code: number): void {
    if (code === 0x07 || code === 0x9c) return this.#restart('ground')
    this.#length += 1
    if (this.#length <= 3) this.#held += character
    else if (this.#title.length < MAX_TITLE && this.#liberties !== undefined) this.#title += character
    if (this.#length <= MAX_STRING || (character !== '\n' && character !== '\r')) return
    this.#restart('ground')
    this.#ground(character, code)
  }

  #dropString(): void {
    const trick = this.#length > MAX_STRING ? 'oversized' : stringTrick(this.#held)
    if (trick === 'title' && this.#liberties !== undefined) this.#liberties.title(plainTitle(this.#held, this.#title))
    else this.#trick(trick)
  }

  #drop(trick: Trick): void {
    this.#restart('ground')
    this.#trick(trick)
  }

  #trick(trick: Trick): void {
    this.#tricks[trick] = (this.#tricks[trick] ?? 0) + 1
  }

  #emit(text: string, cost: number): void {
    if (this.#cost + cost > PIECE) this.#flush()
    this.#out += text
    this.#cost += cost
  }

  #flush(): void {
    if (this.#out !== '') this.#pieces.push(this.#out)
    this.#out = ''
    this.#cost = 0
  }
}

/** Marks that make text read in another order than it was written, or that cannot be seen at all. */
const isReordering = (code: number): boolean =>
  (code >= 0x202a && code <= 0x202e) ||
  (code >= 0x2066 && code <= 0x2069) ||
  code === 0x200e ||
  code === 0x200f ||
  code === 0x061c ||
  code === 0x200b ||
  code === 0xfeff ||
  code === 0x2028 ||
  code === 0x2029 ||
  (code >= 0xe0000 && code <= 0xe007f)

/** `]0;x` and what follows: no control, nothing that turns text around. */
const plainTitle = (head: string, rest: string): string =>
  (head.replace(/^\]\d*;?/, '') + rest)
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()
    .slice(0, MAX_TITLE)

const parseNumber = (text: string): number | undefined => {
  const number = Number.parseInt(text, 10)
  return Number.isNaN(number) ? undefined : Math.min(number, 65_535)
}

/** `4:3` and the like keep their shape; numbers above 255 mean nothing in a colour. */
const clampColour = (parameter: string): string =>
  parameter
    .slice(0, 24)
    .split(':')
    .map((part) => (part === '' ? '' : String(Math.min(Number.parseInt(part, 10), 255))))
    .join(':')

const heldBack = (held: string, final: string): Trick =>
  'nctqpxw'.includes(final) || held.includes('$') ? 'query' : held.length >= MAX_SEQUENCE ? 'oversized' : 'other'

function stringTrick(held: string): Trick {
  if (!held.startsWith(']')) return held.startsWith('P$') || held.startsWith('P+') ? 'query' : 'other'
  const number = /^\](\d+)/.exec(held)?.[1] ?? ''
  if (number === '52') return 'clipboard'
  if (number === '8') return 'link'
  return number === '0' || number === '1' || number === '2' ? 'title' : 'other'
}
