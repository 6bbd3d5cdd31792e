/** Everybody whom the gateway knows: what lets them in, and the two hard deeds. */
import { Badge, Group, Paper, Text, TextInput, Title } from '@mantine/core'
import { useState } from 'react'
import type { AdminPeople } from '../../../gateway/portal/schema/admin.ts'
import { useAnswer, useDesk } from '../desk.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { Link } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago, Moment } from '../time.tsx'
import { visible } from '../visible.ts'

type Person = AdminPeople['people'][number]

const MANY = 8

export function People(): React.JSX.Element {
  const answer = useAnswer<AdminPeople>(routes.admin.people)
  const [query, setQuery] = useState('')
  const wanted = query.trim().toLowerCase()
  return (
    <section aria-labelledby="people">
      <Title order={2} id="people" mb="sm">
        {words.people.title}
      </Title>
      <Full answer={answer} rows={5}>
        {({ people }) => {
          const shown = people.filter(({ username, groups }) =>
            [username, ...groups].join(' ').toLowerCase().includes(wanted),
          )
          return (
            <>
              {people.length >= MANY && (
                <TextInput
                  aria-label={words.people.find}
                  placeholder={words.people.find}
                  type="search"
                  value={query}
                  onChange={(event) => setQuery(event.currentTarget.value)}
                  mb="sm"
                />
              )}
              {shown.length === 0 ? (
                <Empty title={people.length === 0 ? words.people.none : words.people.noneFound} />
              ) : (
                <Paper withBorder className="rows" component="ul">
                  {shown.map((person) => (
                    <Row key={person.username} person={person} />
                  ))}
                </Paper>
              )}
            </>
          )
        }}
      </Full>
    </section>
  )
}

function Row({ person }: { readonly person: Person }): React.JSX.Element {
  const { username, groups, seenAt, lock } = person
  return (
    <li className="row">
      <div className="grow">
        <Group gap="xs">
          <Text fw={600} component="h3" m={0}>
            {username}
          </Text>
          {person.isMe && (
            <Text size="sm" c="var(--quiet)" component="span">
              ({words.people.you})
            </Text>
          )}
          {lock !== null && (
            <Badge variant="dot" color="red.7" size="sm">
              {words.people.locked}
            </Badge>
          )}
        </Group>
        <Text size="sm" c="var(--quiet)">
          {groups.length === 0 ? '' : `${groups.join(', ')} · `}
          {seenAt === null ? (
            words.people.never
          ) : (
            <>
              {words.people.seen} <Ago at={seenAt} />
            </>
          )}{' '}
          ·{' '}
          <Link href={`/sessions?person=${encodeURIComponent(username)}`} className="link">
            {words.people.sessions}
            <span className="for-readers"> {username}</span>
          </Link>
        </Text>
        {lock !== null && (
          <Text size="sm" className="note-bad">
            {words.people.lockedBy(lock.by)}, <Moment at={lock.at} />
            {lock.note === '' ? '' : `: ${visible(lock.note)}`}
          </Text>
        )}
        <LetIn person={person} />
      </div>
      <Deeds person={person} />
    </li>
  )
}

function LetIn({ person }: { readonly person: Person }): React.JSX.Element {
  const { browsers, keys, passkeys, tokenUntil } = person
  const isNothing = browsers + keys.length + passkeys === 0 && tokenUntil === null
  return (
    <>
      <Text size="sm">
        {words.people.letIn}:{' '}
        {isNothing
          ? words.people.nothing
          : [
              browsers === 0 ? '' : words.people.browsers(browsers),
              keys.length === 0 ? '' : words.people.keys(keys.length),
              passkeys === 0 ? '' : words.people.passkeys(passkeys),
            ]
              .filter((part) => part !== '')
              .join(', ')}
        {tokenUntil !== null && (
          <>
            {browsers + keys.length + passkeys > 0 && ', '}
            {words.people.token} <Moment at={tokenUntil} />
          </>
        )}
      </Text>
      {keys.map(({ fingerprint, expiresAt }) => (
        <Text key={fingerprint} size="xs" c="var(--quiet)">
          <code className="breaks">{fingerprint}</code> {words.people.boundUntil} <Moment at={expiresAt} />
        </Text>
      ))}
    </>
  )
}

function Deeds({ person }: { readonly person: Person }): React.JSX.Element {
  const { api } = useDesk()
  const { username } = person
  const isIn = person.browsers + person.keys.length > 0 || person.tokenUntil !== null
  return (
    <Group gap="xs">
      {isIn && !person.isMe && (
        <Confirm
          label={words.people.signOut}
          about={username}
          title={words.people.signOutTitle(username)}
          text={words.people.signOutText(username)}
          send={words.people.signOut}
          deed={() => api.post(routes.admin.signOut(username), {})}
        />
      )}
      {person.lock !== null && (
        <Confirm
          label={words.people.unlock}
          about={username}
          title={words.people.unlockTitle(username)}
          text={words.people.unlockText(username)}
          send={words.people.unlock}
          deed={() => api.post(routes.admin.unlock(username), {})}
        />
      )}
      {person.lock === null && !person.isMe && (
        <Confirm
          label={words.people.lock}
          about={username}
          title={words.people.lockTitle(username)}
          text={words.people.lockText(username)}
          note={words.people.note}
          send={words.people.lockSend}
          isHard
          deed={(note) => api.post(routes.admin.lock(username), { note })}
        />
      )}
    </Group>
  )
}
