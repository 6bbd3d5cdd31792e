/** A request and its answer over one stream of HTTP/2. Who asks is said by this request alone: a connection may carry requests for many names. */
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Field } from './asked.ts'
import { type Answer, type Body, type Call, type Head, LAST_WORDS_MS } from './call.ts'
import { MalformedMessage } from '../model/refusal.ts'

const { NGHTTP2_NO_ERROR, NGHTTP2_PROTOCOL_ERROR } = constants
/** Of HTTP/1 and its connections (RFC 9113 §8.2.2). */
const OF_CONNECTIONS = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** `raw` is name, value, name, value, pseudo-headers first. Undefined for a stream whose headers are malformed: it is reset. */
export function http2Call(stream: ServerHttp2Stream, raw: readonly string[]): Call | undefined {
  stream.on('error', () => undefined)
  const head = readHead(raw, !stream.endAfterHeaders)
  if (head instanceof MalformedMessage) {
    stream.close(NGHTTP2_PROTOCOL_ERROR)
    return undefined
  }
  return {
    kind: 'request',
    head,
    address: stream.session?.socket.remoteAddress ?? '',
    body: new Http2Body(stream, isWaiting(head.fields)),
    answer: new Http2Answer(stream),
  }
}

/** RFC 9113 §8.2, §8.3. nghttp2 has looked at most of it; what a request means to us is not left to another's defaults. */
export function readHead(raw: readonly string[], hasBody: boolean): Head | MalformedMessage {
  const pseudo = new Map<string, string>()
  const fields: string[] = []
  const crumbs: string[] = []
  let host: string | undefined
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = '', value = ''] = [raw[i], raw[i + 1]]
    if (name.startsWith(':')) {
      if (pseudo.has(name) || fields.length > 0 || crumbs.length > 0)
        return malformed('A pseudo-header is in a wrong place.')
      pseudo.set(name, value)
    } else if (OF_CONNECTIONS.has(name) || (name === 'te' && value !== 'trailers') || /[A-Z]/.test(name))
      return malformed(`${name} does not belong into HTTP/2.`)
    else if (name === 'cookie') crumbs.push(value)
    else if (name === 'host') {
      if (host !== undefined) return malformed('A request has one host.')
      host = value
    } else fields.push(name, value)
  }
  const [method, scheme, path, authority] = [':method', ':scheme', ':path', ':authority'].map((name) =>
    pseudo.get(name),
  )
  if (pseudo.size !== 4 || method === undefined || path === undefined || authority === undefined)
    return malformed('A request has a method, a scheme, an authority and a path.')
  if (scheme !== 'https') return malformed('The scheme is https.')
  // Two names are two readings.
  if (host !== undefined && host !== authority) return malformed('Host and authority differ.')
  // RFC 9113 §8.2.3: one field before it meets HTTP/1.
  const cookies = crumbs.length === 0 ? [] : ['cookie', crumbs.join('; ')]
  return {
    version: '2.0',
    method,
    url: path,
    host: authority,
    fields: ['host', authority, ...cookies, ...fields],
    hasBody,
  }
}

const malformed = (message: string): MalformedMessage => new MalformedMessage(message)

const isWaiting = (fields: readonly string[]): boolean =>
  fields.some((name, i) => i % 2 === 0 && name === 'expect' && fields[i + 1]?.toLowerCase() === '100-continue')

class Http2Body implements Body {
  readonly stream: ServerHttp2Stream
  readonly #isExpecting: boolean

  constructor(stream: ServerHttp2Stream, isExpecting: boolean) {
    this.stream = stream
    this.#isExpecting = isExpecting
  }

  isWhole(): boolean {
    return this.stream.endAfterHeaders || this.stream.readableEnded
  }

  proceed(): void {
    if (this.#isExpecting && isOpen(this.stream) && !this.stream.headersSent)
      this.stream.additionalHeaders({ ':status': 100 })
  }

  onLost(then: () => void): void {
    this.stream.once('close', () => {
      if (!this.isWhole()) then()
    })
  }
}

class Http2Answer implements Answer {
  readonly #stream: ServerHttp2Stream
  #trailers: readonly Field[] = []
  #isWhole = false

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
  }

  get isGone(): boolean {
    return !isOpen(this.#stream)
  }

  get hasBegun(): boolean {
    return this.#stream.headersSent
  }

  onGone(then: () => void): void {
    const stream = this.#stream
    // Node ends the writing side by itself when the client resets a stream without calling it an error.
    stream.once('close', () => {
      if (!this.#isWhole || !stream.writableFinished || stream.rstCode !== NGHTTP2_NO_ERROR) then()
    })
  }

  hint(links: readonly string[]): void {
    if (isOpen(this.#stream)) this.#stream.additionalHeaders({ ':status': 103, link: [...links] })
  }

  begin(status: number, fields: readonly string[], { mayHaveTrailers }: { readonly mayHaveTrailers: boolean }): void {
    const stream = this.#stream
    if (!isOpen(stream)) return
    if (mayHaveTrailers)
      stream.once('wantTrailers', () => {
        // Called by the stream itself: nobody else would hear of a failure.
        try {
          stream.sendTrailers(listed(this.#trailers))
        } catch (failure) {
          stream.destroy(failure instanceof Error ? failure : new Error('trailers'))
        }
      })
    stream.respond([':status', String(status), ...fields], { waitForTrailers: mayHaveTrailers })
  }

  /** They went. */
  flush(): void {}

  write(chunk: Buffer, done: (() => void) | undefined): boolean {
    // The answer to HEAD has ended with its headers.
    if (!isOpen(this.#stream) || this.#stream.writableEnded) return true
    return this.#stream.write(chunk, done)
  }

  drained(then: () => void): void {
    this.#stream.once('drain', then)
  }

  end(last: Buffer | undefined, trailers: readonly Field[]): void {
    const stream = this.#stream
    this.#trailers = trailers
    this.#isWhole = true
    if (!isOpen(stream)) return
    if (!stream.writableEnded) stream.end(last)
    this.#leave()
  }

  say(status: number, fields: readonly Field[], text: string): void {
    const stream = this.#stream
    this.#isWhole = true
    if (!isOpen(stream)) return
    stream.respond([':status', String(status), ...fields.flat()])
    if (!stream.writableEnded) stream.end(text)
    this.#leave()
  }

  breakOff(): void {
    // Not `close`: it would end the writing side first, which reads like the end of a whole answer.
    this.#stream.destroy(new Error('broken off'))
  }

  /** RFC 9113 §8.1: whoever has answered may ask for no more of the question. */
  #leave(): void {
    const stream = this.#stream
    if (stream.endAfterHeaders || stream.readableEnded) return
    stream.resume()
    const late = setTimeout(() => stream.close(NGHTTP2_NO_ERROR), LAST_WORDS_MS)
    stream.once('close', () => clearTimeout(late))
  }
}

/** Fields of one name are a list; a name may be one that every object has. */
function listed(fields: readonly Field[]): Record<string, string[]> {
  const lists = new Map<string, string[]>()
  for (const [name, value] of fields) lists.set(name, [...(lists.get(name) ?? []), value])
  return Object.fromEntries(lists)
}

const isOpen = (stream: ServerHttp2Stream): boolean => !stream.destroyed && !stream.closed
