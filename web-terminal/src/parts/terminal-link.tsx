/** The way from a target to a shell on it. */
import { Icon } from '../mark.tsx'
import { type Place, placeHref } from '../place.ts'
import { Link } from '../router.tsx'
import { words } from '../strings/strings.ts'

export function TerminalLink({ place }: { readonly place: Place }): React.JSX.Element {
  return (
    <Link
      href={placeHref('terminal', place)}
      className="terminal-link"
      aria-label={words.terminal.openOn(place.target)}
    >
      <Icon name="terminal" size={16} /> {words.terminal.open}
    </Link>
  )
}
