/** What the gateway says to a target about a person with each request: built once for the requests of a few seconds. */
import type { Clock, Moment } from '../model/moment.ts'
import type { Assertion, Assertions } from './assertion.ts'
import { aboutPerson } from './fields.ts'
import type { LiveSession } from './live-session.ts'
import type { Place } from './place.ts'

/** Signing is the dearest part of a small request, so requests that follow each other closely show the same assertion. */
const SHARED_MS = 5000

export type Vouched = {
  readonly assertion: Assertion
  /** Name, value, name, value: what begins every request of the session. */
  readonly fields: readonly string[]
  /** The gateway shows the application a credential of its own. */
  readonly isAuthorized: boolean
}

export class Vouching {
  readonly #assertions: Assertions
  readonly #clock: Clock
  readonly #recent = new WeakMap<LiveSession, { readonly vouched: Vouched; readonly madeAt: Moment }>()

  constructor(parts: { readonly assertions: Assertions; readonly clock: Clock }) {
    this.#assertions = parts.assertions
    this.#clock = parts.clock
  }

  /** What was said a moment ago and still holds. */
  recent(session: LiveSession): Vouched | undefined {
    const recent = this.#recent.get(session)
    return recent !== undefined && Math.abs(this.#clock.now() - recent.madeAt) < SHARED_MS ? recent.vouched : undefined
  }

  /** `session` is one person on one target under one grant. @throws {Refusal} UNAVAILABLE when a new key cannot be made known. */
  async about(session: LiveSession, place: Place): Promise<Vouched> {
    const recent = this.recent(session)
    if (recent !== undefined) return recent
    const madeAt = this.#clock.now()
    const { identity, grant } = session.admission
    const assertion = await this.#assertions.about(identity, place.target, grant.id)
    const authorization = await session.upstream.authorization()
    const fields = aboutPerson(session.endpoint, place, { identity, assertion: assertion.token, authorization })
    const vouched = { assertion, fields, isAuthorized: authorization !== undefined }
    this.#recent.set(session, { vouched, madeAt })
    return vouched
  }
}
