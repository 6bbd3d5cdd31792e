/** Turns a session into asciicast v3 (docs.asciinema.org/manual/asciicast/v3): a header, then intervals since the event before. */
import type { RecordedEvent, SessionRow } from '../session/session.ts'

const CODES: Readonly<Record<string, 'o' | 'i' | 'r' | 'm' | 'x'>> = { o: 'o', e: 'o', i: 'i', r: 'r', m: 'm', x: 'x' }

/** Lines, each with its newline. Pauses longer than `idleSeconds` become that long. */
export async function* asciicast(
  session: SessionRow,
  events: AsyncIterable<RecordedEvent>,
  idleSeconds: number = Number.POSITIVE_INFINITY,
): AsyncGenerator<string> {
  const { columns, rows, type } = session.terminal ?? { columns: 80, rows: 24, type: 'xterm-256color' }
  yield line({
    version: 3,
    term: { cols: columns, rows, type },
    timestamp: Math.floor(session.startedAt / 1000),
    ...(session.command === '' ? {} : { command: session.command }),
    title: `${session.username} on ${session.target}`,
  })
  // A character may be cut by the end of an event; what is left of it waits for the next event of its stream.
  const decoders = { o: new TextDecoder(), e: new TextDecoder(), i: new TextDecoder() }
  let previous: number = session.startedAt
  for await (const { kind, at, data } of events) {
    const code = CODES[kind]
    if (code === undefined) continue
    const isStream = kind === 'o' || kind === 'e' || kind === 'i'
    const text = isStream ? decoders[kind].decode(data, { stream: true }) : data.toString()
    if (text === '') continue
    const seconds = Math.min(Math.max(0, at - previous) / 1000, idleSeconds)
    previous = Math.max(at, previous)
    yield line([Number(seconds.toFixed(3)), code, text])
  }
  for (const [code, decoder] of [
    ['o', decoders.o],
    ['o', decoders.e],
    ['i', decoders.i],
  ] as const) {
    const rest = decoder.decode()
    if (rest !== '') yield line([0, code, rest])
  }
}

const line = (value: unknown): string => `${JSON.stringify(value)}\n`
