/** One field for everything (Ctrl-K): type a few letters, press Enter. A combobox with a listbox, as ARIA describes them. */
/* oxlint-disable jsx-a11y/prefer-tag-over-role, jsx-a11y/no-noninteractive-element-to-interactive-role, jsx-a11y/click-events-have-key-events -- ARIA's combobox pattern: no native element is a list that is narrowed by typing; the field has the keys of the whole list */
import { Modal, Text, TextInput } from '@mantine/core'
import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import type { TargetView, WaitingRequest } from '../../../gateway/portal/schema/access.ts'
import type { SessionView } from '../../../gateway/portal/schema/sessions.ts'
import { useAnswer } from '../desk.tsx'
import { go } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { type Entry, entriesOf, find, type Known } from './entries.ts'

export function Palette(props: Pick<Known, 'pages' | 'deeds'> & { readonly onClose: () => void }): React.JSX.Element {
  const { pages, deeds, onClose } = props
  const targets = useAnswer<{ readonly targets: readonly TargetView[] }>(routes.targets)
  const requests = useAnswer<{ readonly requests: readonly WaitingRequest[] }>(routes.requests)
  const sessions = useAnswer<{ readonly sessions: readonly SessionView[] }>(routes.lastSessions)
  const [query, setQuery] = useState('')
  const [at, setAt] = useState(0)
  const list = useRef<HTMLUListElement>(null)
  const found = find(
    entriesOf({
      pages,
      deeds,
      targets: targets.state === 'ready' ? targets.data.targets : [],
      requests: requests.state === 'ready' ? requests.data.requests : [],
      sessions: sessions.state === 'ready' ? sessions.data.sessions : [],
    }),
    query,
  )
  const chosen = Math.min(at, Math.max(0, found.length - 1))
  useEffect(() => {
    list.current?.children[chosen]?.scrollIntoView({ block: 'nearest' })
  }, [chosen])
  const take = (entry: Entry | undefined): void => {
    if (entry === undefined) return
    onClose()
    if ('to' in entry) go(entry.to)
    else if ('copy' in entry) void navigator.clipboard.writeText(entry.copy).catch(() => undefined)
    else entry.run()
  }
  const press = (event: KeyboardEvent): void => {
    const steps: Readonly<Record<string, number>> = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }
    const step = steps[event.key]
    if (step !== undefined) setAt(Math.max(0, Math.min(found.length - 1, chosen + step)))
    else if (event.key === 'Enter') take(found[chosen])
    else return
    event.preventDefault()
  }
  return (
    <Modal opened onClose={onClose} withCloseButton={false} padding={0} size="lg" yOffset="10vh" title={null}>
      <TextInput
        aria-label={words.palette.label}
        placeholder={words.palette.hint}
        size="md"
        value={query}
        onChange={(event) => {
          setQuery(event.currentTarget.value)
          setAt(0)
        }}
        onKeyDown={press}
        role="combobox"
        aria-expanded={found.length > 0}
        aria-controls="palette-list"
        aria-autocomplete="list"
        aria-activedescendant={found.length > 0 ? `palette-${chosen}` : undefined}
        autoComplete="off"
        spellCheck={false}
        data-autofocus
        className="palette-field"
      />
      {found.length === 0 ? (
        <Text component="output" size="sm" c="var(--quiet)" p="md" display="block">
          {words.palette.none}
        </Text>
      ) : (
        <ul className="palette" id="palette-list" role="listbox" aria-label={words.palette.label} ref={list}>
          {found.map((entry, index) => (
            <li
              key={entry.key}
              id={`palette-${index}`}
              role="option"
              aria-selected={index === chosen}
              onClick={() => take(entry)}
              onMouseMove={() => setAt(index)}
            >
              <span className="grow">{entry.label}</span>
              <span className="palette-kind">{words.palette.kinds[entry.kind]}</span>
            </li>
          ))}
        </ul>
      )}
    </Modal>
  )
}
