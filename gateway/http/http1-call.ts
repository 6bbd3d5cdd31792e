/** A request and its answer over HTTP/1.1. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Field } from './asked.ts'
import { type Answer, type Body, type Call, type Head, LAST_WORDS_MS } from './call.ts'

export function http1Call(request: IncomingMessage, response: ServerResponse): Call {
  request.on('error', ignore)
  response.on('error', leave)
  return {
    kind: 'request',
    head: http1Head(request),
    address: request.socket.remoteAddress ?? '',
    body: new Http1Body(request, response),
    answer: new Http1Answer(request, response),
  }
}

/** Whoever listens for the end of the request or of the answer hears of it there. */
const ignore = (): void => undefined
function leave(this: ServerResponse): void {
  this.destroy()
}

export const http1Head = ({ httpVersion, method = '', url = '', headers, rawHeaders }: IncomingMessage): Head => ({
  version: httpVersion,
  method,
  url,
  host: headers.host,
  fields: rawHeaders,
  hasBody: undefined,
})

class Http1Body implements Body {
  readonly stream: IncomingMessage
  readonly #response: ServerResponse

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.stream = request
    this.#response = response
  }

  isWhole(): boolean {
    return this.stream.complete
  }

  proceed(): void {
    if (this.stream.headers.expect !== undefined && !this.#response.headersSent) this.#response.writeContinue()
  }

  onLost(then: () => void): void {
    this.stream.once('close', () => {
      if (!this.stream.complete) then()
    })
  }
}

class Http1Answer implements Answer {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request
    this.#response = response
  }

  get isGone(): boolean {
    return this.#response.destroyed
  }

  get hasBegun(): boolean {
    return this.#response.headersSent
  }

  onGone(then: () => void): void {
    const response = this.#response
    response.once('close', () => {
      if (!response.writableFinished) then()
    })
  }

  hint(links: readonly string[]): void {
    this.#response.writeEarlyHints({ link: [...links] })
  }

  begin(status: number, fields: string[]): void {
    this.#response.writeHead(status, fields)
  }

  flush(): void {
    this.#response.flushHeaders()
  }

  write(chunk: Buffer, done: (() => void) | undefined): boolean {
    return this.#response.write(chunk, done)
  }

  drained(then: () => void): void {
    this.#response.once('drain', then)
  }

  end(last: Buffer | undefined, trailers: readonly Field[]): void {
    const [request, response] = [this.#request, this.#response]
    if (trailers.length > 0) response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]))
    if (last === undefined) response.end()
    // As text, which these bytes become one by one: Node writes it together with the headers.
    else response.end(last.toString('latin1'), 'latin1')
    if (!request.complete) response.once('finish', () => setTimeout(() => request.destroy(), LAST_WORDS_MS).unref())
  }

  /** The connection goes on only when the request was read to its end. */
  say(status: number, fields: readonly Field[], text: string): void {
    const [request, response] = [this.#request, this.#response]
    if (!request.complete) response.shouldKeepAlive = false
    response.writeHead(status, fields.flat())
    if (text !== '' && request.method !== 'HEAD') response.write(text)
    if (request.complete) {
      response.end()
      return
    }
    // Closed with bytes unread, TCP would take the answer back; so what still comes is thrown away for a moment.
    const late = setTimeout(() => response.end(), LAST_WORDS_MS)
    request.once('close', () => clearTimeout(late))
    request.once('end', () => {
      clearTimeout(late)
      response.end()
    })
    request.resume()
  }

  breakOff(): void {
    this.#response.destroy()
  }
}

/** The whole answer where an upgrade was asked for. */
export function sayOn(socket: Duplex, status: number, fields: readonly Field[], text: string): void {
  if (socket.destroyed || !socket.writable) return
  socket.end(Buffer.concat([headOf(status, [...fields.flat(), 'connection', 'close']), Buffer.from(text)]))
}

export function headOf(status: number, fields: readonly string[]): Buffer {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Answer'}\r\n`
  for (let i = 0; i + 1 < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`
  return Buffer.from(`${head}\r\n`, 'latin1')
}
