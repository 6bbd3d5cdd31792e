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
  const names = Object.keys(KEYS) as (keyof typeof KEYS)[]
  return (
    <div className="key-row" role="toolbar" aria-label={words.terminal.keys}>
      {names.map((name) => (
        <button key={name} type="button" aria-label={words.terminal.keyNames[name]} onClick={() => onKey(KEYS[name])}>
          {words.terminal.key[name]}
        </button>
      ))}
    </div>
  )
}
