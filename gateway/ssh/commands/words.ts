/**
 * Words of a command line as it arrives over ssh. OpenSSH joins its arguments with single spaces, so the quotes that a person typed are gone;
 * quotes that did arrive (because they were quoted twice) are honoured. Nothing is expanded.
 */

/** Options whose value is a sentence: everything up to the next `--option`. */
const SENTENCES = new Set(['--reason', '--note'])

export function words(line: string): readonly string[] {
  const found: string[] = []
  /** Quotes that nothing closes any more: looking again for each of them would take a long line forever. */
  const hopeless = new Set<string>()
  let at = 0
  while (at < line.length) {
    if (/\s/.test(line[at] ?? '')) {
      at += 1
      continue
    }
    const [word, next] = oneWord(line, at, hopeless)
    found.push(word)
    at = next
  }
  return joinSentences(found)
}

/** A quote opens at the beginning of a word or after `=`, and only where there is one that closes it: `can't` is a word. */
function oneWord(line: string, from: number, hopeless: Set<string>): readonly [string, number] {
  let word = ''
  let at = from
  while (at < line.length && !/\s/.test(line[at] ?? '')) {
    const letter = line[at] ?? ''
    const opens = (letter === '"' || letter === "'") && (at === from || line[at - 1] === '=')
    const end = opens && !hopeless.has(letter) ? closing(line, at) : -1
    if (opens && end < 0) hopeless.add(letter)
    if (end >= 0) {
      word += line.slice(at + 1, end).replace(letter === '"' ? /\\(["\\])/g : /(?!)/g, '$1')
      at = end + 1
    } else {
      word += letter
      at += 1
    }
  }
  return [word, at]
}

function closing(line: string, open: number): number {
  const quote = line[open]
  for (let at = open + 1; at < line.length; at += 1) {
    if (quote === '"' && line[at] === '\\') at += 1
    else if (line[at] === quote && (at + 1 === line.length || /\s/.test(line[at + 1] ?? ''))) return at
  }
  return -1
}

function joinSentences(found: readonly string[]): readonly string[] {
  const joined: string[] = []
  let sentence: string[] | undefined
  const endSentence = () => {
    if (sentence !== undefined && sentence.length > 0) joined.push(sentence.join(' '))
    sentence = undefined
  }
  for (const word of found) {
    const [option = ''] = word.split('=', 1)
    if (word.startsWith('--')) {
      endSentence()
      if (SENTENCES.has(option)) {
        joined.push(option)
        sentence = word === option ? [] : [word.slice(option.length + 1)]
      } else joined.push(word)
    } else if (sentence === undefined) joined.push(word)
    else sentence.push(word)
  }
  endSentence()
  return joined
}

/** The first word, and the rest exactly as it came: a command for a target is never taken apart. */
export function firstWord(line: string): readonly [first: string, rest: string] {
  const [, first = '', rest = ''] = /^\s*(\S*)\s?([\s\S]*)$/.exec(line) ?? []
  return [first, rest]
}
