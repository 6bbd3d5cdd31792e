/** Asks for the touch of a passkey in place, for one session on one target. */
import { Button } from '@mantine/core'
import { useDeed, useDesk } from '../desk.tsx'
import { confirmed } from '../passkey.ts'
import { words } from '../strings/strings.ts'
import { Refused } from './states.tsx'

export function Touch(props: {
  readonly target: string
  readonly onConfirmed: (confirmation: string) => void | Promise<void>
}): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  const confirm = () => deed.run(async () => props.onConfirmed(await confirmed(api, props.target)))
  return (
    <>
      <Button size="md" loading={deed.busy} onClick={() => void confirm()}>
        {words.passkeys.touch}
      </Button>
      <Refused failure={deed.failure} />
      {deed.failure?.code === 'PASSKEY_MISSING' && (
        <a href="/me" target="_blank" rel="noreferrer" className="link">
          {words.passkeys.registerElsewhere}
        </a>
      )}
    </>
  )
}
