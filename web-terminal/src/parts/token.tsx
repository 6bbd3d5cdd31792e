/** The database token: until when it is good, a new one, and its end. The token itself is shown once, right after it was made. */
import { Button, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { DatabaseToken } from '../../../gateway/portal/schema/person.ts'
import { useAnswer, useDeed, useDesk } from '../desk.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment } from '../time.tsx'
import { CommandLine } from './pieces.tsx'
import { Refused } from './states.tsx'

const HOURS = 8

/** Nothing where the gateway has no database door. */
export function Token(): React.JSX.Element | null {
  const state = useAnswer<DatabaseToken>(routes.token)
  const { api } = useDesk()
  const deed = useDeed()
  const [made, setMade] = useState<string>()
  if (state.state !== 'ready') return null
  const make = () =>
    deed.run(async () => setMade((await api.post<DatabaseToken>(routes.token, { hours: HOURS })).token ?? ''))
  const revoke = () =>
    deed.run(async () => {
      await api.remove(routes.token)
      setMade(undefined)
    })
  const until = state.data.expiresAt
  return (
    <section aria-labelledby="token">
      <Title order={2} id="token">
        {words.me.token}
      </Title>
      <Text size="sm" c="var(--quiet)" mb="sm">
        {words.me.tokenText}
      </Text>
      <Paper withBorder p="md">
        <Stack gap="sm">
          {made === undefined ? null : (
            <output>
              <Text size="sm" mb={4}>
                {words.me.tokenOnce}
              </Text>
              <CommandLine command={made} />
            </output>
          )}
          <Text size="sm">
            {until === null ? (
              words.me.tokenNone
            ) : (
              <>
                {words.me.tokenUntil} <Moment at={until} />
              </>
            )}
          </Text>
          <Group>
            <Button variant="default" loading={deed.busy} onClick={() => void make()}>
              {words.me.tokenMake}
            </Button>
            {until === null ? null : (
              <Button variant="default" loading={deed.busy} onClick={() => void revoke()}>
                {words.me.tokenRevoke}
              </Button>
            )}
          </Group>
          <Refused failure={deed.failure} />
        </Stack>
      </Paper>
    </section>
  )
}
