/** Keys that a phone does not have. */
import { words } from '../strings/strings.ts'

const KEYS = {
  escape: '\x1b',
  tab: '\t',
  interrupt: '\x03',
  end: '\x04',
  up: '\x1b[A',
  down: '\x1b[B',
} as const

export function KeyRow({ onKey }: { readonly onKey: (text: string) => void }): React.JSX.Element {
  const names: Readonly<Partial<Record<string, string>>> = words.terminal.keyNames
  return (
    <div className="key-row" role="toolbar" aria-label={words.terminal.keys}>
      {(Object.keys(KEYS) as (keyof typeof KEYS)[]).map((name) => (
        <button key={name} type="button" aria-label={names[name]} onClick={() => onKey(KEYS[name])}>
          {words.terminal.key[name]}
        </button>
      ))}
    </div>
  )
}
