/** What an auditor reads beside the screen: typed lines, statements with their verdict and outcome, files, notices. */
import type { SessionEventView } from '../../../gateway/portal/schema/recordings.ts'
import { visible } from '../visible.ts'

type Statement = NonNullable<SessionEventView['statement']>
type Outcome = NonNullable<SessionEventView['outcome']>
type FileOperation = NonNullable<SessionEventView['file']>

export type Entry = { readonly key: number; readonly seconds: number; readonly at: string } & (
  | { readonly kind: 'typed' | 'notice' | 'exit'; readonly text: string }
  | { readonly kind: 'secret'; readonly count: number }
  | { readonly kind: 'statement'; readonly statement: Statement; readonly outcome: Outcome | undefined }
  | { readonly kind: 'file'; readonly file: FileOperation }
)

export const isRefused = (entry: Entry): boolean =>
  (entry.kind === 'statement' && entry.statement.verdict.decision !== 'allow') ||
  (entry.kind === 'file' && entry.file.result === 'denied')

const ESC = '\x1b'
/** A judged command follows its Enter key so soon; the two are shown as one. */
const ECHO_SECONDS = 2

/** Events in order become entries; an outcome joins its statement. */
export function entriesOf(events: readonly SessionEventView[]): readonly Entry[] {
  const outcomes = new Map<number, Outcome>()
  for (const { outcome } of events) if (outcome !== undefined) outcomes.set(outcome.n, outcome)
  const line = new TypedLine()
  const entries: Entry[] = []
  for (const event of events) {
    const base = { key: entries.length, seconds: event.seconds, at: event.at }
    switch (event.kind) {
      case 'i':
        for (const text of line.push(event.text))
          entries.push({ ...base, key: entries.length, kind: 'typed', text: visible(text) })
        break
      case 'k':
        entries.push({ ...base, kind: 'secret', count: Number.parseInt(event.text, 10) || 0 })
        break
      case 's':
        if (event.statement !== undefined) {
          const statement = { ...event.statement, text: visible(event.statement.text) }
          entries.push({ ...base, kind: 'statement', statement, outcome: outcomes.get(statement.n) })
        }
        break
      case 'f':
        if (event.file !== undefined) entries.push({ ...base, kind: 'file', file: readable(event.file) })
        break
      case 'm':
        entries.push({ ...base, kind: 'notice', text: visible(event.text) })
        break
      case 'x':
        entries.push({ ...base, kind: 'exit', text: visible(event.text) })
        break
      case 'o':
      case 'e':
      case 'r':
      case 'd':
        break
    }
  }
  const judged = new Set<string>()
  for (const entry of entries) if (entry.kind === 'statement') judged.add(near(entry.statement.text, entry.seconds))
  return entries.filter(
    (entry) =>
      entry.kind !== 'typed' ||
      ![-1, 0, 1].some((step) => judged.has(near(entry.text.trim(), entry.seconds + step * ECHO_SECONDS))),
  )
}

const WHOLE_SEQUENCE = new RegExp(`^${ESC}(?:[[O][0-?]*[@-~]|[^[O])$`)
const readable = (file: FileOperation): FileOperation => ({
  ...file,
  path: visible(file.path),
  to: file.to === undefined ? undefined : visible(file.to),
  diff: file.diff?.split('\n').map(visible).join('\n'),
})

/** The same for a text at about the same time. */
const near = (text: string, seconds: number): string => `${Math.floor(seconds / ECHO_SECONDS)} ${text}`

const MOST_TYPED = 2000

/** Puts keys together to the line that they probably were: an aid for reading, not proof of what ran. */
class TypedLine {
  #line = ''
  #escape = ''

  push(text: string): readonly string[] {
    const lines: string[] = []
    for (const character of text) {
      if (this.#escape !== '') {
        this.#escape += character
        if (WHOLE_SEQUENCE.test(this.#escape) || this.#escape.length > 16) this.#escape = ''
      } else if (character === ESC) this.#escape = character
      else if (character === '\r' || character === '\n') {
        if (this.#line.trim() !== '') lines.push(this.#line)
        this.#line = ''
      } else if (character === '\x7f' || character === '\b') this.#line = Array.from(this.#line).slice(0, -1).join('')
      else if (character === '\x03' || character === '\x15') this.#line = ''
      else if (character === '\x17') this.#line = this.#line.replace(/\S*\s*$/, '')
      else if (character >= ' ' && this.#line.length < MOST_TYPED) this.#line += character
    }
    return lines
  }
}

const NAMES: Readonly<Record<string, string>> = {
  '\r': '⏎',
  '\n': '⏎',
  '\t': '⇥',
  '\x7f': '⌫',
  '\b': '⌫',
  ' ': '␣',
  '\x1b': 'Esc',
  '\x1b[A': '↑',
  '\x1b[B': '↓',
  '\x1b[C': '→',
  '\x1b[D': '←',
  '\x1bOA': '↑',
  '\x1bOB': '↓',
  '\x1bOC': '→',
  '\x1bOD': '←',
  '\x1b[H': 'Home',
  '\x1b[F': 'End',
  '\x1b[3~': 'Del',
  '\x1b[5~': 'PgUp',
  '\x1b[6~': 'PgDn',
}

/** Keys as they stand on a keyboard: `ls⏎`, `^C`, `↑`. */
export function keyNames(text: string): string {
  const whole = NAMES[text]
  if (whole !== undefined) return whole
  return Array.from(text.slice(0, 80), (character) => {
    const name = NAMES[character]
    if (name !== undefined) return name
    const code = character.charCodeAt(0)
    return code < 0x20 ? `^${String.fromCharCode(code + 0x40)}` : character
  }).join('')
}
