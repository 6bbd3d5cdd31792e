/** Statements, typed lines, files and notices of a session, each with its verdict; a click goes to that second. */
import { Badge, Code, Text } from '@mantine/core'
import { memo } from 'react'
import { words } from '../strings/strings.ts'
import { Diff } from './diff.tsx'
import { spanClock } from '../time.tsx'
import { type Entry, isRefused } from './story.ts'

/** So many are drawn; a session with more is better searched than scrolled. */
const MOST_SHOWN = 2000

export const EventList = memo(function EventList(props: {
  readonly entries: readonly Entry[]
  readonly onJump: ((seconds: number) => void) | undefined
  /** As the page's main matter, with everything that is known. */
  readonly isFull?: boolean
  /** The entry that somebody came for, by its key. */
  readonly marked?: number | undefined
}): React.JSX.Element {
  const { entries, onJump, isFull = false } = props
  return (
    <section className="events" aria-label={words.session.events} data-full={isFull}>
      {entries.length === 0 && (
        <Text size="sm" c="var(--quiet)" p="sm">
          {isFull ? words.session.noStatements : words.session.noEvents}
        </Text>
      )}
      <ol tabIndex={isFull ? undefined : 0} aria-label={words.session.events}>
        {entries.slice(0, MOST_SHOWN).map((entry) => (
          <li
            key={entry.key}
            data-refused={isRefused(entry)}
            data-marked={entry.key === props.marked}
            ref={entry.key === props.marked ? inView : undefined}
          >
            {onJump === undefined ? (
              <span className="event-time tabular">{spanClock(entry.seconds)}</span>
            ) : (
              <button
                type="button"
                className="event-time tabular"
                onClick={() => onJump(entry.seconds)}
                aria-label={words.session.jump(spanClock(entry.seconds))}
              >
                {spanClock(entry.seconds)}
              </button>
            )}
            <div className="event-body">
              <Body entry={entry} isFull={isFull} />
            </div>
          </li>
        ))}
      </ol>
    </section>
  )
})

const inView = (item: HTMLLIElement | null): void => item?.scrollIntoView({ block: 'center' })

function Body({ entry, isFull }: { readonly entry: Entry; readonly isFull: boolean }): React.JSX.Element {
  if (entry.kind === 'statement') return <Statement entry={entry} isFull={isFull} />
  if (entry.kind === 'file') return <FileDeed file={entry.file} isFull={isFull} />
  if (entry.kind === 'typed') return <code>{entry.text}</code>
  if (entry.kind === 'secret') return <em>{words.event.secret(entry.count)}</em>
  return (
    <>
      <b>{words.event[entry.kind]}</b> {entry.text}
    </>
  )
}

function FileDeed(props: {
  readonly file: Extract<Entry, { readonly kind: 'file' }>['file']
  readonly isFull: boolean
}): React.JSX.Element {
  const { operation, path, to, bytes, result, detail, sha256, diff } = props.file
  return (
    <>
      <b>{fileWords(operation)}</b> <code>{path}</code>
      {to !== undefined && <code> → {to}</code>}
      <Note
        text={[
          bytes === undefined ? '' : words.event.bytes(bytes),
          props.isFull && sha256 !== undefined ? `sha256 ${sha256}` : '',
          result === 'done' ? (detail ?? '') : '',
        ]}
      />
      {diff !== undefined && <Diff text={diff} />}
      {result !== 'done' && (
        <Refusal text={detail ?? ''} label={result === 'denied' ? words.event.deny : words.event.failed} />
      )}
    </>
  )
}

function Statement(props: {
  readonly entry: Extract<Entry, { readonly kind: 'statement' }>
  readonly isFull: boolean
}): React.JSX.Element {
  const { statement, outcome } = props.entry
  const { verdict } = statement
  return (
    <>
      {props.isFull ? <Code block>{statement.text}</Code> : <code>{statement.text}</code>}
      {verdict.decision !== 'allow' && (
        <Refusal label={verdict.decision === 'deny' ? words.event.deny : words.event.hold} text={verdict.reason} />
      )}
      {statement.approved !== undefined && (
        <Note text={[words.held.letThrough(statement.approved.by.join(', '), statement.approved.request)]} />
      )}
      {outcome?.result === 'not-sent' && <Refusal label={words.event.notSent} text={outcome.error ?? ''} />}
      {outcome?.result === 'error' && <Refusal label={words.event.failed} text={outcome.error ?? ''} />}
      {outcome !== undefined && outcome.result !== 'not-sent' && (
        <Note
          text={[
            outcome.tag ?? '',
            outcome.rows === undefined ? '' : words.event.rows(outcome.rows),
            outcome.status === undefined ? '' : String(outcome.status),
            words.event.ms(outcome.ms),
            outcome.resent === true ? words.event.resent : '',
            outcome.bytesIn === undefined || outcome.bytesIn === 0 ? '' : `↑ ${words.event.bytes(outcome.bytesIn)}`,
            outcome.status === undefined || outcome.bytes === undefined ? '' : `↓ ${words.event.bytes(outcome.bytes)}`,
            outcome.frames === undefined ? '' : words.event.frames(outcome.frames.in, outcome.frames.out),
            props.isFull && statement.tables !== undefined && statement.tables.length > 0
              ? `${words.event.tables}: ${statement.tables.join(', ')}`
              : '',
            props.isFull && statement.parameters !== undefined && statement.parameters.length > 0
              ? `${words.event.parameters}: ${statement.parameters.map((value) => value ?? 'NULL').join(', ')}`
              : '',
          ]}
        />
      )}
      {props.isFull && outcome?.sample !== undefined && outcome.sample.length > 0 && (
        <details className="sample">
          <summary>{words.event.sample}</summary>
          {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard */}
          <pre tabIndex={0}>
            {outcome.sample.map((row) => row.map((cell) => cell ?? 'NULL').join(' | ')).join('\n')}
          </pre>
        </details>
      )}
    </>
  )
}

const fileWords = (operation: string): string =>
  operation in words.event.file ? words.event.file[operation as keyof typeof words.event.file] : words.event.file.other

function Refusal(props: { readonly label: string; readonly text: string }): React.JSX.Element {
  return (
    <div className="refusal">
      <Badge variant="dot" color="red.7" size="sm">
        {props.label}
      </Badge>{' '}
      {props.text}
    </div>
  )
}

function Note({ text }: { readonly text: readonly string[] }): React.JSX.Element | null {
  const parts = text.filter((part) => part !== '')
  return parts.length === 0 ? null : <div className="event-note">{parts.join(' · ')}</div>
}
