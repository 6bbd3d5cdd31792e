/** What the person who asks did before on that target: enough to decide, not what was done. */
import { Text } from '@mantine/core'
import type { PastList } from '../../../gateway/portal/schema/access.ts'
import { useAnswer } from '../desk.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago, spanClock } from '../time.tsx'

export function Past(props: { readonly request: string; readonly username: string }): React.JSX.Element | null {
  const answer = useAnswer<PastList>(routes.past(props.request))
  if (answer.state !== 'ready') return null
  const { sessions } = answer.data
  return (
    <div>
      <Text component="div" size="sm" fw={500}>
        {words.requests.past(props.username)}
      </Text>
      {sessions.length === 0 ? (
        <Text size="sm" c="var(--quiet)">
          {words.requests.noPast}
        </Text>
      ) : (
        <ul className="past">
          {sessions.map(({ id, role, protocol, channel, startedAt, endedAt, statements, denials }) => (
            <li key={id}>
              <Ago at={startedAt} />: {role}, {words.protocol[protocol]} {channel},{' '}
              {endedAt === null ? words.sessions.live : spanClock((Date.parse(endedAt) - Date.parse(startedAt)) / 1000)}
              {statements > 0 && `, ${words.requests.statements(statements)}`}
              {denials > 0 && <b className="note-bad">, {words.sessions.denials(denials)}</b>}
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}
