/** The way from a target to a shell on it. */
import { Icon } from '../mark.tsx'
import { Link } from '../router.tsx'
import { words } from '../strings/strings.ts'

export function TerminalLink({ target }: { readonly target: string }): React.JSX.Element {
  return (
    <Link href={`/terminal/${target}`} className="terminal-link" aria-label={words.terminal.openOn(target)}>
      <Icon name="terminal" size={16} /> {words.terminal.open}
    </Link>
  )
}
