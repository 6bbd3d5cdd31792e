/** Splits a terminal's byte stream into text and control sequences (ECMA-48, and xterm's ctlseqs for the odd ones). Sans-IO, bounded memory. */

export type Sequence =
  /** Valid UTF-8 without control characters, or U+FFFD for each byte that was not. */
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'control'; readonly code: number }
  | {
      readonly kind: 'csi'
      readonly prefix: string
      readonly parameters: string
      readonly intermediates: string
      readonly final: string
    }
  | { readonly kind: 'escape'; readonly intermediates: string; readonly final: string }
  /** OSC, DCS, SOS, PM or APC, already left out; `whole` is false where it had no end. */
  | { readonly kind: 'string'; readonly bytes: number; readonly whole: boolean }

type Phase = 'ground' | 'escape' | 'csi' | 'string' | 'string-escape'

/** Longer control sequences are no sequences. */
const MAX_SEQUENCE = 128
/** A string that goes on for longer is taken for text, so that nobody can hide the rest of a recording behind its beginning. */
const MAX_STRING = 64 * 1024
const ESC = 0x1b
const REPLACEMENT = '\ufffd'

export class EscapeParser {
  #phase: Phase = 'ground'
  /** Bytes of a character that is not complete yet. */
  #character: number[] = []
  #needed = 0
  #collected = ''
  #stringBytes = 0
  #text = ''
  #found: Sequence[] = []

  push(bytes: Uint8Array): readonly Sequence[] {
    this.#found = []
    for (const byte of bytes) this.#byte(byte)
    this.#endText()
    return this.#found
  }

  /** At the end of the stream: what was left open. */
  end(): readonly Sequence[] {
    this.#found = []
    this.#breakCharacter()
    this.#endText()
    if (this.#phase === 'string' || this.#phase === 'string-escape') this.#endString(false)
    this.#phase = 'ground'
    return this.#found
  }

  #byte(byte: number): void {
    switch (this.#phase) {
      case 'ground':
        return this.#ground(byte)
      case 'escape':
        return this.#escape(byte)
      case 'csi':
        return this.#csi(byte)
      case 'string':
        return this.#string(byte)
      case 'string-escape':
        // ESC ends a string in any case; only the backslash belongs to it.
        this.#endString(true)
        if (byte === 0x5c) this.#phase = 'ground'
        else {
          this.#begin('escape')
          this.#escape(byte)
        }
    }
  }

  #ground(byte: number): void {
    if (this.#needed > 0) {
      if (continues(this.#character, byte)) {
        this.#character.push(byte)
        this.#needed -= 1
        if (this.#needed === 0) this.#character = this.#endCharacter()
        return
      }
      this.#breakCharacter()
    }
    if (byte === ESC) this.#begin('escape')
    else if (byte < 0x20 || byte === 0x7f) this.#control(byte)
    else if (byte < 0x80) this.#text += String.fromCharCode(byte)
    else this.#lead(byte)
  }

  #lead(byte: number): void {
    const needed =
      byte >= 0xc2 && byte <= 0xdf ? 1 : byte >= 0xe0 && byte <= 0xef ? 2 : byte >= 0xf0 && byte <= 0xf4 ? 3 : 0
    if (needed === 0) this.#text += REPLACEMENT
    else {
      this.#character = [byte]
      this.#needed = needed
    }
  }

  #endCharacter(): number[] {
    const character = Buffer.from(this.#character).toString('utf8')
    const code = character.codePointAt(0) ?? 0
    // C1 controls act in UTF-8, too (xterm, VTE): they begin the same sequences as ESC and a letter.
    if (code >= 0x80 && code <= 0x9f) {
      this.#begin('escape')
      this.#escape(code - 0x40)
    } else this.#text += character
    return []
  }

  #breakCharacter(): void {
    if (this.#needed > 0) this.#text += REPLACEMENT
    this.#needed = 0
    this.#character = []
  }

  #escape(byte: number): void {
    if (byte === ESC) return this.#begin('escape')
    if (byte < 0x20) return this.#inside(byte)
    if (byte >= 0x80) return this.#giveUp(byte)
    if (byte === 0x7f) return
    const letter = String.fromCharCode(byte)
    if (byte <= 0x2f) {
      this.#collected += letter
      if (this.#collected.length > 4) this.#phase = 'ground'
      return
    }
    const intermediates = this.#collected
    if (intermediates === '' && letter === '[') return this.#begin('csi')
    if (intermediates === '' && 'P]X^_'.includes(letter)) {
      this.#begin('string')
      this.#stringBytes = 0
      return
    }
    this.#phase = 'ground'
    this.#found.push({ kind: 'escape', intermediates, final: letter })
  }

  #csi(byte: number): void {
    if (byte === ESC) return this.#begin('escape')
    if (byte < 0x20) return this.#inside(byte)
    if (byte >= 0x80) return this.#giveUp(byte)
    if (byte === 0x7f) return
    if (byte < 0x40) {
      this.#collected += String.fromCharCode(byte)
      if (this.#collected.length > MAX_SEQUENCE) this.#phase = 'ground'
      return
    }
    this.#phase = 'ground'
    const shape = /^([<=>?]?)([0-9:;]*)([ -/]*)$/.exec(this.#collected)
    if (shape === null) return
    const [, prefix = '', parameters = '', intermediates = ''] = shape
    this.#found.push({ kind: 'csi', prefix, parameters, intermediates, final: String.fromCharCode(byte) })
  }

  #string(byte: number): void {
    this.#stringBytes += 1
    if (byte === ESC) this.#phase = 'string-escape'
    else if (byte === 0x07 || byte === 0x18 || byte === 0x1a) {
      this.#endString(true)
      this.#phase = 'ground'
    } else if (this.#stringBytes >= MAX_STRING) {
      this.#endString(false)
      this.#phase = 'ground'
    }
  }

  /** A C0 control in the middle of a sequence acts at once (ECMA-48 leaves it open, all terminals do it); CAN and SUB end the sequence. */
  #inside(byte: number): void {
    if (byte === 0x18 || byte === 0x1a) this.#phase = 'ground'
    else this.#control(byte)
  }

  #giveUp(byte: number): void {
    this.#phase = 'ground'
    this.#ground(byte)
  }

  #begin(phase: Phase): void {
    this.#endText()
    this.#collected = ''
    this.#phase = phase
  }

  #control(code: number): void {
    this.#endText()
    this.#found.push({ kind: 'control', code })
  }

  #endString(whole: boolean): void {
    this.#endText()
    this.#found.push({ kind: 'string', bytes: this.#stringBytes, whole })
  }

  #endText(): void {
    if (this.#text !== '') this.#found.push({ kind: 'text', text: this.#text })
    this.#text = ''
  }
}

/** Unicode 16, table 3-7: well-formed UTF-8. */
function continues(character: readonly number[], byte: number): boolean {
  if (byte < 0x80 || byte > 0xbf) return false
  if (character.length > 1) return true
  const lead = character[0] ?? 0
  if (lead === 0xe0) return byte >= 0xa0
  if (lead === 0xed) return byte <= 0x9f
  if (lead === 0xf0) return byte >= 0x90
  if (lead === 0xf4) return byte <= 0x8f
  return true
}
