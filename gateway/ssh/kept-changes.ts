/** Changes of an overlay that wait on their host for a second person: who may decide, and the one errand that does it. Nobody gets a session by it. */
import type { Audit, AuditEvent, SessionId } from '../model/event.ts'
import type { Identity } from '../model/identity.ts'
import type { Clock } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import type { Role } from '../model/role.ts'
import type { Target } from '../model/target.ts'
import type { Library, SessionRow } from '../session/session.ts'
import type { Engine } from './engine/contract.ts'
import { plain } from './screen/text.ts'
import { fieldsOf, isCount, type LayerChange, readChanges } from './workspace-changes.ts'

export type KeptParts = {
  readonly engine: Pick<Engine, 'errand'>
  readonly library: Pick<Library, 'session'>
  readonly target: (name: string) => Target | undefined
  readonly role: (name: string) => Role | undefined
  readonly notes: { readonly clock: Clock; readonly audit: Audit }
}

export type KeptLayer = {
  readonly session: SessionRow
  /** Of everything that would be done. */
  readonly digest: string
  readonly changes: readonly LayerChange[]
}

export type KeptDesk = {
  /** @throws {Refusal} NOT_FOUND, also for who may not decide. */
  show(identity: Identity, session: SessionId): Promise<KeptLayer>
  /** Exactly what was shown, once. @returns how many changes were made. @throws {Refusal} */
  apply(identity: Identity, layer: KeptLayer): Promise<number>
  discard(identity: Identity, layer: KeptLayer): Promise<void>
}

export function keptDesk({ engine, library, notes, role: roleNamed, target: targetNamed }: KeptParts): KeptDesk {
  const note = (
    kind: Extract<AuditEvent['kind'], `workspace.${string}`>,
    actor: string,
    row: SessionRow,
    text: string,
  ) =>
    notes.audit({
      id: crypto.randomUUID(),
      at: notes.clock.now(),
      kind,
      actor,
      grant: row.grant,
      session: row.id,
      target: row.target,
      text,
      details: { person: row.username },
    })
  const asked = async (target: Target, errand: string): Promise<Readonly<Record<string, unknown>>> => {
    const said = fieldsOf(JSON.parse(await engine.errand(target, errand)))
    if (typeof said['failed'] === 'string' && said['done'] === undefined)
      throw new Refusal('NOT_FOUND', plain(said['failed'], 500))
    return said
  }
  const placeOf = (row: SessionRow): Target => {
    const target = targetNamed(row.target)
    if (target?.ssh?.agent === undefined) throw new Refusal('NOT_FOUND', 'That host is not behind an agent any more.')
    return target
  }

  return {
    show: async (identity, id) => {
      const row = await library.session(id)
      const keep = row && roleNamed(row.role)?.ssh.workspace?.keep
      const mayDecide = keep?.approvers.some((group) => identity.groups.includes(group)) === true
      if (row === undefined || !mayDecide)
        throw new Refusal('NOT_FOUND', 'There are no kept changes of such a session that you may decide about.')
      if (row.subject === identity.subject)
        throw new Refusal('NOT_ALLOWED', 'These changes are your own: somebody else has to decide about them.')
      const said = await asked(placeOf(row), `kept@sallyport ${id}`)
      const digest = String(said['digest'])
      if (!/^[0-9a-f]{64}$/.test(digest)) throw new Refusal('NOT_FOUND', 'The agent gave no readable answer.')
      return { session: row, digest, changes: readChanges({ ...said, left: 0 }).changes }
    },
    apply: async (identity, { digest, session }) => {
      note(
        'workspace.applying',
        identity.username,
        session,
        `${identity.username} applies what ${session.username} changed in a workspace (${digest}).`,
      )
      const { done, failed } = await asked(placeOf(session), `apply@sallyport ${session.id} ${digest}`)
      const count = isCount(done) ? done : 0
      if (typeof failed !== 'string') {
        note(
          'workspace.applied',
          identity.username,
          session,
          `${count} changes of ${session.username} were applied by ${identity.username}.`,
        )
        return count
      }
      const why = plain(failed, 500)
      note(
        'workspace.refused',
        identity.username,
        session,
        `Of the changes of ${session.username}, ${count} were applied by ${identity.username}, then: ${why}`,
      )
      throw new Refusal(
        'NOT_ALLOWED',
        count === 0 ? `Nothing was applied: ${why}` : `${count} were applied, and then no more: ${why}`,
      )
    },
    discard: async (identity, { session }) => {
      await asked(placeOf(session), `discard@sallyport ${session.id}`)
      note(
        'workspace.discarded',
        identity.username,
        session,
        `What ${session.username} changed in a workspace was thrown away by ${identity.username}.`,
      )
    },
  }
}
