/** Which characters a line may consist of: text that a person can see, and that looks like what it is. */
import { Refused } from './words.ts'

export const MAX_LINE = 8 * 1024

const CONTROL = /(?!\t)\p{Cc}/u
/** Formatting characters (bidi, zero width), every space but the plain one, line separators, surrogates, private and unassigned ones. */
const INVISIBLE = /[\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}]|(?! )\p{Zs}/u
/** Stand for a dash, a quote, a slash, a semicolon… without being one: the shell would take them for letters. */
const LOOKALIKE =
  /[\uff01-\uff5e\u2010-\u2015\u2212\ufe58\ufe63\u02d7\u2018-\u201f\u2032-\u2037\u00b4\u02b9-\u02bc\u2044\u2215\u29f8\u2223\uff5c\u01c0\u037e\u204f\ufe54\u2024\u2026\ufe50-\ufe6b\u2039\u203a\u02c2\u02c3\u3008\u3009]/u
const LETTERS = /\p{L}[\p{L}\p{M}]*/gu
const LATIN = /\p{Script=Latin}/u
const OTHER_ALPHABET =
  /[\p{Script=Cyrillic}\p{Script=Greek}\p{Script=Armenian}\p{Script=Cherokee}\p{Script=Coptic}\p{Script=Lisu}\p{Script=Georgian}\p{Script=Deseret}]/u
const STYLED = /[\u{1d400}-\u{1d7ff}\u2100-\u214f]/u

const ASCII = /^[\t\x20-\x7e]*$/

/** @throws {Refused} when the line holds what a person cannot see or would take for something else. */
export function checkCharacters(line: string): void {
  if (line.length > MAX_LINE) throw new Refused(`A line may have ${MAX_LINE} characters at most.`)
  if (ASCII.test(line)) return
  const control = CONTROL.exec(line)
  if (control) {
    const isLineEnd = control[0] === '\n' || control[0] === '\r'
    throw new Refused(
      isLineEnd
        ? 'One line at a time, please: this one has a line break in it.'
        : `The control character ${code(control[0])} is not allowed in a line.`,
      isLineEnd ? 'Send the lines one after the other.' : 'Use printable characters only.',
    )
  }
  const invisible = INVISIBLE.exec(line)
  if (invisible)
    throw new Refused(
      `The invisible character ${code(invisible[0])} is not allowed in a line.`,
      'Type the line instead of pasting it.',
    )
  for (const [letters] of line.matchAll(LETTERS))
    if (STYLED.test(letters) || (LATIN.test(letters) && OTHER_ALPHABET.test(letters)))
      throw new Refused(
        `\`${letters}\` mixes letters of several alphabets that look alike.`,
        'Type the word again with one alphabet.',
      )
}

/** Outside of quotes the lookalikes of the shell's own signs are refused; quoted they are only text. @throws {Refused} */
export function checkUnquoted(character: string): void {
  if (character > '~' && LOOKALIKE.test(character))
    throw new Refused(
      `The character ${code(character)} only looks like a sign of the shell.`,
      'Type the plain character, or quote the word if you mean this one.',
    )
}

const code = (character: string): string =>
  `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
