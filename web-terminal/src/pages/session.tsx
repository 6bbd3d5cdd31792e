/** One session: what is known about it, its replay, or the live view with a hand on the switch. */
import { Alert, Badge, Button, Group, Modal, Paper, Stack, Text, TextInput, Title } from '@mantine/core'
import { lazy, Suspense, useEffect, useMemo, useState } from 'react'
import type { SessionEventView } from '../../../gateway/portal/schema/recordings.ts'
import type { SessionView } from '../../../gateway/portal/schema/sessions.ts'
import { ApiFailure, apiUrl } from '../api.ts'
import { useAnswer, useDeed, useDesk } from '../desk.tsx'
import { Icon } from '../mark.tsx'
import { Facts, SessionState } from '../parts/pieces.tsx'
import { Empty, Full, Loading, Refused } from '../parts/states.tsx'
import { asMark, followSession, loadRecording, sizeOf } from '../replay/load.ts'
import { entriesOf } from '../replay/story.ts'
import { Tape } from '../replay/tape.ts'
import { Timeline } from '../replay/timeline.tsx'
import { Link, useTitle } from '../router.tsx'
import { routes } from '../routes.ts'
import { words } from '../strings/strings.ts'
import { Moment } from '../time.tsx'
import { visible } from '../visible.ts'
import { Length } from './sessions.tsx'

const Viewer = lazy(async () => ({ default: (await import('../replay/viewer.tsx')).Viewer }))

/** Pauses are squeezed to so many seconds at first. */
const IDLE_SECONDS = 2

export function Session({ id }: { readonly id: string }): React.JSX.Element {
  const answer = useAnswer<SessionView>(routes.session(id))
  return <Full answer={answer}>{(session) => <Shown session={session} />}</Full>
}

function Shown({ session }: { readonly session: SessionView }): React.JSX.Element {
  const { end } = session
  useTitle(words.session.title(session.username, session.target))
  // The page stays with the way it began: a session that ends while it is watched is not loaded anew.
  const [wasLive] = useState(end === null)
  return (
    <Stack gap="lg">
      <Group justify="space-between" align="start" gap="md">
        <div>
          <Group gap="sm">
            <Title order={1} className="page-title">
              {words.session.title(session.username, session.target)}
            </Title>
            <SessionState session={session} />
            {session.alerts > 0 && (
              <Badge variant="dot" color="orange.7">
                {words.sessions.alerts(session.alerts)}
              </Badge>
            )}
          </Group>
          <Text size="sm" c="var(--quiet)" mt={4}>
            {words.protocol[session.protocol]} {session.channel} · {session.role} ·{' '}
            <Link href={`/grants/${session.grant}`} className="link">
              {words.grant.number(session.grant)}
            </Link>
          </Text>
        </div>
        <Group gap="sm">
          {session.may.replay && end !== null && <Files session={session} />}
          {session.may.kill && end === null && <Kill session={session} />}
        </Group>
      </Group>
      {(end === null ? session.may.watch : session.may.replay) ? (
        <Recorded session={session} isLive={wasLive} />
      ) : (
        <Empty title={words.session.noReplay} />
      )}
      <Paper withBorder p="md">
        <Facts
          rows={[
            [words.session.started, <Moment key="started" at={session.startedAt} seconds />],
            [words.session.length, <Length key="length" session={session} />],
            [
              words.session.ended,
              end === null
                ? ''
                : [
                    words.sessions.end[end.cause],
                    end.exitCode === null ? '' : words.session.exit(end.exitCode),
                    end.detail,
                  ]
                    .filter((part) => part !== '')
                    .join(', '),
            ],
            [
              words.session.command,
              session.command === '' ? '' : <code key="command">{visible(session.command)}</code>,
            ],
            [words.session.account, session.account],
            [words.session.from, session.clientAddress],
            [words.session.client, visible(session.clientVersion)],
            [words.session.reason, visible(session.reason)],
          ]}
        />
      </Paper>
    </Stack>
  )
}

function Files({ session }: { readonly session: SessionView }): React.JSX.Element {
  const kinds = session.protocol === 'http' ? (['har', 'json'] as const) : (['asciicast', 'json'] as const)
  return (
    <span className="files">
      <Icon name="download" size={16} /> {words.session.download}
      {kinds.map((kind) => (
        <a key={kind} href={apiUrl(routes.files[kind](session.id))} download className="link">
          {words.session.files[kind]}
        </a>
      ))}
    </span>
  )
}

/** Only a shell or a command has a screen; statements and files are read as a list. */
const hasScreen = (session: SessionView): boolean =>
  session.protocol === 'ssh' && (session.channel === 'shell' || session.channel === 'exec')

function Recorded({ session, isLive }: { readonly session: SessionView; readonly isLive: boolean }): React.JSX.Element {
  const desk = useDesk()
  const { id } = session
  // A hit of the search leads to its second.
  const [at] = useState(() => secondsOf(new URLSearchParams(location.search).get('at')))
  const [tape] = useState(() => new Tape(sizeOf(session), isLive ? 0 : IDLE_SECONDS))
  const [events, setEvents] = useState<readonly SessionEventView[]>([])
  const [state, setState] = useState<'loading' | 'ready' | 'cut' | 'ended' | ApiFailure>(isLive ? 'ready' : 'loading')
  useEffect(() => {
    if (isLive)
      return followSession(id, {
        events: (more) => {
          tape.add(more.map(asMark))
          const told = more.filter(({ kind }) => kind !== 'o' && kind !== 'e' && kind !== 'r')
          if (told.length > 0) setEvents((before) => [...before, ...told])
        },
        signedOut: () => desk.signIn(),
        ended: () => {
          setState('ended')
          desk.refresh()
        },
      })
    const stop = new AbortController()
    const load = async (): Promise<void> => {
      try {
        const recording = await loadRecording(desk.api, { id, size: tape.size }, stop.signal)
        if (stop.signal.aborted) return
        tape.begin(recording.size)
        tape.add(recording.marks)
        setEvents(recording.events)
        setState(recording.isCut ? 'cut' : 'ready')
      } catch (failure) {
        if (!stop.signal.aborted && failure instanceof ApiFailure) setState(failure)
      }
    }
    void load()
    return () => stop.abort()
  }, [desk, id, isLive, tape])
  const entries = useMemo(
    // What goes in and out of a web application or a database is no typing.
    () => entriesOf(session.protocol === 'ssh' ? events : events.filter(({ kind }) => kind !== 'i')),
    [events, session.protocol],
  )
  if (state === 'loading') return <Loading rows={4} />
  if (state instanceof ApiFailure) return <Refused failure={state} />
  return (
    <Stack gap="sm">
      {state === 'cut' && (
        <Alert color="orange" variant="light">
          {words.session.tooMuch}
        </Alert>
      )}
      <output className="says">
        {state === 'ended' && (
          <Alert color="petrol" variant="light">
            {words.replay.hasEnded}
          </Alert>
        )}
      </output>
      {hasScreen(session) ? (
        <Suspense fallback={<Loading rows={4} />}>
          <Viewer
            tape={tape}
            entries={entries}
            isLive={isLive && state !== 'ended'}
            isPlain={session.terminal === null}
            startAt={at}
          />
        </Suspense>
      ) : (
        <section aria-labelledby="statements">
          <Title order={2} id="statements" mb="sm">
            {words.session.statements}
          </Title>
          <Timeline entries={entries} at={at} />
        </section>
      )}
    </Stack>
  )
}

/** Undefined for what is no number of seconds. */
function secondsOf(text: string | null): number | undefined {
  const seconds = Number(text ?? Number.NaN)
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined
}

function Kill({ session }: { readonly session: SessionView }): React.JSX.Element {
  const { api } = useDesk()
  const deed = useDeed()
  const [opened, setOpened] = useState(false)
  const [note, setNote] = useState('')
  const kill = async (): Promise<void> => {
    if (await deed.run(() => api.post(routes.kill(session.id), { note: note.trim() }))) setOpened(false)
  }
  return (
    <>
      <Button color="red" variant="light" size="sm" onClick={() => setOpened(true)}>
        {words.session.kill}
      </Button>
      <Modal
        opened={opened}
        onClose={() => setOpened(false)}
        title={words.session.killTitle}
        closeButtonProps={{ 'aria-label': words.ask.cancel }}
        centered
      >
        <Stack gap="md">
          <Text size="sm">{words.session.killText(session.username)}</Text>
          <TextInput
            label={words.session.killNote}
            value={note}
            onChange={(event) => setNote(event.currentTarget.value)}
            maxLength={500}
            autoComplete="off"
          />
          <Refused failure={deed.failure} />
          <Group gap="sm">
            <Button color="red" loading={deed.busy} onClick={() => void kill()}>
              {words.session.killSend}
            </Button>
            <Button variant="default" onClick={() => setOpened(false)}>
              {words.ask.cancel}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  )
}
