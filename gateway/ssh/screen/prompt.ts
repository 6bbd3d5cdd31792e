/** One question, one line of answer, on a terminal that echoes nothing by itself. */
import type { Console } from './console.ts'
import { width } from './text.ts'

const MOST = 500

/** The answer; undefined after Ctrl-C or at the end of input. An empty answer is `fallback`. */
export async function askLine(console: Console, question: string, fallback = ''): Promise<string | undefined> {
  const shown = fallback === '' ? `${question} ` : `${question} [${fallback}] `
  let line = ''
  await console.note(shown)
  for (;;) {
    const key = await console.key(console.closed)
    if (key === undefined || key.kind === 'interrupt' || (key.kind === 'end' && line === '')) {
      await console.note('\n')
      return undefined
    }
    if (key.kind === 'enter') {
      await console.note('\n')
      return line.trim() === '' ? fallback : line.trim()
    }
    const next = edited(line, key)
    if (next === line) continue
    const erase = next.startsWith(line) ? '' : '\b \b'.repeat(width(line))
    await console.note(next.startsWith(line) ? next.slice(line.length) : `${erase}${next}`)
    line = next
  }
}

function edited(line: string, key: { readonly kind: string; readonly text?: string }): string {
  switch (key.kind) {
    case 'text':
      return line.length < MOST ? line + (key.text ?? '') : line
    case 'backspace':
      return line.replace(/.$/su, '')
    case 'kill-line':
      return ''
    case 'kill-word':
      return line.replace(/\S*\s*$/, '')
    default:
      return line
  }
}
