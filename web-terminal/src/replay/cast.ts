/** Reads asciicast v3 as it arrives: a header line, then `[seconds since the last event, code, data]` per line. */

/** One thing on the tape; `seconds` since the session began. */
export type Mark = { readonly seconds: number; readonly kind: string; readonly text: string }

export type Size = { readonly columns: number; readonly rows: number }

export const DEFAULT_SIZE: Size = { columns: 80, rows: 24 }

const bounded = (value: number, least: number, most: number, other: number): number =>
  Number.isFinite(value) && value > 0 ? Math.max(least, Math.min(most, Math.floor(value))) : other

/** A screen that a browser can draw, whatever the recording says. */
export function boundedSize(columns: number, rows: number): Size {
  return {
    columns: bounded(columns, 2, 400, DEFAULT_SIZE.columns),
    rows: bounded(rows, 1, 200, DEFAULT_SIZE.rows),
  }
}

/** `80x24`; undefined when it is no size. */
export function parseSize(text: string): Size | undefined {
  const found = /^(\d{1,6})x(\d{1,6})$/.exec(text)
  return found === null ? undefined : boundedSize(Number(found[1]), Number(found[2]))
}

/** What fits into a browser's memory without pain; the rest is in the download. */
const MOST_CHARACTERS = 64 * 1024 * 1024

export class CastReader {
  size: Size = DEFAULT_SIZE
  /** Set once there was more than can be shown. */
  isCut = false
  #rest = ''
  #seconds = 0
  #characters = 0
  #sawHeader = false

  /** The marks that `chunk` completes. Lines that are no event are passed over. */
  push(chunk: string): readonly Mark[] {
    if (this.isCut) return []
    const lines = (this.#rest + chunk).split('\n')
    this.#rest = lines.pop() ?? ''
    const marks: Mark[] = []
    for (const line of lines) {
      const mark = this.#line(line)
      if (mark !== undefined) marks.push(mark)
      this.#characters += line.length
    }
    if (this.#characters + this.#rest.length > MOST_CHARACTERS) this.isCut = true
    return marks
  }

  #line(line: string): Mark | undefined {
    if (line === '' || line.startsWith('#')) return undefined
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      return undefined
    }
    if (!this.#sawHeader) {
      this.#sawHeader = true
      this.#header(value)
      return undefined
    }
    if (!Array.isArray(value)) return undefined
    const [interval, kind, text] = value as readonly unknown[]
    if (typeof interval !== 'number' || typeof kind !== 'string' || typeof text !== 'string') return undefined
    if (interval > 0) this.#seconds += interval
    return { seconds: this.#seconds, kind, text }
  }

  #header(value: unknown): void {
    if (typeof value !== 'object' || value === null || !('term' in value)) return
    const { term } = value
    if (typeof term !== 'object' || term === null || !('cols' in term) || !('rows' in term)) return
    this.size = boundedSize(Number(term.cols), Number(term.rows))
  }
}
