/** One request and the way back for its answer, whichever version of HTTP it came by. */
import type { Readable } from 'node:stream'
import type { Field } from './asked.ts'

/** What was said before the body; nothing of it is believed yet. */
export type Head = {
  readonly version: string
  readonly method: string
  /** `:path`, or the target of the request line. */
  readonly url: string
  /** `:authority`, or `Host`. */
  readonly host: string | undefined
  /** Name, value, name, value. Of HTTP/2 without pseudo-headers. */
  readonly fields: readonly string[]
  /** Whether something follows that HTTP/1 would have announced; undefined: only the fields say. */
  readonly hasBody: boolean | undefined
}

export type Call = {
  readonly kind: 'request'
  readonly head: Head
  /** Of the browser. */
  readonly address: string
  readonly body: Body
  readonly answer: Answer
}

export type Body = {
  readonly stream: Readable
  /** All of it has arrived. */
  isWhole(): boolean
  /** Tells a client that waits for it to send the body (RFC 9110 §10.1.1). */
  proceed(): void
  /** The client left before it had sent everything. */
  onLost(then: () => void): void
}

/** What is written after the client left goes nowhere. */
export type Answer = {
  readonly isGone: boolean
  readonly hasBegun: boolean
  /** Once, when the client left, or was left, before it had everything. */
  onGone(then: () => void): void
  hint(links: readonly string[]): void
  /** `fields` is name, value, name, value, and not looked at again. */
  begin(status: number, fields: string[], how: { readonly mayHaveTrailers: boolean }): void
  /** Headers go at once, though no body is there yet. */
  flush(): void
  /** False: wait for {@link drained}. `done` is called when nobody needs the bytes any more. */
  write(chunk: Buffer, done: (() => void) | undefined): boolean
  drained(then: () => void): void
  /** `last` is all of the body, if there is one. What the client still sends is not read. */
  end(last: Buffer | undefined, trailers: readonly Field[]): void
  /** The whole answer, perhaps before the request was read. */
  say(status: number, fields: readonly Field[], text: string): void
  /** At once, and so that the client knows that something is missing. */
  breakOff(): void
}

/** Time to take the answer, when it came before the whole question. */
export const LAST_WORDS_MS = 1000
