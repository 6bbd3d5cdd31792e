/** The whole story of one grant: request, approvals, live time, sessions, end. */
import { Group, Paper, Stack, Text, Title } from '@mantine/core'
import type { ReactNode } from 'react'
import type { GrantView } from '../../../gateway/portal/schema/access.ts'
import type { SessionView } from '../../../gateway/portal/schema/sessions.ts'
import type { AuditEventView, GrantStory } from '../../../gateway/portal/schema/story.ts'
import { apiUrl } from '../api.ts'
import { useAnswer } from '../desk.tsx'
import { Icon } from '../mark.tsx'
import { GrantActions } from '../parts/grant-actions.tsx'
import { Allows, Facts, GrantState } from '../parts/pieces.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { Ticket } from '../parts/ticket.tsx'
import { Link, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment, minutesWords, TimeLeft } from '../time.tsx'
import { visible } from '../visible.ts'
import { SessionTable } from './sessions.tsx'

export function Grant({ id }: { readonly id: string }): React.JSX.Element {
  useTitle(words.story.title(id))
  const answer = useAnswer<GrantStory>(routes.story(id))
  return <Full answer={answer}>{(story) => <Story story={story} />}</Full>
}

function Story({ story }: { readonly story: GrantStory }): React.JSX.Element {
  const { grant, role, sessions } = story
  return (
    <Stack gap="xl">
      <Group justify="space-between" align="start" gap="md">
        <div>
          <Group gap="sm">
            <Title order={1} className="page-title">
              {words.story.title(grant.id)}
            </Title>
            <GrantState grant={grant} />
          </Group>
          <Text mt={4}>
            <b>{grant.username}</b> · {grant.role} · <b>{grant.target}</b>
          </Text>
        </div>
        <Group gap="lg" align="center">
          {grant.state === 'live' && grant.liveAt !== null && grant.expiresAt !== null && (
            <TimeLeft from={grant.liveAt} until={grant.expiresAt} size="lg" />
          )}
          {story.mayTakeEvidence && grant.liveAt !== null && (
            <a
              href={apiUrl(routes.evidence(grant.id))}
              download
              className="button-link"
              title={words.story.evidenceText}
            >
              <Icon name="download" size={16} /> {words.story.evidence}
            </a>
          )}
          <GrantActions grant={grant} role={role ?? undefined} isAlone />
        </Group>
      </Group>
      <Paper withBorder p="md" className="spaced">
        <Facts
          rows={[
            [words.story.reason, visible(grant.reason)],
            [words.requests.ticket, grant.ticket === '' ? '' : <Ticket key="ticket" ticket={grant.ticket} />],
            [words.story.asked, minutesWords(grant.minutes)],
            [
              words.story.endpoints,
              `${grant.endpoints.map((endpoint) => words.protocol[endpoint]).join(', ')}${grant.readOnly ? ` · ${words.grant.readOnly}` : ''}`,
            ],
            [
              words.story.approvedBy,
              grant.approvals.map(({ by }) => by).join(', ') || (grant.liveAt === null ? '' : words.story.byRule),
            ],
            [
              words.story.live,
              grant.liveAt === null ? (
                ''
              ) : (
                <>
                  <Moment at={grant.liveAt} />
                  {grant.expiresAt !== null && (
                    <>
                      {' – '}
                      <Moment at={grant.endedAt ?? grant.expiresAt} />
                    </>
                  )}
                </>
              ),
            ],
            [words.story.ended, grant.state === 'ended' ? endSentence(grant) : ''],
          ]}
        />
        {role !== null && (
          <Allows
            label={words.requests.lets}
            scopes={grant.readOnly ? (role.narrowed ?? role.scopes) : role.scopes}
            only={grant.endpoints}
          />
        )}
      </Paper>
      <section aria-labelledby="timeline">
        <Title order={2} id="timeline" mb="sm">
          {words.story.timeline}
        </Title>
        <Timeline story={story} />
      </section>
      <section aria-labelledby="sessions">
        <Title order={2} id="sessions" mb="sm">
          {words.story.sessions}
        </Title>
        {sessions.length === 0 ? <Empty title={words.story.noSessions} /> : <SessionTable sessions={sessions} />}
      </section>
    </Stack>
  )
}

function endSentence(grant: GrantView): string {
  const how = grant.endReason === null ? '' : words.grant.end[grant.endReason]
  const who = grant.endedBy === null ? '' : ` ${words.story.by(grant.endedBy)}`
  return `${how}${who}${grant.endNote === '' ? '' : `: ${grant.endNote}`}`
}

type Step = {
  readonly key: string
  readonly at: string
  readonly colour: 'quiet' | 'good' | 'bad'
  readonly what: ReactNode
  readonly who: string
}

/** The log's own sentences; where the log has not arrived yet, the steps that the grant itself remembers. */
function stepsOf({ grant, events, sessions }: GrantStory): readonly Step[] {
  const told = events.some(({ kind }) => kind.startsWith('grant.')) ? events.map(logged) : remembered(grant)
  // The log tells of sessions, too; the list of sessions knows more.
  const opened = sessions.filter(({ id }) => !events.some((event) => event.session === id))
  return [...told, ...opened.map(session)].toSorted((a, b) => a.at.localeCompare(b.at))
}

function logged(event: AuditEventView): Step {
  const bad = /refused|locked|killed/.test(event.kind)
  const good = event.kind === 'grant.live' || event.kind === 'grant.approved' || event.kind === 'session.opened'
  return {
    key: event.id,
    at: event.at,
    colour: bad ? 'bad' : good ? 'good' : 'quiet',
    who: event.actor === '' ? words.story.gateway : event.actor,
    what:
      event.session === null ? (
        <Sentence text={event.text} />
      ) : (
        <Link href={`/sessions/${event.session}`} className="link">
          {event.text}
        </Link>
      ),
  }
}

const MOMENT = /(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)/

/** The log writes times in UTC; people read them in their own zone. */
function Sentence({ text }: { readonly text: string }): ReactNode {
  return text
    .split(MOMENT)
    .map((part, index) => (MOMENT.test(part) ? <Moment key={`${index} ${part}`} at={part} /> : part))
}

function remembered(grant: GrantView): readonly Step[] {
  const { steps } = words.story
  const list: Step[] = [
    {
      key: 'requested',
      at: grant.requestedAt,
      colour: 'quiet',
      who: grant.username,
      what: steps.requested(grant.username, minutesWords(grant.minutes)),
    },
    ...grant.approvals.map(
      ({ by, at }): Step => ({ key: `approved ${by}`, at, colour: 'good', who: by, what: steps.approved(by) }),
    ),
  ]
  if (grant.liveAt !== null)
    list.push({ key: 'live', at: grant.liveAt, colour: 'good', who: words.story.gateway, what: steps.live })
  if (grant.endedAt !== null)
    list.push({
      key: 'ended',
      at: grant.endedAt,
      colour: 'quiet',
      who: grant.endedBy ?? words.story.gateway,
      what: `${steps.ended}: ${endSentence(grant)}`,
    })
  return list
}

const session = (row: SessionView): Step => ({
  key: row.id,
  at: row.startedAt,
  colour: 'good',
  who: row.username,
  what: (
    <Link href={`/sessions/${row.id}`} className="link">
      {words.story.sessionOpened(row.username, words.protocol[row.protocol])}
    </Link>
  ),
})

function Timeline({ story }: { readonly story: GrantStory }): React.JSX.Element {
  return (
    <ol className="timeline">
      {stepsOf(story).map((step) => (
        <li key={step.key} data-colour={step.colour}>
          <Text size="sm">{step.what}</Text>
          <Text size="xs" c="var(--quiet)">
            <Moment at={step.at} seconds /> · {step.who}
          </Text>
        </li>
      ))}
    </ol>
  )
}
