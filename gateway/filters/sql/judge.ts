/** The judge of one PostgreSQL session under a read-only role: remembers what the session may name, caches verdicts by text. */
import { LRUCache } from 'lru-cache'
import { ALLOW, type Verdict } from '../../model/statement.ts'
import type { Catalog } from './catalog.ts'
import { child, treeReason } from './expressions.ts'
import type { Parsed, Parser } from './parser.ts'
import { Scope, type ScopeRules } from './scope.ts'
import { type Effect, judgeStatement } from './statements.ts'
import { parseNow } from './parser.ts'

export type SqlJudgement = {
  readonly verdict: Verdict
  readonly fingerprint?: string
  readonly tables?: readonly string[]
}

export type ReadOnlySession = {
  readonly rules: ScopeRules
  readonly catalog: Catalog
  /** A newer catalog, for a name that this one does not know; the same one again when it was loaded a moment ago. */
  refresh(): Promise<Catalog>
  readonly isDump: boolean
}

export type SqlJudge = {
  query(text: string): SqlJudgement | Promise<SqlJudgement>
  parse(name: string, text: string): SqlJudgement | Promise<SqlJudgement>
  execute(name: string, text: string): SqlJudgement | Promise<SqlJudgement>
}

type Found = {
  readonly reason: string | undefined
  readonly effects: readonly Effect[]
  readonly fingerprint: string
  readonly tables: readonly string[]
}

const MAX_CACHE_BYTES = 16 * 1024 * 1024
const MAX_CACHED_TEXT = 64 * 1024
const NEXT = 'This role reads only: SELECT, SHOW, EXPLAIN, COPY … TO STDOUT, cursors and transactions are allowed.'

/** One per worker: verdicts of all sessions, bounded by bytes. */
export class VerdictCache {
  readonly #found = new LRUCache<string, Found>({
    maxSize: MAX_CACHE_BYTES,
    sizeCalculation: (found, key) => key.length * 2 + found.tables.join().length + 256,
  })

  get(key: string): Found | undefined {
    return this.#found.get(key)
  }

  put(key: string, text: string, found: Found): void {
    if (text.length <= MAX_CACHED_TEXT) this.#found.set(key, found)
  }
}

/**
 * Whole numbers do not decide about a SELECT: statements that differ in them only share a verdict.
 * Only for texts without quotes, comments or anything else in which a digit could mean more.
 */
const FOLDABLE = /^\s*select\b[A-Za-z0-9_ \t\r\n(),=<>;.*+]*$/i
export const foldNumbers = (text: string): string =>
  text.length <= 1024 && FOLDABLE.test(text) ? text.replaceAll(/(?<![A-Za-z0-9_.])\d+(?![A-Za-z0-9_.])/g, '0') : text

/** A query or expression of the catalog itself: an empty search path, no session. */
function catalogReason(text: string, scope: Scope): string | undefined {
  const { parsed } = parseNow(text)
  if ('failure' in parsed) return `its definition cannot be judged (${parsed.failure})`
  for (const statement of parsed.statements) {
    if (child(statement, 'SelectStmt') === undefined) return 'its definition is not a query'
    const why = treeReason(statement, { scope, path: new Set(), tables: new Set() })
    if (why !== undefined) return why
  }
  return undefined
}

/** Scopes by catalog and rules: views are judged once, not once per session. */
const scopes = new WeakMap<Catalog, Map<string, Scope>>()
function scopeOf(catalog: Catalog, rules: ScopeRules): Scope {
  const byRules = scopes.get(catalog) ?? new Map<string, Scope>()
  scopes.set(catalog, byRules)
  const key = JSON.stringify(rules)
  const scope = byRules.get(key) ?? new Scope(catalog, rules, catalogReason)
  byRules.set(key, scope)
  return scope
}

export function createReadOnlyJudge(parser: Parser, cache: VerdictCache, session: ReadOnlySession): SqlJudge {
  let { catalog } = session
  let scope = scopeOf(catalog, session.rules)
  const rulesKey = JSON.stringify(session.rules)
  const path = new Set(catalog.searchPath)
  const prepared = new Set<string>()

  const keyOf = (text: string): string =>
    `${catalog.version}\0${rulesKey}\0${[...path].join()}\0${session.isDump}\0${foldNumbers(text)}`

  const apply = (effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.kind === 'path') for (const schema of effect.schemas) path.add(schema)
      else if (effect.kind === 'prepare') prepared.add(effect.name)
      else if (effect.name === undefined) prepared.clear()
      else prepared.delete(effect.name)
    }
  }

  /** Later statements of a message are judged with what earlier ones did to the session. */
  const judgeParsed = (parsed: Parsed): Found => {
    if ('failure' in parsed)
      return { reason: `This cannot be read as SQL: ${parsed.failure}`, effects: [], fingerprint: '', tables: [] }
    const tables = new Set<string>()
    const names = new Set(prepared)
    const reach = new Set(path)
    const effects: Effect[] = []
    for (const statement of parsed.statements) {
      const judged = judgeStatement(
        statement,
        { prepared: names, isDump: session.isDump },
        { scope, path: reach, tables },
      )
      if (judged.reason !== undefined)
        return { reason: judged.reason, effects: [], fingerprint: parsed.fingerprint, tables: [...tables] }
      for (const effect of judged.effects) {
        effects.push(effect)
        if (effect.kind === 'prepare') names.add(effect.name)
        if (effect.kind === 'path') for (const schema of effect.schemas) reach.add(schema)
      }
    }
    return { reason: undefined, effects, fingerprint: parsed.fingerprint, tables: [...tables] }
  }

  const conclude = (found: Found, then?: (found: Found) => void): SqlJudgement => {
    if (found.reason === undefined) {
      apply(found.effects)
      then?.(found)
    }
    return {
      verdict:
        found.reason === undefined ? ALLOW : { decision: 'deny', reason: `Read-only: ${found.reason}.`, next: NEXT },
      ...(found.fingerprint === '' ? {} : { fingerprint: found.fingerprint }),
      tables: found.tables,
    }
  }

  /** A name that is not in the catalog may be new: look once more before it is refused. */
  const withRefresh = async (
    text: string,
    parsed: Parsed,
    found: Found,
    then?: (found: Found) => void,
  ): Promise<SqlJudgement> => {
    const newer = await session.refresh()
    if (newer === catalog) return conclude(found, then)
    catalog = newer
    scope = scopeOf(catalog, session.rules)
    const again = judgeParsed(parsed)
    remember(text, parsed, again)
    return conclude(again, then)
  }

  const remember = (text: string, parsed: Parsed, found: Found): void => {
    const isAboutSession =
      'failure' in parsed ||
      parsed.statements.some(
        (s) => child(s, 'ExecuteStmt') !== undefined || child(s, 'ExplainStmt', 'query', 'ExecuteStmt') !== undefined,
      )
    if (!isAboutSession) cache.put(keyOf(text), text, found)
  }

  const finish = (
    text: string,
    parsed: Parsed,
    then?: (found: Found) => void,
  ): SqlJudgement | Promise<SqlJudgement> => {
    const found = judgeParsed(parsed)
    if (found.reason?.endsWith('was made a moment ago') === true) return withRefresh(text, parsed, found, then)
    remember(text, parsed, found)
    return conclude(found, then)
  }

  const judge = (text: string, then?: (found: Found) => void): SqlJudgement | Promise<SqlJudgement> => {
    const known = cache.get(keyOf(text))
    if (known !== undefined) return conclude(known, then)
    const parsed = parser.parse(text)
    return parsed instanceof Promise ? parsed.then((p) => finish(text, p, then)) : finish(text, parsed, then)
  }

  return {
    query: (text) => judge(text),
    parse: (name, text) => judge(text, () => void (name === '' || prepared.add(name))),
    execute: (_name, text) => judge(text),
  }
}
