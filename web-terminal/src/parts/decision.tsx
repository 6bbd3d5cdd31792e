/** One request as an approver sees it: who, what, why, how long, what it opens; and the two buttons. */
import { Button, Checkbox, Group, Paper, Stack, Text, Title } from '@mantine/core'
import { useState } from 'react'
import type { GrantView, RoleView } from '../../../gateway/portal/schema/access.ts'
import { useDeed, useDesk } from '../desk.tsx'
import { Link } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago, Moment, minutesWords } from '../time.tsx'
import { visible } from '../visible.ts'
import { Denial } from './denial.tsx'
import { GrantActions } from './grant-actions.tsx'
import { HeldDecision } from './held-statement.tsx'
import { Allows, Facts, Minutes } from './pieces.tsx'
import { Past } from './past.tsx'
import { Refused } from './states.tsx'
import { Ticket } from './ticket.tsx'

export function Decision(props: {
  readonly grant: GrantView
  readonly role: RoleView | null
  readonly isAlone?: boolean
  readonly onDecided: (outcome: string) => void
}): React.JSX.Element {
  const { grant, role } = props
  if (grant.held !== null) return <HeldDecision {...props} held={grant.held} />
  const label = `${grant.username} ${words.requests.asksFor} ${grant.role} ${words.requests.on} ${grant.target}`
  return (
    <Paper withBorder p="md" component="article" aria-label={label}>
      <Stack gap="md">
        <div>
          <Group justify="space-between" align="start" gap="xs" wrap="nowrap">
            <Title order={props.isAlone === true ? 2 : 3} className="request-title">
              {grant.extends === null ? (
                <>
                  <b>{grant.username}</b> <span>{words.requests.asksFor}</span> <b>{grant.role}</b>{' '}
                  <span>{words.requests.on}</span> <b>{grant.target}</b>{' '}
                  <span>{words.requests.for(minutesWords(grant.minutes))}</span>
                </>
              ) : (
                <>
                  <b>{grant.username}</b> <span>{words.requests.asksMore(minutesWords(grant.minutes))}</span>{' '}
                  <Link href={`/grants/${grant.extends}`} className="link">
                    {words.grant.number(grant.extends)}
                  </Link>
                  : <b>{grant.role}</b> <span>{words.requests.on}</span> <b>{grant.target}</b>
                </>
              )}
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
          <blockquote className="reason" aria-label={words.requests.why}>
            {visible(grant.reason)}
          </blockquote>
        </div>
        {role === null ? (
          <Text size="sm">{words.requests.roleGone}</Text>
        ) : (
          <>
            <Facts
              rows={[
                [grant.role, role.description],
                [words.requests.ticket, grant.ticket === '' ? '' : <Ticket key="ticket" ticket={grant.ticket} />],
                [words.requests.rule, role.approval],
                [
                  words.requests.have,
                  grant.approvals.length === 0 ? (
                    ''
                  ) : (
                    <>
                      {grant.approvals.map(({ by, at }) => (
                        <span key={by}>
                          {by}, <Moment at={at} />{' '}
                        </span>
                      ))}
                      ({words.home.approvals(grant.approvals.length, grant.approvalsNeeded)})
                    </>
                  ),
                ],
              ]}
            />
          </>
        )}
        {!grant.isMine && <Past request={grant.id} username={grant.username} />}
        {!grant.may.approve && role !== null && (
          <Allows label={words.requests.lets} scopes={role.scopes} only={grant.endpoints} />
        )}
        {grant.may.approve ? (
          <Decide grant={grant} role={role} onDecided={props.onDecided} />
        ) : (
          <Group justify="space-between">
            <Text size="sm" c="var(--quiet)">
              {words.requests.waitsForOthers}
            </Text>
            <GrantActions grant={grant} role={role ?? undefined} />
          </Group>
        )}
      </Stack>
    </Paper>
  )
}

type Endpoints = GrantView['endpoints']

function Decide(props: {
  readonly grant: GrantView
  readonly role: RoleView | null
  readonly onDecided: (outcome: string) => void
}): React.JSX.Element {
  const { grant, role } = props
  const { api } = useDesk()
  const deed = useDeed()
  const [endpoints, setEndpoints] = useState<Endpoints>(grant.endpoints)
  const [readOnly, setReadOnly] = useState(false)
  const [minutes, setMinutes] = useState(grant.minutes)
  const [denying, setDenying] = useState(false)
  const approve = async (): Promise<void> => {
    const body = {
      ...(minutes < grant.minutes ? { minutes } : {}),
      ...(endpoints.length < grant.endpoints.length ? { endpoints } : {}),
      ...(readOnly ? { readOnly } : {}),
    }
    if (await deed.run(() => api.post(routes.approve(grant.id), body))) props.onDecided(words.grant.state.approved)
  }
  if (denying) return <Denial grant={grant} onDecided={props.onDecided} onBack={() => setDenying(false)} />
  return (
    <Stack gap="md">
      <Minutes
        label={words.requests.time}
        most={grant.minutes}
        wanted={grant.minutes}
        value={minutes}
        onChange={setMinutes}
        text={words.requests.timeText}
      />
      {role !== null && grant.extends === null && (
        <Narrow
          grant={grant}
          role={role}
          endpoints={endpoints}
          readOnly={readOnly}
          onChange={(next) => {
            setEndpoints(next.endpoints)
            setReadOnly(next.readOnly)
          }}
        />
      )}
      {role !== null && (
        <Allows
          label={words.requests.lets}
          scopes={readOnly || grant.readOnly ? (role.narrowed ?? role.scopes) : role.scopes}
          only={endpoints}
        />
      )}
      <Refused failure={deed.failure} />
      <div className="thumbs">
        <Button size="md" loading={deed.busy} disabled={endpoints.length === 0} onClick={() => void approve()}>
          {words.requests.approve(minutesWords(minutes))}
        </Button>
        <Button size="md" variant="default" onClick={() => setDenying(true)}>
          {words.requests.deny}
        </Button>
      </div>
    </Stack>
  )
}

/** Which endpoints, and whether for looking only; nothing where there is nothing to take away. */
function Narrow(props: {
  readonly grant: GrantView
  readonly role: RoleView
  readonly endpoints: Endpoints
  readonly readOnly: boolean
  readonly onChange: (next: { readonly endpoints: Endpoints; readonly readOnly: boolean }) => void
}): React.JSX.Element | null {
  const { grant, role, endpoints, readOnly, onChange } = props
  const canLook = role.narrowed !== null && !grant.readOnly
  if (grant.endpoints.length < 2 && !canLook) return null
  return (
    <fieldset className="narrowing">
      <legend>{words.requests.narrow}</legend>
      <Group gap="md">
        {grant.endpoints.length > 1 &&
          grant.endpoints.map((endpoint) => (
            <Checkbox
              key={endpoint}
              label={words.protocol[endpoint]}
              checked={endpoints.includes(endpoint)}
              onChange={(event) =>
                onChange({
                  readOnly,
                  endpoints: grant.endpoints.filter((other) =>
                    other === endpoint ? event.currentTarget.checked : endpoints.includes(other),
                  ),
                })
              }
            />
          ))}
        {canLook && (
          <Checkbox
            label={words.requests.lookOnly}
            title={words.requests.lookOnlyText}
            checked={readOnly}
            onChange={(event) => onChange({ endpoints, readOnly: event.currentTarget.checked })}
          />
        )}
      </Group>
      <Text size="xs" c="var(--quiet)" mt={6}>
        {words.requests.narrowText}
      </Text>
    </fieldset>
  )
}
