/** What a person is asked before it happens: a long or many-lined paste, an address that a host wrote. */
import { Button, Group, Modal, Stack, Text } from '@mantine/core'
import { words } from '../strings/strings.ts'
import { MOST_PASTED, type Pasted, sizeWords } from './pasted.ts'

type Answer = { readonly onAnswer: (isWanted: boolean) => void }

export function PasteQuestion({ onAnswer, paste }: Answer & { readonly paste: Pasted | undefined }): React.JSX.Element {
  return (
    <Modal
      opened={paste !== undefined}
      onClose={() => onAnswer(false)}
      title={words.terminal.pasteTitle}
      closeButtonProps={{ 'aria-label': words.terminal.cancel }}
      returnFocus={false}
      centered
    >
      {paste !== undefined && (
        <Stack gap="sm">
          {paste.lines > 1 && <Text size="sm">{words.terminal.pasteLines(paste.lines)}</Text>}
          <Text size="sm">{words.terminal.pasteSize(sizeWords(paste.bytes))}</Text>
          {paste.hadControls && <Text size="sm">{words.terminal.pasteControls}</Text>}
          {paste.isTooLong && (
            <Text size="sm" fw={600}>
              {words.terminal.pasteTooLong(sizeWords(MOST_PASTED))}
            </Text>
          )}
          <pre className="pasted">{paste.shown}</pre>
          <Group gap="sm">
            {!paste.isTooLong && (
              <Button onClick={() => onAnswer(true)} data-autofocus>
                {words.terminal.paste}
              </Button>
            )}
            <Button variant="default" onClick={() => onAnswer(false)}>
              {words.terminal.cancel}
            </Button>
          </Group>
        </Stack>
      )}
    </Modal>
  )
}

export function LinkQuestion({ link, onAnswer }: Answer & { readonly link: string | undefined }): React.JSX.Element {
  return (
    <Modal
      opened={link !== undefined}
      onClose={() => onAnswer(false)}
      title={words.terminal.linkTitle}
      closeButtonProps={{ 'aria-label': words.terminal.cancel }}
      returnFocus={false}
      centered
    >
      <Stack gap="sm">
        <Text size="sm">{words.terminal.linkText}</Text>
        <pre className="pasted">{link}</pre>
        <Group gap="sm">
          <Button onClick={() => onAnswer(true)}>{words.terminal.linkOpen}</Button>
          <Button variant="default" onClick={() => onAnswer(false)} data-autofocus>
            {words.terminal.cancel}
          </Button>
        </Group>
      </Stack>
    </Modal>
  )
}
