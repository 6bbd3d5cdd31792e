/** A no with its reason: the person reads it. */
import { Button, Stack, Textarea } from '@mantine/core'
import { useState } from 'react'
import type { GrantView } from '../../../gateway/portal/schema/access.ts'
import { useDeed, useDesk } from '../desk.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Refused } from './states.tsx'

/** The button that was pressed is gone; what comes next is the reason. */
const focused = (field: HTMLTextAreaElement | null): void => field?.focus()

export function Denial(props: {
  readonly grant: GrantView
  readonly onDecided: (outcome: string) => void
  readonly onBack: () => void
}): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  const [why, setWhy] = useState('')
  const [tooShort, setTooShort] = useState(false)
  const deny = async (): Promise<void> => {
    const short = why.trim().length < 3
    setTooShort(short)
    if (short) return
    const reason = why.trim().replaceAll(/\s+/g, ' ')
    if (await deed.run(() => api.post(routes.deny(props.grant.id), { reason }))) props.onDecided(words.grant.end.denied)
  }
  return (
    <Stack gap="sm">
      <Textarea
        label={words.requests.denyReason}
        description={words.requests.denyReasonHint}
        value={why}
        onChange={(event) => setWhy(event.currentTarget.value)}
        maxLength={500}
        rows={3}
        error={tooShort ? words.ask.reasonShort : undefined}
        ref={focused}
      />
      <Refused failure={deed.failure} />
      <div className="thumbs">
        <Button size="md" color="red" loading={deed.busy} onClick={() => void deny()}>
          {words.requests.denySend}
        </Button>
        <Button size="md" variant="default" onClick={props.onBack}>
          {words.requests.back}
        </Button>
      </div>
    </Stack>
  )
}
