/** Asks for access to one target, in the place where the target stands. */
import { Button, Group, NativeSelect, Stack, Text, TextInput } from '@mantine/core'
import { type FormEvent, useState } from 'react'
import type { AskBody, GrantView, TargetView } from '../../../gateway/portal/schema/access.ts'
import { useDeed, useDesk } from '../desk.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { minutesWords } from '../time.tsx'
import { Allows, Minutes } from './pieces.tsx'
import { Refused } from './states.tsx'

const MOST_REASON = 500
const MOST_TICKET = 100

/** Whoever came by a link finds the form without looking for it. */
const inView = (form: HTMLFormElement | null): void => form?.scrollIntoView({ block: 'nearest' })

export function AskForm(props: {
  readonly target: TargetView
  /** The role to begin with. */
  readonly role?: string | undefined
  readonly onDone: () => void
}): React.JSX.Element {
  const { target, onDone } = props
  const { api } = useDesk()
  const deed = useDeed()
  const [name, setName] = useState(props.role ?? '')
  const role = target.roles.find((candidate) => candidate.name === name) ?? target.roles[0]
  const [minutes, setMinutes] = useState<number>()
  const [reason, setReason] = useState('')
  const [ticket, setTicket] = useState('')
  const [tooShort, setTooShort] = useState(false)
  if (role === undefined) return <Text size="sm">{words.home.noTargetsText}</Text>
  const span = Math.min(minutes ?? role.defaultMinutes, role.maxMinutes)
  const send = async (event: FormEvent): Promise<void> => {
    event.preventDefault()
    const short = reason.trim().length < 3
    setTooShort(short)
    if (short) return
    const ask: AskBody = {
      target: target.name,
      role: role.name,
      minutes: span,
      reason: reason.trim(),
      ...(ticket.trim() === '' ? {} : { ticket: ticket.trim() }),
    }
    if (await deed.run(() => api.post<GrantView>(routes.requests, ask))) onDone()
  }
  return (
    <form
      ref={inView}
      onSubmit={(event) => void send(event)}
      aria-label={words.home.askFor(target.name)}
      className="ask"
      noValidate
    >
      <Stack gap="sm">
        <div className="ask-fields">
          <NativeSelect
            label={words.ask.role}
            value={role.name}
            onChange={(event) => setName(event.currentTarget.value)}
            data={target.roles.map((candidate) => candidate.name)}
            description={role.description}
            inputWrapperOrder={['label', 'input', 'description']}
            data-autofocus
          />
          <TextInput
            label={words.ask.reason}
            placeholder={words.ask.reasonHint}
            description={words.ask.reasonText}
            inputWrapperOrder={['label', 'input', 'error', 'description']}
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
            maxLength={MOST_REASON}
            required
            withAsterisk={false}
            error={tooShort ? words.ask.reasonShort : undefined}
            autoComplete="off"
          />
          <TextInput
            label={words.ask.ticket}
            placeholder={words.ask.ticketHint}
            value={ticket}
            onChange={(event) => setTicket(event.currentTarget.value)}
            maxLength={MOST_TICKET}
            autoComplete="off"
          />
        </div>
        <Allows label={words.ask.allows} scopes={role.scopes} />
        <Minutes
          label={words.ask.time}
          most={role.maxMinutes}
          wanted={role.defaultMinutes}
          value={span}
          onChange={setMinutes}
          text={`${words.ask.atMost(minutesWords(role.maxMinutes))} ${role.approval}`}
        />
        <Refused failure={deed.failure} />
        <Group gap="sm">
          <Button type="submit" loading={deed.busy}>
            {role.needsApproval ? words.ask.send : words.ask.open}
          </Button>
          <Button variant="default" onClick={onDone}>
            {words.ask.cancel}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
