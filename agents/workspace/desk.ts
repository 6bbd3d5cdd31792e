/** Workspaces from the side of sessions: one is entered and left, and what it changed is remembered until the gateway has fetched it. */
import type { Account } from '../account.ts'
import type { Changes } from './changes.ts'
import { type Kept, NOTHING } from './kept.ts'
import type { WorkspaceWish } from './wish.ts'
import type { Workspace, Workspaces } from './workspace.ts'

export type Room = {
  readonly workspace: Workspace
  /** Ends it; however often it is called, once. @returns what the person is told, undefined for nothing. */
  leave(): Promise<string | undefined>
}

export type Desk = {
  /** @param session the gateway's number for it. @throws {Error} with a sentence. */
  enter(wish: WorkspaceWish, account: Account, session: string | undefined): Promise<Room>
  /** Answers the gateway: `list`, or a verb, a session, and for `apply` the digest of what was seen. Never throws. */
  errand(name: string): Promise<object>
}

type Over = {
  readonly changes: Changes
  /** Undefined: nothing was to be kept. */
  readonly kept: { readonly digest: string; readonly minutes: number } | { readonly failed: string } | undefined
}

const SESSION = /^[0-9a-f-]{36}$/
const LIST = 'list@sallyport'
const ERRAND = /^(?<verb>changes|kept|apply|discard)@sallyport (?<session>[0-9a-f-]{36})(?: (?<digest>[0-9a-f]{64}))?$/
/** A gateway that does not fetch it by then is gone. */
const REMEMBERED_MS = 10 * 60_000
const MOST_REMEMBERED = 64

export function openDesk(workspaces: Workspaces, kept: Kept): Desk {
  const over = new Map<string, Promise<Over | undefined>>()
  const remember = (session: string, what: Promise<Over | undefined>): void => {
    over.set(session, what)
    const [oldest] = over.keys()
    if (over.size > MOST_REMEMBERED && oldest !== undefined) over.delete(oldest)
    setTimeout(() => over.delete(session), REMEMBERED_MS).unref()
  }
  const changesOf = async (session: string): Promise<object> => {
    const found = await over.get(session)
    over.delete(session)
    if (found === undefined) return { failed: 'Nothing is known here of what this session changed.' }
    const { changes } = found
    return { left: changes.left, entries: changes.entries.map(({ raw: _raw, ...entry }) => entry), kept: found.kept }
  }
  const answer = async (verb: string, session: string, digest: string): Promise<object> => {
    if (verb === 'changes') return changesOf(session)
    if (verb === 'kept') return (await kept.show(session)) ?? { failed: NOTHING }
    if (verb === 'apply') return kept.apply(session, digest)
    return (await kept.discard(session)) ? {} : { failed: NOTHING }
  }

  return {
    enter: async (wish, account, session) => {
      if (session === undefined || !SESSION.test(session)) throw new Error('This session has no number.')
      const workspace = await workspaces.open(wish, account)
      let left: Promise<string | undefined> | undefined
      const leave = async (): Promise<string | undefined> => {
        const what = finished({ workspace, wish, session, kept })
        if (wish.mode === 'overlay') remember(session, what)
        const found = await what
        return wish.mode === 'overlay' ? told(found, session) : undefined
      }
      return { workspace, leave: () => (left ??= leave()) }
    },
    errand: async (name) => {
      const { digest = '', session = '', verb = '' } = ERRAND.exec(name)?.groups ?? {}
      try {
        if (name === LIST) return { kept: kept.list() }
        return verb === '' ? { failed: 'This agent does not know that errand.' } : await answer(verb, session, digest)
      } catch {
        return { failed: NOTHING }
      }
    },
  }
}

type Finishing = {
  readonly workspace: Workspace
  readonly wish: WorkspaceWish
  readonly session: string
  readonly kept: Kept
}

/** Undefined: it has no layer, or that could not be read any more. */
async function finished({ kept, session, wish, workspace }: Finishing): Promise<Over | undefined> {
  try {
    const changes = await workspace.finish()
    if (changes === undefined) return undefined
    const minutes = wish.keepMinutes
    if (minutes === 0 || changes.entries.length === 0) return { changes, kept: undefined }
    try {
      return { changes, kept: { ...(await kept.keep(session, changes, wish)), minutes } }
    } catch (failure) {
      return { changes, kept: { failed: failure instanceof Error ? failure.message : 'It could not be kept.' } }
    }
  } catch {
    return undefined
  } finally {
    workspace.end()
  }
}

const NAMED = 5

function told(over: Over | undefined, session: string): string {
  if (over === undefined)
    return '[sallyport] What was changed in this workspace could not be read. It is thrown away.\n'
  const { changes, kept } = over
  const count = changes.entries.length + changes.left
  if (count === 0) return '[sallyport] Nothing was changed in this workspace.\n'
  const named = changes.entries.slice(0, NAMED).map(({ change, path }) => `${change} ${printable(path)}`)
  const more = count > named.length ? `, and ${count - named.length} more` : ''
  const where =
    kept === undefined
      ? 'thrown away'
      : 'failed' in kept
        ? `thrown away: ${printable(kept.failed)}`
        : `kept for a second person: apply ${session}`
  return `[sallyport] In this workspace: ${named.join(', ')}${more}. It is recorded, and ${where}\n`
}

/** Names are whatever somebody chose. */
const printable = (path: string): string =>
  path.replaceAll(/[^\x20-\x7e\u00a1-\u200a\u2010-\u2027\u2030-\u205f\u2070-\ud7ff]/g, '?').slice(0, 200)
