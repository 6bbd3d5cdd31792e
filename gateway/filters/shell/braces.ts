/** Brace lists, `{a,b}`, spread out as bash does it, before anything else is expanded. Sequences like `{1..9}` are not allowed. */
import { Refused } from './words.ts'

/** One character of a word, or a variable; `quoted` ones have no meaning to the shell any more. Empty quotes are an empty text. */
export type Sign = { readonly text: string; readonly quoted: boolean; readonly variable?: true }

const MAX_WORDS = 256
const MAX_BRACES = 32

const isBare = (sign: Sign | undefined, text: string): boolean =>
  sign !== undefined && !sign.quoted && sign.variable === undefined && sign.text === text

/** @throws {Refused} for sequences, braces that are not balanced around a comma, and lists that grow too long. */
export function spread(word: readonly Sign[]): readonly (readonly Sign[])[] {
  if (!word.some((sign) => isBare(sign, '{'))) return [word]
  if (word.filter((sign) => isBare(sign, '{')).length > MAX_BRACES)
    throw new Refused(`A word may have ${MAX_BRACES} braces at most.`)
  checkBalance(word)
  const words = spreadFirst(word)
  if (words.length > 1 && word.some((sign) => sign.variable && !sign.quoted))
    throw new Refused('A variable beside a brace list would change its name.', 'Put the variable into double quotes.')
  if (words.length > MAX_WORDS) throw new Refused(`Brace lists may make ${MAX_WORDS} words at most.`)
  return words
}

function spreadFirst(word: readonly Sign[]): readonly (readonly Sign[])[] {
  for (let open = 0; open < word.length; open++) {
    if (!isBare(word[open], '{')) continue
    const commas: number[] = []
    const close = closing(word, open, commas)
    if (close === undefined || commas.length === 0) continue
    const before = word.slice(0, open)
    const after = spreadFirst(word.slice(close + 1))
    const out: (readonly Sign[])[] = []
    const ends = [...commas, close]
    let from = open + 1
    for (const end of ends) {
      for (const middle of spreadFirst(word.slice(from, end)))
        for (const rest of after) {
          out.push([...before, ...middle, ...rest])
          if (out.length > MAX_WORDS) throw new Refused(`Brace lists may make ${MAX_WORDS} words at most.`)
        }
      from = end + 1
    }
    return out
  }
  return [word]
}

function closing(word: readonly Sign[], open: number, commas: number[]): number | undefined {
  let depth = 0
  for (let at = open; at < word.length; at++) {
    const sign = word[at]
    if (isBare(sign, '{')) depth += 1
    else if (isBare(sign, '}')) {
      depth -= 1
      if (depth === 0) return at
    } else if (depth === 1 && isBare(sign, ',')) commas.push(at)
  }
  return undefined
}

/** bash has habits of its own for braces that do not pair up; nobody needs them, and shells differ. */
function checkBalance(word: readonly Sign[]): void {
  const plain = word.map((sign) => (sign.quoted || sign.variable ? '_' : sign.text)).join('')
  if (/\{[^{}]*\.\.[^{}]*\}/.test(plain))
    throw new Refused('Sequences in braces are not allowed.', 'Write the words out, or use {a,b}.')
  if (!plain.includes(',')) return
  let depth = 0
  for (const sign of word) {
    if (isBare(sign, '{')) depth += 1
    if (isBare(sign, '}')) depth -= 1
    if (depth < 0) break
  }
  if (depth !== 0)
    throw new Refused('The braces of this word do not pair up.', 'Put quotes around braces that are only text.')
}
