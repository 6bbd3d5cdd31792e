/** Who looked at which recording: an audit event for each opening, search and file that was taken. Pages of one replay within a while are one opening. */
import { hash, randomUUID } from 'node:crypto'
import type { AuditEvent } from '../model/event.ts'
import type { Grant } from '../model/grant.ts'
import type { Moment } from '../model/moment.ts'
import type { SessionRow } from '../session/session.ts'
import type { PortalParts } from './parts.ts'
import type { Visitor } from './visitor.ts'

const ONE_OPENING_MS = 60_000
const MOST_REMEMBERED = 5000

export class Openings {
  readonly #parts: Pick<PortalParts, 'audit' | 'clock'>
  readonly #last = new Map<string, Moment>()

  constructor(parts: Pick<PortalParts, 'audit' | 'clock'>) {
    this.#parts = parts
  }

  /** A page of a recording: part of the opening that was noted a moment ago, or a new one. */
  notePage(visitor: Visitor, row: SessionRow): void {
    const last = this.#last.get(keyOf(visitor, row))
    if (last === undefined || Math.abs(this.#parts.clock.now() - last) >= ONE_OPENING_MS)
      this.note('replayed', visitor, row)
  }

  /** An opening that two workers note for two calls of one page is one event: its id follows from what it tells. */
  #idOf(deed: string, visitor: Visitor, row: SessionRow): string {
    if (deed !== 'replayed') return randomUUID()
    const minute = Math.floor(this.#parts.clock.now() / ONE_OPENING_MS)
    const hex = hash('sha256', `replayed ${keyOf(visitor, row)} ${minute}`)
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
  }

  note(deed: 'replayed' | 'watched' | 'exported', visitor: Visitor, row: SessionRow): void {
    const now = this.#parts.clock.now()
    if (this.#last.size >= MOST_REMEMBERED) this.#last.clear()
    this.#last.set(keyOf(visitor, row), now)
    this.#tell(visitor, {
      id: this.#idOf(deed, visitor, row),
      kind: `session.${deed}`,
      grant: row.grant,
      session: row.id,
      target: row.target,
      text: `${visitor.identity.username} ${deed} a session of ${row.username} on ${row.target}`,
    })
  }

  noteGrant(visitor: Visitor, grant: Grant): void {
    this.#tell(visitor, {
      kind: 'grant.exported',
      grant: grant.id,
      target: grant.target,
      text: `${visitor.identity.username} took the evidence about grant ${grant.id} of ${grant.username}`,
    })
  }

  noteSearch(visitor: Visitor, text: string): void {
    this.#tell(visitor, { kind: 'session.searched', text: `${visitor.identity.username} searched recordings: ${text}` })
  }

  #tell(
    { identity, address }: Visitor,
    deed: Pick<AuditEvent, 'kind' | 'text'> & Partial<Pick<AuditEvent, 'id' | 'grant' | 'session' | 'target'>>,
  ): void {
    this.#parts.audit({
      id: randomUUID(),
      at: this.#parts.clock.now(),
      actor: identity.username,
      grant: undefined,
      session: undefined,
      target: '',
      details: { address, door: 'portal' },
      ...deed,
    })
  }
}

const keyOf = ({ identity }: Visitor, row: SessionRow): string => `${row.id} ${identity.subject}`
