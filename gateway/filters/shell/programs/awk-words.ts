/** The words of an awk program, cut the way gawk, mawk and the one true awk all cut them; where they would differ it is refused. */
import { Refused } from '../words.ts'
import { bracketsAreClosed } from './brackets.ts'

export type AwkWord =
  | { readonly kind: 'name' | 'number' | 'string' | 'pattern' | 'sign'; readonly text: string }
  | { readonly kind: 'close'; readonly text: ')'; readonly isCondition: boolean }

const SIGNS = /^(?:\*\*=|\|\||&&|\+\+|--|\+=|-=|\*=|\/=|%=|\^=|==|<=|>=|!=|!~|>>|\|&|\*\*|[-+*/%^=<>!~?:,;{}()[\]$|])/
const NUMBER = /^(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/
/** After these names a slash begins a pattern. */
const KEYWORDS = new Set(
  'if else while for do in return print printf exit delete case next nextfile BEGIN END switch default break continue'.split(
    ' ',
  ),
)

/** @throws {Refused} */
export function awkWords(program: string): readonly AwkWord[] {
  const words: AwkWord[] = []
  const open: boolean[] = []
  let at = 0
  while (at < program.length) {
    const rest = program.slice(at)
    const here = rest[0] ?? ''
    const last = words.at(-1)
    if (/\s/.test(here)) {
      at += 1
      continue
    }
    if (here === '#') break
    if (here === '"') {
      const length = stringLength(rest)
      words.push({ kind: 'string', text: rest.slice(0, length) })
      at += length
      continue
    }
    if (here === '/') {
      if (startsPattern(last)) {
        const length = patternLength(rest)
        words.push({ kind: 'pattern', text: rest.slice(0, length) })
        at += length
        continue
      }
      if (isDoubtful(last)) throw doubtful()
    }
    const name = /^[A-Za-z_][A-Za-z0-9_]*/.exec(rest)?.[0]
    const number = name === undefined ? NUMBER.exec(rest)?.[0] : undefined
    const text = name ?? number ?? SIGNS.exec(rest)?.[0]
    if (text === undefined) throw new Refused(`\`${here}\` is not allowed in an awk program here.`)
    if (text === '(') open.push(last?.kind === 'name' && /^(?:if|while|for|switch)$/.test(last.text))
    if (text === ')') words.push({ kind: 'close', text, isCondition: open.pop() ?? false })
    else words.push({ kind: name !== undefined ? 'name' : number !== undefined ? 'number' : 'sign', text })
    at += text.length
  }
  return words
}

const doubtful = (): Refused =>
  new Refused(
    'A slash of this awk program may be a division or a pattern.',
    'Put parentheses around what belongs together.',
  )

/** Awks differ on what a slash means here. */
function isDoubtful(last: AwkWord | undefined): boolean {
  if (last === undefined) return false
  if (last.kind === 'close') return last.isCondition
  return (
    last.kind === 'pattern' ||
    last.text === '++' ||
    last.text === '--' ||
    last.text === 'length' ||
    last.text === 'getline'
  )
}

function startsPattern(last: AwkWord | undefined): boolean {
  if (last === undefined) return true
  if (isDoubtful(last)) return false
  if (last.kind === 'name') return KEYWORDS.has(last.text)
  return last.kind === 'sign' && last.text !== ']' && last.text !== '$'
}

function stringLength(rest: string): number {
  for (let at = 1; at < rest.length; at++)
    if (rest[at] === '\\') at += 1
    else if (rest[at] === '"') return at + 1
  throw new Refused('A string of the awk program is not closed.')
}

/** Up to the first slash without a backslash; brackets around a slash are read differently by different awks. */
function patternLength(rest: string): number {
  for (let at = 1; at < rest.length; at++)
    if (rest[at] === '\\') at += 1
    else if (rest[at] === '/') {
      const inside = rest.slice(1, at)
      if (!bracketsAreClosed(inside)) throw doubtful()
      return at + 1
    }
  throw new Refused('A pattern of the awk program is not closed.')
}
