/** Who is in, across all workers, and a hand on each session's switch. */
import { randomUUID } from 'node:crypto'
import type { Audit, SessionId, SessionStart } from '../model/event.ts'
import { isLive } from '../model/grant.ts'
import type { Identity, Username } from '../model/identity.ts'
import type { Log } from '../model/log.ts'
import { after, type Clock, type Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { State } from '../state/state.ts'
import { approves, isAdmin, seesAll } from './authority.ts'
import type { Changes } from './changes.ts'
import type { Policy } from './policy.ts'
import { line } from './input.ts'
import type { Ledger, Page } from './ledger.ts'
import { refuseLocked } from './locks.ts'
import { eventOf } from './outbox.ts'
import { endedRefusal } from './sentences.ts'

export type SessionBookParts = {
  readonly store: { readonly state: State; readonly ledger: Ledger; readonly changes: Changes }
  readonly clock: Clock
  readonly log: Log
  readonly audit: Audit
  readonly policy: () => Policy
}

const HEARTBEAT_MS = 5000
/** Longer than the state store may be out of reach: by then the sessions of a living worker have ended. */
const DEAD_AFTER_MS = 45_000

type Place = { readonly start: SessionStart; readonly killed: AbortController }

export class Sessions {
  readonly #parts: SessionBookParts
  readonly #worker = randomUUID()
  readonly #in = new Map<SessionId, Place>()
  /** Left while the store was out of reach. */
  readonly #leaving = new Map<SessionId, SessionStart>()
  readonly #stop: () => void
  #timer: NodeJS.Timeout | undefined

  constructor(parts: SessionBookParts) {
    this.#parts = parts
    this.#stop = parts.store.changes.on('sessions-changed', () => void this.#obey())
  }

  /** @throws {Refusal} GRANT_ENDED, LOCKED, UNAVAILABLE. */
  async enter(start: SessionStart): Promise<{ readonly killed: AbortSignal; leave(): Promise<void> }> {
    const { clock, audit, store } = this.#parts
    const place: Place = { start, killed: new AbortController() }
    try {
      await store.ledger.write(async (page) => {
        await refuseLocked(page.tx, start)
        const kept = await page.find(start.grant)
        const grant = kept?.grant
        if (grant?.state === 'ended') throw endedRefusal(grant)
        if (grant === undefined || grant.subject !== start.subject || !isLive(grant, page.now))
          throw new Refusal('GRANT_ENDED', `Grant ${start.grant} is not live.`)
        await this.#write(page, start)
        page.touch('sessions-changed')
        page.tell({
          kind: 'session.opened',
          actor: start.username,
          grant: start.grant,
          session: start.id,
          target: start.target,
          text: `${start.username} opened a session on ${start.target} by ${start.protocol}.`,
          details: {
            role: start.role,
            account: start.account,
            channel: start.channel,
            clientAddress: start.clientAddress,
            clientVersion: start.clientVersion,
          },
        })
      })
    } catch (error) {
      if (error instanceof Refusal) audit(eventOf({ ...refusedDeed(start), details: { code: error.code } }, clock))
      throw error
    }
    this.#in.set(start.id, place)
    this.#timer ??= setInterval(() => void this.#heartbeat(), HEARTBEAT_MS)
    // Somebody may have ended it between the commit and this line.
    await this.#obey()
    return { killed: place.killed.signal, leave: () => this.#leave(start) }
  }

  /** Newest first; those of workers that have been silent for long are not in any more. */
  async list(identity: Identity): Promise<readonly SessionStart[]> {
    const { clock, policy, store } = this.#parts
    const all = seesAll(policy(), identity)
    const rows = await store.state.all<{ start: string }>(
      `select start from live_sessions where heartbeat > $1${all ? '' : ' and username = $2'} order by started_at desc`,
      [after(clock.now(), -DEAD_AFTER_MS), ...(all ? [] : [identity.username])],
    )
    return rows.map(({ start }) => revive(start)).filter(({ subject }) => all || subject === identity.subject)
  }

  /** Administrators, approvers of the role, and the person whose session it is. */
  async kill(identity: Identity, id: SessionId, note: string): Promise<void> {
    const why = line(note, 'note', 0)
    const policy = this.#parts.policy()
    await this.#parts.store.ledger.write(async (page) => {
      const [row] = await page.tx.all<{ start: string; killed_by: Username | null }>(
        'select start, killed_by from live_sessions where id = $1',
        [id],
      )
      const start = row === undefined ? undefined : revive(row.start)
      const own = start?.subject === identity.subject
      const may = own || isAdmin(policy, identity) || approves(policy, identity, start?.role ?? '')
      if (start === undefined || (!may && !seesAll(policy, identity)))
        throw new Refusal('NOT_FOUND', 'There is no such live session for you.')
      if (!may) throw new Refusal('NOT_ALLOWED', 'This session is for others to end.')
      if (row?.killed_by !== null) return
      await page.tx.run('update live_sessions set killed_by = $1, kill_note = $2 where id = $3', [
        identity.username,
        why,
        id,
      ])
      page.touch('sessions-changed')
      page.tell({
        kind: 'session.killed',
        actor: identity.username,
        grant: start.grant,
        session: id,
        target: start.target,
        text: `${identity.username} ended a session of ${start.username} on ${start.target}.`,
        details: { username: start.username, note: why },
      })
    })
  }

  /** Forgets sessions of workers that died; their events say so. */
  async sweep(): Promise<void> {
    const { clock, store } = this.#parts
    const silentSince = after(clock.now(), -DEAD_AFTER_MS)
    const rows = await store.state.all<{ start: string }>('select start from live_sessions where heartbeat <= $1', [
      silentSince,
    ])
    for (const { start } of rows) await this.#remove(revive(start), 'its worker is gone', silentSince)
  }

  async close(): Promise<void> {
    this.#stop()
    clearInterval(this.#timer)
    for (const { start } of Array.from(this.#in.values())) await this.#leave(start)
    for (const start of Array.from(this.#leaving.values())) await this.#leave(start)
  }

  /** Never throws: a session that is over is over. */
  async #leave(start: SessionStart): Promise<void> {
    this.#in.delete(start.id)
    this.#leaving.set(start.id, start)
    try {
      await this.#remove(start, '')
      this.#leaving.delete(start.id)
    } catch (error) {
      this.#parts.log({ level: 'warn', room: 'grants', message: 'A session could not be signed out yet.', error })
    }
  }

  async #remove(start: SessionStart, why: string, silentSince?: Moment): Promise<void> {
    await this.#parts.store.ledger.write(async (page) => {
      const gone =
        silentSince === undefined
          ? await page.tx.run('delete from live_sessions where id = $1', [start.id])
          : await page.tx.run('delete from live_sessions where id = $1 and heartbeat <= $2', [start.id, silentSince])
      if (gone === 0) return
      page.touch('sessions-changed')
      page.tell({
        kind: 'session.ended',
        actor: start.username,
        grant: start.grant,
        session: start.id,
        target: start.target,
        text: `A session of ${start.username} on ${start.target} ended${why === '' ? '' : `: ${why}`}.`,
      })
    })
  }

  async #write(page: Page, start: SessionStart): Promise<void> {
    await page.tx.run(
      'insert into live_sessions (id, worker, username, start, started_at, heartbeat) values ($1, $2, $3, $4, $5, $6) on conflict do nothing',
      [start.id, this.#worker, start.username, JSON.stringify(start), start.startedAt, page.now],
    )
  }

  async #heartbeat(): Promise<void> {
    try {
      for (const start of Array.from(this.#leaving.values())) await this.#leave(start)
      const ours = [...this.#in.keys()]
      if (ours.length === 0) return
      const rows = await this.#parts.store.state.all<{ id: SessionId }>(
        'update live_sessions set heartbeat = $1 where worker = $2 returning id',
        [this.#parts.clock.now(), this.#worker],
      )
      const known = new Set(rows.map(({ id }) => id))
      const lost = [...this.#in.values()].filter(({ start }) => ours.includes(start.id) && !known.has(start.id))
      // The clock jumped, and somebody took this worker for dead: what nobody sees nobody can end.
      if (lost.length > 0)
        await this.#parts.store.ledger.write(async (page) => {
          for (const { start } of lost) await this.#write(page, start)
          page.touch('sessions-changed')
        })
      await this.#obey()
    } catch (error) {
      this.#parts.log({ level: 'warn', room: 'grants', message: 'Live sessions could not be confirmed.', error })
    }
  }

  async #obey(): Promise<void> {
    if (this.#in.size === 0) return
    try {
      const rows = await this.#parts.store.state.all<{ id: SessionId; killed_by: Username; kill_note: string }>(
        'select id, killed_by, kill_note from live_sessions where worker = $1 and killed_by is not null',
        [this.#worker],
      )
      for (const { id, killed_by, kill_note } of rows) {
        const note = kill_note === '' ? '.' : `: ${kill_note}`
        this.#in.get(id)?.killed.abort(new Refusal('GRANT_ENDED', `Your session was ended by ${killed_by}${note}`))
      }
    } catch (error) {
      this.#parts.log({ level: 'warn', room: 'grants', message: 'Live sessions could not be looked at.', error })
    }
  }
}

const refusedDeed = (start: SessionStart) => ({
  kind: 'session.refused' as const,
  actor: start.username,
  grant: start.grant,
  session: start.id,
  target: start.target,
  text: `A session of ${start.username} on ${start.target} was refused.`,
})

/** JSON has no undefined. */
function revive(text: string): SessionStart {
  const start = JSON.parse(text) as SessionStart
  return { ...start, terminal: start.terminal }
}
