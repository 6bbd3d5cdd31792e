/** Bracket expressions inside regular expressions: whether a delimiter found after this text is one to every reader. */

/** Some readers take a delimiter within brackets for text, some do not: where both find all brackets closed before it, they agree. */
export const bracketsAreClosed = (pattern: string): boolean => isClosed(pattern, true) && isClosed(pattern, false)

function isClosed(pattern: string, escapesInBrackets: boolean): boolean {
  for (let at = 0; at < pattern.length; at++) {
    if (pattern[at] === '\\') at += 1
    else if (pattern[at] === '[') {
      at += pattern[at + 1] === '^' ? 2 : 1
      if (pattern[at] === ']') at += 1
      while (at < pattern.length && pattern[at] !== ']') at = nextInBracket(pattern, at, escapesInBrackets)
      if (at >= pattern.length) return false
    }
  }
  return true
}

function nextInBracket(pattern: string, at: number, escapesInBrackets: boolean): number {
  if (pattern[at] === '\\' && escapesInBrackets) return at + 2
  const kind = pattern[at] === '[' ? pattern[at + 1] : undefined
  if (kind !== ':' && kind !== '.' && kind !== '=') return at + 1
  const end = pattern.indexOf(`${kind}]`, at + 2)
  return end < 0 ? at + 1 : end + 2
}
