/** Files of a target: get one, send one. */
import { Alert, Button, Checkbox, Fieldset, Group, Modal, Progress, Stack, Text, TextInput } from '@mantine/core'
import { type FormEvent, useEffect, useRef, useState } from 'react'
import { ApiFailure } from '../api.ts'
import { useDesk } from '../desk.tsx'
import { confirmed } from '../passkey.ts'
import { Refused } from '../parts/states.tsx'
import type { Place } from '../place.ts'
import { words } from '../strings/strings.ts'
import { sizeWords } from './pasted.ts'
import { getFile, offline, type Progress as Told, putFile, save } from './transfer.ts'

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'busy'; readonly done: number; readonly all: number | undefined }
  | { readonly kind: 'done'; readonly text: string; readonly sha256: string | undefined }
  | { readonly kind: 'failed'; readonly failure: ApiFailure }

export function Files(props: {
  readonly place: Place
  /** Each file is a session of its own. */
  readonly asksPasskey: boolean
  readonly isOpen: boolean
  readonly onClose: () => void
}): React.JSX.Element {
  return (
    <Modal
      opened={props.isOpen}
      onClose={props.onClose}
      title={words.terminal.filesTitle(props.place.target)}
      closeButtonProps={{ 'aria-label': words.terminal.close }}
      centered
    >
      <Stack gap="md">
        <Text size="sm" c="var(--quiet)">
          {words.terminal.filesText}
        </Text>
        {props.asksPasskey && <Text size="sm">{words.terminal.passkeyFiles}</Text>}
        <Get {...props.place} asksPasskey={props.asksPasskey} />
        <Send {...props.place} asksPasskey={props.asksPasskey} />
      </Stack>
    </Modal>
  )
}

type Side = Place & { readonly asksPasskey: boolean }

/** One transfer at a time; it stops when the dialog closes. */
function useTransfer(): {
  readonly state: State
  run(work: (signal: AbortSignal, progress: Told) => Promise<Extract<State, { kind: 'done' }>>): Promise<void>
  stop(): void
} {
  const [state, setState] = useState<State>({ kind: 'idle' })
  const running = useRef<AbortController>(undefined)
  useEffect(() => () => running.current?.abort(), [])
  return {
    state,
    stop: () => running.current?.abort(),
    run: async (work) => {
      const stop = new AbortController()
      running.current = stop
      setState({ kind: 'busy', done: 0, all: undefined })
      try {
        setState(await work(stop.signal, (done, all) => setState({ kind: 'busy', done, all })))
      } catch (failure) {
        if (stop.signal.aborted) setState({ kind: 'done', text: words.terminal.stopped, sha256: undefined })
        else setState({ kind: 'failed', failure: failure instanceof ApiFailure ? failure : offline() })
      }
    },
  }
}

function Get({ asksPasskey, target, under }: Side): React.JSX.Element {
  const desk = useDesk()
  const [path, setPath] = useState('')
  const transfer = useTransfer()
  const send = (event: FormEvent): void => {
    event.preventDefault()
    void transfer.run(async (signal, progress) => {
      const confirmation = asksPasskey ? await confirmed(desk.api, target) : undefined
      const { blob, name } = await getFile(target, path.trim(), { confirmation, signal, progress, under })
      save(blob, name)
      const digest = await sha256Of(blob)
      return { kind: 'done', text: words.terminal.downloaded(name, sizeWords(blob.size)), sha256: digest }
    })
  }
  return (
    <form onSubmit={send}>
      <Fieldset legend={words.terminal.downloadLegend}>
        <Stack gap="sm">
          <TextInput
            label={words.terminal.remotePath}
            placeholder={words.terminal.remoteHint}
            value={path}
            onChange={(event) => setPath(event.currentTarget.value)}
            autoComplete="off"
            spellCheck={false}
          />
          <Report state={transfer.state} onStop={() => transfer.stop()}>
            <Button type="submit" disabled={path.trim() === ''}>
              {words.terminal.download}
            </Button>
          </Report>
        </Stack>
      </Fieldset>
    </form>
  )
}

function Send({ asksPasskey, target, under }: Side): React.JSX.Element {
  const desk = useDesk()
  const [file, setFile] = useState<File>()
  const [path, setPath] = useState('')
  const [replace, setReplace] = useState(false)
  const transfer = useTransfer()
  const send = (event: FormEvent): void => {
    event.preventDefault()
    if (file === undefined) return
    void transfer.run(async (signal, progress) => {
      const confirmation = asksPasskey ? await confirmed(desk.api, target) : undefined
      const { bytes, sha256 } = await putFile(target, path.trim(), file, {
        confirmation,
        csrf: desk.api.csrf(),
        replace,
        signal,
        progress,
        under,
      })
      return { kind: 'done', text: words.terminal.uploaded(path.trim(), sizeWords(bytes)), sha256 }
    })
  }
  return (
    <form onSubmit={send}>
      <Fieldset legend={words.terminal.uploadLegend}>
        <Stack gap="sm">
          <div>
            <Text component="label" size="sm" fw={500} htmlFor="upload-file">
              {words.terminal.localFile}
            </Text>
            <input
              id="upload-file"
              type="file"
              className="file-input"
              onChange={(event) => {
                const chosen = event.currentTarget.files?.[0]
                setFile(chosen)
                if (chosen !== undefined) setPath(`~/${chosen.name}`)
              }}
            />
          </div>
          <TextInput
            label={words.terminal.uploadTo}
            placeholder={words.terminal.remoteHint}
            value={path}
            onChange={(event) => setPath(event.currentTarget.value)}
            autoComplete="off"
            spellCheck={false}
          />
          <Checkbox
            label={words.terminal.replace}
            checked={replace}
            onChange={(event) => setReplace(event.currentTarget.checked)}
          />
          <Report state={transfer.state} onStop={() => transfer.stop()}>
            <Button type="submit" disabled={file === undefined || path.trim() === ''}>
              {words.terminal.upload}
            </Button>
          </Report>
        </Stack>
      </Fieldset>
    </form>
  )
}

function Report(props: {
  readonly state: State
  readonly onStop: () => void
  readonly children: React.ReactNode
}): React.JSX.Element {
  const { state } = props
  if (state.kind === 'busy') {
    const all = state.all === undefined ? undefined : sizeWords(state.all)
    return (
      <Stack gap={6}>
        <Progress
          value={state.all === undefined || state.all === 0 ? 100 : (100 * state.done) / state.all}
          animated={state.all === undefined}
          aria-label={words.terminal.progress(sizeWords(state.done), all)}
        />
        <Group justify="space-between">
          <Text size="sm" className="tabular">
            {words.terminal.progress(sizeWords(state.done), all)}
          </Text>
          <Button size="xs" variant="default" onClick={props.onStop}>
            {words.terminal.stop}
          </Button>
        </Group>
      </Stack>
    )
  }
  return (
    <Stack gap="sm">
      {state.kind === 'failed' &&
        (state.failure.code === 'OFFLINE' ? (
          <Alert color="red" variant="light" role="alert">
            {words.terminal.brokenOff}
          </Alert>
        ) : (
          <Refused failure={state.failure} />
        ))}
      {state.kind === 'done' && (
        <output className="says">
          <Text size="sm">{state.text}</Text>
          {state.sha256 !== undefined && (
            <Text size="xs" className="breaks">
              {words.terminal.sha256} <code>{state.sha256}</code>
            </Text>
          )}
        </output>
      )}
      <Group>{props.children}</Group>
    </Stack>
  )
}

/** A browser can only hash what it holds at once: large files go without. */
const MOST_HASHED = 64 * 1024 * 1024
async function sha256Of(blob: Blob): Promise<string | undefined> {
  if (blob.size > MOST_HASHED) return undefined
  const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
