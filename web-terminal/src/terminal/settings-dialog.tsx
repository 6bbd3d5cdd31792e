/** Font size, colours, and how a terminal is drawn and read. */
import { Button, Checkbox, Group, Modal, NativeSelect, Stack, Text } from '@mantine/core'
import { words } from '../strings/strings.ts'
import { LARGEST, type Settings, SMALLEST, set, useSettings } from './settings.ts'

const COLOURS: readonly Settings['colours'][] = ['page', 'dark', 'light']

export function SettingsDialog(props: { readonly isOpen: boolean; readonly onClose: () => void }): React.JSX.Element {
  const { colours, fontSize, isFast, isRead } = useSettings()
  return (
    <Modal
      opened={props.isOpen}
      onClose={props.onClose}
      title={words.terminal.settings}
      closeButtonProps={{ 'aria-label': words.terminal.close }}
      centered
    >
      <Stack gap="md">
        <Group gap="sm">
          <Text size="sm" fw={500}>
            {words.terminal.fontSize}
          </Text>
          <Button
            size="xs"
            variant="default"
            disabled={fontSize <= SMALLEST}
            onClick={() => set({ fontSize: fontSize - 1 })}
          >
            {words.terminal.smaller}
          </Button>
          <Text size="sm" className="tabular" component="output">
            {fontSize}
          </Text>
          <Button
            size="xs"
            variant="default"
            disabled={fontSize >= LARGEST}
            onClick={() => set({ fontSize: fontSize + 1 })}
          >
            {words.terminal.larger}
          </Button>
        </Group>
        <NativeSelect
          label={words.terminal.colours}
          value={colours}
          onChange={(event) => {
            const wanted = COLOURS.find((name) => name === event.currentTarget.value)
            if (wanted !== undefined) set({ colours: wanted })
          }}
          data={COLOURS.map((value) => ({ value, label: words.terminal.coloursOf[value] }))}
        />
        <Checkbox
          label={words.terminal.read}
          checked={isRead}
          onChange={(event) => set({ isRead: event.currentTarget.checked })}
        />
        <Checkbox
          label={words.terminal.fast}
          checked={isFast}
          onChange={(event) => set({ isFast: event.currentTarget.checked })}
        />
        <Text size="sm" c="var(--quiet)">
          {words.terminal.keysHelp}
        </Text>
      </Stack>
    </Modal>
  )
}
