/** A statement that waits, as a second person sees it: exactly what would run, what it would touch, and the two buttons. */
import { Button, Code, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { GrantView } from '../../../gateway/portal/schema/access.ts'
import type { HeldView } from '../../../gateway/portal/schema/held.ts'
import { useDeed, useDesk } from '../desk.tsx'
import { Link } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago } from '../time.tsx'
import { visible } from '../visible.ts'
import { Denial } from './denial.tsx'
import { GrantActions } from './grant-actions.tsx'
import { Facts } from './pieces.tsx'
import { Refused } from './states.tsx'

export function HeldDecision(props: {
  readonly grant: GrantView
  readonly held: HeldView
  readonly isAlone?: boolean
  readonly onDecided: (outcome: string) => void
}): React.JSX.Element {
  const { grant, held } = props
  const says = words.held
  return (
    <Paper withBorder p="md" component="article" aria-label={says.label(grant.username, held.verb, grant.target)}>
      <Stack gap="md">
        <Group justify="space-between" align="start" gap="xs" wrap="nowrap">
          <Title order={props.isAlone === true ? 2 : 3} className="request-title">
            <b>{grant.username}</b> <span>{says.asks}</span> <b>{held.verb}</b> <span>{says.once}</span>{' '}
            <b>{grant.target}</b>
          </Title>
          <Text size="sm" c="var(--quiet)" className="nowrap">
            {props.isAlone === true ? (
              <Ago at={grant.requestedAt} />
            ) : (
              <Link href={`/requests/${grant.id}`} className="link" title={words.requests.open}>
                #{grant.id} · <Ago at={grant.requestedAt} />
              </Link>
            )}
          </Text>
        </Group>
        <Code block aria-label={says.runs} className="held">
          {visible(held.text)}
        </Code>
        {held.normalised !== null && held.normalised !== held.text && (
          <div>
            <Text size="sm" c="var(--quiet)">
              {says.normalised}
            </Text>
            <Code block className="held">
              {visible(held.normalised)}
            </Code>
          </div>
        )}
        <Facts rows={factsOf(grant, held)} />
        {held.plan !== null && (
          <details>
            <summary>{says.plan}</summary>
            <Code block className="held">
              {visible(held.plan)}
            </Code>
          </details>
        )}
        {grant.may.approve ? (
          <Decide grant={grant} onDecided={props.onDecided} />
        ) : (
          <Group justify="space-between">
            <Text size="sm" c="var(--quiet)">
              {words.requests.waitsForOthers}
            </Text>
            <GrantActions grant={grant} role={undefined} />
          </Group>
        )}
      </Stack>
    </Paper>
  )
}

function factsOf(grant: GrantView, held: HeldView): readonly (readonly [string, React.ReactNode])[] {
  const says = words.held
  const isSql = held.kind === 'sql'
  const limit = held.mostRows === null ? says.uncounted : says.limit(held.mostRows)
  return [
    [isSql ? says.database : says.directory, visible(held.place)],
    [says.tables, held.tables.map(visible).join(', ')],
    ...(held.parameters ?? []).map((value, at): [string, string] => [
      `$${at + 1}`,
      value === null ? 'null' : visible(value),
    ]),
    ...(isSql && held.parameters === null && /\$\d/.test(held.text) ? ([[says.parameters, says.hidden]] as const) : []),
    [says.rows, held.estimatedRows === null ? '' : String(held.estimatedRows)],
    ...(isSql ? ([[says.most, limit]] as const) : []),
    [says.under, `${words.grant.number(held.under)}, ${grant.role}: ${visible(grant.reason)}`],
    [
      words.requests.have,
      grant.approvals.length === 0
        ? ''
        : `${grant.approvals.map(({ by }) => by).join(', ')} (${words.home.approvals(grant.approvals.length, grant.approvalsNeeded)})`,
    ],
  ]
}

function Decide(props: {
  readonly grant: GrantView
  readonly onDecided: (outcome: string) => void
}): React.JSX.Element {
  const { grant } = props
  const { api } = useDesk()
  const deed = useDeed()
  const [denying, setDenying] = useState(false)
  const approve = async (): Promise<void> => {
    if (await deed.run(() => api.post(routes.approve(grant.id), {}))) props.onDecided(words.grant.state.approved)
  }
  if (denying) return <Denial grant={grant} onDecided={props.onDecided} onBack={() => setDenying(false)} />
  // No box of their own: the buttons stay in sight as long as the whole card does.
  return (
    <>
      <Refused failure={deed.failure} />
      <div className="thumbs">
        <Button size="md" loading={deed.busy} onClick={() => void approve()}>
          {words.held.approve}
        </Button>
        <Button size="md" variant="default" onClick={() => setDenying(true)}>
          {words.requests.deny}
        </Button>
      </div>
    </>
  )
}
