/** The judge of one PostgreSQL session under a read-only role: remembers what the session may name and what it has prepared. */
import type { MaskKind, MaskRule } from '../../model/mask.ts'
import type { HeldKind } from '../../model/hold.ts'
import { ALLOW } from '../../model/statement.ts'
import { PENDING } from './behind.ts'
import type { StartPath } from './catalog.ts'
import type { Database } from './database.ts'
import { MASK_NEXT, maskReason } from './mask-statement.ts'
import { heldStatement, normalised } from './held.ts'
import { INLINE_CHARACTERS, type Parsed, type Parser } from './parser.ts'
import { PreparedNames } from './prepared.ts'
import { isAboutMissing, type Scope, type ScopeRules } from './scope.ts'
import { type Effect, judgeStatement } from './statements.ts'
import type { WalkContext } from './expressions.ts'
import { child, type Tree, text as textOf } from './tree.ts'
import { type Found, foldNumbers, type SqlJudgement, type VerdictCache } from './verdicts.ts'

export type SqlJudge = {
  query(text: string): SqlJudgement | Promise<SqlJudgement>
  parse(name: string, text: string, types?: readonly number[]): SqlJudgement | Promise<SqlJudgement>
  execute(name: string, text: string): SqlJudgement | Promise<SqlJudgement>
  /** How the values of a column are masked, by the numbers that a RowDescription has; `unknown` may not be shown. Absent: nothing is masked. */
  maskOf?(table: number, column: number): ColumnMask | 'plain' | 'unknown'
  close(): void
}

export type ColumnMask = { readonly kind: MaskKind; readonly isText: boolean }

export type ReadOnlySession = {
  readonly rules: ScopeRules
  readonly database: Database
  readonly start: StartPath
  /** What waits for a second person. */
  readonly held: readonly HeldKind[]
  /** It says that it is pg_dump. */
  readonly isDump: boolean
  readonly leave: () => void
}

const NEXT = 'This role reads only: SELECT, SHOW, EXPLAIN, COPY … TO STDOUT, cursors and transactions are allowed.'
/** Sent by pg_dump and psql's kin; it only takes something away from the session. */
const KNOWN_TEXTS = new Set([
  "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'restrict_nonsystem_relation_kind'",
  // asyncpg, when a connection goes back to its pool
  'SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;',
])
/** Views may stand behind views; each round reads all that the one before found missing. */
const MAX_ROUNDS = 8
const MAX_SCHEMAS = 1000
const MAX_COSTLY = 3
const MAX_RECENT = 50
const MAX_RECENT_TEXT = 4096

type Outcome = { readonly reason: string | undefined; readonly found: Found }

export class ReadOnlyJudge implements SqlJudge {
  readonly #parser: Parser
  readonly #cache: VerdictCache
  readonly #session: ReadOnlySession
  readonly #rulesKey: string
  readonly #schemas: Set<string>
  readonly #prepared = new PreparedNames()
  /** Texts that took the shared thread's time for nothing. */
  #costly = 0
  #scope: Scope
  /** Names are no longer looked up as they were at the start. */
  #hasOwnPath = false
  /** Catalog, rules and path: what a verdict depends on beside the text. */
  #prefix = ''
  /** Found under this prefix: most sessions say few things again and again. */
  readonly #recent = new Map<string, Found>()

  constructor(parser: Parser, cache: VerdictCache, session: ReadOnlySession) {
    this.#parser = parser
    this.#cache = cache
    this.#session = session
    this.#rulesKey = JSON.stringify([session.rules, session.held])
    this.#schemas = new Set(session.start.schemas)
    this.#scope = session.database.scope(this.#rulesKey, session.rules)
    this.#describe()
  }

  query(text: string): SqlJudgement | Promise<SqlJudgement> {
    return this.#judge(text, undefined)
  }

  /** A declared parameter type has its input function run on the value, as a cast in the text would. */
  parse(name: string, text: string, types: readonly number[] = []): SqlJudgement | Promise<SqlJudgement> {
    const judged = this.#judge(text, name)
    if (types.length === 0) return judged
    const check = (judgement: SqlJudgement): SqlJudgement => {
      const why = this.#scope.typeNumberReason(types)
      if (judgement.verdict.decision === 'deny' || why === undefined) return judgement
      this.#prepared.close(name)
      return refusal(why).judgement
    }
    return judged instanceof Promise ? judged.then(check) : check(judged)
  }

  execute(_name: string, text: string): SqlJudgement | Promise<SqlJudgement> {
    return this.#judge(text, undefined)
  }

  maskOf(table: number, column: number): ColumnMask | 'plain' | 'unknown' {
    if (this.#session.rules.mask.length === 0) return 'plain'
    return this.#scope.masks?.at(table, column, this.#scope) ?? 'unknown'
  }

  /** Rules that mask nothing in this database. */
  get unfittingMasks(): readonly MaskRule[] {
    return this.#scope.masks?.unfitting ?? []
  }

  close(): void {
    this.#session.leave()
  }

  /** Under masks ORDER BY 2 is not ORDER BY 1. */
  #folded(text: string): string {
    return this.#scope.masks === undefined ? foldNumbers(text) : text
  }

  #describe(): void {
    const { start, isDump } = this.#session
    const more = JSON.stringify([[...this.#schemas].toSorted(), start.isCatalogFirst, isDump])
    this.#prefix = `${this.#scope.catalog.version} ${this.#rulesKey} ${more} `
    this.#recent.clear()
  }

  #judge(text: string, name: string | undefined): SqlJudgement | Promise<SqlJudgement> {
    const waiting = this.#session.database.fresh()
    if (waiting !== undefined) return waiting.then(() => this.#judgeNow(text, name))
    return this.#judgeNow(text, name)
  }

  #judgeNow(text: string, name: string | undefined): SqlJudgement | Promise<SqlJudgement> {
    this.#useCatalog()
    const known = this.#known(text)
    if (known !== undefined) return this.#conclude(text, name, known)
    if (KNOWN_TEXTS.has(text.trim())) return { verdict: ALLOW }
    if (this.#costly >= MAX_COSTLY && text.length > INLINE_CHARACTERS)
      return refusal('this session has sent too many texts that could not be judged in time').judgement
    const parsed = this.#parser.parse(text)
    if (parsed instanceof Promise) return parsed.then((p) => this.#decide(text, name, p))
    return this.#decide(text, name, parsed)
  }

  #known(text: string): Found | undefined {
    const same = this.#recent.get(text)
    if (same !== undefined) return same
    const folded = this.#folded(text)
    const recent = this.#recent.get(folded)
    if (recent !== undefined) return recent
    const found = this.#cache.get(this.#prefix + folded)
    if (found === undefined || folded.length > MAX_RECENT_TEXT) return found
    if (this.#recent.size >= MAX_RECENT) this.#recent.clear()
    this.#recent.set(folded, found)
    return found
  }

  #useCatalog(): void {
    const { database, rules } = this.#session
    const scope = database.scope(this.#rulesKey, rules)
    if (scope === this.#scope) return
    this.#scope = scope
    this.#describe()
  }

  /** At once when everything it needs is here. */
  #decide(text: string, name: string | undefined, parsed: Parsed): SqlJudgement | Promise<SqlJudgement> {
    if ('failure' in parsed && parsed.isCostly === true) this.#costly += 1
    const stale = this.#staleNames(parsed)
    const { reason, found } = this.#judgeParsed(text, parsed, stale)
    const isOpen = reason !== undefined && (reason === PENDING || isAboutMissing(reason))
    if (!isOpen && stale.length === 0) return this.#remember(text, name, parsed, found)
    return this.#decideLater(text, name, parsed)
  }

  async #decideLater(text: string, name: string | undefined, parsed: Parsed): Promise<SqlJudgement> {
    const { database } = this.#session
    let hasRefreshed = false
    for (let round = 0; round < MAX_ROUNDS; round++) {
      this.#useCatalog()
      for (const stale of this.#staleNames(parsed)) await this.#judgeAgain(stale)
      const { reason, found } = this.#judgeParsed(text, parsed, [])
      if (reason === PENDING) await database.fetchTexts()
      else if (reason !== undefined && isAboutMissing(reason) && !hasRefreshed) {
        hasRefreshed = true
        await database.refresh()
      } else if (reason !== undefined && isAboutMissing(reason))
        return found.judgement // it may be there a moment later
      else return this.#remember(text, name, parsed, found)
    }
    return refusal('it stands on views that stand on too many others', parsed).judgement
  }

  /** Statements that EXECUTE names, and that were judged under other names or another catalog: the server plans them anew. */
  #staleNames(parsed: Parsed): readonly string[] {
    return executed(parsed).filter((name) => this.#prepared.isStale(name, this.#prefix))
  }

  async #judgeAgain(name: string): Promise<void> {
    const texts = this.#prepared.textsOf(name)
    this.#prepared.judged(name, this.#prefix)
    let isAllowed = texts !== undefined
    for (const text of texts ?? []) {
      const { verdict } = await this.#judgeNow(text, undefined)
      isAllowed &&= verdict.decision === 'allow'
    }
    // Last: a PREPARE that is allowed opens its name.
    if (!isAllowed) this.#prepared.close(name)
  }

  /** Later statements of a message are judged with what earlier ones do to the session. */
  #judgeParsed(text: string, parsed: Parsed, without: readonly string[]): Outcome {
    if ('failure' in parsed) return open(`this cannot be read as SQL (${parsed.failure})`, parsed)
    const prepared = new Set(this.#prepared.open.filter((name) => !without.includes(name)))
    const path = { schemas: new Set(this.#schemas), isCatalogFirst: this.#session.start.isCatalogFirst }
    const tables = new Set<string>()
    const effects: Effect[] = []
    const { isDump } = this.#session
    let isPending = false
    for (const statement of parsed.statements) {
      const sets = new Set<string>()
      const judged = judgeStatement(statement, { prepared, isDump }, { scope: this.#scope, path, tables, sets })
      if (judged.reason === PENDING) isPending = true
      else if (judged.reason !== undefined)
        return (
          this.#held(parsed, text, statement, { scope: this.#scope, path, tables, sets }) ??
          open(judged.reason, parsed, [...tables])
        )
      const hidden = this.#scope.masks === undefined ? undefined : maskReason(statement, { scope: this.#scope, path })
      if (hidden === PENDING) isPending = true
      else if (hidden !== undefined && !isPending) return open(hidden, parsed, [...tables], MASK_NEXT)
      const more: readonly Effect[] = sets.size === 0 ? [] : [{ kind: 'path', schemas: [...sets] }]
      for (const effect of [...judged.effects, ...more]) {
        effects.push(effect)
        if (effect.kind === 'prepare') prepared.add(effect.name)
        else if (effect.kind === 'path') {
          // What was prepared under other names is planned anew, and would have to be judged anew.
          if (effect.schemas.some((schema) => !path.schemas.has(schema))) prepared.clear()
          for (const schema of effect.schemas) path.schemas.add(schema)
        }
      }
      if (path.schemas.size > MAX_SCHEMAS)
        return open('the search path of this session has had too many schemas', parsed)
    }
    if (isPending) return open(PENDING, parsed)
    return { reason: undefined, found: { judgement: said(parsed, [...tables]), effects } }
  }

  /** What may wait for a second person; undefined when the statement is nothing of that kind. */
  #held(parsed: Parsed, text: string, statement: Tree, context: WalkContext): Outcome | undefined {
    if ('failure' in parsed) return undefined
    const rest = { statements: parsed.statements.length, characters: text.length }
    const held = heldStatement(statement, this.#session.held, context, rest)
    if (held === undefined) return undefined
    const tables = [...context.tables]
    if (held.reason !== undefined) return open(held.reason, parsed, tables)
    const { kind } = held
    const verdict = { decision: 'hold', reason: `${kind.toUpperCase()} needs a second person` } as const
    const more = { verdict, held: { kind, normalised: normalised(text) } }
    return { reason: undefined, found: { judgement: { ...said(parsed, tables), ...more }, effects: [] } }
  }

  #remember(text: string, name: string | undefined, parsed: Parsed, found: Found): SqlJudgement {
    // Texts that differ in numbers share a verdict, but not what a second person reads.
    const isOwn = found.judgement.held !== undefined || executed(parsed).length > 0
    if (!isOwn) this.#cache.put(this.#prefix + this.#folded(text), found)
    return this.#conclude(text, name, found, parsed)
  }

  #conclude(text: string, name: string | undefined, found: Found, parsed?: Parsed): SqlJudgement {
    if (found.judgement.verdict.decision === 'hold' && this.#hasOwnPath) return refusal(OWN_PATH).judgement
    if (found.judgement.verdict.decision !== 'allow') return found.judgement
    if (found.effects.length > 0 && !this.#apply(text, found.effects, parsed))
      return refusal(TOO_MANY_PREPARED).judgement
    if (name !== undefined && name !== '' && !this.#prepared.add(name, text, this.#prefix))
      return refusal(TOO_MANY_PREPARED).judgement
    return found.judgement
  }

  #apply(text: string, effects: readonly Effect[], parsed: Parsed | undefined): boolean {
    for (const effect of effects) {
      if (effect.kind === 'path') {
        const before = this.#schemas.size
        this.#hasOwnPath = true
        for (const schema of effect.schemas) this.#schemas.add(schema)
        if (this.#schemas.size > before) this.#describe()
      } else if (effect.kind === 'prepare') {
        for (const one of preparing(effect.name, parsed) ?? [text])
          if (!this.#prepared.add(effect.name, one, this.#prefix)) return false
      } else this.#prepared.close(effect.name)
    }
    return true
  }
}

const OWN_PATH =
  'this session has changed its search_path, and a statement that waits for a second person runs in a session of its own: connect again for it'
const TOO_MANY_PREPARED = 'this session has prepared too many statements'

const said = (parsed: Parsed | undefined, tables: readonly string[]): SqlJudgement => ({
  verdict: ALLOW,
  ...(parsed === undefined || 'failure' in parsed || parsed.fingerprint === ''
    ? {}
    : { fingerprint: parsed.fingerprint }),
  tables,
})

const refusal = (reason: string, parsed?: Parsed, tables: readonly string[] = [], next = NEXT): Found => ({
  judgement: {
    ...said(parsed, tables),
    verdict: { decision: 'deny', reason, next, ...(next === MASK_NEXT ? { code: 'NOT_ALLOWED' as const } : {}) },
  },
  effects: [],
})

const open = (reason: string, parsed: Parsed, tables?: readonly string[], next?: string): Outcome => ({
  reason,
  found: refusal(reason, parsed, tables, next),
})

/** Names that the statements execute. */
const executed = (parsed: Parsed): readonly string[] =>
  'failure' in parsed
    ? []
    : parsed.statements.flatMap((statement) => {
        const execute = child(statement, 'ExecuteStmt') ?? child(statement, 'ExplainStmt', 'query', 'ExecuteStmt')
        return execute === undefined ? [] : [textOf(child(execute, 'name')) ?? '']
      })

/** The text of the statement that prepares this name. */
const preparing = (name: string, parsed: Parsed | undefined): readonly string[] | undefined =>
  parsed === undefined || 'failure' in parsed
    ? undefined
    : parsed.texts.filter((_, at) => textOf(child(parsed.statements[at], 'PrepareStmt', 'name')) === name)
