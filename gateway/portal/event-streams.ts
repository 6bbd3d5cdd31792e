/** Server-sent events (HTML Living Standard §9.2) that live no longer than the browser session they belong to. */
import { once } from 'node:events'
import { PassThrough, type Readable } from 'node:stream'
import type { Log } from '../model/log.ts'
import { Refusal } from '../model/refusal.ts'
import { jsonOf } from './json.ts'
import type { FrontDesk } from './parts.ts'
import type { Visitor } from './visitor.ts'

/** Open at a time for one browser session. */
const MOST_STREAMS = 16
/** Beats on which nobody could say whether the session is still on. */
const MOST_UNKNOWN_BEATS = 2

export type ServerEvent = { readonly event: string; readonly data: unknown; readonly id?: number }

export type StreamWriter = {
  /** Aborts when the browser leaves or signs out, or the portal closes. */
  readonly signal: AbortSignal
  /** Waits while the browser does not keep up. Rejects once `signal` has aborted. */
  readonly send: (event: ServerEvent) => Promise<void>
}

type Open = {
  readonly cookie: string
  readonly isRecording: boolean
  unknownBeats: number
  end(last?: ServerEvent): void
}

export class EventStreams {
  readonly #parts: { readonly identity: Pick<FrontDesk, 'session'>; readonly heartbeatMs: number; readonly log: Log }
  readonly #open = new Set<Open>()

  constructor(parts: {
    readonly identity: Pick<FrontDesk, 'session'>
    readonly heartbeatMs: number
    readonly log: Log
  }) {
    this.#parts = parts
  }

  /** The stream ends when `produce` does. `isRecording`: it shows what people do, see {@link EventStreams.look}. @throws {Refusal} TOO_MANY. */
  open(visitor: Visitor, produce: (writer: StreamWriter) => Promise<void>, isRecording = false): Readable {
    const { cookie } = visitor
    if ([...this.#open].filter((stream) => stream.cookie === cookie).length >= MOST_STREAMS)
      throw new Refusal('TOO_MANY', 'Too many pages are open.', { next: 'Close some of them.' })
    const out = new PassThrough()
    const gone = new AbortController()
    const { signal } = gone
    const open: Open = {
      cookie,
      isRecording,
      unknownBeats: 0,
      end: (last) => {
        if (last !== undefined && out.writable) out.write(frame(last))
        out.end()
        gone.abort()
      },
    }
    const heartbeat = setInterval(() => void this.#beat(out, open), this.#parts.heartbeatMs)
    out.once('close', () => {
      clearInterval(heartbeat)
      this.#open.delete(open)
      gone.abort()
    })
    // A browser that went away is no failure.
    out.on('error', () => gone.abort())
    this.#open.add(open)
    // Flushes the headers, so that the page knows it is connected.
    out.write(': open\n\n')
    const send = async (event: ServerEvent) => {
      signal.throwIfAborted()
      if (!out.write(frame(event))) await once(out, 'drain', { signal })
    }
    void produce({ signal, send }).then(
      () => open.end(),
      (error: unknown) => {
        if (!signal.aborted)
          this.#parts.log({ level: 'error', room: 'portal', message: 'an event stream broke', error })
        out.destroy()
      },
    )
    return out
  }

  /** Ends the streams of a browser that has signed out. */
  signedOut(cookie: string): void {
    for (const stream of this.#open) if (stream.cookie === cookie) stream.end(SIGNED_OUT)
  }

  /** Call when anybody may have been locked out: whoever was sees no more of a recording, without waiting for the next beat. */
  async look(): Promise<void> {
    for (const stream of [...this.#open].filter(({ isRecording }) => isRecording))
      if ((await this.#state(stream)) === 'over') stream.end(SIGNED_OUT)
  }

  close(): void {
    for (const stream of this.#open) stream.end()
  }

  async #beat(out: PassThrough, open: Open): Promise<void> {
    const state = await this.#state(open)
    if (state === 'over') open.end(SIGNED_OUT)
    else if (open.unknownBeats >= MOST_UNKNOWN_BEATS) open.end()
    else if (out.writable && !out.writableNeedDrain) out.write(': beat\n\n')
  }

  /** A store that does not answer says nothing about the session: the page is not sent away, but it hears no more than two beats without knowing. */
  async #state(open: Open): Promise<'on' | 'over' | 'unknown'> {
    try {
      const session = await this.#parts.identity.session(open.cookie, { quiet: true })
      open.unknownBeats = 0
      return session === undefined ? 'over' : 'on'
    } catch (error) {
      open.unknownBeats += 1
      return error instanceof Refusal && error.code === 'LOCKED' ? 'over' : 'unknown'
    }
  }
}

const SIGNED_OUT: ServerEvent = { event: 'signed-out', data: {} }

/** JSON has no line ends of its own, so the data is always one line. */
const frame = ({ event, data, id }: ServerEvent): string =>
  `event: ${event}\n${id === undefined ? '' : `id: ${id}\n`}data: ${jsonOf(data)}\n\n`
