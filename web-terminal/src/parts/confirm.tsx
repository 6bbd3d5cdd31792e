/** A deed that asks once more: what will happen, perhaps why, and two buttons. */
import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import { useDeed } from '../desk.tsx'
import { words } from '../strings/strings.ts'
import { Refused } from './states.tsx'

export function Confirm(props: {
  /** On the button that opens it. */
  readonly label: string
  /** Names the button for screen readers, where several say the same. */
  readonly about?: string
  readonly title: string
  readonly text: string
  /** Of the field for a note; undefined: nothing is asked. */
  readonly note?: string
  readonly send: string
  readonly isHard?: boolean
  readonly deed: (note: string) => Promise<unknown>
}): React.JSX.Element {
  const deed = useDeed()
  const [opened, setOpened] = useState(false)
  const [note, setNote] = useState('')
  const run = async (): Promise<void> => {
    if (await deed.run(() => props.deed(note.trim()))) setOpened(false)
  }
  return (
    <>
      <Button
        size="xs"
        variant={props.isHard === true ? 'light' : 'default'}
        {...(props.isHard === true ? { color: 'red' } : {})}
        aria-label={props.about === undefined ? undefined : `${props.label}: ${props.about}`}
        onClick={() => setOpened(true)}
      >
        {props.label}
      </Button>
      <Modal
        opened={opened}
        onClose={() => setOpened(false)}
        title={props.title}
        closeButtonProps={{ 'aria-label': words.ask.cancel }}
        centered
      >
        <Stack gap="md">
          <Text size="sm">{props.text}</Text>
          {props.note !== undefined && (
            <TextInput
              label={props.note}
              value={note}
              onChange={(event) => setNote(event.currentTarget.value)}
              maxLength={500}
              autoComplete="off"
            />
          )}
          <Refused failure={deed.failure} />
          <Group gap="sm">
            <Button {...(props.isHard === true ? { color: 'red' } : {})} loading={deed.busy} onClick={() => void run()}>
              {props.send}
            </Button>
            <Button variant="default" onClick={() => setOpened(false)}>
              {words.ask.cancel}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  )
}
