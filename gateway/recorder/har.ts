/** Turns the recording of a web session into an HTTP Archive (HAR 1.2), as it was recorded: what was masked or left out then is so here, too. */
import { STATUS_CODES } from 'node:http'
import type { OutcomeRecord, StatementRecord } from '../model/event.ts'
import type { RecordedEvent, SessionRow } from '../session/session.ts'

/** Bodies and messages that are held until their request is over; what is beyond is only counted. */
const MOST_HELD = 32 * 2 ** 20
const MOST_MESSAGES = 20_000
const NOT_KNOWN = -1

type Headers = readonly (readonly [name: string, value: string])[]
type Side = 'request' | 'answer'
type Message = { readonly type: 'send' | 'receive'; readonly time: number; readonly opcode: number; data: string }
type UnderWay = {
  readonly statement: StatementRecord
  readonly at: number
  readonly bodies: Readonly<Record<Side, Buffer[]>>
  readonly messages: Message[]
  /** Recorded bytes of all that is kept of it. */
  held: number
  /** Something was recorded that is not in the archive, or was cut when it was recorded. */
  isCut: boolean
}
/** A line of input or output in the recording of a web session. */
type Kept = {
  readonly n: number
  readonly part?: Side
  readonly frame?: string
  readonly text?: string
  readonly base64?: string
  readonly cut?: boolean
}

/** Pieces of one JSON document. Requests stand in the order in which they ended. */
export async function* har(session: SessionRow, events: AsyncIterable<RecordedEvent>): AsyncGenerator<string> {
  const log = { version: '1.2', creator: { name: 'Sallyport', version: '1' } }
  const comment = `${session.username} on ${session.target} as ${session.role}, session ${session.id}, grant ${session.grant}`
  yield `{"log":${JSON.stringify({ ...log, comment }).slice(0, -1)},"entries":[`
  let isFirst = true
  const line = (entry: object): string => {
    const start = isFirst ? '\n' : ',\n'
    isFirst = false
    return `${start}${JSON.stringify(entry)}`
  }
  const underWay = new Map<number, UnderWay>()
  let held = 0
  for await (const { kind, at, data } of events) {
    if (kind === 's') {
      const statement = JSON.parse(data.toString()) as StatementRecord
      if (statement.kind !== 'http') continue
      const begun: UnderWay = {
        statement,
        at,
        bodies: { request: [], answer: [] },
        messages: [],
        held: 0,
        isCut: false,
      }
      if (statement.verdict.decision === 'allow') underWay.set(statement.n, begun)
      else yield line(entryOf(session, begun, undefined))
    } else if (kind === 'd') {
      const outcome = JSON.parse(data.toString()) as OutcomeRecord
      const ended = underWay.get(outcome.n)
      if (ended === undefined) continue
      underWay.delete(outcome.n)
      held -= ended.held
      yield line(entryOf(session, ended, outcome))
    } else if (kind === 'i' || kind === 'o') {
      const kept = JSON.parse(data.toString()) as Kept
      const of = underWay.get(kept.n)
      if (of === undefined || !keep(of, kept, { kind, at, mayKeep: held < MOST_HELD })) continue
      of.held += data.length
      held += data.length
    }
  }
  for (const left of underWay.values()) yield line(entryOf(session, left, undefined))
  yield '\n]}}\n'
}

const OPCODES: Readonly<Record<string, number>> = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 }

/** False when nothing was added. */
function keep(
  of: UnderWay,
  { part, frame, text, base64, cut }: Kept,
  when: { readonly kind: 'i' | 'o'; readonly at: number; readonly mayKeep: boolean },
): boolean {
  if (cut === true || !when.mayKeep || of.messages.length >= MOST_MESSAGES) {
    of.isCut = true
    return false
  }
  if (part !== undefined)
    of.bodies[part].push(base64 === undefined ? Buffer.from(text ?? '') : Buffer.from(base64, 'base64'))
  else if (frame !== undefined)
    of.messages.push({
      type: when.kind === 'i' ? 'send' : 'receive',
      time: when.at / 1000,
      opcode: OPCODES[frame] ?? 0,
      data: text ?? base64 ?? '',
    })
  return true
}

function entryOf(session: SessionRow, under: UnderWay, outcome: OutcomeRecord | undefined): object {
  const { statement, at, bodies, messages, isCut } = under
  const asked = statement.headers ?? []
  const answered = outcome?.headers ?? []
  const ms = outcome?.ms ?? 0
  const space = statement.text.indexOf(' ')
  const path = statement.text.slice(space + 1)
  const comments = [...wordsFor(statement, outcome), ...(isCut ? ['Not all of what passed is in this archive.'] : [])]
  const status = outcome?.status ?? 0
  const sent = Buffer.concat(bodies.request)
  const type = valueOf(asked, 'content-type')
  return {
    startedDateTime: new Date(at).toISOString(),
    time: ms,
    request: {
      method: statement.text.slice(0, space),
      url: `https://${valueOf(asked, 'host') ?? session.target}${path}`,
      // Towards the target; browsers may have come by another version.
      httpVersion: 'HTTP/1.1',
      cookies: cookiesOf(asked, 'cookie'),
      headers: headersOf(asked),
      queryString: queryOf(path),
      headersSize: NOT_KNOWN,
      bodySize: outcome?.bytesIn ?? NOT_KNOWN,
      ...(sent.length === 0 ? {} : { postData: { mimeType: type ?? '', ...textOf(sent, '_encoding') } }),
    },
    response: {
      status,
      statusText: STATUS_CODES[status] ?? '',
      httpVersion: 'HTTP/1.1',
      cookies: cookiesOf(answered, 'set-cookie'),
      headers: headersOf(answered),
      content: {
        size: outcome?.bytes ?? 0,
        mimeType: valueOf(answered, 'content-type') ?? 'x-unknown',
        ...(bodies.answer.length === 0 ? {} : textOf(Buffer.concat(bodies.answer), 'encoding')),
      },
      redirectURL: valueOf(answered, 'location') ?? '',
      headersSize: NOT_KNOWN,
      bodySize: outcome?.bytes ?? NOT_KNOWN,
    },
    cache: {},
    timings: { send: 0, wait: ms, receive: 0 },
    ...(comments.length === 0 ? {} : { comment: comments.join(' ') }),
    _number: statement.n,
    _verdict: statement.verdict.decision,
    ...(messages.length === 0 ? {} : { _resourceType: 'websocket', _webSocketMessages: messages }),
  }
}

function wordsFor({ verdict }: StatementRecord, outcome: OutcomeRecord | undefined): readonly string[] {
  if (verdict.decision !== 'allow') return [`Refused by the gateway: ${verdict.reason}`]
  if (outcome === undefined) return ['What became of it was not recorded.']
  if (outcome.result === 'not-sent') return ['It was not sent.']
  const twice = outcome.resent === true ? ['It was sent twice: the target had just closed the first connection.'] : []
  return outcome.error === undefined ? twice : [...twice, `It broke off: ${outcome.error}`]
}

/** Bytes that are no UTF-8 as base64, said under `mark`. */
function textOf(bytes: Buffer, mark: 'encoding' | '_encoding'): object {
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes) ? { text } : { text: bytes.toString('base64'), [mark]: 'base64' }
}

const valueOf = (headers: Headers, name: string): string | undefined => headers.find(([given]) => given === name)?.[1]
const headersOf = (headers: Headers): object[] => headers.map(([name, value]) => ({ name, value }))

const cookiesOf = (headers: Headers, name: string): object[] =>
  headers
    .filter(([given]) => given === name)
    .flatMap(([, value]) => value.split('; '))
    .flatMap((pair) => (pair.includes('=') ? [nameAndValue(pair)] : []))

/** As it was sent: nothing is decoded. */
function queryOf(path: string): object[] {
  const mark = path.indexOf('?')
  return mark < 0 || mark === path.length - 1
    ? []
    : path
        .slice(mark + 1)
        .split('&')
        .map(nameAndValue)
}

function nameAndValue(pair: string): { readonly name: string; readonly value: string } {
  const [name = '', ...rest] = pair.split('=')
  return { name, value: rest.join('=') }
}
