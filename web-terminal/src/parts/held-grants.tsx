/** Live grants that an address did not mean, each one click away. */
import { Button, Group } from '@mantine/core'
import type { GrantView } from '../../../gateway/portal/schema/access.ts'
import { words } from '../strings/strings.ts'

export function HeldGrants(props: {
  readonly grants: readonly GrantView[]
  readonly onChoose: (id: string) => void
}): React.JSX.Element | null {
  if (props.grants.length === 0) return null
  return (
    <Group gap="xs">
      {props.grants.map(({ id, role }) => (
        <Button key={id} variant="default" onClick={() => props.onChoose(id)}>
          {words.grant.goOn(id, role)}
        </Button>
      ))}
    </Group>
  )
}
