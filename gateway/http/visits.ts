/** Who uses which target through which browser: looked up at least once a second, so that a sign-out or a new grant counts at once, yet not at every request. */
import type { Identity } from '../model/identity.ts'
import { Refusal } from '../model/refusal.ts'
import { type Admission, admit } from '../session/session.ts'
import { LiveSession } from './live-session.ts'
import type { HttpParts, WebVisit } from './parts.ts'

/** How old a look at the sign-in and the grant may be. The grant's own end is noticed at once, by its signal and at each request. */
const FRESH_MS = 1000
const MOST_VISITS = 20_000

export type Client = { readonly address: string; readonly version: string }

/** A browser on one target. */
export type Visitor = {
  readonly identity: Identity
  /** The recorded session under the newest live grant. @throws {Refusal} NO_GRANT, MFA_MISSING, PASSKEY_MISSING, NOT_RECORDED… */
  session(client: Client): Promise<LiveSession>
}

type Known = {
  readonly key: string
  readonly cookie: string
  readonly target: string
  /** Signed out, or locked: nothing opens any more. */
  isOver: boolean
  seen: Promise<WebVisit | undefined>
  seenAt: number
  admission: Promise<Admission> | undefined
  admittedAt: number
  /** By grant. */
  readonly sessions: Map<string, Promise<LiveSession>>
  /** The session that was found last, and how old the looks are that led to it. */
  found: { readonly session: LiveSession; readonly since: number } | undefined
}

type Parts = Pick<HttpParts, 'sessions' | 'road' | 'upstream' | 'settings'>

export class Visits {
  readonly #parts: Parts
  readonly #known = new Map<string, Known>()
  readonly #open = new Set<LiveSession>()
  readonly #timer: NodeJS.Timeout
  #isClosed = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#timer = setInterval(() => this.#lookAgain(), FRESH_MS).unref()
  }

  /** At once, the session that the last look found; undefined when somebody has to look again. */
  current(cookie: string, target: string): LiveSession | undefined {
    const known = this.#known.get(keyOf(cookie, target))
    const found = known?.found
    if (found === undefined || known?.isOver !== false || this.#isClosed) return undefined
    if (performance.now() - found.since >= FRESH_MS) return undefined
    const { session } = found
    return session.isOpen && session.over() === undefined ? session : undefined
  }

  /** Undefined for a stranger. @throws {Refusal} LOCKED, UNAVAILABLE. */
  async visitor(cookie: string, target: string, how: { readonly quiet: boolean }): Promise<Visitor | undefined> {
    const key = keyOf(cookie, target)
    const now = performance.now()
    let known = this.#known.get(key)
    if (known === undefined) {
      if (this.#known.size >= MOST_VISITS) this.#forgetIdle()
      const seen = this.#parts.sessions.lookup(cookie, target, how)
      const nothing = { admission: undefined, admittedAt: 0, isOver: false, sessions: new Map(), found: undefined }
      known = { key, cookie, target, seen, seenAt: now, ...nothing }
      this.#known.set(key, known)
    } else if (now - known.seenAt >= FRESH_MS) {
      known.seen = this.#parts.sessions.lookup(cookie, target, how)
      known.seenAt = now
    }
    const visit = await this.#settled(known)
    const mine = known
    return visit && { identity: visit.identity, session: (client) => this.#session(mine, visit, client) }
  }

  async #session(known: Known, visit: WebVisit, client: Client): Promise<LiveSession> {
    if (this.#isClosed) throw GOING_DOWN()
    if (known.isOver) throw SIGNED_OUT()
    const admission = await this.#admission(known, visit)
    const { id } = admission.grant
    const there = known.sessions.get(id)
    if (there !== undefined) {
      const session = await there
      if (session.isOpen && session.hasRulesOf(admission)) {
        known.found = { session, since: Math.min(known.seenAt, known.admittedAt) }
        return session
      }
      if (session.isOpen)
        await session.end(new Refusal('UNAVAILABLE', 'The rules of this role have changed.', { next: 'Go on.' }))
      if (known.sessions.get(id) === there) known.sessions.delete(id)
      return this.#session(known, visit, client)
    }
    // It may have been forgotten while nothing was open; whatever is open is looked after.
    this.#known.set(known.key, known)
    const opening = this.#begin(known, admission, client)
    known.sessions.set(id, opening)
    return opening
  }

  /** Ends every recorded session of a browser on a target. */
  async forget(cookie: string, target: string, why: Refusal): Promise<void> {
    const known = this.#known.get(keyOf(cookie, target))
    if (known !== undefined) await this.#end(known, why)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    const opening = [...this.#known.values()].flatMap(({ sessions }) => [...sessions.values()])
    await Promise.allSettled(opening)
    await Promise.allSettled([...this.#open].map((session) => session.end(GOING_DOWN())))
  }

  async #begin(known: Known, admission: Admission, client: Client): Promise<LiveSession> {
    const { id } = admission.grant
    try {
      const session = await LiveSession.open(this.#parts, admission, client, (closed) => {
        known.sessions.delete(id)
        this.#open.delete(closed)
      })
      this.#open.add(session)
      return session
    } catch (failure) {
      known.sessions.delete(id)
      throw failure
    }
  }

  async #admission(known: Known, { identity, passkey }: WebVisit): Promise<Admission> {
    if (known.admission !== undefined && performance.now() - known.admittedAt < FRESH_MS) {
      const kept = await known.admission.catch(() => undefined)
      // One that is over, or a no, is not remembered: another grant may have become live.
      if (kept !== undefined && kept.over() === undefined) return kept
    }
    const { target } = known
    const asked = admit(this.#parts.road.admit, { identity, target, protocol: 'http', passkey: passkey() })
    known.admission = asked
    known.admittedAt = performance.now()
    return asked
  }

  /** A visit that is over is not remembered, and its sessions end. What could not be looked up is looked up again. */
  async #settled(known: Known): Promise<WebVisit | undefined> {
    const { seen } = known
    try {
      const visit = await seen
      if (visit === undefined) await this.#end(known, SIGNED_OUT())
      return visit
    } catch (failure) {
      if (known.seen === seen) known.seenAt = 0
      if (failure instanceof Refusal && failure.code === 'LOCKED') await this.#end(known, failure)
      throw failure
    }
  }

  async #end(known: Known, why: Refusal): Promise<void> {
    known.isOver = true
    if (this.#known.get(known.key) === known) this.#known.delete(known.key)
    await Promise.allSettled([...known.sessions.values()].map(async (session) => (await session).end(why)))
  }

  /** WebSockets and downloads ask nothing, so they are looked after. */
  #lookAgain(): void {
    const now = performance.now()
    for (const [key, known] of this.#known) {
      if (now - known.seenAt < FRESH_MS) continue
      if (known.sessions.size === 0) this.#known.delete(key)
      else void this.visitor(known.cookie, known.target, { quiet: true }).catch(() => undefined)
    }
  }

  #forgetIdle(): void {
    for (const [key, known] of this.#known) if (known.sessions.size === 0) this.#known.delete(key)
  }
}

const keyOf = (cookie: string, target: string): string => `${target} ${cookie}`

const GOING_DOWN = (): Refusal =>
  new Refusal('UNAVAILABLE', 'The gateway is going down.', { next: 'Try again in a moment.' })

const SIGNED_OUT = (): Refusal =>
  new Refusal('NOT_SIGNED_IN', 'You signed out, or your sign-in is over.', { next: 'Sign in again.' })
