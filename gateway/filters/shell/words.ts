/** What a judged command line consists of: the words of its commands, cut into parts, and the steps that would run. */

/**
 * A piece of a word after quote removal. Whatever is not `literal` is left to the runner as data:
 * `glob` is pattern text (`*`, `?`, `[a-z]`), `variable` one of five names, `tilde` the home directory.
 */
export type Part =
  | { readonly literal: string }
  | { readonly glob: string }
  | { readonly variable: VariableName }
  | { readonly tilde: true }

export type VariableName = 'HOME' | 'USER' | 'PWD' | 'HOSTNAME' | '?'

/** Neighbouring literals are one part; an empty quoted word has no part at all. */
export type Word = { readonly parts: readonly Part[] }

/** Exactly these three (and so written) may be asked for. */
export type Redirection = '2>&1' | '2>/dev/null' | '>/dev/null'

export type Command = {
  /** The program's name without directory. */
  readonly name: string
  /** As it was written: `ls` or `/usr/bin/ls`. */
  readonly written: string
  /** Without the command word. */
  readonly argv: readonly Word[]
  readonly redirections: readonly Redirection[]
}

/** How a step hangs on the one before it; the first one says `;`. */
export type Join = ';' | '&&' | '||'

export type Step =
  | { readonly kind: 'pipeline'; readonly join: Join; readonly commands: readonly Command[] }
  /** The caller keeps the directory. `to` is a word, the home directory, or where it was before. */
  | {
      readonly kind: 'cd'
      readonly join: Join
      readonly to: Word | 'home' | 'previous'
      readonly redirections: readonly Redirection[]
    }
  | { readonly kind: 'exit'; readonly join: Join; readonly status: number | undefined }

/** What will really run, in order. Empty for an empty line. */
export type Plan = { readonly steps: readonly Step[] }

/** The text of a word that needs no expansion; undefined when a part of it is only known on the target. */
export function textOf(word: Word | undefined): string | undefined {
  if (word === undefined) return undefined
  let text = ''
  for (const part of word.parts) {
    if (!('literal' in part)) return undefined
    text += part.literal
  }
  return text
}

/** The literal text that a word begins with, up to what is only known on the target. */
export function headOf(word: Word): string {
  const first = word.parts[0]
  return first !== undefined && 'literal' in first ? first.literal : ''
}

export const hasGlob = (word: Word): boolean => word.parts.some((part) => 'glob' in part)

/** The same word with its patterns taken as text. */
export function asText(word: Word): Word {
  let literal = ''
  const parts: Part[] = []
  for (const part of word.parts)
    if ('literal' in part) literal += part.literal
    else if ('glob' in part) literal += part.glob
    else {
      if (literal !== '') parts.push({ literal })
      literal = ''
      parts.push(part)
    }
  return { parts: literal === '' ? parts : [...parts, { literal }] }
}

/** A word for people: patterns and variables as they were meant. */
export const shown = (word: Word): string =>
  word.parts
    .map((part) =>
      'literal' in part ? part.literal : 'glob' in part ? part.glob : 'tilde' in part ? '~' : `$${part.variable}`,
    )
    .join('')

/** Thrown and caught inside this folder only: the line is refused with this sentence, and `next` says what is possible. */
export class Refused extends Error {
  readonly next: string | undefined
  constructor(message: string, next?: string) {
    super(message)
    this.next = next
  }
}
