/** What a live terminal may do that a replay may not: keys and mouse in another mode, a few questions, a short title. Everything else of the sanitiser holds. */
import type { Liberties } from '../replay/sanitise.ts'

/** Cursor keys, mouse, focus, bracketed paste, synchronised output. */
const MODES = new Set([1, 9, 66, 1000, 1002, 1003, 1004, 1006, 2004, 2026])
/** Answers become input of whatever runs: more than these in a second is an attack. */
const MOST_ANSWERS = 20

export function liveLiberties(parts: {
  readonly now: () => number
  /** False while output is drawn again that was on a screen before: its questions were answered then. */
  readonly mayAnswer: () => boolean
  readonly title: (text: string) => void
}): Liberties {
  let since = 0
  let count = 0
  return {
    modes: MODES,
    title: parts.title,
    mayAsk: () => {
      const now = parts.now()
      if (now - since >= 1000) [since, count] = [now, 0]
      count += 1
      return parts.mayAnswer() && count <= MOST_ANSWERS
    },
  }
}
