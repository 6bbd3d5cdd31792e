/** Words that came from outside, made safe for a terminal, and the width of words on it. */

/** C0, DEL, C1, line and paragraph separators, bidirectional controls and invisible fillers. */
const CONTROL = /[\p{Cc}\u2028\u2029\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu
const LONE = /\p{Cs}/gu

/** One line of text in which every control character can be seen and none acts: ESC becomes `␛`. */
export function plain(text: string, most = 4096): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text
  return cut.replace(CONTROL, picture).replace(LONE, '\ufffd')
}

function picture(character: string): string {
  const code = character.codePointAt(0) ?? 0
  if (code < 0x20) return String.fromCodePoint(0x2400 + code)
  if (code === 0x7f) return '\u2421'
  return '\ufffd'
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u
const MARK = /\p{Mn}|\p{Me}|\u200d|\ufe0f/u

const ASCII = /^[ -~]*$/

/** Of a screen of which nobody says how wide it is. */
export const USUAL_COLUMNS = 80

/** Columns that a text without control characters takes. */
export function width(text: string): number {
  if (ASCII.test(text)) return text.length
  let columns = 0
  for (const character of text) columns += MARK.test(character) ? 0 : WIDE.test(character) ? 2 : 1
  return columns
}

/** Cut to that many columns, with `…` where something was left out. */
export function fit(text: string, columns: number): string {
  if (width(text) <= columns) return text
  let kept = ''
  let used = 0
  for (const character of text) {
    const wide = width(character)
    if (used + wide > columns - 1) break
    kept += character
    used += wide
  }
  return columns > 0 ? `${kept}…` : ''
}

export const pad = (text: string, columns: number): string => text + ' '.repeat(Math.max(0, columns - width(text)))

/** Lines of at most that many columns, broken between words where that is possible. */
export function wrapped(text: string, columns: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ').flatMap((word) => pieces(word, columns))) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line !== '' && width(longer) > columns) {
      lines.push(line)
      line = word
    } else line = longer
  }
  return [...lines, line]
}

/** A word in parts that each fit; the first ones fill a line. */
function pieces(word: string, columns: number): readonly string[] {
  if (width(word) <= columns) return [word]
  const found: string[] = []
  let piece = ''
  for (const character of word) {
    if (piece !== '' && width(piece + character) > columns) {
      found.push(piece)
      piece = ''
    }
    piece += character
  }
  return [...found, piece]
}
