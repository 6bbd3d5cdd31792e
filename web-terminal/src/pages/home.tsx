/** Home: what I can do right now, what runs, what waits, and what I can ask for. */
import { Alert, Badge, Button, Group, Paper, Stack, Text, TextInput, Title } from '@mantine/core'
import { useState } from 'react'
import type { GrantView, RoleView, TargetView, WaitingRequest } from '../../../gateway/portal/schema/access.ts'
import { useAnswer } from '../desk.tsx'
import { AskForm } from '../parts/ask-form.tsx'
import { Doors } from '../parts/doors.tsx'
import { GrantActions } from '../parts/grant-actions.tsx'
import { CopyLink, GrantState } from '../parts/pieces.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { go, Link, useQuery, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago, minutesWords, TimeLeft } from '../time.tsx'

/** From so many targets on there is a field to find one. */
const MANY_TARGETS = 7

export function Home(): React.JSX.Element {
  useTitle(words.home.title)
  const targets = useAnswer<{ readonly targets: readonly TargetView[] }>(routes.targets)
  const requests = useAnswer<{ readonly requests: readonly WaitingRequest[] }>(routes.requests)
  const toDecide =
    requests.state === 'ready' ? requests.data.requests.filter(({ grant }) => grant.may.approve).length : 0
  return (
    <Stack gap="xl">
      <Title order={1} className="page-title">
        {words.home.title}
      </Title>
      {toDecide > 0 && (
        <Alert variant="light" color="petrol" className="callout">
          <Group justify="space-between" gap="sm">
            <Text size="sm" fw={600}>
              {words.home.decide(toDecide)}
            </Text>
            <Link href="/requests" className="button-link">
              {words.home.decideLink}
            </Link>
          </Group>
        </Alert>
      )}
      <Full answer={targets} rows={4}>
        {(data) => <Targets targets={data.targets} />}
      </Full>
    </Stack>
  )
}

function Targets({ targets }: { readonly targets: readonly TargetView[] }): React.JSX.Element {
  const [query, setQuery] = useState('')
  const held = targets.flatMap((target) => target.grants.map((grant) => ({ target, grant })))
  const live = held.filter(({ grant }) => grant.state === 'live')
  const waiting = held.filter(({ grant }) => grant.state === 'requested' || grant.state === 'approved')
  const wanted = query.trim().toLowerCase()
  const shown = targets.filter((target) => text(target).includes(wanted))
  return (
    <>
      {live.length > 0 && (
        <section aria-labelledby="live">
          <Title order={2} id="live" mb="sm">
            {words.home.live}
          </Title>
          <div className="cards">
            {live.map(({ target, grant }) => (
              <LiveGrant key={grant.id} target={target} grant={grant} />
            ))}
          </div>
        </section>
      )}
      {waiting.length > 0 && (
        <section aria-labelledby="waiting">
          <Title order={2} id="waiting" mb="sm">
            {words.home.waiting}
          </Title>
          <Paper withBorder className="rows">
            {waiting.map(({ target, grant }) => (
              <WaitingGrant key={grant.id} grant={grant} role={roleOf(target, grant)} />
            ))}
          </Paper>
        </section>
      )}
      <section aria-labelledby="targets">
        <Group justify="space-between" align="end" mb="sm" gap="sm">
          <div>
            <Title order={2} id="targets">
              {words.home.targets}
            </Title>
            <Text size="sm" c="var(--quiet)">
              {words.home.targetsText}
            </Text>
          </div>
          {targets.length >= MANY_TARGETS && (
            <TextInput
              aria-label={words.home.find}
              placeholder={words.home.findHint}
              value={query}
              onChange={(event) => setQuery(event.currentTarget.value)}
              type="search"
            />
          )}
        </Group>
        {targets.length === 0 ? (
          <Empty title={words.home.noTargets} text={words.home.noTargetsText} />
        ) : shown.length === 0 ? (
          <Empty title={words.home.noneFound(query)} />
        ) : (
          <Paper withBorder className="rows" component="ul">
            {shown.map((target) => (
              <TargetRow key={target.name} target={target} />
            ))}
          </Paper>
        )}
      </section>
    </>
  )
}

const roleOf = (target: TargetView, grant: GrantView): RoleView | undefined =>
  target.roles.find((role) => role.name === grant.role)

const text = (target: TargetView): string =>
  [target.name, target.description, ...Object.entries(target.labels).map(([key, value]) => `${key}=${value}`)]
    .join(' ')
    .toLowerCase()

function LiveGrant({ target, grant }: { readonly target: TargetView; readonly grant: GrantView }): React.JSX.Element {
  return (
    <Paper withBorder p="md" className="live-card" component="article" aria-label={`${grant.role} · ${target.name}`}>
      <Group justify="space-between" align="start" gap="sm" mb="xs">
        <div>
          <Text fw={650} size="lg" lh={1.2}>
            {target.name}
          </Text>
          <Text size="sm" c="var(--quiet)">
            {grant.role}
            {grant.readOnly && `, ${words.grant.readOnly.toLowerCase()}`} ·{' '}
            <Link href={`/grants/${grant.id}`} className="link">
              {words.grant.number(grant.id)}
            </Link>
          </Text>
        </div>
        {grant.liveAt !== null && grant.expiresAt !== null && (
          <TimeLeft from={grant.liveAt} until={grant.expiresAt} size="lg" />
        )}
      </Group>
      <Doors target={target} grant={grant} role={roleOf(target, grant)} />
      <Group justify="space-between" gap="sm">
        <Text size="sm" c="var(--quiet)" lineClamp={1} className="grow">
          {grant.reason}
        </Text>
        <GrantActions grant={grant} role={roleOf(target, grant)} />
      </Group>
    </Paper>
  )
}

function WaitingGrant(props: { readonly grant: GrantView; readonly role: RoleView | undefined }): React.JSX.Element {
  const { grant } = props
  return (
    <div className="row">
      <div className="grow">
        <Group gap="xs">
          <Text fw={600}>{grant.target}</Text>
          <Text size="sm">
            {grant.extends === null
              ? `${grant.role} · ${minutesWords(grant.minutes)}`
              : `${words.home.more(grant.extends)} · ${minutesWords(grant.minutes)}`}
          </Text>
          <GrantState grant={grant} />
        </Group>
        <Text size="sm" c="var(--quiet)">
          {grant.state === 'approved'
            ? words.home.provisioning
            : words.home.approvals(grant.approvals.length, grant.approvalsNeeded)}{' '}
          · {words.home.asked} <Ago at={grant.requestedAt} /> ·{' '}
          <Link href={`/grants/${grant.id}`} className="link">
            {words.grant.number(grant.id)}
          </Link>
        </Text>
      </div>
      {grant.state === 'requested' && (
        <CopyLink label={words.home.linkFor} address={new URL(`/requests/${grant.id}`, location.origin).href} />
      )}
      <GrantActions grant={grant} role={props.role} />
    </div>
  )
}

function TargetRow({ target }: { readonly target: TargetView }): React.JSX.Element {
  const isWanted = useQuery().get('ask') === target.name
  const [isOpen, setOpen] = useState(false)
  const asking = isOpen || isWanted
  const setAsking = (open: boolean): void => {
    setOpen(open)
    if (!open && isWanted) go('/', { replace: true })
  }
  const live = target.grants.find((grant) => grant.state === 'live')
  const waits = target.grants.some((grant) => grant.state !== 'live')
  return (
    <li>
      <div className="row">
        <div className="grow">
          <Group gap="xs">
            <Text fw={600} component="h3" m={0}>
              {target.name}
            </Text>
            {target.endpoints.map((endpoint) => (
              <Badge key={endpoint} variant="default" size="sm" tt="none">
                {words.protocol[endpoint]}
              </Badge>
            ))}
            {live !== undefined && (
              <Badge variant="dot" color="green.7" size="sm">
                {words.home.liveUntil}
              </Badge>
            )}
            {waits && (
              <Badge variant="dot" color="orange.7" size="sm">
                {words.home.isWaiting}
              </Badge>
            )}
          </Group>
          <Text size="sm" c="var(--quiet)">
            {[target.description, ...Object.entries(target.labels).map(([key, value]) => `${key}=${value}`)]
              .filter((part) => part !== '')
              .join(' · ')}
          </Text>
          <Text size="sm">
            {words.home.canAsk}: {target.roles.map((role) => role.name).join(', ')}
          </Text>
        </div>
        {!asking && (
          <Button
            size="sm"
            variant={live === undefined ? 'filled' : 'default'}
            onClick={() => setAsking(true)}
            aria-label={words.home.askFor(target.name)}
            aria-expanded={asking}
          >
            {words.home.ask}
          </Button>
        )}
      </div>
      {asking && <AskForm target={target} onDone={() => setAsking(false)} />}
    </li>
  )
}
