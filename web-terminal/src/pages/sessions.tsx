/** Sessions: who was where, what is open now. */
import { Badge, Button, Checkbox, Group, NativeSelect, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import type { Me as MeView } from '../../../gateway/portal/schema/person.ts'
import type { SessionView } from '../../../gateway/portal/schema/sessions.ts'
import { useAnswer, useFresh, useNow } from '../desk.tsx'
import { useFilters } from '../parts/filters.tsx'
import { SessionState } from '../parts/pieces.tsx'
import { Hits, SearchBox } from '../parts/search.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { Link, useQuery, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment, spanClock } from '../time.tsx'
import { visible } from '../visible.ts'

const HOUR_MS = 3_600_000
/** Sessions come and go without a word from the gateway. */
const FRESH_MS = 15_000
const SPANS: Readonly<Record<string, number>> = { '1h': HOUR_MS, '1d': 24 * HOUR_MS, '7d': 168 * HOUR_MS }

type Wanted = {
  readonly since?: string | undefined
  readonly from?: string | undefined
  readonly to?: string | undefined
}

/** The first moment of a day in the viewer's zone, so many days later. */
function dayOf(day: string | undefined, later = 0): string | undefined {
  const [year = 0, month = 0, date = 0] = /^\d{4}-\d\d-\d\d$/.test(day ?? '') ? (day ?? '').split('-').map(Number) : []
  return year === 0 ? undefined : new Date(year, month - 1, date + later).toISOString()
}

/** To the minute, so that the question stays the same while it is looked at. */
function spanOf({ since: span, from, to }: Wanted, now: number): { readonly since?: string; readonly until?: string } {
  if (span === 'days') {
    const [since, until] = [dayOf(from), dayOf(to, 1)]
    return { ...(since === undefined ? {} : { since }), ...(until === undefined ? {} : { until }) }
  }
  const ms = span === undefined ? undefined : SPANS[span]
  return ms === undefined ? {} : { since: new Date(Math.floor((now - ms) / 60_000) * 60_000).toISOString() }
}

export function Sessions(): React.JSX.Element {
  useTitle(words.sessions.title)
  const me = useAnswer<MeView>(routes.me)
  const filters = useFilters(['person', 'target', 'protocol', 'live', 'denied', 'since', 'from', 'to'])
  const { since, from, to, ...exact } = filters.values
  const text = useQuery().get('text') ?? ''
  const now = useNow(HOUR_MS)
  useFresh(FRESH_MS)
  const span = spanOf({ since, from, to }, now)
  const answer = useAnswer<{ readonly sessions: readonly SessionView[] }>(routes.sessions({ ...exact, ...span }))
  return (
    <Stack gap="lg">
      <Group justify="space-between">
        <Title order={1} className="page-title">
          {words.sessions.title}
        </Title>
        {me.state === 'ready' && (me.data.isAuditor || me.data.isAdmin) && (
          <Link href="/audit" className="link">
            {words.audit.title}
          </Link>
        )}
      </Group>
      <SearchBox />
      <Group gap="sm" align="end" component="search" aria-label={words.sessions.title} className="filters">
        <TextInput label={words.sessions.person} {...filters.field('person')} />
        <TextInput label={words.sessions.target} {...filters.field('target')} />
        <NativeSelect
          label={words.sessions.protocol}
          value={filters.values.protocol ?? ''}
          onChange={(event) => filters.set('protocol', event.currentTarget.value)}
          data={[
            { value: '', label: words.sessions.any },
            ...Object.entries(words.protocol).map(([value, label]) => ({ value, label })),
          ]}
        />
        <NativeSelect
          label={words.sessions.since}
          value={since ?? ''}
          onChange={(event) => filters.set('since', event.currentTarget.value)}
          data={Object.entries(words.sessions.spans).map(([value, label]) => ({ value, label }))}
        />
        {since === 'days' && (
          <>
            <TextInput
              type="date"
              label={words.sessions.from}
              value={from ?? ''}
              onChange={(event) => filters.set('from', event.currentTarget.value)}
            />
            <TextInput
              type="date"
              label={words.sessions.to}
              value={to ?? ''}
              onChange={(event) => filters.set('to', event.currentTarget.value)}
            />
          </>
        )}
        <Checkbox
          label={words.sessions.deniedOnly}
          checked={filters.values.denied === 'true'}
          onChange={(event) => filters.set('denied', event.currentTarget.checked ? 'true' : '')}
          className="filter-check"
        />
        <Checkbox
          label={words.sessions.liveOnly}
          checked={filters.values.live === 'true'}
          onChange={(event) => filters.set('live', event.currentTarget.checked ? 'true' : '')}
          className="filter-check"
        />
      </Group>
      {text.length >= 2 && (
        <Hits
          text={text}
          filter={{
            ...(exact.person === undefined ? {} : { person: exact.person }),
            ...(exact.target === undefined ? {} : { target: exact.target }),
            ...(span.since === undefined ? {} : { since: span.since }),
          }}
        />
      )}
      {text.length < 2 && (
        <Full answer={answer} rows={6}>
          {({ sessions }) =>
            sessions.length === 0 ? (
              <Empty title={words.sessions.none} text={words.sessions.noneText}>
                {filters.isSet && (
                  <Button variant="default" size="xs" onClick={() => filters.clear()}>
                    {words.sessions.clear}
                  </Button>
                )}
              </Empty>
            ) : (
              <SessionTable sessions={sessions} />
            )
          }
        </Full>
      )}
    </Stack>
  )
}

export function SessionTable({ sessions }: { readonly sessions: readonly SessionView[] }): React.JSX.Element {
  const { columns } = words.sessions
  return (
    <Table className="list" highlightOnHover aria-label={words.sessions.title}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{columns.started}</Table.Th>
          <Table.Th>{columns.who}</Table.Th>
          <Table.Th>{columns.target}</Table.Th>
          <Table.Th>{columns.kind}</Table.Th>
          <Table.Th>{columns.length}</Table.Th>
          <Table.Th>{columns.verdicts}</Table.Th>
          <Table.Th>{columns.grant}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {sessions.map((session) => (
          <Table.Tr key={session.id}>
            <Table.Td data-label={columns.started}>
              <Link href={`/sessions/${session.id}`} className="link">
                <Moment at={session.startedAt} />
                <span className="for-readers"> {words.sessions.open(session.username, session.target)}</span>
              </Link>
            </Table.Td>
            <Table.Td data-label={columns.who}>{session.username}</Table.Td>
            <Table.Td data-label={columns.target}>
              <Text size="sm" fw={600} component="span">
                {session.target}
              </Text>{' '}
              · {session.role}
            </Table.Td>
            <Table.Td data-label={columns.kind}>
              {words.protocol[session.protocol]} {session.channel}
              {session.command !== '' && (
                <Text size="xs" c="var(--quiet)" ff="monospace" lineClamp={1} className="breaks">
                  {visible(session.command)}
                </Text>
              )}
            </Table.Td>
            <Table.Td data-label={columns.length}>
              <Group gap="xs" wrap="nowrap">
                <Length session={session} />
                <SessionState session={session} />
              </Group>
            </Table.Td>
            <Table.Td data-label={columns.verdicts}>
              {session.statements}{' '}
              {session.denials > 0 && (
                <Badge variant="dot" color="red.7" size="sm">
                  {words.sessions.denials(session.denials)}
                </Badge>
              )}
              {session.alerts > 0 && (
                <Badge variant="dot" color="orange.7" size="sm">
                  {words.sessions.alerts(session.alerts)}
                </Badge>
              )}
            </Table.Td>
            <Table.Td data-label={columns.grant}>
              <Link href={`/grants/${session.grant}`} className="link" aria-label={words.grant.number(session.grant)}>
                #{session.grant}
              </Link>
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  )
}

export function Length({ session }: { readonly session: SessionView }): React.JSX.Element {
  const now = useNow(1000)
  const end = session.end === null ? now : Date.parse(session.end.endedAt)
  return <span className="tabular nowrap">{spanClock((end - Date.parse(session.startedAt)) / 1000)}</span>
}
