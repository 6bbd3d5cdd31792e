/** What is about to be pasted: what of it a person should see before it goes to production. */

/** More than a person reads over. */
const LONG = 1_000
const MOST_LINES_SHOWN = 12
const MOST_SHOWN = 1_200
/** Longer than that is a file. */
export const MOST_PASTED = 1024 * 1024

export type Pasted = {
  readonly text: string
  readonly lines: number
  readonly bytes: number
  readonly hadControls: boolean
  readonly isTooLong: boolean
  /** Its beginning. */
  readonly shown: string
}

/** Undefined: nothing to ask, `text` may go as it is. */
export function questionable(raw: string): { readonly text: string; readonly question: Pasted | undefined } {
  const text = raw.replace(/\r\n?/g, '\n').replace(/[^\P{Cc}\n\t]/gu, '')
  const lines = text.split('\n')
  const bytes = new TextEncoder().encode(text).length
  const hadControls = text.length !== raw.replace(/\r\n?/g, '\n').length
  if (lines.length === 1 && text.length <= LONG && !hadControls) return { text, question: undefined }
  const head = lines.slice(0, MOST_LINES_SHOWN).join('\n').slice(0, MOST_SHOWN)
  return {
    text,
    question: {
      text,
      lines: lines.length,
      bytes,
      hadControls,
      isTooLong: bytes > MOST_PASTED,
      shown: head.length < text.length ? `${head}\n…` : head,
    },
  }
}

/** `1.4 MB`. */
export function sizeWords(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  const units = ['kB', 'MB', 'GB', 'TB']
  let size = bytes
  let unit = 'B'
  for (const next of units) {
    if (size < 1000) break
    size /= 1000
    unit = next
  }
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${unit}`
}
