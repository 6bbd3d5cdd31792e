/** Lists for people: columns that fit the terminal. */
import { fit, pad, plain, width } from './text.ts'

/** Cells come from outside and are made plain here. */
export type Row = readonly string[]

const GAP = 2
const LEAST = 6
/** Of a cell where nothing says how wide the screen is. */
const MOST = 1000

/** Lines with a heading, each ending in a newline. `columns` undefined: as wide as it needs to be, so that scripts see whole words. */
export function table(heading: Row, rows: readonly Row[], columns: number | undefined): string {
  const lines = [heading, ...rows].map((row) => row.map((cell) => plain(cell, columns ?? MOST)))
  const widths = heading.map((_, at) => Math.max(...lines.map((line) => width(line[at] ?? ''))))
  if (columns !== undefined) shrink(widths, columns)
  return lines
    .map((line) => widths.map((most, at) => pad(fit(line[at] ?? '', most), most)).join(' '.repeat(GAP)))
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

/** Takes from the widest column until all fit, or none can give any more. */
function shrink(widths: number[], columns: number): void {
  const total = () => widths.reduce((sum, one) => sum + one, 0) + GAP * (widths.length - 1)
  for (let over = total() - columns; over > 0; over = total() - columns) {
    const widest = widths.indexOf(Math.max(...widths))
    const most = widths[widest] ?? 0
    if (most <= LEAST) return
    const second = Math.max(LEAST, ...widths.filter((_, at) => at !== widest))
    widths[widest] = Math.max(LEAST, most - Math.max(1, Math.min(over, most - second)))
  }
}
