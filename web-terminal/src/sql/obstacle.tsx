/** Why no session is open, and the way to one right here: a grant, a passkey, another try. */
import { Alert, Button, Group, Stack, Text, Title } from '@mantine/core'
import { AskForm } from '../parts/ask-form.tsx'
import { GrantActions } from '../parts/grant-actions.tsx'
import { HeldGrants } from '../parts/held-grants.tsx'
import { Loading } from '../parts/states.tsx'
import { Touch } from '../parts/touch.tsx'
import { useWayIn } from '../parts/way-in.ts'
import { Link } from '../router.tsx'
import { words } from '../strings/strings.ts'

export function Obstacle(props: {
  readonly target: string
  readonly code: string
  readonly text: string
  readonly next: string | null
  readonly under: string | undefined
  readonly onAgain: (confirmation?: string) => void
  readonly onGrant: (id: string) => void
}): React.JSX.Element {
  const { target, code, text, next, onAgain } = props
  if (code === 'PASSKEY_MISSING')
    return (
      <Stack gap="md" className="slim">
        <div>
          <Title order={2}>{words.passkeys.asked}</Title>
          <Text mt={4}>{words.passkeys.askedText}</Text>
        </div>
        <Touch target={target} onConfirmed={onAgain} />
      </Stack>
    )
  return (
    <Stack gap="md" className="narrow">
      <Alert
        color={code === 'ENDED' ? 'orange' : 'red'}
        variant="light"
        role="alert"
        title={code === 'ENDED' ? words.sql.ended : text || words.sql.lost}
      >
        {code === 'ENDED' && <Text size="sm">{text}</Text>}
        {next !== null && code !== 'NO_GRANT' && <Text size="sm">{next}</Text>}
      </Alert>
      {code === 'NO_GRANT' ? (
        <Ask target={target} under={props.under} onGrant={props.onGrant} />
      ) : (
        <Group>
          <Button onClick={() => onAgain()}>{words.sql.again}</Button>
        </Group>
      )}
    </Stack>
  )
}

/** The form, and what was asked for so far; goes on by itself once it is live. */
function Ask(props: {
  readonly target: string
  readonly under: string | undefined
  readonly onGrant: (id: string) => void
}): React.JSX.Element | null {
  const { onGrant, target, under } = props
  const way = useWayIn(target, 'postgres', onGrant)
  switch (way.kind) {
    case 'loading':
      return <Loading rows={1} />
    case 'none':
      return (
        <Link href="/" className="link">
          {words.state.toHome}
        </Link>
      )
    case 'waiting':
      return (
        <Stack gap="sm" align="flex-start">
          <Text>{words.sql.waits(way.grant.id)}</Text>
          <GrantActions grant={way.grant} role={way.role} />
        </Stack>
      )
    case 'ask':
      return (
        <>
          <HeldGrants grants={way.held} onChoose={onGrant} />
          <AskForm target={way.target} role={under} onDone={() => undefined} />
        </>
      )
  }
  return way satisfies never
}
