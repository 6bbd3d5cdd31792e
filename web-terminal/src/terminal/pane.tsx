/** One shell on the page: the terminal, and over it whatever stands between the person and the shell. */
import { Button, Group, Text } from '@mantine/core'
import { useCallback, useEffect, useLayoutEffect, useRef, useState, useSyncExternalStore } from 'react'
import type { TargetView } from '../../../gateway/portal/schema/access.ts'
import type { Me as MeView } from '../../../gateway/portal/schema/person.ts'
import { useAnswer, useDesk } from '../desk.tsx'
import { GrantActions } from '../parts/grant-actions.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { LiveShell, type ShellView } from './live-shell.ts'
import { Obstacle } from './obstacle.tsx'
import { LinkQuestion, PasteQuestion } from './questions.tsx'
import { SearchBar } from './search-bar.tsx'
import { useSettings } from './settings.ts'

export type PaneProps = {
  readonly target: string
  readonly under: string | undefined
  readonly token: string | undefined
  readonly isDark: boolean
  readonly isShown: boolean
  readonly isFocused: boolean
  readonly onShell: (shell: LiveShell | undefined) => void
  readonly onToken: (token: string | undefined) => void
  readonly onView: (view: ShellView) => void
  readonly onFocus: () => void
  readonly onEscape: () => void
  readonly onClose: () => void
}

export function Pane(props: PaneProps): React.JSX.Element {
  const { isDark, isFocused, isShown, target } = props
  const desk = useDesk()
  const host = useRef<HTMLElement>(null)
  const latest = useRef(props)
  useLayoutEffect(() => {
    latest.current = props
  })
  const [shell, setShell] = useState<LiveShell>()
  const wanted = useSettings()
  const firstToken = useRef(props.token)
  const under = useRef(props.under)
  const firstDark = useRef(isDark)
  // What draws with the graphics card begins anew without it.
  const { isFast } = wanted

  useEffect(() => {
    if (host.current === null) return undefined
    const made = new LiveShell({
      host: host.current,
      target,
      under: () => under.current,
      token: firstToken.current,
      csrf: () => desk.api.csrf(),
      isDark: firstDark.current,
      isFast,
      tokenChanged: (token) => {
        firstToken.current = token
        latest.current.onToken(token)
      },
      // The handshake says nothing to pages: perhaps the sign-in is over.
      turnedAway: () => void desk.api.get<MeView>(routes.me, true).catch(() => desk.refresh()),
      escape: () => latest.current.onEscape(),
    })
    setShell(made)
    latest.current.onShell(made)
    return () => {
      latest.current.onShell(undefined)
      made.dispose()
    }
  }, [desk, target, isFast])

  useEffect(() => shell?.apply(wanted, isDark), [shell, wanted, isDark])
  useEffect(() => {
    if (!isShown) return
    shell?.fit()
    if (isFocused) shell?.focus()
  }, [shell, isShown, isFocused])

  return (
    <div className="pane" onFocus={props.onFocus}>
      <section
        ref={host}
        className="pane-screen"
        aria-label={words.terminal.screen(target)}
        aria-describedby="terminal-keys"
      />
      {shell !== undefined && <Over {...props} shell={shell} onGrant={(id) => (under.current = id)} />}
    </div>
  )
}

function Over(
  props: PaneProps & { readonly shell: LiveShell; readonly onGrant: (id: string) => void },
): React.JSX.Element {
  const { onGrant, onView, shell, target } = props
  const view = useSyncExternalStore(shell.subscribe, shell.view)
  useEffect(() => onView(view), [onView, view])
  const latest = useRef(onGrant)
  useLayoutEffect(() => {
    latest.current = onGrant
  })
  const again = useCallback(
    (grant?: string) => {
      if (grant !== undefined) latest.current(grant)
      shell.again()
      shell.focus()
    },
    [shell],
  )
  return (
    <>
      {view.notice !== undefined && view.state.kind === 'open' && (
        <Notice text={view.notice} grant={view.held?.grant} target={target} onDismiss={() => shell.dismiss()} />
      )}
      {view.isSearching && <SearchBar shell={shell} />}
      {view.state.kind !== 'open' && (
        <Obstacle
          state={view.state}
          target={target}
          under={props.under}
          shell={shell}
          onAgain={again}
          onClose={props.onClose}
        />
      )}
      <PasteQuestion paste={view.paste} onAnswer={(isWanted) => shell.paste(isWanted)} />
      <LinkQuestion link={view.link} onAnswer={(isWanted) => shell.link(isWanted)} />
    </>
  )
}

/** What the gateway says beside the target's output, with more time at hand. */
function Notice(props: {
  readonly text: string
  readonly grant: string | undefined
  readonly target: string
  readonly onDismiss: () => void
}): React.JSX.Element {
  const targets = useAnswer<{ readonly targets: readonly TargetView[] }>(routes.targets)
  const target = targets.state === 'ready' ? targets.data.targets.find(({ name }) => name === props.target) : undefined
  const grant = target?.grants.find(({ id }) => id === props.grant)
  return (
    <Group className="pane-notice" gap="sm" justify="space-between">
      <Text size="sm" fw={600} role="alert">
        {props.text}
      </Text>
      <Group gap="xs">
        {grant !== undefined && (
          <GrantActions grant={grant} role={target?.roles.find(({ name }) => name === grant.role)} />
        )}
        <Button size="xs" variant="default" onClick={props.onDismiss}>
          {words.terminal.dismiss}
        </Button>
      </Group>
    </Group>
  )
}
