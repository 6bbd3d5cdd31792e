/** A command line that a read-only shell does not allow, but that may wait for a second person: one program with plain words, and nothing else. */
import { checkCharacters } from './characters.ts'
import { quotePath, quoteText, type QuoteContext } from './quoting.ts'
import { readTwice } from './second-reading.ts'
import { Refused, textOf } from './words.ts'

/**
 * Its words, when it begins as one of `commands`: no pipes, no redirections, no patterns, no variables, so that what a second person
 * reads is exactly what runs. Undefined otherwise.
 */
export function heldCommand(line: string, commands: readonly (readonly string[])[]): readonly string[] | undefined {
  if (commands.length === 0) return undefined
  try {
    checkCharacters(line)
    const [pipeline, ...steps] = readTwice(line)
    const [command, ...others] = pipeline?.commands ?? []
    if (command?.plainName === undefined || steps.length + others.length + command.redirections.length > 0)
      return undefined
    const argv = command.words.flatMap((word) => textOf(word) ?? [])
    const isPlain = argv.length === command.words.length
    return isPlain && commands.some((words) => words.every((word, at) => argv[at] === word)) ? argv : undefined
  } catch (error) {
    if (error instanceof Refused) return undefined
    throw error
  }
}

/** As it runs, and as a second person reads it. */
export const heldText = (argv: readonly string[]): string => argv.map(quoteText).join(' ')

export const heldLine = (argv: readonly string[], { directory }: QuoteContext): string =>
  `${directory === undefined ? '' : `cd -- ${quotePath(directory)} || exit; `}${heldText(argv)}`
