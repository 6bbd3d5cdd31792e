/** Grants: mine, and for approvers, auditors and admins those of others. */
import { Group, NativeSelect, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import type { GrantView } from '../../../gateway/portal/schema/access.ts'
import { useAnswer } from '../desk.tsx'
import { GrantState } from '../parts/pieces.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { useFilters } from '../parts/filters.tsx'
import { Link, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment, minutesWords, TimeLeft } from '../time.tsx'
import { visible } from '../visible.ts'

export function Grants(): React.JSX.Element {
  useTitle(words.grants.title)
  const filters = useFilters(['state', 'person', 'target'])
  const answer = useAnswer<{ readonly grants: readonly GrantView[] }>(routes.grants(filters.values))
  return (
    <Stack gap="lg">
      <Title order={1} className="page-title">
        {words.grants.title}
      </Title>
      <Group gap="sm" align="end" component="search" aria-label={words.grants.title} className="filters">
        <NativeSelect
          label={words.grants.filter}
          value={filters.values.state ?? ''}
          onChange={(event) => filters.set('state', event.currentTarget.value)}
          data={[
            { value: '', label: words.grants.any },
            ...Object.entries(words.grant.state).map(([value, label]) => ({ value, label })),
          ]}
        />
        <TextInput label={words.grants.person} {...filters.field('person')} />
        <TextInput label={words.grants.target} {...filters.field('target')} />
      </Group>
      <Full answer={answer} rows={5}>
        {({ grants }) =>
          grants.length === 0 ? (
            <Empty title={words.grants.none} text={words.grants.noneText} />
          ) : (
            <GrantTable grants={grants} />
          )
        }
      </Full>
    </Stack>
  )
}

function GrantTable({ grants }: { readonly grants: readonly GrantView[] }): React.JSX.Element {
  const { columns } = words.grants
  return (
    <Table className="list" highlightOnHover aria-label={words.grants.title}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{columns.grant}</Table.Th>
          <Table.Th>{columns.state}</Table.Th>
          <Table.Th>{columns.who}</Table.Th>
          <Table.Th>{columns.what}</Table.Th>
          <Table.Th>{columns.when}</Table.Th>
          <Table.Th>{columns.time}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {grants.map((grant) => (
          <Table.Tr key={grant.id}>
            <Table.Td data-label={columns.grant}>
              <Link href={`/grants/${grant.id}`} className="link" aria-label={words.grant.number(grant.id)}>
                #{grant.id}
              </Link>
            </Table.Td>
            <Table.Td data-label={columns.state}>
              <GrantState grant={grant} />
            </Table.Td>
            <Table.Td data-label={columns.who}>{grant.username}</Table.Td>
            <Table.Td data-label={columns.what}>
              <Text size="sm" fw={600} component="span">
                {grant.target}
              </Text>{' '}
              · {grant.role}
              <Text size="xs" c="var(--quiet)" lineClamp={1}>
                {visible(grant.reason)}
              </Text>
            </Table.Td>
            <Table.Td data-label={columns.when}>
              <Moment at={grant.requestedAt} />
            </Table.Td>
            <Table.Td data-label={columns.time} className="time-cell">
              {grant.state === 'live' && grant.liveAt !== null && grant.expiresAt !== null ? (
                <TimeLeft from={grant.liveAt} until={grant.expiresAt} />
              ) : (
                minutesWords(grant.minutes)
              )}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  )
}
