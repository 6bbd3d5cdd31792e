/** When a page breaks: one sentence and a way out, in place of an empty window. */
import { Button } from '@mantine/core'
import { Component, type ReactNode } from 'react'
import { words } from '../strings.ts'

type Props = { readonly children: ReactNode }

export class Mishap extends Component<Props, { readonly broke: boolean }> {
  override state = { broke: false }

  static getDerivedStateFromError(): { readonly broke: boolean } {
    return { broke: true }
  }

  override render(): ReactNode {
    if (!this.state.broke) return this.props.children
    return (
      <main className="slim alone" role="alert">
        <h1 className="page-title">{words.state.crashed}</h1>
        <p>{words.state.crashedText}</p>
        <Button onClick={() => location.reload()}>{words.state.reload}</Button>
      </main>
    )
  }
}
