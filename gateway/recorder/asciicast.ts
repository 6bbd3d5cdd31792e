/** Turns a session into asciicast v3 (docs.asciinema.org/manual/asciicast/v3): a header, then intervals since the event before. */
import type { EventKind, FileRecord, OutcomeRecord, StatementRecord } from '../model/event.ts'
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
    // Where there was no screen, what was judged and what became of it is what there is to see.
    const told = session.terminal === undefined ? toldLine(kind, data) : undefined
    const code = told === undefined ? CODES[kind] : 'o'
    if (code === undefined) continue
    const isStream = kind === 'o' || kind === 'e' || kind === 'i'
    const text = told ?? (isStream ? decoders[kind].decode(data, { stream: true }) : data.toString())
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

/** A statement, its outcome or a file operation as a line; undefined for everything else. */
function toldLine(kind: EventKind, data: Buffer): string | undefined {
  if (kind !== 's' && kind !== 'd' && kind !== 'f') return undefined
  const record: unknown = JSON.parse(data.toString())
  const said =
    kind === 's'
      ? statement(record as StatementRecord)
      : kind === 'd'
        ? outcome(record as OutcomeRecord)
        : file(record as FileRecord)
  return `${said.replaceAll(UNSHOWN, '\u{FFFD}').replaceAll('\n', '\r\n')}\r\n`
}

/** Recordings are hostile: nothing in a text may steer the terminal that shows it. */
const UNSHOWN = /(?![\t\n])[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

function statement({ approved, kind, text, verdict }: StatementRecord): string {
  const by = approved === undefined ? '' : `  [let through by ${approved.by.join(', ')}: request ${approved.request}]`
  return verdict.decision === 'allow'
    ? `${kind}> ${text}${by}`
    : `${kind}> ${text}  [${verdict.decision}: ${verdict.reason}]`
}

function outcome({ result, ms, rows, error, tag }: OutcomeRecord): string {
  const what = [result, tag, rows === undefined ? undefined : `${rows} rows`, `${ms} ms`].filter(
    (word) => word !== undefined,
  )
  return `-- ${what.join(', ')}${error === undefined ? '' : `: ${error}`}`
}

function file({ operation, path, to, bytes, result, diff }: FileRecord): string {
  return `-- file ${operation} ${path}${to === undefined ? '' : ` to ${to}`}, ${result}${bytes === undefined ? '' : `, ${bytes} bytes`}${diff === undefined ? '' : `\n${diff.trimEnd()}`}`
}

const line = (value: unknown): string => `${JSON.stringify(value)}\n`
