/** Workspaces from the side of sessions: one is entered and left, and what it changed is remembered until the gateway has fetched it. */
import type { Account } from '../account.ts'
import type { Changes } from './changes.ts'
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
  /** Answers the gateway. Never throws. */
  errand(name: string): Promise<object>
}

const SESSION = /^[0-9a-f-]{36}$/
const CHANGES = 'changes@sallyport '
/** A gateway that does not fetch it by then is gone. */
const REMEMBERED_MS = 10 * 60_000
const MOST_REMEMBERED = 64

export function openDesk(workspaces: Workspaces): Desk {
  const over = new Map<string, Promise<Changes | undefined>>()
  const remember = (session: string, changes: Promise<Changes | undefined>): void => {
    over.set(session, changes)
    const [oldest] = over.keys()
    if (over.size > MOST_REMEMBERED && oldest !== undefined) over.delete(oldest)
    setTimeout(() => over.delete(session), REMEMBERED_MS).unref()
  }

  return {
    enter: async (wish, account, session) => {
      if (session === undefined || !SESSION.test(session)) throw new Error('This session has no number.')
      const workspace = await workspaces.open(wish, account)
      let left: Promise<string | undefined> | undefined
      const leave = async (): Promise<string | undefined> => {
        const changes = finished(workspace)
        if (wish.mode === 'overlay') remember(session, changes)
        return wish.mode === 'overlay' ? told(await changes) : void (await changes)
      }
      return { workspace, leave: () => (left ??= leave()) }
    },
    errand: async (name) => {
      const session = name.startsWith(CHANGES) ? name.slice(CHANGES.length) : ''
      const changes = await over.get(session)
      over.delete(session)
      if (changes === undefined) return { failed: 'Nothing is known here of what this session changed.' }
      return { left: changes.left, entries: changes.entries.map(({ raw: _raw, ...entry }) => entry) }
    },
  }
}

/** Undefined: it could not be read any more. */
async function finished(workspace: Workspace): Promise<Changes | undefined> {
  try {
    return await workspace.finish()
  } catch {
    return undefined
  } finally {
    workspace.end()
  }
}

const NAMED = 5

function told(changes: Changes | undefined): string | undefined {
  if (changes === undefined)
    return '[sallyport] What was changed in this workspace could not be read. It is thrown away.\n'
  const count = changes.entries.length + changes.left
  if (count === 0) return '[sallyport] Nothing was changed in this workspace.\n'
  const named = changes.entries.slice(0, NAMED).map(({ change, path }) => `${change} ${printable(path)}`)
  const more = count > named.length ? `, and ${count - named.length} more` : ''
  return `[sallyport] In this workspace: ${named.join(', ')}${more}. It is recorded, and thrown away.\n`
}

/** Names are whatever somebody chose. */
const printable = (path: string): string =>
  path.replaceAll(/[^\x20-\x7e\u00a1-\u200a\u2010-\u2027\u2030-\u205f\u2070-\ud7ff]/g, '?').slice(0, 200)
