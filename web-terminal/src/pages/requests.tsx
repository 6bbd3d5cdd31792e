/** Requests: what waits for my decision, and what I wait for. One alone has an address of its own. */
import { Alert, Group, Stack, Title } from '@mantine/core'
import { useState } from 'react'
import type { WaitingRequest } from '../../../gateway/portal/schema/access.ts'
import type { GrantStory } from '../../../gateway/portal/schema/story.ts'
import { useAnswer } from '../desk.tsx'
import { Decision } from '../parts/decision.tsx'
import { KeptChanges } from '../parts/kept-changes.tsx'
import { GrantState } from '../parts/pieces.tsx'
import { Empty, Full } from '../parts/states.tsx'
import { Link, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'

export function Requests(): React.JSX.Element {
  useTitle(words.requests.title)
  const answer = useAnswer<{ readonly requests: readonly WaitingRequest[] }>(routes.requests)
  const [decided, setDecided] = useState('')
  return (
    <Stack gap="lg" className="narrow">
      <Title order={1} className="page-title">
        {words.requests.title}
      </Title>
      <output className="says">
        {decided !== '' && (
          <Alert color="petrol" variant="light">
            {decided}
          </Alert>
        )}
      </output>
      <Full answer={answer}>
        {({ requests }) => {
          const mine = requests.filter(({ grant }) => grant.isMine)
          const others = requests.filter(({ grant }) => !grant.isMine)
          return (
            <>
              <section aria-labelledby="for-you">
                <Title order={2} id="for-you" mb="sm">
                  {words.requests.forYou}
                </Title>
                {others.length === 0 ? (
                  <Empty title={words.requests.none} text={words.requests.noneText} />
                ) : (
                  <Stack gap="md">
                    {others.map(({ grant, role }) => (
                      <Decision
                        key={grant.id}
                        grant={grant}
                        role={role}
                        onDecided={(outcome) => setDecided(words.requests.decided(grant.id, outcome))}
                      />
                    ))}
                  </Stack>
                )}
              </section>
              {mine.length > 0 && (
                <section aria-labelledby="yours">
                  <Title order={2} id="yours" mb="sm">
                    {words.requests.yours}
                  </Title>
                  <Stack gap="md">
                    {mine.map(({ grant, role }) => (
                      <Decision key={grant.id} grant={grant} role={role} onDecided={() => undefined} />
                    ))}
                  </Stack>
                </section>
              )}
            </>
          )
        }}
      </Full>
      <KeptChanges onDecided={setDecided} />
    </Stack>
  )
}

export function OneRequest({ id }: { readonly id: string }): React.JSX.Element {
  useTitle(words.requests.title1(id))
  const answer = useAnswer<GrantStory>(routes.story(id))
  return (
    <Stack gap="lg" className="narrow">
      <Link href="/requests" className="link">
        ← {words.requests.all}
      </Link>
      <Title order={1} className="page-title">
        {words.requests.title1(id)}
      </Title>
      <Full answer={answer} rows={2}>
        {({ grant, role }) =>
          grant.state === 'requested' ? (
            <Decision grant={grant} role={role} isAlone onDecided={() => undefined} />
          ) : (
            <Alert
              variant="light"
              color={grant.endReason === 'denied' ? 'red' : 'petrol'}
              title={`${grant.username} · ${grant.role} · ${grant.target}`}
            >
              <Group gap="md">
                <GrantState grant={grant} />
                <Link href={`/grants/${grant.id}`} className="link">
                  {words.grant.number(grant.id)}
                </Link>
              </Group>
            </Alert>
          )
        }
      </Full>
    </Stack>
  )
}
