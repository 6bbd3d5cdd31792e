/** Lists for people: columns that fit the terminal, cells that go on in the next line where they must, and cards where a screen is too narrow for columns. */
import { fit, pad, plain, USUAL_COLUMNS, width, wrapped } from './text.ts'

/** Cells come from outside and are made plain here. */
export type Row = readonly string[]

/** Words of a cell that are read as one: they stay on one line. */
export const together = (words: string): string => words.replaceAll(' ', TIE)

/** A space where no line ends; it is an ordinary one on the screen. */
const TIE = '\u00a0'
const GAP = 2
const LEAST = 6
/** Of a cell, in characters and lines. */
const MOST = 1000
const MOST_LINES = 6
/** More columns than these are not squeezed until their words are cut. */
const MOST_SQUEEZED = 2
/** The last column is read, not typed: its words may be broken before columns become cards. */
const LEAST_LAST = 8

/** Lines with a heading, each ending in a newline. `columns` undefined: about {@link USUAL_COLUMNS}, with every word whole, for scripts and pipes. */
export function table(heading: Row, rows: readonly Row[], columns: number | undefined): string {
  const lines = [heading, ...rows].map((row) => row.map((cell) => plain(cell, MOST)))
  const across = (measure: (cell: string) => number) =>
    heading.map((_, at) => Math.max(...lines.map((line) => measure(line[at] ?? ''))))
  const widths = across(width)
  const whole = across(longestWord)
  shrink(widths, columns ?? USUAL_COLUMNS, whole)
  if (columns !== undefined)
    shrink(
      widths,
      columns,
      whole.map((most, at) => (at === heading.length - 1 ? Math.min(most, LEAST_LAST) : most)),
    )
  const isTooNarrow = columns !== undefined && totalOf(widths) > columns
  if (isTooNarrow && heading.length > MOST_SQUEEZED)
    return lines
      .slice(1)
      .map((line) => card(heading, line, columns))
      .join('\n')
  if (isTooNarrow)
    shrink(
      widths,
      columns,
      widths.map(() => LEAST),
    )
  return lines.flatMap((line) => laid(line, widths, columns === undefined ? MOST : MOST_LINES)).join('')
}

/** One row on as many lines as its longest cell needs. */
function laid(line: Row, widths: readonly number[], mostLines: number): readonly string[] {
  const cells = widths.map((most, at) => clipped(wrapped(line[at] ?? '', most), most, mostLines))
  return Array.from({ length: Math.max(...cells.map((cell) => cell.length)) }, (_, down) => {
    const text = widths.map((most, at) => pad(cells[at]?.[down] ?? '', most)).join(' '.repeat(GAP))
    return `${text.replaceAll(TIE, ' ').trimEnd()}\n`
  })
}

const clipped = (lines: readonly string[], most: number, mostLines: number): readonly string[] =>
  lines.length <= mostLines
    ? lines
    : [...lines.slice(0, mostLines - 1), fit(`${lines.slice(mostLines - 1).join(' ')}…`, most)]

const longestWord = (cell: string): number => Math.max(...cell.split(' ').map(width))

/** One row as a phone can show it: a line for each cell, under the first one; names stay whole, so that they can be typed. */
function card(heading: Row, line: Row, columns: number): string {
  const label = Math.max(...heading.map(width)) + GAP
  const text = line
    .slice(1)
    .flatMap((cell, at) =>
      wrapped(cell, Math.max(LEAST, columns - label))
        .slice(0, MOST_LINES)
        .map((part, down) => `${pad(down === 0 ? (heading[at + 1] ?? '') : '', label)}${part.replaceAll(TIE, ' ')}\n`),
    )
    .join('')
  return `${fit(`${heading[0] ?? ''} ${line[0] ?? ''}`, columns)}\n${text}`
}

const totalOf = (widths: readonly number[]): number =>
  widths.reduce((sum, one) => sum + one, 0) + GAP * (widths.length - 1)

/** Takes from the widest column that can still give until all fit, or none can give any more. */
function shrink(widths: number[], columns: number, least: readonly number[]): void {
  for (let over = totalOf(widths) - columns; over > 0; over = totalOf(widths) - columns) {
    const room = widths.map((most, at) => (most > (least[at] ?? 0) ? most : 0))
    const most = Math.max(...room)
    if (most === 0) return
    const widest = room.indexOf(most)
    const second = Math.max(least[widest] ?? 0, ...room.filter((_, at) => at !== widest))
    widths[widest] = Math.max(least[widest] ?? 0, most - Math.max(1, Math.min(over, most - second)))
  }
}
