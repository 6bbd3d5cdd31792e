/** Agents: where they dial in from, what they offer, a token for a new one, an end for one that is not trusted any more. */
import { Badge, Button, Group, Paper, Stack, Text, TextInput, Title } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import type { AdminAgents, AgentTokenMade } from '../../../gateway/portal/schema/admin.ts'
import { useAnswer, useDeed, useDesk } from '../desk.tsx'
import { Confirm } from '../parts/confirm.tsx'
import { CommandLine, Facts } from '../parts/pieces.tsx'
import { Empty, Full, Refused } from '../parts/states.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Ago, Moment } from '../time.tsx'
import { visible } from '../visible.ts'

type Agent = AdminAgents['agents'][number]

export function Agents(): React.JSX.Element {
  const answer = useAnswer<AdminAgents>(routes.admin.agents)
  return (
    <Stack gap="xl">
      <section aria-labelledby="agents">
        <Title order={2} id="agents">
          {words.agents.title}
        </Title>
        <Text size="sm" c="var(--quiet)" mb="sm">
          {words.agents.text}
        </Text>
        <Full answer={answer} rows={3}>
          {({ agents }) =>
            agents.length === 0 ? (
              <Empty title={words.agents.none} text={words.agents.noneText} />
            ) : (
              <Stack gap="md">
                {agents.map((agent) => (
                  <One key={agent.name} agent={agent} />
                ))}
              </Stack>
            )
          }
        </Full>
      </section>
      <NewToken />
    </Stack>
  )
}

function One({ agent }: { readonly agent: Agent }): React.JSX.Element {
  const { api } = useDesk()
  const { name, lines, isRevoked } = agent
  const state = isRevoked ? 'revoked' : lines.length === 0 ? 'away' : 'connected'
  const colours = { revoked: 'red.7', away: 'orange.7', connected: 'green.7' } as const
  return (
    <Paper withBorder p="md" component="article" aria-label={name} className="spaced">
      <Group justify="space-between">
        <Group gap="sm">
          <Title order={3} className="role-name">
            {name}
          </Title>
          <Badge variant="dot" color={colours[state]}>
            {words.agents[state]}
          </Badge>
        </Group>
        {!isRevoked && (
          <Confirm
            label={words.agents.revoke}
            about={name}
            title={words.agents.revokeTitle(name)}
            text={words.agents.revokeText}
            send={words.agents.revoke}
            isHard
            deed={() => api.post(routes.admin.revokeAgent(name), {})}
          />
        )}
      </Group>
      <Facts
        rows={[
          [words.agents.serves, agent.targets.join(', ')],
          [words.agents.offers, [...new Set(lines.flatMap(({ offers }) => offers))].join(', ')],
          [
            words.agents.enrolled,
            <span key="enrolled">
              <Moment at={agent.enrolledAt} /> {words.agents.by(agent.enrolledBy)}
            </span>,
          ],
          [words.agents.key, <code key="key">{agent.fingerprint}</code>],
          [
            words.agents.lines,
            lines.length === 0
              ? ''
              : lines.map(({ worker, address, version, workspaces, seenAt }) => (
                  <div key={worker}>
                    {words.agents.line(worker, address, visible(version))}, <Ago at={seenAt} />
                    <br />
                    {visible(workspaces)}
                  </div>
                )),
          ],
        ]}
      />
    </Paper>
  )
}

const NAME = /^[a-z][a-z0-9-]{0,62}$/

function NewToken(): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  const [agent, setAgent] = useState('')
  const [names, setNames] = useState('')
  const [isWrong, setWrong] = useState(false)
  const [made, setMade] = useState<string>()
  const targets = names.split(/[\s,]+/).filter((name) => name !== '')
  const make = async (event: FormEvent): Promise<void> => {
    event.preventDefault()
    const wrong = !NAME.test(agent.trim()) || targets.length === 0 || !targets.every((name) => NAME.test(name))
    setWrong(wrong)
    if (wrong) return
    await deed.run(async () => {
      setMade((await api.post<AgentTokenMade>(routes.admin.agents, { agent: agent.trim(), targets })).token)
    })
  }
  return (
    <section aria-labelledby="new-agent">
      <Title order={2} id="new-agent">
        {words.agents.newTitle}
      </Title>
      <Text size="sm" c="var(--quiet)" mb="sm">
        {words.agents.newText}
      </Text>
      <Paper withBorder p="md">
        <form onSubmit={(event) => void make(event)} noValidate>
          <Stack gap="sm">
            <div className="agent-fields">
              <TextInput
                label={words.agents.name}
                value={agent}
                onChange={(event) => setAgent(event.currentTarget.value)}
                error={isWrong ? words.agents.wrongName : undefined}
                maxLength={63}
                autoComplete="off"
              />
              <TextInput
                label={words.agents.targets}
                placeholder={words.agents.targetsHint}
                value={names}
                onChange={(event) => setNames(event.currentTarget.value)}
                maxLength={2000}
                autoComplete="off"
              />
            </div>
            <Refused failure={deed.failure} />
            <Group>
              <Button type="submit" variant="default" loading={deed.busy}>
                {words.agents.make}
              </Button>
            </Group>
            {made !== undefined && (
              <output>
                <Text size="sm" mb={4}>
                  {words.agents.once}
                </Text>
                <CommandLine command={`npm run agent -- --enroll ${made} --data DIRECTORY`} />
              </output>
            )}
          </Stack>
        </form>
      </Paper>
    </section>
  )
}
