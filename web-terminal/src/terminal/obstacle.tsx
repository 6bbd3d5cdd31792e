/** What stands between a person and a shell: no grant yet, a lost line, an end; and the way on. */
import { Button, Group, Loader, Stack, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'
import { signInUrl } from '../api.ts'
import { useNow } from '../desk.tsx'
import { AskForm } from '../parts/ask-form.tsx'
import { GrantActions } from '../parts/grant-actions.tsx'
import { HeldGrants } from '../parts/held-grants.tsx'
import { Touch } from '../parts/touch.tsx'
import { useWayIn } from '../parts/way-in.ts'
import { Link } from '../router.tsx'
import { words } from '../strings/strings.ts'
import { spanClock } from '../time.tsx'
import type { LineState } from './line.ts'
import type { LiveShell } from './live-shell.ts'

type Props = {
  readonly state: Exclude<LineState, { kind: 'open' }>
  readonly target: string
  readonly under: string | undefined
  readonly shell: LiveShell
  /** `grant`: under that one from now on. */
  readonly onAgain: (grant?: string) => void
  readonly onClose: () => void
}

export function Obstacle(props: Props): React.JSX.Element {
  const { onAgain, shell, state, target } = props
  switch (state.kind) {
    case 'opening':
      return (
        <Card>
          <Group gap="sm" component="output">
            <Loader size="sm" />
            <Text>{words.terminal.opening}</Text>
          </Group>
        </Card>
      )
    case 'lost':
      return <Lost until={state.until} onHurry={() => shell.hurry()} />
    case 'moved':
      return (
        <Card title={words.terminal.movedTitle}>
          <Button onClick={() => shell.bringBack()}>{words.terminal.bringBack}</Button>
        </Card>
      )
    case 'refused':
      if (state.code === 'NO_GRANT')
        return <NoGrant target={target} under={props.under} text={state.text} onGrant={onAgain} />
      if (state.code === 'PASSKEY_MISSING')
        return (
          <Card title={words.passkeys.asked}>
            <Text size="sm">{words.passkeys.askedText}</Text>
            <Touch target={target} onConfirmed={(confirmation) => shell.again(confirmation)} />
          </Card>
        )
      return <Refused {...props} state={state} />
    case 'ended':
      return <Ended {...props} state={state} />
  }
  return state satisfies never
}

function Card(props: { readonly title?: string; readonly children: ReactNode }): React.JSX.Element {
  return (
    <div className="obstacle">
      <Stack gap="sm" className="obstacle-card">
        {props.title !== undefined && (
          <Title order={2} size="h3">
            {props.title}
          </Title>
        )}
        {props.children}
      </Stack>
    </div>
  )
}

function Lost(props: { readonly until: number; readonly onHurry: () => void }): React.JSX.Element {
  const now = useNow(1000)
  const left = spanClock(Math.max(0, Math.ceil((props.until - now) / 1000)))
  return (
    <Card title={words.terminal.lostTitle}>
      <Text size="sm" component="output">
        {words.terminal.lostText(left)}
      </Text>
      <Group>
        <Button variant="default" onClick={props.onHurry}>
          {words.terminal.tryNow}
        </Button>
      </Group>
    </Card>
  )
}

/** Asks in place, and goes on once a grant is live. */
function NoGrant(props: {
  readonly target: string
  readonly under: string | undefined
  readonly text: string
  readonly onGrant: (id: string) => void
}): React.JSX.Element {
  const { onGrant, target, under } = props
  const way = useWayIn(target, 'ssh', onGrant)
  switch (way.kind) {
    case 'waiting':
      return (
        <Card title={words.terminal.waitingTitle}>
          <Text size="sm">{words.terminal.waitingText}</Text>
          <GrantActions grant={way.grant} role={way.role} />
        </Card>
      )
    case 'loading':
    case 'none':
      return (
        <Card title={props.text}>
          {way.kind === 'none' && <Text size="sm">{words.terminal.noTarget}</Text>}
          <Link href="/" className="link">
            {words.state.toHome}
          </Link>
        </Card>
      )
    case 'ask':
      return (
        <Card title={words.terminal.noGrantTitle(target)}>
          <HeldGrants grants={way.held} onChoose={onGrant} />
          <Text size="sm">{words.terminal.noGrantText}</Text>
          <AskForm target={way.target} role={under} onDone={() => undefined} />
        </Card>
      )
  }
  return way satisfies never
}

function Refused(props: Props & { readonly state: Extract<LineState, { kind: 'refused' }> }): React.JSX.Element {
  const { onAgain, state } = props
  return (
    <Card title={state.code === 'OFFLINE' ? words.terminal.unreachable : state.text}>
      {state.next !== null && <Text size="sm">{state.next}</Text>}
      <Group>
        {state.code === 'MFA_MISSING' ? (
          <Button component="a" href={signInUrl({ fresh: true })}>
            {words.terminal.signInAgain}
          </Button>
        ) : (
          <Button onClick={() => onAgain()}>{words.terminal.retry}</Button>
        )}
        <Button variant="default" onClick={props.onClose}>
          {words.terminal.close}
        </Button>
      </Group>
    </Card>
  )
}

function Ended(props: Props & { readonly state: Extract<LineState, { kind: 'ended' }> }): React.JSX.Element {
  const { cause, exitCode, text } = props.state
  return (
    <Card title={words.terminal.endedTitle[cause] ?? ''}>
      {text !== '' && (
        <Text role="alert" className="breaks">
          {text}
        </Text>
      )}
      {exitCode !== null && exitCode !== 0 && <Text size="sm">{words.terminal.exit(exitCode)}</Text>}
      <Group>
        <Button onClick={() => props.onAgain()}>
          {cause === 'cut' ? words.terminal.askAgain : words.terminal.again}
        </Button>
        <Button variant="default" onClick={props.onClose}>
          {words.terminal.close}
        </Button>
        <Link href="/sessions" className="link">
          {words.terminal.recordings}
        </Link>
      </Group>
    </Card>
  )
}
