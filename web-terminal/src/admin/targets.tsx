/** All targets as configured: where they are, how the gateway logs in, which roles cover them. */
import { Table, Text, Title } from '@mantine/core'
import type { AdminTargets } from '../../../gateway/portal/schema/admin.ts'
import { useAnswer } from '../desk.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'

export function Targets(): React.JSX.Element {
  const answer = useAnswer<AdminTargets>(routes.admin.targets)
  const { columns } = words.adminTargets
  return (
    <section aria-labelledby="targets">
      <Title order={2} id="targets">
        {words.adminTargets.title}
      </Title>
      <Text size="sm" c="var(--quiet)" mb="sm">
        {words.adminTargets.text}
      </Text>
      <Full answer={answer} rows={5}>
        {({ targets }) =>
          targets.length === 0 ? (
            <Empty title={words.adminTargets.none} />
          ) : (
            <Table className="list" aria-label={words.adminTargets.title}>
              <Table.Thead>
                <Table.Tr>
                  {Object.values(columns).map((column) => (
                    <Table.Th key={column}>{column}</Table.Th>
                  ))}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {targets.map(({ name, description, labels, endpoints, roles }) => (
                  <Table.Tr key={name}>
                    <Table.Td data-label={columns.name}>
                      <Text size="sm" fw={600}>
                        {name}
                      </Text>
                      <Text size="xs" c="var(--quiet)">
                        {description}
                      </Text>
                    </Table.Td>
                    <Table.Td data-label={columns.labels}>
                      {Object.entries(labels)
                        .map(([key, value]) => `${key}=${value}`)
                        .join(', ')}
                    </Table.Td>
                    <Table.Td data-label={columns.where}>
                      {endpoints.map(({ endpoint, where, login }) => (
                        <div key={endpoint}>
                          {words.protocol[endpoint]} <code className="breaks">{where}</code>
                          {login !== '' && <span className="quiet"> ({login})</span>}
                        </div>
                      ))}
                    </Table.Td>
                    <Table.Td data-label={columns.roles}>
                      {roles.length === 0 ? (
                        <span className="note-bad">{words.adminTargets.noRole}</span>
                      ) : (
                        roles.join(', ')
                      )}
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )
        }
      </Full>
    </section>
  )
}
