/** The web terminal: shells in tabs, one or two at a time, and the bar above them. */
import { ActionIcon, Button, NativeSelect, useComputedColorScheme } from '@mantine/core'
import { useEffect, useRef, useState } from 'react'
import type { TargetView } from '../../../gateway/portal/schema/access.ts'
import { useAnswer } from '../desk.tsx'
import { Icon } from '../mark.tsx'
import { go, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { type Place, useUnder } from '../place.ts'
import { words } from '../strings/strings.ts'
import { Files } from './files.tsx'
import { GrantClock } from './grant-clock.tsx'
import { KeyRow } from './key-row.tsx'
import type { LiveShell, ShellView } from './live-shell.ts'
import { Pane } from './pane.tsx'
import { useSettings } from './settings.ts'
import { SettingsDialog } from './settings-dialog.tsx'
import {
  closed,
  focused,
  isShown,
  keep,
  MOST_TABS,
  opened,
  recalled,
  shown,
  split,
  type Tabs,
  unsplit,
  withToken,
} from './tabs.ts'
import './terminal.css'

export function Terminals({ target }: { readonly target: string }): React.JSX.Element {
  const under = useUnder()
  return <Shells key={under} target={target} under={under} />
}

function Shells({ target, under }: Place): React.JSX.Element {
  const [tabs, setTabs] = useState(() => recalled({ target, under }))
  const [views, setViews] = useState<Readonly<Record<string, ShellView>>>({})
  const [dialog, setDialog] = useState<'files' | 'settings'>()
  const [shells] = useState(() => new Map<string, LiveShell>())
  const bar = useRef<HTMLDivElement>(null)
  const [isOut, setIsOut] = useState(false)
  const isPageDark = useComputedColorScheme('light') === 'dark'
  const { colours } = useSettings()
  const isDark = colours === 'page' ? isPageDark : colours === 'dark'
  const here = focused(tabs)
  const tab = tabs.all.find(({ key }) => key === here)
  const shell = shells.get(here)
  const view = views[here]
  const targets = useTargets()
  const tabRole = targets.find(({ name }) => name === tab?.target)?.roles.find(({ name }) => name === view?.held?.role)
  useTitle(words.terminal.title(tab?.target ?? target))
  useEffect(() => keep(tabs), [tabs])

  const close = (key: string): void => {
    shells.get(key)?.leave()
    const next = closed(tabs, key)
    if (next !== undefined) return setTabs(next)
    keep(undefined)
    go('/')
    return undefined
  }
  return (
    <div className="terminals" data-split={tabs.right !== undefined} data-dark={isDark}>
      <h1 className="for-readers">{words.terminal.title(tab?.target ?? target)}</h1>
      <div className="terminal-bar" ref={bar}>
        <TabList tabs={tabs} views={views} onShow={(key) => setTabs(shown(tabs, key))} onClose={close} />
        <NewTab tabs={tabs} onOpen={(place) => setTabs(opened(tabs, place))} />
        <span className="grow" />
        {view?.held !== undefined && view.state.kind === 'open' && <GrantClock held={view.held} />}
        <Tool
          icon="split"
          label={tabs.right === undefined ? words.terminal.split : words.terminal.unsplit}
          onClick={() => setTabs(tabs.right === undefined ? split(tabs) : unsplit(tabs))}
        />
        <Tool icon="search" label={words.terminal.search} onClick={() => shell?.search(true)} />
        <Tool icon="files" label={words.terminal.files} onClick={() => setDialog('files')} />
        <Tool icon="settings" label={words.terminal.settings} onClick={() => setDialog('settings')} />
      </div>
      <p id="terminal-keys" className="for-readers">
        {words.terminal.keysHelp}
      </p>
      <output className="for-readers">{isOut ? words.terminal.leftTerminal : ''}</output>
      <div className="panes">
        {tabs.all.map(({ key, target: name, token, under: wanted }) => (
          <div
            key={key}
            id={`shell-${key}`}
            role="tabpanel"
            aria-labelledby={`tab-${key}`}
            className="pane-frame"
            data-side={tabs.left === key ? 'left' : 'right'}
            data-focused={here === key && tabs.right !== undefined}
            hidden={!isShown(tabs, key)}
          >
            <Pane
              target={name}
              under={wanted}
              token={token}
              isDark={isDark}
              isShown={isShown(tabs, key)}
              isFocused={here === key}
              onShell={(made) => {
                if (made === undefined) shells.delete(key)
                else shells.set(key, made)
              }}
              onToken={(given) => setTabs((before) => withToken(before, key, given))}
              onView={(seen) => setViews((before) => (before[key] === seen ? before : { ...before, [key]: seen }))}
              onFocus={() => {
                setIsOut(false)
                setTabs((before) => (isShown(before, key) ? shown(before, key) : before))
              }}
              onEscape={() => {
                setIsOut(true)
                bar.current?.querySelector<HTMLElement>('[role=tab][aria-selected=true]')?.focus()
              }}
              onClose={() => close(key)}
            />
          </div>
        ))}
      </div>
      <KeyRow onKey={(text) => shell?.type(text)} />
      <p className="terminal-help">{words.terminal.keysHelp}</p>
      {tab !== undefined && (
        <Files
          place={{ target: tab.target, under: view?.held?.grant ?? tab.under }}
          asksPasskey={tabRole?.asksPasskey === true}
          isOpen={dialog === 'files'}
          onClose={() => setDialog(undefined)}
        />
      )}
      <SettingsDialog isOpen={dialog === 'settings'} onClose={() => setDialog(undefined)} />
    </div>
  )
}

function Tool(props: {
  readonly icon: 'split' | 'search' | 'files' | 'settings'
  readonly label: string
  readonly onClick: () => void
}): React.JSX.Element {
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size={34}
      aria-label={props.label}
      title={props.label}
      onClick={props.onClick}
    >
      <Icon name={props.icon} />
    </ActionIcon>
  )
}

function TabList(props: {
  readonly tabs: Tabs
  readonly views: Readonly<Record<string, ShellView>>
  readonly onShow: (key: string) => void
  readonly onClose: (key: string) => void
}): React.JSX.Element {
  const { onClose, onShow, tabs, views } = props
  const here = focused(tabs)
  const list = useRef<HTMLDivElement>(null)
  const step = (by: number): void => {
    const at = tabs.all.findIndex(({ key }) => key === here)
    const next = tabs.all[(at + by + tabs.all.length) % tabs.all.length]
    if (next === undefined) return
    onShow(next.key)
    list.current?.querySelector<HTMLElement>(`#tab-${CSS.escape(next.key)}`)?.focus()
  }
  return (
    <div className="tab-strip">
      <div role="tablist" aria-label={words.terminal.tabs} className="shell-tabs" ref={list}>
        {tabs.all.map(({ key }) => (
          <button
            key={key}
            type="button"
            role="tab"
            id={`tab-${key}`}
            aria-controls={`shell-${key}`}
            aria-selected={here === key}
            tabIndex={here === key ? 0 : -1}
            className="tab"
            data-shown={isShown(tabs, key)}
            data-state={views[key]?.state.kind}
            title={views[key]?.title}
            onClick={() => onShow(key)}
            onKeyDown={(event) => {
              if (event.key === 'ArrowRight') step(1)
              else if (event.key === 'ArrowLeft') step(-1)
              else if (event.key === 'Delete') onClose(key)
            }}
          >
            <i aria-hidden="true" />
            {nameOf(tabs, key, views[key])}
          </button>
        ))}
      </div>
      <ActionIcon
        variant="subtle"
        color="gray"
        size={28}
        aria-label={words.terminal.closeTab(nameOf(tabs, here, views[here]))}
        title={words.terminal.closeTab(nameOf(tabs, here, views[here]))}
        onClick={() => onClose(here)}
      >
        <Icon name="close" size={15} />
      </ActionIcon>
    </div>
  )
}

/** With its role, where it was chosen. */
const nameOf = ({ all }: Tabs, key: string, view: ShellView | undefined): string => {
  const at = all.findIndex((tab) => tab.key === key)
  const { target = '', under } = all[at] ?? {}
  const role = under === undefined ? undefined : view?.held?.role
  return `${at + 1} ${role === undefined ? target : words.terminal.onAs(target, role)}`
}

function useTargets(): readonly TargetView[] {
  const answer = useAnswer<{ readonly targets: readonly TargetView[] }>(routes.targets)
  return answer.state === 'ready' ? answer.data.targets : []
}

/** On the target in front by one click, on another one by name; under which grant, where there are several. */
function NewTab(props: { readonly tabs: Tabs; readonly onOpen: (place: Place) => void }): React.JSX.Element {
  const { onOpen, tabs } = props
  const here = tabs.all.find(({ key }) => key === focused(tabs))
  const places = useTargets().flatMap(placesOn)
  const isFull = tabs.all.length >= MOST_TABS
  return (
    <>
      <Button
        size="compact-sm"
        variant="subtle"
        leftSection={<Icon name="plus" size={15} />}
        disabled={isFull || here === undefined}
        onClick={() => here !== undefined && onOpen(here)}
      >
        {words.terminal.newTab}
      </Button>
      {places.length > 1 && (
        <NativeSelect
          size="xs"
          className="new-on"
          aria-label={words.terminal.newOn}
          value=""
          disabled={isFull}
          onChange={(event) => {
            const place = places[Number(event.currentTarget.value)]
            if (place !== undefined) onOpen(place)
          }}
          data={[
            { value: '', label: words.terminal.newOn, disabled: true },
            ...places.map(({ label }, at) => ({ value: String(at), label })),
          ]}
        />
      )}
    </>
  )
}

/** One, or one for each of the grants that open a shell there. */
function placesOn(target: TargetView): readonly (Place & { readonly label: string })[] {
  const { name, endpoints, grants } = target
  if (!endpoints.includes('ssh')) return []
  const live = grants.filter((grant) => grant.state === 'live' && grant.endpoints.includes('ssh'))
  if (live.length < 2) return [{ target: name, under: undefined, label: name }]
  return live.map(({ id, role }) => {
    const isOne = live.filter((other) => other.role === role).length === 1
    return { target: name, under: id, label: words.terminal.onAs(name, isOne ? role : words.terminal.grant(id, role)) }
  })
}
