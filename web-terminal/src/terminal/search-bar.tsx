/** Finds text in what a terminal has shown. */
import { ActionIcon, Button, Group, Text, TextInput } from '@mantine/core'
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { Icon } from '../mark.tsx'
import { words } from '../strings/strings.ts'
import type { LiveShell } from './live-shell.ts'

export function SearchBar({ shell }: { readonly shell: LiveShell }): React.JSX.Element {
  const [text, setText] = useState('')
  const [isThere, setIsThere] = useState(true)
  const field = useRef<HTMLInputElement>(null)
  useEffect(() => field.current?.focus(), [])
  const find = (wanted: string, where: 'next' | 'before'): void => setIsThere(shell.find(wanted, where))
  const key = (event: KeyboardEvent): void => {
    if (event.key === 'Enter') find(text, event.shiftKey ? 'before' : 'next')
    else if (event.key === 'Escape') shell.search(false)
    else return
    event.preventDefault()
  }
  return (
    <Group className="search-bar" gap={6} component="search">
      <TextInput
        ref={field}
        size="xs"
        aria-label={words.terminal.find}
        placeholder={words.terminal.find}
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value)
          find(event.currentTarget.value, 'next')
        }}
        onKeyDown={key}
      />
      <Text size="xs" component="output">
        {isThere ? '' : words.terminal.findNone}
      </Text>
      <Button size="compact-xs" variant="default" onClick={() => find(text, 'before')}>
        {words.terminal.findBefore}
      </Button>
      <Button size="compact-xs" variant="default" onClick={() => find(text, 'next')}>
        {words.terminal.findNext}
      </Button>
      <ActionIcon variant="subtle" color="gray" aria-label={words.terminal.close} onClick={() => shell.search(false)}>
        <Icon name="close" size={16} />
      </ActionIcon>
    </Group>
  )
}
