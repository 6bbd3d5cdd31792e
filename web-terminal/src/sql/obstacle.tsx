/** Why no session is open, and the way to one right here: a grant, a passkey, another try. */
import { Alert, Button, Group, Stack, Text, Title } from '@mantine/core'
import { useEffect, useRef } from 'react'
import type { TargetView } from '../../../gateway/portal/schema/access.ts'
import type { Confirmed, PasskeyOptions } from '../../../gateway/portal/schema/passkeys.ts'
import { useAnswer, useDeed, useDesk } from '../desk.tsx'
import { AskForm } from '../parts/ask-form.tsx'
import { Full, Refused } from '../parts/states.tsx'
import { touch } from '../passkey.ts'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'

export function Obstacle(props: {
  readonly target: string
  readonly code: string
  readonly text: string
  readonly next: string | null
  readonly onAgain: (confirmation?: string) => void
}): React.JSX.Element {
  const { target, code, text, next, onAgain } = props
  if (code === 'PASSKEY_MISSING') return <Passkey target={target} onConfirmed={onAgain} />
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
        <Ask target={target} onAgain={() => onAgain()} />
      ) : (
        <Group>
          <Button onClick={() => onAgain()}>{words.sql.again}</Button>
        </Group>
      )}
    </Stack>
  )
}

/** The form, and what was asked for so far; goes on by itself once it is live. */
function Ask({ target, onAgain }: { readonly target: string; readonly onAgain: () => void }): React.JSX.Element {
  const answer = useAnswer<{ readonly targets: readonly TargetView[] }>(routes.targets)
  const waited = useRef(false)
  const state = answer.state === 'ready' ? stateOf(answer.data.targets, target) : undefined
  useEffect(() => {
    // Only what becomes live while somebody looks: a grant that was there and opened nothing would be tried for ever.
    if (state === 'live' && waited.current) onAgain()
    waited.current ||= state === 'waiting' || state === 'none'
  }, [state, onAgain])
  return (
    <Full answer={answer} rows={1}>
      {({ targets }) => {
        const view = targets.find(({ name }) => name === target)
        if (view === undefined) return null
        const waits = view.grants.find(({ state }) => state === 'requested' || state === 'approved')
        const isLive = view.grants.some(({ state, endpoints }) => state === 'live' && endpoints.includes('postgres'))
        if (isLive) return <Button onClick={onAgain}>{words.sql.again}</Button>
        if (waits !== undefined) return <Text>{words.sql.waits(waits.id)}</Text>
        const roles = view.roles.filter(({ scopes }) => scopes.some(({ endpoint }) => endpoint === 'postgres'))
        return <AskForm target={{ ...view, roles }} onDone={onAgain} />
      }}
    </Full>
  )
}

function stateOf(targets: readonly TargetView[], target: string): 'live' | 'waiting' | 'none' {
  const grants = targets.find(({ name }) => name === target)?.grants ?? []
  if (grants.some(({ state, endpoints }) => state === 'live' && endpoints.includes('postgres'))) return 'live'
  return grants.length > 0 ? 'waiting' : 'none'
}

function Passkey(props: {
  readonly target: string
  readonly onConfirmed: (confirmation: string) => void
}): React.JSX.Element {
  const { target } = props
  const { api } = useDesk()
  const deed = useDeed()
  const confirm = () =>
    deed.run(async () => {
      const options = await api.post<PasskeyOptions>(routes.confirmOptions, { target })
      const { confirmation } = await api.post<Confirmed>(routes.confirm, { target, answer: await touch(options) })
      props.onConfirmed(confirmation)
    })
  return (
    <Stack gap="md" className="slim">
      <div>
        <Title order={2}>{words.sql.passkey}</Title>
        <Text mt={4}>{words.sql.passkeyText}</Text>
      </div>
      <Button size="lg" loading={deed.busy} onClick={() => void confirm()}>
        {words.passkeys.touch}
      </Button>
      <Refused failure={deed.failure} />
    </Stack>
  )
}
