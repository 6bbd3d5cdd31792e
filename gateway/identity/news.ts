/** What identity tells auditors. */
import { randomUUID } from 'node:crypto'
import type { Audit, AuditEvent } from '../model/event.ts'
import type { Clock } from '../model/moment.ts'

export type News = (
  kind: Extract<AuditEvent['kind'], `identity.${string}`>,
  what: {
    readonly actor: string
    readonly text: string
    readonly target?: string | undefined
    readonly details?: Readonly<Record<string, unknown>>
  },
) => void

export const newsTo =
  (audit: Audit, clock: Clock): News =>
  (kind, { actor, text, target = '', details = {} }) =>
    audit({
      id: randomUUID(),
      at: clock.now(),
      kind,
      actor,
      grant: undefined,
      session: undefined,
      target,
      text,
      details,
    })
