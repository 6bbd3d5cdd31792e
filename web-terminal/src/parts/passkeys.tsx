/** My passkeys: register one, see when it was used, remove it. */
import { Button, Group, Paper, Stack, Text, TextInput, Title } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import type { Passkey, PasskeyOptions } from '../../../gateway/portal/schema/passkeys.ts'
import { type ApiFailure, signInUrl } from '../api.ts'
import { useAnswer, useDeed, useDesk } from '../desk.tsx'
import { create } from '../passkey.ts'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment } from '../time.tsx'
import { Empty, Full, Refused } from './states.tsx'

export function Passkeys(): React.JSX.Element {
  const answer = useAnswer<{ readonly passkeys: readonly Passkey[] }>(routes.passkeys)
  return (
    <section aria-labelledby="passkeys">
      <Title order={2} id="passkeys">
        {words.passkeys.title}
      </Title>
      <Text size="sm" c="var(--quiet)" mb="sm">
        {words.passkeys.text}
      </Text>
      <Stack gap="sm">
        <Full answer={answer} rows={1}>
          {({ passkeys }) =>
            passkeys.length === 0 ? (
              <Empty title={words.passkeys.none} text={words.passkeys.noneText} />
            ) : (
              <Paper withBorder className="rows" component="ul">
                {passkeys.map((passkey) => (
                  <One key={passkey.id} passkey={passkey} />
                ))}
              </Paper>
            )
          }
        </Full>
        <Register />
      </Stack>
    </section>
  )
}

function One({ passkey }: { readonly passkey: Passkey }): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  return (
    <li>
      <Group className="row" component="div">
        <div className="grow">
          <Text fw={600}>{passkey.name}</Text>
          <Text size="sm" c="var(--quiet)">
            {words.passkeys.made} <Moment at={passkey.createdAt} /> ·{' '}
            {passkey.usedAt === null ? (
              words.passkeys.unused
            ) : (
              <>
                {words.passkeys.used} <Moment at={passkey.usedAt} />
              </>
            )}
          </Text>
        </div>
        <Button
          size="xs"
          variant="default"
          loading={deed.busy}
          aria-label={words.passkeys.removeOne(passkey.name)}
          onClick={() => void deed.run(() => api.remove(routes.passkey(passkey.id)))}
        >
          {words.passkeys.remove}
        </Button>
      </Group>
      <Mishap failure={deed.failure} />
    </li>
  )
}

function Register(): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  const [name, setName] = useState('')
  const register = async (event: FormEvent): Promise<void> => {
    event.preventDefault()
    const done = await deed.run(async () => {
      const options = await api.post<PasskeyOptions>(routes.passkeyOptions, {})
      await api.post(routes.passkeys, { name: name.trim(), answer: await create(options) })
    })
    if (done) setName('')
  }
  return (
    <form onSubmit={(event) => void register(event)}>
      <Stack gap="sm">
        <Group align="flex-end">
          <TextInput
            className="grow"
            label={words.passkeys.name}
            placeholder={words.passkeys.namePlaceholder}
            value={name}
            maxLength={64}
            onChange={(event) => setName(event.currentTarget.value)}
            required
            withAsterisk={false}
          />
          <Button type="submit" variant="default" loading={deed.busy}>
            {words.passkeys.register}
          </Button>
        </Group>
        <Mishap failure={deed.failure} />
      </Stack>
    </form>
  )
}

/** A sign-in that is too old can be made anew right here. */
function Mishap({ failure }: { readonly failure: ApiFailure | undefined }): React.JSX.Element | null {
  if (failure?.code !== 'MFA_MISSING') return <Refused failure={failure} />
  return (
    <Group>
      <Text size="sm">{words.passkeys.again}</Text>
      <Button component="a" href={signInUrl({ fresh: true })} size="xs">
        {words.signIn.again}
      </Button>
    </Group>
  )
}
