/** One box over what was typed, shown and judged. It asks when Enter is pressed, not while somebody types: every search is in the audit log. */
import { Badge, Button, Group, Text, TextInput } from '@mantine/core'
import { type FormEvent, useEffect, useState } from 'react'
import type { SearchHits } from '../../../gateway/portal/schema/sessions.ts'
import { ApiFailure } from '../api.ts'
import { useDesk } from '../desk.tsx'
import { go, Link, useQuery } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment, spanClock } from '../time.tsx'
import { visible } from '../visible.ts'
import { Empty, Loading, Refused } from './states.tsx'

const MOST = 200

function look(next: string): void {
  const query = new URLSearchParams(location.search)
  if (next === '') query.delete('text')
  else query.set('text', next)
  const search = query.toString()
  go(location.pathname + (search === '' ? '' : `?${search}`))
}

export function SearchBox(): React.JSX.Element {
  const asked = useQuery().get('text') ?? ''
  const [text, setText] = useState(asked)
  const send = (event: FormEvent): void => {
    event.preventDefault()
    look(text.trim())
  }
  return (
    <form onSubmit={send} className="search-box">
      <TextInput
        label={words.search.label}
        placeholder={words.search.hint}
        type="search"
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        maxLength={MOST}
        autoComplete="off"
        spellCheck={false}
      />
      <Button type="submit" variant="default">
        {words.search.go}
      </Button>
      {asked !== '' && (
        <Button
          variant="subtle"
          onClick={() => {
            setText('')
            look('')
          }}
        >
          {words.search.leave}
        </Button>
      )}
    </form>
  )
}

type Filter = { readonly person?: string; readonly target?: string; readonly since?: string }

export function Hits(props: { readonly text: string; readonly filter: Filter }): React.JSX.Element {
  const { api } = useDesk()
  const [asked, setAsked] = useState<{ readonly path: string; readonly answer: SearchHits | ApiFailure }>()
  const path = routes.search({ ...props.filter, text: props.text })
  useEffect(() => {
    let current = true
    api.get<SearchHits>(path).then(
      (found) => current && setAsked({ path, answer: found }),
      (failure: unknown) => current && failure instanceof ApiFailure && setAsked({ path, answer: failure }),
    )
    return () => {
      current = false
    }
  }, [api, path])
  const answer = asked?.path === path ? asked.answer : undefined
  if (answer === undefined) return <Loading rows={4} />
  if (answer instanceof ApiFailure) return <Refused failure={answer} />
  if (answer.hits.length === 0) return <Empty title={words.search.none} text={words.search.noneText} />
  return (
    <ol className="hits" aria-label={words.search.found(answer.hits.length)}>
      {answer.hits.map(({ session, seconds, source, text }, index) => (
        // oxlint-disable-next-line react/no-array-index-key -- a line can be there twice, and the list never changes
        <li key={index}>
          <Link href={`/sessions/${session.id}?at=${seconds}`} className="hit">
            <code>{visible(text)}</code>
          </Link>
          <Group gap="xs">
            <Badge variant="default" size="sm" tt="none">
              {words.search.sources[source]}
            </Badge>
            <Text size="xs" c="var(--quiet)" component="span">
              {words.session.title(session.username, session.target)} · {words.protocol[session.protocol]}{' '}
              {session.channel} · <Moment at={session.startedAt} /> · {words.search.at(spanClock(seconds))}
            </Text>
          </Group>
        </li>
      ))}
    </ol>
  )
}
