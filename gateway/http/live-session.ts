/** One recorded session of a person on a web target under one grant: its road, its connections, and everything under way in it. */
import type { EventKind, OutcomeRecord } from '../model/event.ts'
import { Refusal } from '../model/refusal.ts'
import type { HttpScope } from '../model/role.ts'
import type { HttpEndpoint } from '../model/target.ts'
import { type Admission, type Judged, openSession, type Session } from '../session/session.ts'
import { HttpRefusal } from './deny.ts'
import type { HttpParts } from './parts.ts'
import { Upstream } from './upstream.ts'

const IDLE_MS = 5 * 60_000
const MOST_UNDER_WAY = 2048
/** One timer for all of a session: several a request would cost more than to judge it. */
const BEAT_MS = 1000
const SHORTEST_BEAT_MS = 20

/** A request or a WebSocket. `cut` must write its outcome before it returns; `look` is called at each {@link LiveSession.beat}. */
export type UnderWay = {
  /** Where it stands among the others: the session's affair. */
  place?: number | undefined
  cut(why: Refusal): void
  look?(): void
}

type Parts = Pick<HttpParts, 'road' | 'upstream' | 'settings'>

export class LiveSession {
  readonly endpoint: HttpEndpoint
  readonly scope: HttpScope | undefined
  readonly upstream: Upstream
  readonly #session: Session
  readonly #idleMs: number
  /**
   * No Set: whenever one is filled up anew, its old table points to the new one. Once an old table has outlived a full collection of garbage,
   * everything that was ever under way since then is kept until the next.
   */
  #underWay: UnderWay[] = []
  readonly #onClosed: (session: LiveSession) => void
  readonly #beatMs: number
  readonly #beats: NodeJS.Timeout
  #beat = 0
  #restsSince = 0
  #closed: Promise<void> | undefined

  /** @throws {Refusal} NOT_RECORDED, or why the grant is over. */
  static async open(
    parts: Parts,
    admission: Admission,
    client: { readonly address: string; readonly version: string },
    onClosed: (session: LiveSession) => void,
  ): Promise<LiveSession> {
    const session = await openSession(parts.road.open, admission, {
      account: admission.role.account ?? '',
      channel: 'web',
      command: '',
      clientAddress: client.address,
      clientVersion: client.version,
      terminal: undefined,
    })
    return new LiveSession(parts, session, onClosed)
  }

  private constructor(parts: Parts, session: Session, onClosed: (session: LiveSession) => void) {
    const { admission, ended } = session
    const endpoint = admission.target.http
    // admit() has looked.
    if (endpoint === undefined) throw new Refusal('NO_GRANT', `No live grant for ${admission.target.name}.`)
    this.endpoint = endpoint
    this.scope = admission.role.http
    this.#session = session
    this.#onClosed = onClosed
    const { headersMs = IDLE_MS, idleMs = IDLE_MS, sessionIdleMs = IDLE_MS } = parts.settings
    this.#idleMs = sessionIdleMs
    this.#beatMs = Math.max(SHORTEST_BEAT_MS, Math.min(BEAT_MS, headersMs / 8, idleMs / 8, sessionIdleMs / 8))
    this.#beats = setInterval(() => this.#look(), this.#beatMs).unref()
    this.upstream = new Upstream({ ...parts, admission, endpoint, ended })
    const cut = () => void this.#close('cut', why(ended))
    if (ended.aborted) cut()
    else ended.addEventListener('abort', cut, { once: true })
  }

  get admission(): Admission {
    return this.#session.admission
  }

  get isOpen(): boolean {
    return this.#closed === undefined
  }

  /** False when the configuration was changed since. */
  hasRulesOf({ role, target }: Admission): boolean {
    const { scope, endpoint } = this
    if (role.http === scope && target.http === endpoint) return true
    return JSON.stringify([role.http, target.http]) === JSON.stringify([scope, endpoint])
  }

  /** Why nothing may pass any more. */
  over(): Refusal | undefined {
    return this.#session.ended.aborted ? why(this.#session.ended) : this.admission.over()
  }

  /** From here until {@link leave} it is told when the session is cut. @throws {Refusal} when there is too much under way, or it is over. */
  enter(what: UnderWay): void {
    // Whether the grant still holds is the road's affair, for each thing that goes on.
    if (!this.isOpen) throw this.over() ?? new Refusal('UNAVAILABLE', 'This session has just ended.')
    if (this.#underWay.length >= MOST_UNDER_WAY)
      throw new HttpRefusal(429, 'TOO_MANY', 'There is too much under way at once.', { next: 'Close something.' })
    what.place = this.#underWay.push(what) - 1
  }

  leave(what: UnderWay): void {
    const { place } = what
    if (place === undefined || this.#underWay[place] !== what) return
    what.place = undefined
    const last = this.#underWay.pop()
    if (last !== undefined && last !== what) {
      this.#underWay[place] = last
      last.place = place
    }
    if (this.#underWay.length === 0) this.#restsSince = this.#beat
  }

  /** A clock that costs nothing to read; see {@link isLongerThan}. */
  get beat(): number {
    return this.#beat
  }

  /** Whether so much time has passed for certain since that beat: at most two beats late, never early. */
  isLongerThan(ms: number, since: number): boolean {
    return (this.#beat - since - 1) * this.#beatMs >= ms
  }

  /** See {@link Session.road}. */
  statement(judged: Judged, forward: (n: number) => void, refuse: () => void): void {
    this.#session.road.statement(judged, forward, refuse)
  }

  pass(forward: () => void): void {
    this.#session.road.pass(forward)
  }

  /** What cannot be recorded ends the session; see {@link Session.ended}. */
  record(kind: Extract<EventKind, 'i' | 'o'>, text: string): void {
    try {
      this.#session.recording.take(kind, text)
    } catch {
      // The next thing that asks for the road finds the journal broken and cuts the session.
      this.pass(() => undefined)
    }
  }

  outcome(outcome: OutcomeRecord): void {
    this.#session.road.outcome(outcome)
  }

  /** Ends it as `cut`, with the sentence that the person is shown. */
  end(reason: Refusal): Promise<void> {
    return this.#close('cut', reason)
  }

  #look(): void {
    this.#beat += 1
    // From the end: whoever leaves gives its place to one that was asked already.
    for (let i = this.#underWay.length - 1; i >= 0; i--) this.#underWay[i]?.look?.()
    if (this.#underWay.length === 0 && this.isLongerThan(this.#idleMs, this.#restsSince)) void this.#close('closed')
  }

  #close(cause: 'cut' | 'closed', reason?: Refusal): Promise<void> {
    this.#closed ??= (async () => {
      clearInterval(this.#beats)
      this.#onClosed(this)
      const underWay = this.#underWay
      this.#underWay = []
      if (reason !== undefined) for (const what of underWay) what.cut(reason)
      this.upstream.destroy()
      await this.#session.close({ cause, detail: reason?.message ?? '', exitCode: undefined })
    })()
    return this.#closed
  }
}

const why = (ended: AbortSignal): Refusal =>
  ended.reason instanceof Refusal ? ended.reason : new Refusal('GRANT_ENDED', 'The session was ended.')
