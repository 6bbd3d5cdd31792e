/** Tells auditors that a person was not let in: once a minute for the same, because pages ask again and again. */
import type { Audit } from '../model/event.ts'
import type { Identity } from '../model/identity.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { Refusal, type RefusalCode } from '../model/refusal.ts'

/** A stranger is nobody to tell of, and a page that may not be seen is in the recording. */
const TELLING: ReadonlySet<RefusalCode> = new Set([
  'NO_GRANT',
  'GRANT_ENDED',
  'MFA_MISSING',
  'PASSKEY_MISSING',
  'LOCKED',
])
const ONCE_MS = 60_000
const MOST_REMEMBERED = 5000

export class RefusalNotes {
  readonly #notes: { readonly audit: Audit; readonly clock: Clock }
  readonly #last = new Map<string, Moment>()

  constructor(notes: { readonly audit: Audit; readonly clock: Clock }) {
    this.#notes = notes
  }

  note(identity: Identity, target: string, failure: unknown): void {
    if (!(failure instanceof Refusal) || !TELLING.has(failure.code)) return
    const now = this.#notes.clock.now()
    const key = `${identity.subject} ${target} ${failure.code}`
    const last = this.#last.get(key)
    if (last !== undefined && Math.abs(now - last) < ONCE_MS) return
    if (this.#last.size >= MOST_REMEMBERED) this.#last.clear()
    this.#last.set(key, now)
    this.#notes.audit({
      id: crypto.randomUUID(),
      at: now,
      kind: 'session.refused',
      actor: identity.username,
      grant: undefined,
      session: undefined,
      target,
      text: failure.message,
      details: { protocol: 'http', code: failure.code, subject: identity.subject },
    })
  }
}
