/** A list to choose from: arrow keys or numbers, Enter, and q to leave. */
import type { Console } from './console.ts'
import type { Key } from './keys.ts'
import { fit, pad, plain, width } from './text.ts'

export type Choice = { readonly label: string; readonly detail: string }

/** Lines that are not choices: the title, the help, and room for the prompt. */
const AROUND = 4

/** The index of the choice, or undefined when the person left. Needs a terminal. */
export async function choose(console: Console, title: string, choices: readonly Choice[]): Promise<number | undefined> {
  if (choices.length === 0) return undefined
  let at = 0
  let typed = ''
  let drawn = 0
  const draw = async () => {
    const lines = menuLines(console, title, choices, at)
    const back = drawn > 0 ? `\u001b[${drawn}A\r\u001b[J` : ''
    drawn = lines.length
    await console.note(`${back}${lines.map((line) => `${line}\n`).join('')}`)
  }
  await draw()
  for (;;) {
    const key = await console.key(console.closed)
    if (leaves(key)) return undefined
    if (key?.kind === 'enter') return at
    const digit = key?.kind === 'text' && /^\d$/.test(key.text) ? key.text : undefined
    typed = digit === undefined ? '' : typed + digit
    const number = Number(typed)
    if (digit !== undefined && number >= 1 && number <= choices.length) at = number - 1
    else if (digit !== undefined) typed = ''
    else at = moved(at, key, choices.length)
    await draw()
    // A number that cannot become another one by a further digit is a choice.
    if (typed !== '' && number * 10 > choices.length) return at
  }
}

const leaves = (key: Key | undefined): boolean =>
  key === undefined ||
  key.kind === 'interrupt' ||
  key.kind === 'end' ||
  key.kind === 'escape' ||
  (key.kind === 'text' && key.text === 'q')

function moved(at: number, key: Key | undefined, count: number): number {
  const word = key?.kind === 'text' ? key.text : key?.kind
  if (word === 'up' || word === 'k') return Math.max(0, at - 1)
  if (word === 'down' || word === 'j' || word === 'tab') return Math.min(count - 1, at + 1)
  if (word === 'home') return 0
  return word === 'last' ? count - 1 : at
}

/** As many choices as the screen takes, around the chosen one. */
function menuLines(console: Console, title: string, choices: readonly Choice[], at: number): readonly string[] {
  const columns = (console.columns ?? 80) - 1
  const room = Math.max(1, (console.rows ?? 24) - AROUND)
  const from = Math.max(0, Math.min(at - Math.floor(room / 2), choices.length - room))
  const visible = choices.slice(from, from + room)
  const widest = Math.min(40, Math.max(...choices.map(({ label }) => width(plain(label)))))
  const lines = visible.map(({ label, detail }, n) => {
    const number = String(from + n + 1).padStart(String(choices.length).length)
    const text = fit(`${number}  ${pad(fit(plain(label), widest), widest)}  ${plain(detail)}`, columns - 2)
    return from + n === at ? console.paint('reverse', `> ${text}`) : `  ${text}`
  })
  return [
    fit(plain(title), columns),
    ...lines,
    console.paint('dim', fit('arrows or number, Enter to go, q to leave', columns)),
  ]
}
