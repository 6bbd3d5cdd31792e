/** Changes of an overlay that wait on their host for a second person: who may decide, and the one errand that does it. Nobody gets a session by it. */
import type { Audit, AuditEvent, SessionId } from '../model/event.ts'
import type { Identity } from '../model/identity.ts'
import type { Clock, Moment } from '../model/moment.ts'
import { Refusal } from '../model/refusal.ts'
import { covers, type Role } from '../model/role.ts'
import type { Target } from '../model/target.ts'
import type { Library, SessionRow } from '../session/session.ts'
import type { Engine } from './engine/contract.ts'
import { isOwnShell } from './engine/workspace.ts'
import { plain } from './screen/text.ts'
import { fieldsOf, isCount, type LayerChange, readChanges } from './workspace-changes.ts'

export type KeptParts = {
  readonly engine: Pick<Engine, 'errand'>
  readonly library: Pick<Library, 'session'>
  readonly targets: () => readonly Target[]
  readonly roles: () => readonly Role[]
  readonly notes: { readonly clock: Clock; readonly audit: Audit }
}

export type KeptLayer = {
  readonly session: SessionRow
  /** Of everything that would be done. */
  readonly digest: string
  readonly changes: readonly LayerChange[]
}

export type KeptRow = {
  readonly session: SessionRow
  readonly digest: string
  readonly changes: number
  readonly bytes: number
  readonly expiresAt: Moment
  /** One's own: somebody of these groups decides. */
  readonly isMine: boolean
  readonly approvers: readonly string[]
}

export type KeptList = {
  /** What ends first comes first. */
  readonly rows: readonly KeptRow[]
  /** Agents that could not be asked. */
  readonly silent: readonly string[]
}

export type KeptDesk = {
  /** What waits for this person, and what of theirs waits for others. */
  list(identity: Identity): Promise<KeptList>
  /** @throws {Refusal} NOT_FOUND, also for who may not decide. */
  show(identity: Identity, session: SessionId): Promise<KeptLayer>
  /** Exactly what was shown under that digest, once. @returns how many changes were made. @throws {Refusal} */
  apply(identity: Identity, session: SessionId, digest: string): Promise<number>
  /** Once. @throws {Refusal} NOT_FOUND, also where nothing is kept any more. */
  discard(identity: Identity, session: SessionId): Promise<void>
}

const UNREADABLE = 'The agent gave no readable answer.'

/** What an agent says is untrusted input. @throws {Refusal} TARGET_UNREACHABLE */
function readable<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof Refusal) throw cause
    throw new Refusal('TARGET_UNREACHABLE', UNREADABLE, { cause })
  }
}

export const countWords = (changes: number): string => (changes === 1 ? '1 change' : `${changes} changes`)

/** Agents that are asked at a time. */
const AT_ONCE = 8
const FRESH_MS = 3000
/** ECMA-262 §21.4.1.1: beyond it is no time. */
const LAST_MOMENT = 8.64e15
/** Each is looked up: an agent that makes them up is not to keep the store busy. */
const MOST_LISTED = 100

export function keptDesk({ engine, library, notes, roles, targets }: KeptParts): KeptDesk {
  const targetNamed = (name: string) => targets().find((target) => target.name === name)
  const keepOf = (row: SessionRow) => roles().find(({ name }) => name === row.role)?.ssh.workspace?.keep
  const note = (
    kind: Extract<AuditEvent['kind'], `workspace.${string}`>,
    actor: string,
    row: SessionRow,
    text: string,
    digest?: string,
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
      details: { person: row.username, ...(digest !== undefined && { digest }) },
    })
  /** @throws {Refusal} */
  const asked = async (target: Target, errand: string): Promise<Readonly<Record<string, unknown>>> => {
    const text = await engine.errand(target, errand)
    const said = readable(() => fieldsOf(JSON.parse(text)))
    if (typeof said['failed'] === 'string' && said['done'] === undefined)
      throw new Refusal('NOT_FOUND', plain(said['failed'], 500))
    return said
  }
  const placeOf = (row: SessionRow): Target => {
    const target = targetNamed(row.target)
    if (target?.ssh?.agent === undefined) throw new Refusal('NOT_FOUND', 'That host is not behind an agent any more.')
    return target
  }

  /** @throws {Refusal} NOT_FOUND, NOT_ALLOWED */
  const decidable = async (identity: Identity, id: SessionId): Promise<SessionRow> => {
    const row = await library.session(id)
    const mayDecide = row && keepOf(row)?.approvers.some((group) => identity.groups.includes(group)) === true
    if (row === undefined || !mayDecide)
      throw new Refusal('NOT_FOUND', 'There are no kept changes of such a session that you may decide about.')
    if (row.subject === identity.subject)
      throw new Refusal('NOT_ALLOWED', 'These changes are your own: somebody else has to decide about them.')
    return row
  }

  /** Pages ask again and again. */
  const lists = new Map<string, { readonly at: number; readonly said: ReturnType<typeof asked> }>()
  const listOf = (agent: string, target: Target) => {
    const known = lists.get(agent)
    const now = notes.clock.now()
    if (known !== undefined && now - known.at < FRESH_MS) return known.said
    const said = asked(target, 'list@sallyport')
    lists.set(agent, { at: now, said })
    return said
  }

  /** What an agent lists is believed only of sessions on its own targets. */
  const listed = async (identity: Identity, agent: string, target: Target): Promise<readonly KeptRow[]> => {
    const { kept } = await listOf(agent, target)
    if (!Array.isArray(kept)) throw new Refusal('TARGET_UNREACHABLE', UNREADABLE)
    const found = await Promise.all(
      kept.slice(0, MOST_LISTED).map(async (said: unknown): Promise<KeptRow | undefined> => {
        const { bytes, changes, digest, expiresAt, session } = fieldsOf(said)
        if (typeof session !== 'string' || !/^[0-9a-f-]{36}$/.test(session)) return undefined
        if (typeof digest !== 'string' || !/^[0-9a-f]{64}$/.test(digest)) return undefined
        if (!isCount(bytes) || !isCount(changes) || !isCount(expiresAt) || expiresAt > LAST_MOMENT) return undefined
        const row = await library.session(session as SessionId)
        const keep = row && keepOf(row)
        if (row === undefined || keep === undefined || targetNamed(row.target)?.ssh?.agent !== agent) return undefined
        const isMine = row.subject === identity.subject
        if (!isMine && !keep.approvers.some((group) => identity.groups.includes(group))) return undefined
        const { approvers } = keep
        return { session: row, digest, changes, bytes, expiresAt: expiresAt as Moment, isMine, approvers }
      }),
    )
    return found.filter((row) => row !== undefined)
  }
  /** Agents on whose hosts something of this person, or for them, could wait: by name, and a target by which each is reached. */
  const hostsFor = (identity: Identity): ReadonlyMap<string, Target> => {
    const concerned = roles().filter(({ requesters, ssh }) =>
      [...requesters, ...(ssh.workspace?.keep?.approvers ?? [])].some((group) => identity.groups.includes(group)),
    )
    const keeping = concerned.filter(({ ssh }) => ssh.workspace?.keep !== undefined)
    const behind = targets().filter((target) => isOwnShell(target.ssh) && keeping.some((role) => covers(role, target)))
    return new Map(behind.map((target) => [target.ssh?.agent ?? '', target]))
  }

  return {
    list: async (identity) => {
      const left = [...hostsFor(identity)]
      const rows: KeptRow[] = []
      const silent: string[] = []
      const one = async () => {
        for (let next = left.shift(); next !== undefined; next = left.shift())
          try {
            rows.push(...(await listed(identity, ...next)))
          } catch {
            silent.push(next[0])
          }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, one))
      return { rows: rows.toSorted((a, b) => a.expiresAt - b.expiresAt), silent: silent.toSorted() }
    },
    show: async (identity, id) => {
      const row = await decidable(identity, id)
      const said = await asked(placeOf(row), `kept@sallyport ${id}`)
      const digest = String(said['digest'])
      if (!/^[0-9a-f]{64}$/.test(digest)) throw new Refusal('TARGET_UNREACHABLE', UNREADABLE)
      const { changes } = readable(() => readChanges({ ...said, left: 0 }))
      note(
        'workspace.shown',
        identity.username,
        row,
        `${identity.username} looked at what ${row.username} changed in a workspace (${inShort(digest)}).`,
        digest,
      )
      return { session: row, digest, changes }
    },
    apply: async (identity, id, digest) => {
      const session = await decidable(identity, id)
      // Where nothing is kept, nobody began to apply anything.
      await asked(placeOf(session), `kept@sallyport ${id}`)
      note(
        'workspace.applying',
        identity.username,
        session,
        `${identity.username} applies what ${session.username} changed in a workspace (${inShort(digest)}).`,
        digest,
      )
      lists.clear()
      const { done, failed } = await asked(placeOf(session), `apply@sallyport ${session.id} ${digest}`)
      const count = isCount(done) ? done : 0
      // What says neither is no word that anything was done.
      if (isCount(done) && failed === undefined) {
        note(
          'workspace.applied',
          identity.username,
          session,
          `${identity.username} applied ${countWords(count)} of ${session.username}.`,
        )
        return count
      }
      const why = typeof failed === 'string' ? plain(failed, 500) : UNREADABLE
      note(
        'workspace.refused',
        identity.username,
        session,
        `${identity.username} applied ${countWords(count)} of ${session.username}, and then no more: ${why}`,
      )
      throw new Refusal(
        'NOT_ALLOWED',
        count === 0 ? `Nothing was applied: ${why}` : `Applied: ${countWords(count)}, and then no more: ${why}`,
      )
    },
    discard: async (identity, id) => {
      const session = await decidable(identity, id)
      lists.clear()
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

/** Of a digest, what people compare; all of it stands in the details. */
const inShort = (digest: string): string => digest.slice(0, 12)
