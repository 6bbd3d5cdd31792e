/** The replay: the screen, its controls, the keys that were pressed, and the list of events beside it. */
import { ActionIcon, Badge, Button, Checkbox, Group, NativeSelect, Paper, Text } from '@mantine/core'
import { useEffect, useRef, useState, useSyncExternalStore } from 'react'
import { Icon } from '../mark.tsx'
import { words } from '../strings/strings.ts'
import { spanClock } from '../time.tsx'
import { EventList } from './event-list.tsx'
import { Player } from './player.ts'
import type { Tricks } from './sanitise.ts'
import { Screen } from './screen.ts'
import { type Entry, isRefused, keyNames } from './story.ts'
import type { Tape } from './tape.ts'

const SPEEDS = ['0.5', '1', '2', '4', '8', '16']
const JUMP_SECONDS = 5

type ViewerProps = {
  readonly tape: Tape
  readonly entries: readonly Entry[]
  readonly isLive: boolean
  /** A session without a terminal ends its lines with LF alone. */
  readonly isPlain: boolean
  /** Where it stands at first, in seconds of the session; undefined: it plays from the start. */
  readonly startAt?: number | undefined
}

export function Viewer(props: ViewerProps): React.JSX.Element {
  const { tape, isPlain } = props
  const host = useRef<HTMLElement>(null)
  const frame = useRef<HTMLDivElement>(null)
  const [parts, setParts] = useState<{ readonly player: Player; readonly screen: Screen }>()
  const startsLive = useRef(props.isLive)
  const startAt = useRef(props.startAt)
  useEffect(() => {
    if (host.current === null) return undefined
    const screen = new Screen(host.current, { size: tape.size, isPlain })
    const player = new Player({
      tape,
      screen,
      frame: (callback) => requestAnimationFrame(callback),
      cancelFrame: (id) => cancelAnimationFrame(id),
    })
    setParts({ player, screen })
    if (startsLive.current) player.follow()
    else if (startAt.current !== undefined) player.seek(tape.timeOf(startAt.current))
    else if (matchMedia('(prefers-reduced-motion: reduce)').matches) player.seek(tape.length)
    else player.play()
    const { current: stage } = frame
    const keys = (event: KeyboardEvent): void => pressed(event, player)
    stage?.addEventListener('keydown', keys)
    return () => {
      stage?.removeEventListener('keydown', keys)
      player.dispose()
      screen.dispose()
    }
  }, [tape, isPlain])
  return (
    <div className="viewer">
      <div className="stage" ref={frame}>
        <div className="screen-frame">
          <section ref={host} className="screen" aria-label={words.replay.screen} />
          {parts !== undefined && <Keys player={parts.player} />}
        </div>
        {parts !== undefined && <Controls {...props} {...parts} />}
      </div>
      <EventList
        entries={props.entries}
        onJump={parts === undefined ? undefined : (seconds) => parts.player.seek(tape.timeOf(seconds))}
      />
    </div>
  )
}

/** Space and arrows, wherever the focus is in the replay; a button or a list keeps its own keys. */
function pressed(event: KeyboardEvent, player: Player): void {
  const onControl =
    event.target instanceof HTMLElement && event.target.closest('button, select, [type=checkbox]') !== null
  const { position } = player.state()
  if (onControl) return
  if (event.key === ' ') player.toggle()
  else if (event.key === 'ArrowLeft') player.seek(position - JUMP_SECONDS)
  else if (event.key === 'ArrowRight') player.seek(position + JUMP_SECONDS)
  else return
  event.preventDefault()
}

function Keys({ player }: { readonly player: Player }): React.JSX.Element | null {
  const { keys } = useSyncExternalStore(player.subscribe, player.state)
  if (keys.length === 0) return null
  return (
    <div className="keys" aria-hidden="true">
      {keys.map((mark, index) => (
        <kbd key={`${mark.seconds} ${index}`} data-hidden={mark.kind === 'k'}>
          {mark.kind === 'k' ? words.replay.hidden(Number.parseInt(mark.text, 10) || 0) : keyNames(mark.text)}
        </kbd>
      ))}
    </div>
  )
}

function Controls(props: ViewerProps & { readonly player: Player; readonly screen: Screen }): React.JSX.Element {
  const { player, screen, tape } = props
  const state = useSyncExternalStore(player.subscribe, player.state)
  const [asText, setAsText] = useState(false)
  const runs = state.isPlaying || state.isFollowing
  const atEnd = state.position >= state.length && !state.isFollowing
  return (
    <section className="controls" aria-label={words.replay.region}>
      <div className="seek">
        <input
          type="range"
          min={0}
          max={Math.max(state.length, 0.001)}
          step="any"
          value={state.position}
          aria-label={words.replay.seek}
          aria-valuetext={words.replay.position(spanClock(state.position), spanClock(state.length))}
          onChange={(event) => player.seek(event.currentTarget.valueAsNumber)}
        />
        <Ticks entries={props.entries} tape={tape} length={state.length} />
      </div>
      <Group gap="sm">
        <ActionIcon
          variant="filled"
          size={36}
          aria-label={runs ? words.replay.pause : atEnd ? words.replay.restart : words.replay.play}
          onClick={() => player.toggle()}
        >
          <Icon name={runs ? 'pause' : atEnd ? 'restart' : 'play'} />
        </ActionIcon>
        <span className="tabular clock">
          {spanClock(state.position)} / {spanClock(state.length)}
        </span>
        {props.isLive &&
          (state.isFollowing ? (
            <Badge variant="dot" color="green.7">
              {words.replay.isLive}
            </Badge>
          ) : (
            <Button size="xs" variant="light" onClick={() => player.follow()}>
              {words.replay.toLive}
            </Button>
          ))}
        <span className="grow" />
        <NativeSelect
          size="xs"
          aria-label={words.replay.speed}
          value={String(state.speed)}
          onChange={(event) => player.speed(Number(event.currentTarget.value))}
          data={SPEEDS.map((speed) => ({ value: speed, label: `${speed}×` }))}
        />
        <NativeSelect
          size="xs"
          aria-label={words.replay.squeeze}
          value={String(tape.idle)}
          onChange={(event) => player.squeeze(Number(event.currentTarget.value))}
          data={Object.entries(words.replay.pauses).map(([value, label]) => ({
            value,
            label: `${words.replay.squeeze}: ${label}`,
          }))}
        />
        <Checkbox
          size="xs"
          label={words.replay.asText}
          checked={asText}
          onChange={(event) => setAsText(event.currentTarget.checked)}
        />
      </Group>
      <HeldBack tricks={screen.tricks} />
      {asText && <ScreenText player={player} screen={screen} />}
      <Text size="xs" c="var(--quiet)">
        {words.replay.keysHelp}
      </Text>
    </section>
  )
}

/** Where something was refused stands out on the seek bar. */
function Ticks(props: {
  readonly entries: readonly Entry[]
  readonly tape: Tape
  readonly length: number
}): React.JSX.Element {
  const refused = props.entries.filter(isRefused)
  return (
    <div className="ticks" aria-hidden="true">
      {refused.slice(0, 200).map((entry) => (
        <i
          key={entry.key}
          style={{ left: `${(100 * props.tape.timeOf(entry.seconds)) / Math.max(props.length, 0.001)}%` }}
        />
      ))}
    </div>
  )
}

function HeldBack({ tricks }: { readonly tricks: Tricks }): React.JSX.Element | null {
  const found = Object.entries(tricks) as [keyof Tricks, number][]
  if (found.length === 0) return null
  return (
    <Text size="xs" c="var(--quiet)">
      {words.replay.held} {found.map(([trick, count]) => `${words.replay.tricks[trick]} (${count})`).join(', ')}
    </Text>
  )
}

/** For screen readers, for copying, and for a look at what colours might hide. */
function ScreenText({ player, screen }: { readonly player: Player; readonly screen: Screen }): React.JSX.Element {
  const [text, setText] = useState('')
  useEffect(() => {
    let current = true
    const read = async (): Promise<void> => {
      await player.settled()
      if (current) setText(screen.text())
    }
    const stop = player.subscribe(() => void read())
    void read()
    return () => {
      current = false
      stop()
    }
  }, [player, screen])
  return (
    <Paper withBorder p="sm" className="screen-text" component="pre" tabIndex={0} aria-label={words.replay.asText}>
      {text === '' ? words.replay.empty : text}
    </Paper>
  )
}
