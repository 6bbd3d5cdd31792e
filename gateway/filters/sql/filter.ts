/** The judges of SQL: one for each session, with what they share. */
import type { Clock } from '../../model/moment.ts'
import type { MaskRule } from '../../model/mask.ts'
import type { Role } from '../../model/role.ts'
import type { StartPath } from './catalog.ts'
import { type Ask, Database } from './database.ts'
import { ReadOnlyJudge, type SqlJudge } from './judge.ts'
import { createOpenJudge } from './open-judge.ts'
import { openParser } from './parser.ts'
import { settingReason, splitPath } from './settings.ts'
import { VerdictCache } from './verdicts.ts'
import { createWorkspaceJudge } from './workspace-judge.ts'

/** What a judge asks to know of its session. */
export type SqlContext = {
  readonly target: string
  /** The database on the target. */
  readonly database: string
  /** The login there. Left out, each session costs a question more. */
  readonly account?: string
  /** The start-up parameters as the target gets them, names in lower case. */
  readonly parameters: ReadonlyMap<string, string>
  /** Runs statements in that database as the session's account; one list of rows for each. */
  readonly ask: Ask
}

export type SqlFilter = {
  /** @throws when the database's catalog cannot be read: without it a read-only session is not possible. */
  createJudge(role: Role, context: SqlContext): SqlJudge | Promise<SqlJudge>
  close(): Promise<void>
}

/** By the account's settings, the client's own on top, and `$user`. */
async function startPath(database: Database, role: Role, context: SqlContext, ask: Ask): Promise<StartPath> {
  const { account, parameters } = context
  const { schemas, isCatalogFirst } = await database.enter(account === undefined ? undefined : role.name, ask)
  const asked = splitPath(parameters.get('search_path') ?? '')
  return {
    schemas: [...schemas, ...asked, ...(account === undefined ? [] : [account])],
    isCatalogFirst: isCatalogFirst && settingReason('search_path', asked) === undefined,
  }
}

/** Databases whose catalog is kept. */
const MAX_DATABASES = 200
/** Rules that were told of; whatever comes after so many is no slip of the pen. */
const MAX_TOLD = 10_000

export type SqlFilterParts = {
  readonly clock: Clock
  /** Told once of each rule of a role that masks no column of a database, when a session first meets it. */
  readonly unfitting?: (role: string, context: Pick<SqlContext, 'target' | 'database'>, rule: MaskRule) => void
}

/** One per worker process. */
export async function openSqlFilter({ clock, unfitting }: SqlFilterParts): Promise<SqlFilter> {
  const parser = await openParser()
  const cache = new VerdictCache()
  const databases = new Map<string, Database>()
  const told = new Set<string>()
  const tell = (role: string, { database, target }: SqlContext, rules: readonly MaskRule[]): void => {
    for (const rule of rules) {
      const key = JSON.stringify([role, target, database, rule])
      if (told.has(key) || told.size >= MAX_TOLD) continue
      told.add(key)
      unfitting?.(role, { database, target }, rule)
    }
  }

  const databaseOf = ({ target, database }: SqlContext, isMasked: boolean): Database => {
    const key = JSON.stringify([target, database, isMasked])
    const found = databases.get(key) ?? new Database(clock, parser, isMasked)
    databases.delete(key)
    databases.set(key, found)
    const [oldest] = databases.keys()
    if (databases.size > MAX_DATABASES && oldest !== undefined) databases.delete(oldest)
    return found
  }

  const readOnly = async (role: Role, context: SqlContext): Promise<SqlJudge> => {
    const { allowFunctions, denyFunctions, schemas, mask = [] } = role.postgres
    const isMasked = mask.length > 0
    const database = databaseOf(context, isMasked)
    const ask: Ask = (statements) => context.ask(statements) // each session's own, though it may look alike
    const judge = new ReadOnlyJudge(parser, cache, {
      // What the role vouches for otherwise may read whatever its owner can, and hand it on.
      rules: { allow: isMasked ? [] : allowFunctions, deny: denyFunctions, schemas, mask },
      database,
      start: await startPath(database, role, context, ask),
      // What writes can copy a column to where it is not masked.
      held: mask.length > 0 ? [] : (role.hold?.postgres ?? []),
      isDump: context.parameters.get('application_name') === 'pg_dump',
      leave: () => database.leave(ask),
    })
    tell(role.name, context, judge.unfittingMasks)
    return judge
  }

  return {
    createJudge: (role, context) => {
      const { mode, mask = [], denyFunctions, workspace } = role.postgres
      if (mode === 'read-only') return readOnly(role, context)
      if (mask.length > 0)
        throw new Error('what can be written can be copied out of its mask: a role masks under read-only')
      const open = createOpenJudge(parser, cache, denyFunctions)
      return workspace === undefined
        ? open
        : createWorkspaceJudge(parser, open, role.hold?.postgres.includes('commit') === true)
    },
    close: () => parser.close(),
  }
}
