/** On the way to a web application whose role asks for a passkey: says what it is for, asks for the touch, and goes on. */
import { Button, Paper, Stack, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { GrantView, TargetView } from '../../../gateway/portal/schema/access.ts'
import type { WebVisit } from '../../../gateway/portal/schema/web.ts'
import { useAnswer, useDesk } from '../desk.tsx'
import { Facts } from '../parts/pieces.tsx'
import { Full, NotFound } from '../parts/states.tsx'
import { Touch } from '../parts/touch.tsx'
import { useQuery, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment } from '../time.tsx'

export function WebTouch(): React.JSX.Element {
  const query = useQuery()
  const answer = useAnswer<{ readonly targets: readonly TargetView[] }>(routes.targets)
  const [name, id, state] = ['target', 'grant', 'state'].map((key) => query.get(key))
  useTitle(words.passkeys.asked)
  if (!name || !id || !state) return <NotFound />
  return (
    <Full answer={answer} rows={2}>
      {({ targets }) => {
        const target = targets.find((seen) => seen.name === name)
        const grant = target?.grants.find((held) => held.id === id && held.state === 'live')
        if (target === undefined || grant === undefined) return <Over target={target} />
        return <Ask target={target} grant={grant} state={state} returnTo={query.get('returnTo') ?? '/'} />
      }}
    </Full>
  )
}

function Ask(props: {
  readonly target: TargetView
  readonly grant: GrantView
  readonly state: string
  readonly returnTo: string
}): React.JSX.Element {
  const { grant, returnTo, state, target } = props
  const { api } = useDesk()
  const [isOnWay, setOnWay] = useState(false)
  const goOn = async (confirmation: string): Promise<void> => {
    const ask = { target: target.name, grant: grant.id, returnTo, state, confirmation }
    const { onward } = await api.post<WebVisit>(routes.webVisits, ask)
    setOnWay(true)
    location.replace(onward)
  }
  return (
    <Stack gap="lg" className="slim">
      <div>
        <Title order={1} className="page-title">
          {words.passkeys.asked}
        </Title>
        <Text mt={4}>{words.passkeys.webText(target.name)}</Text>
      </div>
      <Paper withBorder p="md">
        <Facts
          rows={[
            [words.passkeys.webTarget, <b key="target">{target.name}</b>],
            [words.passkeys.webRole, grant.role],
            [words.passkeys.webReason, grant.reason],
            [words.passkeys.webEnds, grant.expiresAt === null ? null : <Moment key="ends" at={grant.expiresAt} />],
          ]}
        />
      </Paper>
      {isOnWay ? (
        <Text component="output">{words.passkeys.webOnWay(target.name)}</Text>
      ) : (
        <Touch target={target.name} onConfirmed={goOn} />
      )}
    </Stack>
  )
}

function Over({ target }: { readonly target: TargetView | undefined }): React.JSX.Element {
  const url = target?.url ?? null
  return (
    <Stack gap="md" align="flex-start" className="slim">
      <Title order={1} className="page-title">
        {words.passkeys.webOver}
      </Title>
      <Text c="var(--quiet)">{words.passkeys.webOverText}</Text>
      {target !== undefined && url !== null ? (
        <Button component="a" href={url}>
          {words.passkeys.webOpen(target.name)}
        </Button>
      ) : (
        <a href="/" className="link">
          {words.state.toHome}
        </a>
      )}
    </Stack>
  )
}
