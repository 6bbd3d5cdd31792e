/** The ticket that a request names: a link where it is an address of the web, text otherwise. */
import { visible } from '../visible.ts'

/** Nothing but https: what people typed must not become a script or a file. */
const isAddress = (text: string): boolean => /^https:\/\/[^\s"'<>]+$/.test(text) && URL.canParse(text)

export function Ticket({ ticket }: { readonly ticket: string }): React.JSX.Element {
  const text = visible(ticket)
  return isAddress(ticket) ? (
    <a href={ticket} target="_blank" rel="noreferrer nofollow" className="link breaks">
      {text}
    </a>
  ) : (
    <span className="breaks">{text}</span>
  )
}
