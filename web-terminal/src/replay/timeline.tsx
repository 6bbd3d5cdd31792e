/** A session without a screen, as a list to read: statements or requests with verdict, rows, status and time; narrowed by typing. */
import { Checkbox, Group, TextInput } from '@mantine/core'
import { useState } from 'react'
import { Empty } from '../parts/states.tsx'
import { words } from '../strings/strings.ts'
import { EventList } from './event-list.tsx'
import { type Entry, isRefused } from './story.ts'

/** From so many entries on there is something to look for. */
const MANY = 8

export function Timeline(props: {
  readonly entries: readonly Entry[]
  /** The second that somebody came for. */
  readonly at: number | undefined
}): React.JSX.Element {
  const { entries, at } = props
  const [query, setQuery] = useState('')
  const [refusedOnly, setRefusedOnly] = useState(false)
  const wanted = query.trim().toLowerCase()
  const shown = entries.filter(
    (entry) => (!refusedOnly || isRefused(entry)) && (wanted === '' || textOf(entry).includes(wanted)),
  )
  return (
    <>
      {entries.length >= MANY && (
        <Group gap="md" align="end" mb="sm">
          <TextInput
            aria-label={words.session.filter}
            placeholder={words.session.filter}
            type="search"
            value={query}
            onChange={(event) => setQuery(event.currentTarget.value)}
            className="grow"
          />
          <Checkbox
            label={words.session.refusedOnly}
            checked={refusedOnly}
            onChange={(event) => setRefusedOnly(event.currentTarget.checked)}
            className="filter-check"
          />
        </Group>
      )}
      {shown.length === 0 && entries.length > 0 ? (
        <Empty title={words.session.noneFits} />
      ) : (
        <EventList
          entries={shown}
          onJump={undefined}
          isFull
          marked={at === undefined ? undefined : nearest(entries, at)}
        />
      )}
    </>
  )
}

const nearest = (entries: readonly Entry[], at: number): number | undefined =>
  entries.toSorted((a, b) => Math.abs(a.seconds - at) - Math.abs(b.seconds - at))[0]?.key

function textOf(entry: Entry): string {
  if (entry.kind === 'statement') return `${entry.statement.text} ${entry.outcome?.status ?? ''}`.toLowerCase()
  if (entry.kind === 'file') return entry.file.path.toLowerCase()
  return entry.kind === 'secret' ? '' : entry.text.toLowerCase()
}
