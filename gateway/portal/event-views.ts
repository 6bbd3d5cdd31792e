/** Recorded events as the API shows them. Bytes become text here; what they mean to a terminal stays the viewer's affair. */
import { StringDecoder } from 'node:string_decoder'
import type { EventKind } from '../model/event.ts'
import type { RecordedEvent, SessionRow } from '../session/session.ts'
import { fileOperation, outcome, type SessionEventView, statement } from './schema/recordings.ts'
import { iso } from './views.ts'

/** One per stream or page: a character whose bytes lie in two events appears with the second. */
export class EventViews {
  readonly #startedAt: number
  readonly #decoders = new Map<EventKind, StringDecoder>()

  constructor(row: Pick<SessionRow, 'startedAt'>) {
    this.#startedAt = row.startedAt
  }

  view({ seq, at, kind, data }: RecordedEvent): SessionEventView {
    const text = this.#decoder(kind).write(data)
    const base = { seq, at: iso(at), seconds: Math.max(0, at - this.#startedAt) / 1000, kind }
    return { ...base, text, ...structured(kind, text) }
  }

  #decoder(kind: EventKind): StringDecoder {
    const isStream = kind === 'o' || kind === 'e' || kind === 'i'
    const decoder = (isStream ? this.#decoders.get(kind) : undefined) ?? new StringDecoder('utf8')
    if (isStream) this.#decoders.set(kind, decoder)
    return decoder
  }
}

/** The JSON of statements, outcomes and file operations; what does not parse stays text. */
function structured(kind: EventKind, text: string): Partial<SessionEventView> {
  const read = { s: statement, d: outcome, f: fileOperation }
  if (kind !== 's' && kind !== 'd' && kind !== 'f') return {}
  const parsed = read[kind].safeParse(jsonOf(text))
  if (!parsed.success) return {}
  const name = { s: 'statement', d: 'outcome', f: 'file' } as const
  return { text: '', [name[kind]]: parsed.data }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
