/** All roles in plain words: what they allow, for whom, on which targets. */
import { Paper, Stack, Text, Title } from '@mantine/core'
import type { AdminRoles } from '../../../gateway/portal/schema/admin.ts'
import { useAnswer } from '../desk.tsx'
import { Allows, Facts } from '../parts/pieces.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { minutesWords } from '../time.tsx'

export function Roles(): React.JSX.Element {
  const answer = useAnswer<AdminRoles>(routes.admin.roles)
  return (
    <section aria-labelledby="roles">
      <Title order={2} id="roles">
        {words.adminRoles.title}
      </Title>
      <Text size="sm" c="var(--quiet)" mb="sm">
        {words.adminRoles.text}
      </Text>
      <Full answer={answer} rows={4}>
        {({ roles }) =>
          roles.length === 0 ? (
            <Empty title={words.adminRoles.none} />
          ) : (
            <Stack gap="md">
              {roles.map((row) => (
                <One key={row.role.name} row={row} />
              ))}
            </Stack>
          )
        }
      </Full>
    </section>
  )
}

function One({ row }: { readonly row: AdminRoles['roles'][number] }): React.JSX.Element {
  const { role, requesters, covers, targets } = row
  return (
    <Paper withBorder p="md" component="article" aria-label={role.name} className="spaced">
      <div>
        <Title order={3} className="role-name">
          {role.name}
        </Title>
        <Text size="sm" c="var(--quiet)">
          {role.description}
        </Text>
      </div>
      <Allows label={words.requests.lets} scopes={role.scopes} />
      <Facts
        rows={[
          [words.adminRoles.requesters, requesters.join(', ')],
          [words.adminRoles.approval, role.approval],
          [words.adminRoles.covers, covers.join(', ')],
          [words.adminRoles.targets, targets.join(', ') || words.adminRoles.noTargets],
          [
            words.adminRoles.time,
            words.adminRoles.most(minutesWords(role.defaultMinutes), minutesWords(role.maxMinutes)),
          ],
          [words.adminRoles.mfa, words.adminRoles.mfaWithin(minutesWords(role.mfaWithinMinutes))],
        ]}
      />
    </Paper>
  )
}
