/** How the gateway is, and who is in just now. */
import { Badge, Paper, Stack, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'
import type { HealthView } from '../../../gateway/portal/schema/admin.ts'
import type { SessionView } from '../../../gateway/portal/schema/sessions.ts'
import { SessionTable } from '../pages/sessions.tsx'
import { useAnswer, useFresh } from '../desk.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago, spanClock } from '../time.tsx'

const FRESH_MS = 5000
/** From here on an operator should look. */
const LATE_SECONDS = 60
const HIGH_SHARE = 0.5

export function Health(): React.JSX.Element {
  useFresh(FRESH_MS)
  const answer = useAnswer<HealthView>(routes.admin.health)
  const live = useAnswer<{ readonly sessions: readonly SessionView[] }>(routes.sessions({ live: 'true' }))
  return (
    <Stack gap="xl">
      <section aria-labelledby="health">
        <Title order={2} id="health" mb="sm">
          {words.health.title}
        </Title>
        <Full answer={answer} rows={4}>
          {(health) => <Signs health={health} />}
        </Full>
      </section>
      <section aria-labelledby="live">
        <Title order={2} id="live" mb="sm">
          {words.health.live}
        </Title>
        <Full answer={live} rows={2}>
          {({ sessions }) =>
            sessions.length === 0 ? <Empty title={words.health.noLive} /> : <SessionTable sessions={sessions} />
          }
        </Full>
      </section>
    </Stack>
  )
}

const megabytes = (bytes: number): string => (bytes / 2 ** 20).toLocaleString(undefined, { maximumFractionDigits: 1 })

const answers = (isReachable: boolean): string => (isReachable ? words.health.reachable : words.health.away)

function Signs({ health }: { readonly health: HealthView }): React.JSX.Element {
  const { workers, journal, audit, state, providers } = health
  const backlog = journal.backlogBytes ?? 0
  const isLate = (journal.oldestSeconds ?? 0) > LATE_SECONDS || backlog > HIGH_SHARE * journal.mostBytes
  return (
    <Paper withBorder className="rows" component="ul">
      <Sign name={words.health.workers} isGood={workers === null ? undefined : workers.ready >= workers.wanted}>
        {workers === null
          ? words.admin.unknown
          : `${words.health.ready(workers.ready, workers.wanted)}, ${words.health.restarts(workers.restarts)}`}
      </Sign>
      <Sign name={words.health.journal} isGood={journal.isOpen && !isLate}>
        {[
          journal.isOpen ? words.health.open : words.health.broken,
          journal.backlogBytes === null ? '' : words.health.backlog(megabytes(backlog)),
          backlog === 0 || journal.oldestSeconds === null ? '' : words.health.oldest(spanClock(journal.oldestSeconds)),
          words.health.most(megabytes(journal.mostBytes)),
        ]
          .filter((part) => part !== '')
          .join(', ')}
      </Sign>
      <Sign name={words.health.audit} isGood={audit.isReachable}>
        {words.health.kinds[audit.kind]}, {answers(audit.isReachable)}
      </Sign>
      <Sign name={words.health.state} isGood>
        {words.health.kinds[state.kind]}, {words.health.seen} <Ago at={state.seenAt} />
      </Sign>
      {providers.map(({ title, isReachable }) => (
        <Sign key={title} name={`${words.health.providers}: ${title}`} isGood={isReachable}>
          {answers(isReachable)}
        </Sign>
      ))}
      <li className="row">
        <Text size="sm" c="var(--quiet)">
          {words.health.version(health.version)}
        </Text>
      </li>
    </Paper>
  )
}

function Sign(props: {
  readonly name: string
  readonly isGood: boolean | undefined
  readonly children: ReactNode
}): React.JSX.Element {
  const { isGood } = props
  return (
    <li className="row">
      <Text fw={600} className="sign-name">
        {props.name}
      </Text>
      <Badge variant="dot" color={isGood === undefined ? 'gray.5' : isGood ? 'green.7' : 'red.7'}>
        {isGood === undefined ? words.admin.unknown : isGood ? words.admin.good : words.admin.bad}
      </Badge>
      <Text size="sm" className="grow">
        {props.children}
      </Text>
    </li>
  )
}
