/** Who I am to the gateway, how I proved it, and the keys that stand for me. */
import { Button, Group, Paper, Stack, Text, Title } from '@mantine/core'
import type { BoundKey, Me as MeView } from '../../../gateway/portal/schema/person.ts'
import { useAnswer, useDeed, useDesk } from '../desk.tsx'
import { Facts } from '../parts/pieces.tsx'
import { Empty, Full, Refused } from '../parts/states.tsx'
import { Passkeys } from '../parts/passkeys.tsx'
import { Token } from '../parts/token.tsx'
import { useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment, minutesWords } from '../time.tsx'

export function Me(): React.JSX.Element {
  useTitle(words.me.title)
  const me = useAnswer<MeView>(routes.me)
  const keys = useAnswer<{ readonly keys: readonly BoundKey[] }>(routes.keys)
  return (
    <Stack gap="lg" className="narrow">
      <Title order={1} className="page-title">
        {words.me.title}
      </Title>
      <Full answer={me} rows={1}>
        {(data) => (
          <Paper withBorder p="md">
            <Facts
              rows={[
                [words.me.username, <b key="username">{data.username}</b>],
                [words.me.groups, data.groups.join(', ')],
                [words.me.provider, data.provider],
                [
                  words.me.proof,
                  <span key="proof">
                    {data.amr.join(', ')}, <Moment at={data.authTime} />
                  </span>,
                ],
                [
                  words.me.rights,
                  [data.isAuditor ? words.me.auditor : '', data.isAdmin ? words.me.admin : '']
                    .filter((right) => right !== '')
                    .join(', '),
                ],
                [
                  words.me.ends,
                  <span key="ends">
                    {words.me.endsAt} <Moment at={data.session.expiresAt} />,{' '}
                    {words.me.idle(minutesWords(data.session.idleMinutes))}
                  </span>,
                ],
              ]}
            />
          </Paper>
        )}
      </Full>
      <section aria-labelledby="keys">
        <Title order={2} id="keys">
          {words.me.keys}
        </Title>
        <Text size="sm" c="var(--quiet)" mb="sm">
          {words.me.keysText}
        </Text>
        <Full answer={keys} rows={1}>
          {(data) =>
            data.keys.length === 0 ? (
              <Empty title={words.me.noKeys} text={words.me.noKeysText} />
            ) : (
              <Paper withBorder className="rows" component="ul">
                {data.keys.map((key) => (
                  <Key key={key.fingerprint} bound={key} />
                ))}
              </Paper>
            )
          }
        </Full>
      </section>
      <Passkeys />
      <Token />
    </Stack>
  )
}

function Key({ bound }: { readonly bound: BoundKey }): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  return (
    <li>
      <Group className="row" component="div">
        <div className="grow">
          <code className="breaks">{bound.fingerprint}</code>
          <Text size="sm" c="var(--quiet)">
            {words.me.bound} <Moment at={bound.boundAt} /> · {words.me.until} <Moment at={bound.expiresAt} />
          </Text>
        </div>
        <Button
          size="xs"
          variant="default"
          loading={deed.busy}
          aria-label={words.me.forgetKey(bound.fingerprint)}
          onClick={() => void deed.run(() => api.remove(routes.key(bound.fingerprint)))}
        >
          {words.me.forget}
        </Button>
      </Group>
      <Refused failure={deed.failure} />
    </li>
  )
}
