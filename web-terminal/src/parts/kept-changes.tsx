/** Changes of overlays that wait: a second person looks at them, and applies exactly what they saw, or throws it away. */
import { Button, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { Applied, KeptLayerView, KeptListView } from '../../../gateway/portal/schema/kept.ts'
import { useAnswer, useDeed, useDesk } from '../desk.tsx'
import { Diff } from '../replay/diff.tsx'
import { Link } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago, Moment } from '../time.tsx'
import { visible } from '../visible.ts'
import { Confirm } from './confirm.tsx'
import { Facts } from './pieces.tsx'
import { Refused } from './states.tsx'

type Waiting = KeptListView['kept'][number]

/** Nothing at all where nothing waits. */
export function KeptChanges({
  onDecided,
}: {
  readonly onDecided: (outcome: string) => void
}): React.JSX.Element | null {
  const answer = useAnswer<KeptListView>(routes.keptChanges)
  if (answer.state !== 'ready') return null
  const { kept, silent } = answer.data
  if (kept.length + silent.length === 0) return null
  return (
    <section aria-labelledby="kept-changes">
      <Title order={2} id="kept-changes">
        {words.kept.title}
      </Title>
      <Text size="sm" c="var(--quiet)" mb="sm">
        {words.kept.text}
      </Text>
      <Stack gap="md">
        {kept.map((waiting) => (
          <One key={waiting.session.id} waiting={waiting} onDecided={onDecided} />
        ))}
        {silent.length > 0 && (
          <Text size="sm" c="var(--quiet)">
            {words.kept.silent(silent.join(', '))}
          </Text>
        )}
      </Stack>
    </section>
  )
}

function One(props: { readonly waiting: Waiting; readonly onDecided: (outcome: string) => void }): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  const [layer, setLayer] = useState<KeptLayerView>()
  const { approvers, bytes, changes, digest, expiresAt, isMine, session } = props.waiting
  const says = words.kept
  const look = () => deed.run(async () => setLayer(await api.get<KeptLayerView>(routes.kept(session.id))))
  const apply = (seen: KeptLayerView) =>
    deed.run(async () => {
      const { applied } = await api.post<Applied>(routes.applyKept(session.id), { digest: seen.digest })
      props.onDecided(says.applied(applied, session.target))
    })
  const discard = async (): Promise<void> => {
    await api.post(routes.discardKept(session.id), {})
    props.onDecided(says.discarded(session.username))
  }
  return (
    <Paper withBorder p="md" component="article" aria-label={says.label(session.username, session.target)}>
      <Stack gap="md">
        <div>
          <Group justify="space-between" align="start" gap="xs" wrap="nowrap">
            <Title order={3} className="request-title">
              <b>{session.username}</b> <span>{says.changed}</span> <b>{says.count(changes)}</b> <span>{says.on}</span>{' '}
              <b>{session.target}</b>
            </Title>
            <Text size="sm" c="var(--quiet)" className="nowrap">
              <Ago at={session.startedAt} />
            </Text>
          </Group>
          <blockquote className="reason" aria-label={words.requests.why}>
            {visible(session.reason)}
          </blockquote>
        </div>
        <Facts
          rows={[
            [words.ask.role, session.role],
            [
              says.session,
              isMine ? (
                <Link key="session" href={`/sessions/${session.id}`} className="link">
                  {says.replay}
                </Link>
              ) : (
                <code key="session">{session.id}</code>
              ),
            ],
            [says.until, <Moment key="until" at={expiresAt} />],
            [says.size, says.bytes(bytes)],
            [says.digest, <code key="digest">{layer?.digest ?? digest}</code>],
          ]}
        />
        {layer !== undefined && <Layer layer={layer} />}
        <Refused failure={deed.failure} />
        {isMine ? (
          <Text size="sm" c="var(--quiet)">
            {says.waits(approvers.join(', '))}
          </Text>
        ) : (
          <Group gap="sm">
            {layer === undefined ? (
              <Button loading={deed.busy} onClick={() => void look()}>
                {says.look}
              </Button>
            ) : (
              <Button loading={deed.busy} onClick={() => void apply(layer)}>
                {says.apply}
              </Button>
            )}
            <Confirm
              label={says.discard}
              about={says.label(session.username, session.target)}
              title={says.discardTitle(session.username)}
              text={says.discardText}
              send={says.discard}
              isHard
              deed={discard}
            />
          </Group>
        )}
      </Stack>
    </Paper>
  )
}

function Layer({ layer }: { readonly layer: KeptLayerView }): React.JSX.Element {
  return (
    <ul className="kept-changes">
      {layer.changes.map(({ detail, diff, operation, path, to }) => (
        <li key={path}>
          <b>{words.kept.operation(operation)}</b> <code>{visible(path)}</code>
          {to !== undefined && <code> → {visible(to)}</code>}
          {detail !== undefined && <div className="event-note">{visible(detail)}</div>}
          {diff !== undefined && <Diff text={visible(diff)} isOpen />}
        </li>
      ))}
    </ul>
  )
}
