/**
 * Output of a recording is hostile: what is written to an auditor's terminal passes here first.
 * An allow-list: text, colours, cursor and erasing. Nothing that makes a terminal answer, write its clipboard, change its title, its keyboard or its size.
 */
import { EscapeParser, type Sequence } from './escapes.ts'

/** Bytes of a recording in, text for a terminal out. */
export class SafeOutput {
  readonly #parser = new EscapeParser()
  #onAlternate = false
  #movedMargins = false

  push(bytes: Uint8Array): string {
    return this.#parser
      .push(bytes)
      .map((sequence) => this.#pass(sequence))
      .join('')
  }

  /** What was left open, and what sets the terminal back to what a person expects. */
  end(): string {
    const rest = this.#parser.end().map(forTerminal).join('')
    // Each of these moves the cursor, so they are sent only where they undo something.
    const screen = this.#onAlternate ? '\u001b[?1049l' : ''
    const margins = this.#movedMargins ? '\u001b[?6l\u001b[r\u001b[999;1H' : ''
    return `${rest}${screen}${margins}\u001b[?25h\u001b[?7h\u001b[4l\u001b(B\u000f\u001b[0m`
  }

  #pass(sequence: Sequence): string {
    const text = forTerminal(sequence)
    if (sequence.kind === 'csi' && text !== '') {
      if (sequence.final === 'r') this.#movedMargins = true
      const modes = sequence.prefix === '?' ? sequence.parameters.split(';') : []
      if (modes.includes('6')) this.#movedMargins = true
      if (modes.some((mode) => ALTERNATE.has(mode))) this.#onAlternate = sequence.final === 'h'
    }
    return text
  }
}

/** The same without a terminal: text, tabs and line ends only. */
export class PlainOutput {
  readonly #parser = new EscapeParser()
  #return = false
  push(bytes: Uint8Array): string {
    return this.#parser
      .push(bytes)
      .map((sequence) => this.#plain(sequence))
      .join('')
  }
  end(): string {
    const rest = this.#parser
      .end()
      .map((sequence) => this.#plain(sequence))
      .join('')
    return this.#return ? `${rest}\n` : rest
  }

  #plain(sequence: Sequence): string {
    // A carriage return alone would let later words cover earlier ones.
    const pending = this.#return ? '\n' : ''
    this.#return = false
    if (sequence.kind === 'control') {
      if (sequence.code === 0x0a) return '\n'
      if (sequence.code === 0x0d) {
        this.#return = true
        return pending
      }
      return pending + (sequence.code === 0x09 ? '\t' : '')
    }
    if (sequence.kind === 'text') return pending + mark(sequence.text)
    this.#return = pending !== ''
    return sequence.kind === 'string' && !sequence.whole ? unfinished(sequence.bytes) : ''
  }
}

function forTerminal(sequence: Sequence): string {
  switch (sequence.kind) {
    case 'text':
      return mark(sequence.text)
    case 'control':
      // BS HT LF VT FF CR SO SI. Not ENQ (answerback) and not BEL.
      return sequence.code >= 0x08 && sequence.code <= 0x0f ? String.fromCharCode(sequence.code) : ''
    case 'string':
      return sequence.whole ? '' : unfinished(sequence.bytes)
    case 'escape':
      return escapeFor(sequence.intermediates, sequence.final)
    case 'csi':
      return csiFor(sequence)
  }
  return sequence satisfies never
}

const unfinished = (bytes: number): string => `[${bytes} bytes of a control string without an end]`

/** Directions and invisible characters show another text than the one that was typed. */
const mark = (text: string): string =>
  text.replace(/[\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g, '\ufffd')

function escapeFor(intermediates: string, final: string): string {
  if (intermediates === '') {
    if ('78DEMH'.includes(final)) return `\u001b${final}`
    // A full reset would take the viewer's scrollback along.
    return final === 'c' ? '\u001b[0m\u001b[r\u001b[H\u001b[2J' : ''
  }
  return (intermediates === '(' || intermediates === ')') && '0AB'.includes(final)
    ? `\u001b${intermediates}${final}`
    : ''
}

/** Sequences whose cost grows with their number: 12 bytes can keep a terminal busy for a minute. */
const COSTLY = 'bLMP@XSTIZ'
const MAX_COSTLY = 300
const MAX_NUMBER = 9999
const MOVES = 'ABCDEFGHfd`aeJKg'
const ALTERNATE = new Set(['47', '1047', '1049'])
const PRIVATE_MODES = new Set(['6', '7', '25', '1048', ...ALTERNATE])

function csiFor(sequence: Sequence & { kind: 'csi' }): string {
  const { prefix, parameters, intermediates, final } = sequence
  if (intermediates !== '') return ''
  if (prefix === '?') {
    if (final !== 'h' && final !== 'l') return ''
    const modes = parameters.split(';').filter((mode) => PRIVATE_MODES.has(mode))
    return modes.length > 0 ? `\u001b[?${modes.join(';')}${final}` : ''
  }
  if (prefix !== '') return ''
  if (final === 'm') return `\u001b[${visibleColours(parameters)}m`
  if (parameters.includes(':')) return ''
  const numbers = parameters.split(';')
  if (final === 'h' || final === 'l') return parameters === '4' ? `\u001b[4${final}` : ''
  if (final === 's' || final === 'u') return parameters === '' ? `\u001b[${final}` : ''
  if (COSTLY.includes(final)) return numbers.length > 1 ? '' : `\u001b[${clamp(parameters, MAX_COSTLY)}${final}`
  if (!MOVES.includes(final) && final !== 'r') return ''
  return numbers.length > 2 ? '' : `\u001b[${numbers.map((text) => clamp(text, MAX_NUMBER)).join(';')}${final}`
}

const clamp = (text: string, most: number): string => (text === '' ? '' : String(Math.min(Number(text), most)))

/** SGR without 8 (hidden): an auditor sees everything. 38, 48 and 58 take their own arguments along. */
function visibleColours(parameters: string): string {
  const kept: string[] = []
  const given = parameters.split(';').slice(0, 32)
  for (let at = 0; at < given.length; at += 1) {
    const code = given[at] ?? ''
    const taken = ['38', '48', '58'].includes(code) ? { '5': 2, '2': 4 }[given[at + 1] ?? ''] : undefined
    if (taken !== undefined) {
      kept.push(...given.slice(at, at + taken + 1))
      at += taken
    } else if (code !== '' && Number(code.split(':')[0]) === 8) continue
    else kept.push(code)
  }
  // `CSI m` alone means reset; a list that became empty must not.
  return kept.length === 0 ? '28' : kept.join(';')
}
