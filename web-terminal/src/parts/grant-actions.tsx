/** What can be done with a grant right now: extend, release, withdraw, revoke. */
import { Button, Group, Modal, Stack, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import type { GrantView, RoleView } from '../../../gateway/portal/schema/access.ts'
import { useDeed, useDesk } from '../desk.tsx'
import { go, useQuery } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { minutesWords } from '../time.tsx'
import { Minutes } from './pieces.tsx'
import { Refused } from './states.tsx'

const STEPS = ['extend', 'release', 'withdraw', 'revoke'] as const
type Step = (typeof STEPS)[number]

export function GrantActions(props: {
  readonly grant: GrantView
  readonly role: RoleView | undefined
  /** The page is about this grant alone, so its address may say what to begin with: `?do=extend`. */
  readonly isAlone?: boolean
}): React.JSX.Element | null {
  const { grant, role } = props
  const query = useQuery()
  const asked = STEPS.find((known) => props.isAlone === true && known === query.get('do') && grant.may[known])
  const [chosen, setStep] = useState<Step>()
  const step = chosen ?? asked
  const close = (): void => {
    setStep(undefined)
    if (asked !== undefined) go(location.pathname, { replace: true })
  }
  const { may } = grant
  if (!may.extend && !may.release && !may.withdraw && !may.revoke) return null
  return (
    <>
      <Group gap="xs">
        {may.extend && (
          <Button size="xs" variant="light" onClick={() => setStep('extend')}>
            {words.grant.extend}
          </Button>
        )}
        {may.release && (
          <Button size="xs" variant="default" onClick={() => setStep('release')}>
            {words.grant.release}
          </Button>
        )}
        {may.withdraw && (
          <Button size="xs" variant="default" onClick={() => setStep('withdraw')}>
            {words.grant.withdraw}
          </Button>
        )}
        {may.revoke && !may.release && (
          <Button size="xs" variant="light" color="red" onClick={() => setStep('revoke')}>
            {words.grant.revoke}
          </Button>
        )}
      </Group>
      <Modal
        opened={step !== undefined}
        onClose={close}
        title={step === undefined ? '' : titles[step](grant.id)}
        closeButtonProps={{ 'aria-label': words.ask.cancel }}
        centered
      >
        {step === 'extend' && <Extend grant={grant} role={role} onDone={close} />}
        {step !== undefined && step !== 'extend' && <End step={step} grant={grant} onDone={close} />}
      </Modal>
    </>
  )
}

const titles: Readonly<Record<Step, (id: string) => string>> = {
  extend: words.grant.extendTitle,
  release: words.grant.releaseTitle,
  withdraw: words.grant.withdrawTitle,
  revoke: words.grant.revokeTitle,
}

function Extend(props: {
  readonly grant: GrantView
  readonly role: RoleView | undefined
  readonly onDone: () => void
}): React.JSX.Element {
  const { grant, role } = props
  const { api } = useDesk()
  const deed = useDeed()
  const most = role?.maxMinutes ?? grant.minutes
  const [minutes, setMinutes] = useState(Math.min(15, most))
  const [reason, setReason] = useState('')
  const send = async (): Promise<void> => {
    const body = reason.trim().length < 3 ? { minutes } : { minutes, reason: reason.trim() }
    if (await deed.run(() => api.post(routes.extend(grant.id), body))) props.onDone()
  }
  return (
    <Stack gap="md">
      <Text size="sm">
        {words.grant.extendText} {role?.approval}
      </Text>
      <Minutes
        label={words.ask.time}
        most={most}
        wanted={minutes}
        value={minutes}
        onChange={setMinutes}
        text={words.ask.atMost(minutesWords(most))}
      />
      <TextInput
        label={words.grant.extendReason}
        placeholder={grant.reason}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
        maxLength={500}
        autoComplete="off"
      />
      <Refused failure={deed.failure} />
      <Group gap="sm">
        <Button loading={deed.busy} onClick={() => void send()}>
          {words.grant.extendSend}
        </Button>
        <Button variant="default" onClick={props.onDone}>
          {words.ask.cancel}
        </Button>
      </Group>
    </Stack>
  )
}

function End(props: {
  readonly step: Exclude<Step, 'extend'>
  readonly grant: GrantView
  readonly onDone: () => void
}): React.JSX.Element {
  const { step, grant } = props
  const { api } = useDesk()
  const deed = useDeed()
  const [note, setNote] = useState('')
  const send = async (): Promise<void> => {
    const body = step === 'revoke' ? { note: note.trim() } : {}
    if (await deed.run(() => api.post(routes[step](grant.id), body))) props.onDone()
  }
  const text = { release: words.grant.releaseText, withdraw: words.grant.withdrawText }
  const label = {
    release: words.grant.releaseSend,
    withdraw: words.grant.withdrawSend,
    revoke: words.grant.revokeSend,
  }
  return (
    <Stack gap="md">
      <Text size="sm">{step === 'revoke' ? words.grant.revokeText(grant.username) : text[step]}</Text>
      {step === 'revoke' && (
        <TextInput
          label={words.grant.revokeNote}
          value={note}
          onChange={(event) => setNote(event.currentTarget.value)}
          maxLength={500}
          autoComplete="off"
        />
      )}
      <Refused failure={deed.failure} />
      <Group gap="sm">
        <Button color={step === 'withdraw' ? 'petrol' : 'red'} loading={deed.busy} onClick={() => void send()}>
          {label[step]}
        </Button>
        <Button variant="default" onClick={props.onDone}>
          {words.grant.keep}
        </Button>
      </Group>
    </Stack>
  )
}
