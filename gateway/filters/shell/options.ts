/** The vocabulary of options: one way to say which flags a program knows, and one reading of an argv as getopt_long reads it. */
import { hasGlob, headOf, Refused, textOf, type Word } from './words.ts'

export type Flag = {
  /** With dashes, short ones first. */
  readonly names: readonly string[]
  /** `maybe`: only when it is attached (`-n5`, `--lines=5`). */
  readonly takes: 'nothing' | 'value' | 'maybe'
}
export type Flags = ReadonlyMap<string, Flag>

/**
 * Reads a list such as `a,all n,lines= b,boot? since=`: names of one flag joined by commas; `=` it takes a value, `?` only an attached one.
 * One-letter names get one dash, longer ones two; a name written with its dashes keeps them.
 */
export function flags(list: string): Flags {
  const map = new Map<string, Flag>()
  for (const entry of list.split(/\s+/)) {
    if (entry === '') continue
    const takes = entry.endsWith('=') ? 'value' : entry.endsWith('?') ? 'maybe' : 'nothing'
    const names = (takes === 'nothing' ? entry : entry.slice(0, -1)).split(',').map(dashed)
    for (const name of names) map.set(name, { names, takes })
  }
  return map
}

const dashed = (name: string): string => (name.startsWith('-') ? name : `${name.length === 1 ? '-' : '--'}${name}`)

export type Given = {
  readonly flag: Flag
  /** The text of the value; undefined when there is none or it is only known on the target. */
  readonly value: string | undefined
  readonly hasValue: boolean
  /** What the value begins with, as far as it is known. */
  readonly head: string
}
export type Arguments = { readonly given: readonly Given[]; readonly operands: readonly Word[] }

export type Reading = {
  readonly known: Flags
  /** Flags that are there but not allowed, with the reason: `this would write a file`. */
  readonly refused?: Flags
  readonly because?: string
  /** Unknown flags are harmless: the program can neither write nor start anything. */
  readonly open?: boolean
  /** Long options may be shortened (getopt_long); default true. */
  readonly shortens?: boolean
  /** `--watch=false`: Go programs take a value for what is only switched on. */
  readonly booleans?: boolean
  /** Options end at the first operand. */
  readonly stopsAtOperand?: boolean
  /** Whether a role's own list has this flag. */
  readonly allows: (names: readonly string[]) => boolean
}

/** @throws {Refused} */
export function readOptions(argv: readonly Word[], reading: Reading): Arguments {
  const given: Given[] = []
  const operands: Word[] = []
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]
    if (word === undefined) break
    const head = headOf(word)
    if (head === '--' && word.parts.length === 1) {
      operands.push(...argv.slice(at + 1))
      break
    }
    if (!head.startsWith('-') || (head === '-' && word.parts.length === 1)) {
      if (reading.stopsAtOperand) {
        operands.push(...argv.slice(at))
        break
      }
      operands.push(word)
      continue
    }
    const text = textOf(word)
    const takesNext = head.startsWith('--') ? long(head, text, reading, given) : short(text, head, reading, given)
    if (takesNext === undefined) continue
    at += 1
    const value = argv[at]
    if (value === undefined) throw new Refused(`${takesNext.names.at(-1) ?? ''} needs a value.`)
    if (hasGlob(value) && !reading.open)
      throw new Refused(
        'A pattern as the value of an option might become several words.',
        'Put it into quotes, or write it out.',
      )
    given.push({ flag: takesNext, value: textOf(value), hasValue: true, head: headOf(value) })
  }
  return { given, operands }
}

/** @returns the flag when its value is the next word. */
function long(head: string, text: string | undefined, reading: Reading, given: Given[]): Flag | undefined {
  const equals = head.indexOf('=')
  if (text === undefined && equals < 0)
    throw new Refused('An option must be written out, without patterns or variables.', 'Write the option plainly.')
  const name = equals < 0 ? head : head.slice(0, equals)
  const flag = resolve(name, reading)
  check(flag, reading)
  if (equals >= 0) {
    if (flag.takes === 'nothing' && !reading.open && !reading.booleans) throw new Refused(`${name} takes no value.`)
    given.push({ flag, value: text?.slice(equals + 1), hasValue: true, head: head.slice(equals + 1) })
    return undefined
  }
  if (flag.takes === 'value') return flag
  given.push({ flag, value: undefined, hasValue: false, head: '' })
  return undefined
}

function short(text: string | undefined, head: string, reading: Reading, given: Given[]): Flag | undefined {
  if (text === undefined && !attaches(head, reading))
    throw new Refused('An option must be written out, without patterns or variables.', 'Write the option plainly.')
  const letters = Array.from(head.slice(1))
  for (const [n, letter] of letters.entries()) {
    const name = `-${letter}`
    const flag = reading.known.get(name) ?? reading.refused?.get(name) ?? unknown(name, reading)
    check(flag, reading)
    if (flag.takes === 'nothing') {
      given.push({ flag, value: undefined, hasValue: false, head: '' })
      continue
    }
    const attached = letters.slice(n + 1).join('')
    if (attached === '' && text !== undefined && flag.takes === 'value') return flag
    given.push({
      flag,
      value: text === undefined || attached === '' ? undefined : attached,
      hasValue: attached !== '',
      head: attached,
    })
    return undefined
  }
  return undefined
}

/** `-f*.txt`: what the pattern becomes is a value only where a flag before it takes one. */
function attaches(head: string, reading: Reading): boolean {
  for (const letter of head.slice(1)) {
    const takes = reading.known.get(`-${letter}`)?.takes
    if (takes === 'value' || takes === 'maybe') return true
  }
  return false
}

/** An exact name, or the beginning of exactly one flag, counting those that are refused. */
function resolve(name: string, reading: Reading): Flag {
  const exact = reading.known.get(name) ?? reading.refused?.get(name)
  if (exact) return exact
  const candidates = new Set<Flag>()
  if (reading.shortens !== false && name.length > 2)
    for (const list of [reading.known, reading.refused ?? new Map<string, Flag>()])
      for (const [known, flag] of list) if (known.startsWith(name)) candidates.add(flag)
  const refused = [...candidates].find((flag) => isRefused(flag, reading))
  if (refused) return refused
  const [only, other] = candidates
  if (only !== undefined && other === undefined) return only
  if (other !== undefined && !reading.open)
    throw new Refused(`${name} is short for more than one option.`, 'Write it out.')
  return unknown(name, reading)
}

function unknown(name: string, reading: Reading): Flag {
  if (!reading.open) throw new Refused(`The option ${name} is not on the list of options that only read.`)
  return { names: [name], takes: 'nothing' }
}

const isRefused = (flag: Flag, reading: Reading): boolean =>
  flag.names.some((name) => reading.refused?.get(name) === flag)

function check(flag: Flag, reading: Reading): void {
  const name = flag.names.join(' or ')
  if (isRefused(flag, reading))
    throw new Refused(`${name} is not allowed: ${reading.because ?? 'it does more than read'}.`)
  if (!reading.allows(flag.names)) throw new Refused(`Your role's list has no ${name}.`)
}
