/** What a live grant opens right now, endpoint by endpoint: what may be done there, the exact line to copy, and one click where there is a page for it. */
import { Text } from '@mantine/core'
import type { GrantView, RoleView, TargetView } from '../../../gateway/portal/schema/access.ts'
import { placeHref } from '../place.ts'
import { Link } from '../router.tsx'
import { words } from '../strings/strings.ts'
import { CommandLine } from './pieces.tsx'
import { TerminalLink } from './terminal-link.tsx'

export function Doors(props: {
  readonly target: TargetView
  readonly grant: GrantView
  readonly role: RoleView | undefined
}): React.JSX.Element {
  const { target, grant, role } = props
  const place = { target: target.name, under: grant.id }
  const scopes = (grant.readOnly ? role?.narrowed : undefined) ?? role?.scopes ?? []
  return (
    <ul className="doors">
      {grant.endpoints.map((endpoint) => {
        const lines = target.commands.filter((command) => command.endpoint === endpoint)
        const line = lines.find((command) => command.grant === grant.id) ?? lines[0]
        const allows = scopes.find((scope) => scope.endpoint === endpoint)?.allows ?? []
        return (
          <li key={endpoint}>
            <div className="door-head">
              <Text size="xs" c="var(--quiet)" className="grow">
                <b>{words.protocol[endpoint]}</b> {allows.join(' ')}
              </Text>
              {endpoint === 'ssh' && <TerminalLink place={place} />}
              {endpoint === 'postgres' && (
                <Link href={placeHref('sql', place)} className="button-link">
                  {words.sql.open}
                </Link>
              )}
              {endpoint === 'http' && target.url !== null && (
                <a href={target.url} target="_blank" rel="noreferrer" className="button-link">
                  {words.home.openWeb}
                  <span className="for-readers">: {target.name}</span>
                </a>
              )}
            </div>
            {line !== undefined && <CommandLine command={line.command} />}
          </li>
        )
      })}
    </ul>
  )
}
