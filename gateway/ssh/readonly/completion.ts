/** What Tab offers: names of the role's programs, and names of files that a judged `ls` on the target told of. Names are hostile: they are quoted before they become part of a line. */
import type { Completion } from './line-reader.ts'

export type WordAtCursor = {
  /** As it was typed, from where it begins to the cursor. */
  readonly typed: string
  /** What it means, without quotes. */
  readonly text: string
  /** It stands where a program is named. */
  readonly isProgram: boolean
}

const SPACE = /\s/
/** Signs that mean something to the shell where they are not quoted; a word with them is not completed. */
const SPECIAL = /[$`*?[\]{}()<>!]/
const PLAIN = /[\p{L}\p{N}\p{M}_./,:@%+=-]/u
const UNSEEN = /\p{Cc}|[\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\ufffd]|(?! )\p{Zs}/u

/** Undefined where nothing can be said: inside patterns, variables, or after what will be refused anyhow. */
export function wordAt(before: string): WordAtCursor | undefined {
  let start = 0
  let text = ''
  let isProgram = true
  let hasWord = false
  let quote = ''
  for (let at = 0; at < before.length; at += 1) {
    const sign = before[at] ?? ''
    if (quote !== '') {
      if (sign === quote) quote = ''
      else if (quote === '"' && (sign === '$' || sign === '`')) return undefined
      else if (quote === '"' && sign === '\\' && /["\\$`]/.test(before[at + 1] ?? '')) text += before[(at += 1)] ?? ''
      else text += sign
      continue
    }
    if (SPACE.test(sign) || sign === ';' || sign === '|' || sign === '&') {
      if (hasWord) isProgram = false
      if (!SPACE.test(sign)) isProgram = true
      hasWord = false
      text = ''
      start = at + 1
      continue
    }
    hasWord = true
    if (sign === '\\') text += before[(at += 1)] ?? ''
    else if (sign === "'" || sign === '"') quote = sign
    else if (SPECIAL.test(sign)) return undefined
    else text += sign
  }
  return { typed: before.slice(start), text, isProgram }
}

/** A name as part of a line: every sign that could mean something is escaped. Undefined: it cannot stand in a line at all. */
export function escaped(name: string): string | undefined {
  if (UNSEEN.test(name)) return undefined
  let line = ''
  for (const sign of name) line += PLAIN.test(sign) ? sign : `\\${sign}`
  return line
}

/** `names` are candidates for the last part of the word; `head` is what stands before that part, escaped. */
export function completion(
  word: WordAtCursor,
  head: string,
  names: readonly string[],
  part: string,
): Completion | undefined {
  const fitting = names
    .filter((name) => name.startsWith(part) && (part !== '' || !name.startsWith('.')))
    .flatMap((name) => {
      const line = escaped(name)
      return line === undefined ? [] : [{ name, line }]
    })
  const [first] = fitting
  if (first === undefined) return undefined
  const replaces = word.typed.length
  // A name must not become an option.
  const start = head === '' && first.name.startsWith('-') ? './' : head
  if (fitting.length === 1)
    return { replaces, insert: `${start}${first.line}${first.name.endsWith('/') ? '' : ' '}`, choices: [] }
  const common = commonStart(fitting.map(({ name }) => name))
  const insert = common.length > part.length ? `${start}${escaped(common) ?? ''}` : ''
  return { replaces, insert, choices: fitting.map(({ name }) => name) }
}

function commonStart(names: readonly string[]): string {
  let common = Array.from(names[0] ?? '')
  for (const name of names) {
    const signs = Array.from(name)
    const end = common.findIndex((sign, at) => sign !== signs[at])
    if (end !== -1) common = common.slice(0, end)
  }
  return common.join('')
}

const NAMED: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13 }

/** Lines of `ls -b`: one name each, whatever is in it. Bytes that are no UTF-8 make a name that is not offered. */
export function namesOf(listing: string): readonly string[] {
  return listing
    .split('\n')
    .filter((line) => line !== '' && line !== './' && line !== '../')
    .map((line) => {
      const bytes: number[] = []
      for (let at = 0; at < line.length; at += 1) {
        const sign = line[at] ?? ''
        if (sign !== '\\') {
          bytes.push(sign.charCodeAt(0))
          continue
        }
        const octal = /^[0-7]{3}/.exec(line.slice(at + 1))?.[0]
        const next = line[at + 1] ?? ''
        bytes.push(octal === undefined ? (NAMED[next] ?? next.charCodeAt(0)) : Number.parseInt(octal, 8) & 0xff)
        at += octal === undefined ? 1 : 3
      }
      return Buffer.from(bytes).toString('utf8')
    })
}
