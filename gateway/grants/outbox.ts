/** Events leave in the transaction of their step: what was committed reaches the log, also after a crash; what was not, does not. */
import { createHash, randomUUID } from 'node:crypto'
import type { Audit, AuditEvent } from '../model/event.ts'
import type { Log } from '../model/log.ts'
import { after, type Clock } from '../model/moment.ts'
import type { State, Statements } from '../state/state.ts'

/** An event before it has a number and a time. */
export type Deed = Pick<AuditEvent, 'kind' | 'actor' | 'text'> &
  Partial<Pick<AuditEvent, 'id' | 'grant' | 'session' | 'target' | 'details'>>

export function eventOf(deed: Deed, clock: Clock): AuditEvent {
  return {
    id: deed.id ?? randomUUID(),
    at: clock.now(),
    kind: deed.kind,
    actor: deed.actor,
    grant: deed.grant,
    session: deed.session,
    target: deed.target ?? '',
    text: deed.text,
    details: deed.details ?? {},
  }
}

/** The same facts give the same id, so that several workers who report one thing report it once. */
export function idOf(...facts: readonly (string | number)[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(facts)).digest().subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

export type OutboxParts = {
  readonly state: State
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
}

/** The log takes an event at once and has it on disk a few milliseconds later; only then is it forgotten here. */
const FORGET_AFTER_MS = 500
/** Whoever committed an event has sent it by then, or is dead. */
const ORPHAN_AFTER_MS = 10_000
const CLOCK_SKEW_MS = 60_000

export class Outbox {
  readonly #parts: OutboxParts
  #sent = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: OutboxParts) {
    this.#parts = parts
  }

  async put(tx: Statements, event: AuditEvent): Promise<void> {
    await tx.run('insert into outbox (id, created_at, event) values ($1, $2, $3)', [
      event.id,
      this.#parts.clock.now(),
      JSON.stringify(event),
    ])
  }

  /** After the commit. */
  send(events: readonly AuditEvent[]): void {
    for (const event of events) {
      try {
        this.#parts.audit(event)
        this.#sent.add(event.id)
      } catch (error) {
        this.#parts.log({ level: 'error', room: 'grants', message: 'An event was not taken by the log.', error })
      }
    }
    if (this.#sent.size === 0) return
    this.#timer ??= setTimeout(() => void this.#forget(), FORGET_AFTER_MS)
  }

  /** Sends again what a crash left behind. */
  async resend(): Promise<void> {
    const now = this.#parts.clock.now()
    const rows = await this.#parts.state.all<{ event: string }>(
      'select event from outbox where created_at <= $1 or created_at > $2 order by created_at limit 1000',
      [after(now, -ORPHAN_AFTER_MS), after(now, CLOCK_SKEW_MS)],
    )
    this.send(rows.map(({ event }) => revive(event)).filter(({ id }) => !this.#sent.has(id)))
  }

  async close(): Promise<void> {
    await this.#forget()
  }

  async #forget(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const ids = this.#sent
    this.#sent = new Set()
    if (ids.size === 0) return
    try {
      await this.#parts.state.tx(async (tx) => {
        for (const id of ids) await tx.run('delete from outbox where id = $1', [id])
      })
    } catch (error) {
      this.#parts.log({ level: 'warn', room: 'grants', message: 'Sent events stay in the outbox for now.', error })
    }
  }
}

/** JSON has no undefined. */
function revive(text: string): AuditEvent {
  const event = JSON.parse(text) as AuditEvent
  return { ...event, grant: event.grant, session: event.session }
}
