/** How long the grant behind a shell still lives, and a way to more time. */
import { useNow } from '../desk.tsx'
import { Link } from '../router.tsx'
import { words } from '../strings/strings.ts'
import { spanClock } from '../time.tsx'
import type { Held } from './line.ts'

const URGENT_MS = 5 * 60_000

export function GrantClock({ held }: { readonly held: Held }): React.JSX.Element {
  const left = Math.max(0, Date.parse(held.expiresAt) - useNow(1000))
  return (
    <Link
      href={`/grants/${held.grant}`}
      className="grant-clock tabular"
      data-urgent={left < URGENT_MS}
      title={words.terminal.grant(held.grant, held.role)}
    >
      {words.terminal.left(spanClock(Math.ceil(left / 1000)))}
    </Link>
  )
}
