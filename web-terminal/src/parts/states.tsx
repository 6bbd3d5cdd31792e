/** Loading, empty, failed: the three things a page is when it is not full. */
import { Alert, Button, Skeleton, Stack, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'
import type { ApiFailure } from '../api.ts'
import { type Answer, useDesk } from '../desk.tsx'
import { words } from '../strings/strings.ts'

export function Loading({ rows = 3 }: { readonly rows?: number }): React.JSX.Element {
  return (
    <Stack gap="sm" component="output" aria-label={words.state.loading}>
      {Array.from({ length: rows }, (_, row) => (
        <Skeleton key={row} height={56} radius="sm" />
      ))}
    </Stack>
  )
}

export function Empty(props: {
  readonly title: string
  readonly text?: string
  readonly children?: ReactNode
}): React.JSX.Element {
  return (
    <div className="empty">
      <Text fw={600}>{props.title}</Text>
      {props.text !== undefined && (
        <Text size="sm" c="var(--quiet)">
          {props.text}
        </Text>
      )}
      {props.children}
    </div>
  )
}

/** Why something did not happen, and what can be done now. */
export function Refused({ failure }: { readonly failure: ApiFailure | undefined }): React.JSX.Element | null {
  if (failure === undefined) return null
  const offline = failure.code === 'OFFLINE'
  const message = offline ? words.state.offline : failure.message || words.state.broken(failure.code)
  const next = offline ? words.state.offlineNext : failure.next
  return (
    <Alert color="red" variant="light" role="alert" title={message}>
      {next}
      {failure.code === 'FAULT' && <Text size="sm">{words.state.reference(failure.reference)}</Text>}
    </Alert>
  )
}

/** An address that leads to nothing, or could not lead anywhere. */
export const isNowhere = ({ code }: ApiFailure): boolean => code === 'NOT_FOUND' || code === 'BAD_INPUT'

/** A whole page's answer: loading, failed with a way to try again, or the page. */
export function Full<T>(props: {
  readonly answer: Answer<T>
  readonly rows?: number
  readonly children: (data: T) => ReactNode
}): ReactNode {
  const desk = useDesk()
  const { answer } = props
  if (answer.state === 'loading') return <Loading rows={props.rows ?? 3} />
  if (answer.state === 'ready') return props.children(answer.data)
  if (isNowhere(answer.failure)) return <NotFound />
  return (
    <Stack align="flex-start">
      <Refused failure={answer.failure} />
      <Button variant="default" onClick={() => desk.refresh()}>
        {words.state.again}
      </Button>
    </Stack>
  )
}

export function NotFound(): React.JSX.Element {
  return (
    <Stack align="flex-start" gap="xs">
      <Title order={1}>{words.state.notFound}</Title>
      <Text c="var(--quiet)">{words.state.notFoundText}</Text>
      <a href="/" className="link">
        {words.state.toHome}
      </a>
    </Stack>
  )
}
