/** When a page breaks or cannot be fetched: one sentence and a way out, in place of an empty window. */
import { Button, Stack, Text, Title } from '@mantine/core'
import { Component, type ReactNode } from 'react'
import { words } from '../strings/strings.ts'

type Props = { readonly children: ReactNode }
type State = { readonly problem: 'none' | 'broke' | 'not-fetched' }

export class Mishap extends Component<Props, State> {
  override state: State = { problem: 'none' }

  /** Parts of the application come later than the page; without a line, or after an update of the gateway, they do not. */
  static getDerivedStateFromError(error: unknown): State {
    const isFetch = error instanceof TypeError && /import|module/i.test(error.message)
    return { problem: isFetch ? 'not-fetched' : 'broke' }
  }

  override render(): ReactNode {
    const { problem } = this.state
    if (problem === 'none') return this.props.children
    return (
      <Stack align="flex-start" gap="sm" className="slim" role="alert">
        <Title order={1} className="page-title">
          {problem === 'broke' ? words.state.crashed : words.state.notFetched}
        </Title>
        <Text>{problem === 'broke' ? words.state.crashedText : words.state.notFetchedText}</Text>
        <Button onClick={() => location.reload()}>{words.state.reload}</Button>
      </Stack>
    )
  }
}
