/** Gets a recording: the whole of one that has ended, or one that still runs as it grows. */
import type { EventPage, SessionEventView } from '../../../gateway/portal/schema/recordings.ts'
import type { SessionEndView, SessionView } from '../../../gateway/portal/schema/sessions.ts'
import { type Api, ApiFailure, apiUrl } from '../api.ts'
import { routes } from '../routes.ts'
import { boundedSize, CastReader, DEFAULT_SIZE, type Mark, type Size } from './cast.ts'

export type Recording = {
  readonly size: Size
  readonly marks: readonly Mark[]
  /** All but output. */
  readonly events: readonly SessionEventView[]
  readonly isCut: boolean
}

const MOST_EVENTS = 50_000
/** New events of a running session reach the page this often. */
const BATCH_MS = 80

export const sizeOf = (session: SessionView): Size =>
  session.terminal === null ? DEFAULT_SIZE : boundedSize(session.terminal.columns, session.terminal.rows)

/** @throws {ApiFailure} when the gateway refuses or does not answer. */
export async function loadRecording(
  api: Api,
  session: { readonly id: string; readonly size: Size },
  signal: AbortSignal,
): Promise<Recording> {
  const [cast, events] = await Promise.all([loadCast(session, signal), loadEvents(api, session.id, signal)])
  const inputs = events.map(asMark).filter(({ kind }) => kind !== 'o' && kind !== 'e' && kind !== 'r')
  return { size: cast.size, marks: [...cast.marks, ...inputs], events, isCut: cast.isCut }
}

export const asMark = ({ seconds, kind, text }: SessionEventView): Mark => ({ seconds, kind, text })

async function loadCast(session: { readonly id: string; readonly size: Size }, signal: AbortSignal) {
  const reader = new CastReader()
  reader.size = session.size
  const marks: Mark[] = []
  let response: Response
  try {
    response = await fetch(apiUrl(routes.cast(session.id)), { credentials: 'same-origin', signal })
  } catch {
    throw new ApiFailure({ code: 'OFFLINE', message: '', next: null, reference: '' })
  }
  if (!response.ok || response.body === null)
    throw new ApiFailure({ code: `HTTP ${response.status}`, message: '', next: null, reference: '' })
  const take = (chunk: string): void => {
    for (const mark of reader.push(chunk))
      if (mark.kind === 'o' || mark.kind === 'e' || mark.kind === 'r') marks.push(mark)
  }
  const stream = response.body.pipeThrough(new TextDecoderStream())
  for await (const chunk of chunksOf(stream)) {
    take(chunk)
    if (reader.isCut) break
  }
  take('\n')
  return { size: reader.size, marks, isCut: reader.isCut }
}

/** Not every browser iterates over streams by itself. */
async function* chunksOf(stream: ReadableStream<string>): AsyncGenerator<string> {
  const reader = stream.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

async function loadEvents(api: Api, id: string, signal: AbortSignal): Promise<readonly SessionEventView[]> {
  const events: SessionEventView[] = []
  let after: number | undefined
  do {
    const page: EventPage = await api.get<EventPage>(routes.events(id, after))
    events.push(...page.events)
    after = page.next ?? undefined
  } while (after !== undefined && events.length < MOST_EVENTS && !signal.aborted)
  return events
}

/** Follows a session that runs until it ends or the returned function is called. */
export function followSession(
  id: string,
  then: {
    readonly events: (events: readonly SessionEventView[]) => void
    readonly signedOut: () => void
    readonly ended: (end: SessionEndView | null) => void
  },
): () => void {
  const source = new EventSource(apiUrl(routes.live(id)))
  let batch: SessionEventView[] = []
  let last = -1
  let timer: ReturnType<typeof setTimeout> | undefined
  const flush = (): void => {
    timer = undefined
    const events = batch
    batch = []
    if (events.length > 0) then.events(events)
  }
  source.addEventListener('event', (message: MessageEvent<string>) => {
    const event = JSON.parse(message.data) as SessionEventView
    // After a lost line the browser asks from the last number on; what came before is not shown twice.
    if (event.seq <= last) return
    last = event.seq
    batch.push(event)
    timer ??= setTimeout(flush, BATCH_MS)
  })
  source.addEventListener('signed-out', () => {
    source.close()
    then.signedOut()
  })
  source.addEventListener('end', (message: MessageEvent<string>) => {
    source.close()
    flush()
    then.ended(JSON.parse(message.data) as SessionEndView | null)
  })
  return () => {
    clearTimeout(timer)
    source.close()
  }
}
