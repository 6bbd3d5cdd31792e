/** The audit log, for auditors and administrators: every step of every grant, sign-ins, deeds, looks at recordings. Newest first. */
import { Badge, Button, Group, NativeSelect, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import type { AuditEventView } from '../../../gateway/portal/schema/story.ts'
import { useAnswer } from '../desk.tsx'
import { useFilters } from '../parts/filters.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { Link, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment } from '../time.tsx'
import { visible } from '../visible.ts'

export function Audit(): React.JSX.Element {
  useTitle(words.audit.title)
  const filters = useFilters(['about', 'person', 'target', 'before'])
  const { before, ...exact } = filters.values
  const until = before === undefined || !/^\d{1,15}$/.test(before) ? undefined : new Date(Number(before)).toISOString()
  const answer = useAnswer<{ readonly events: readonly AuditEventView[]; readonly next: string | null }>(
    routes.audit({ ...exact, ...(until === undefined ? {} : { until }) }),
  )
  return (
    <Stack gap="lg">
      <Title order={1} className="page-title">
        {words.audit.title}
      </Title>
      <Group gap="sm" align="end" component="search" aria-label={words.audit.title} className="filters">
        <NativeSelect
          label={words.audit.about}
          value={filters.values.about ?? ''}
          onChange={(event) => filters.set('about', event.currentTarget.value)}
          data={Object.entries(words.audit.abouts).map(([value, label]) => ({ value, label }))}
        />
        <TextInput label={words.audit.person} {...filters.field('person')} />
        <TextInput label={words.audit.target} {...filters.field('target')} />
      </Group>
      <Full answer={answer} rows={6}>
        {({ events, next }) => (
          <>
            {events.length === 0 ? (
              <Empty title={words.audit.none} text={words.grants.noneText} />
            ) : (
              <Events events={events} />
            )}
            <Group gap="sm">
              {before !== undefined && (
                <Button variant="default" size="xs" onClick={() => filters.set('before', '')}>
                  {words.audit.newest}
                </Button>
              )}
              {next !== null && (
                <Button variant="default" size="xs" onClick={() => filters.set('before', String(Date.parse(next)))}>
                  {words.audit.older}
                </Button>
              )}
            </Group>
          </>
        )}
      </Full>
    </Stack>
  )
}

const isBad = (kind: string): boolean => /refused|locked$|killed|orphan/.test(kind)

function Events({ events }: { readonly events: readonly AuditEventView[] }): React.JSX.Element {
  const { columns } = words.audit
  return (
    <Table className="list" aria-label={words.audit.title}>
      <Table.Thead>
        <Table.Tr>
          {Object.values(columns).map((column) => (
            <Table.Th key={column}>{column}</Table.Th>
          ))}
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {events.map((event) => (
          <Table.Tr key={event.id}>
            <Table.Td data-label={columns.at}>
              <Moment at={event.at} seconds />
            </Table.Td>
            <Table.Td data-label={columns.who}>{event.actor === '' ? words.story.gateway : event.actor}</Table.Td>
            <Table.Td data-label={columns.kind}>
              <Badge variant="dot" color={isBad(event.kind) ? 'red.7' : 'gray.5'} size="sm" tt="none">
                {event.kind}
              </Badge>
            </Table.Td>
            <Table.Td data-label={columns.what}>
              <Text size="sm">{visible(event.text)}</Text>
            </Table.Td>
            <Table.Td data-label={columns.more}>
              <Group gap="xs">
                {event.grant !== null && (
                  <Link href={`/grants/${event.grant}`} className="link">
                    {words.grant.number(event.grant)}
                  </Link>
                )}
                {event.session !== null && (
                  <Link href={`/sessions/${event.session}`} className="link">
                    {words.audit.session}
                  </Link>
                )}
              </Group>
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  )
}
