/** What a workspace changed in one file: folded away unless it has to be read, line by line, with every character visible. */
import { words } from '../strings/strings.ts'

export function Diff({
  isOpen = false,
  text,
}: {
  readonly isOpen?: boolean
  readonly text: string
}): React.JSX.Element {
  return (
    <details className="sample diff" open={isOpen}>
      <summary>{words.event.diff}</summary>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>
        {text
          .replace(/\n$/, '')
          .split('\n')
          .map((line, n) => (
            // oxlint-disable-next-line react/no-array-index-key -- lines of a diff never move
            <span key={n} data-side={sideOf(line)}>
              {line}
              {'\n'}
            </span>
          ))}
      </pre>
    </details>
  )
}

function sideOf(line: string): 'new' | 'old' | 'place' | undefined {
  if (line.startsWith('@@')) return 'place'
  if (line.startsWith('+')) return 'new'
  return line.startsWith('-') ? 'old' : undefined
}
