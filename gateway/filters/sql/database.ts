/** What is known of one database, shared by its sessions: read again when it is old, or when a statement names something new. */
import type { Clock, Moment } from '../../model/moment.ts'
import { BehindRelation, RelationTextStore } from './behind.ts'
import type { Catalog, Relation, StartPath } from './catalog.ts'
import { readCatalog, readPath, readTexts, type Rows, versionOf } from './catalog-rows.ts'
import { catalogSql, EMPTY_PATH_SQL, PATH_SQL, textsSql } from './catalog-sql.ts'
import { catalogTextReason } from './catalog-text.ts'
import { MASK_SQL, type MaskFacts, readMaskFacts } from './mask-facts.ts'
import { Masks } from './masks.ts'
import type { Parser } from './parser.ts'
import { Scope, type ScopeRules } from './scope.ts'

/** Runs the gateway's own statements in a session's database. One list of rows for each. */
export type Ask = (statements: readonly string[]) => Promise<readonly Rows[]>

/** Older than this it is read again beside the work; older than {@link MAX_AGE_MS} the work waits. */
const STALE_MS = 30_000
const MAX_AGE_MS = 60_000
/** Under masks a change of the database counts sooner: it may have put masked values where there were none. */
const MASKED_STALE_MS = 2_500
const MASKED_MAX_AGE_MS = 5_000
/** A statement that names something unknown has it read again, though not more often than this. */
const MIN_AGE_MS = 1000
const MAX_SCOPES = 64
const MAX_TRIES = 3
const MAX_ASKS = 1000

type Loaded = {
  readonly catalog: Catalog
  readonly byOid: ReadonlyMap<string, Relation>
  /** Undefined where no role of this kind masks anything. */
  readonly facts: MaskFacts | undefined
}

export class Database {
  readonly #clock: Clock
  readonly #texts: RelationTextStore
  readonly #paths = new Map<string, { readonly path: StartPath; readonly at: Moment }>()
  /** By rules, for the catalog in use. */
  #scopes = new Map<string, Scope>()
  #loaded: Loaded | undefined
  #loadedAt = 0
  #loading: Promise<void> | undefined
  /** Of the sessions that are open; an account may go with its session. */
  readonly #asks = new Set<Ask>()
  readonly #isMasked: boolean

  /** @param isMasked for roles that mask columns: knows more, and forgets sooner. */
  constructor(clock: Clock, parser: Parser, isMasked = false) {
    this.#clock = clock
    this.#isMasked = isMasked
    this.#texts = new RelationTextStore(parser, async (oids) => {
      const [, , rows = []] = await this.#ask([PATH_SQL, EMPTY_PATH_SQL, textsSql(oids, isMasked)])
      return readTexts(rows)
    })
  }

  /** A session begins. @param who whose start-up settings decide about the path; undefined: it is asked for each time. */
  async enter(who: string | undefined, ask: Ask): Promise<StartPath> {
    this.#asks.add(ask)
    const [oldest] = this.#asks
    if (this.#asks.size > MAX_ASKS && oldest !== undefined) this.#asks.delete(oldest)
    try {
      if (this.#loaded === undefined) await this.#reload()
      else await this.fresh()
      const known = who === undefined ? undefined : this.#paths.get(who)
      if (known !== undefined && this.#age(known.at) < MAX_AGE_MS) return known.path
      const at = this.#clock.now()
      const [rows = []] = await ask([PATH_SQL])
      const path = readPath(rows)
      if (who !== undefined) this.#paths.set(who, { path, at })
      return path
    } catch (failure) {
      this.#asks.delete(ask)
      throw failure
    }
  }

  leave(ask: Ask): void {
    this.#asks.delete(ask)
  }

  /** By the session that came last; by an older one when that fails. */
  async #ask(statements: readonly string[]): Promise<readonly Rows[]> {
    let failed: unknown = new Error('no session to ask by')
    for (const ask of [...this.#asks].toReversed().slice(0, MAX_TRIES)) {
      try {
        return await ask(statements)
      } catch (failure) {
        failed = failure
      }
    }
    throw failed
  }

  #age(at: number): number {
    const age = this.#clock.now() - at
    return age < 0 ? Number.POSITIVE_INFINITY : age
  }

  /** Undefined when the catalog may be used now; else when it may. */
  fresh(): Promise<void> | undefined {
    const age = this.#loaded === undefined ? Number.POSITIVE_INFINITY : this.#age(this.#loadedAt)
    if (age < (this.#isMasked ? MASKED_STALE_MS : STALE_MS)) return undefined
    const loading = this.#reload()
    if (age >= (this.#isMasked ? MASKED_MAX_AGE_MS : MAX_AGE_MS)) return loading
    loading.catch(() => undefined) // the old one serves until it is too old
    return undefined
  }

  /** For a name that is not known. */
  refresh(): Promise<void> {
    return this.#age(this.#loadedAt) < MIN_AGE_MS ? Promise.resolve() : this.#reload()
  }

  #reload(): Promise<void> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #load(): Promise<void> {
    const at = this.#clock.now()
    const catalogSqls = catalogSql(this.#isMasked)
    const more = this.#isMasked ? MASK_SQL : []
    const answers = await this.#ask([PATH_SQL, EMPTY_PATH_SQL, ...catalogSqls, ...more])
    const rows = answers.slice(2)
    const version = versionOf(rows)
    if (version === this.#loaded?.catalog.version) {
      this.#loadedAt = at
      return
    }
    const catalog = readCatalog(rows, version)
    this.#loadedAt = at
    const relations = [...catalog.relations.values()].flat()
    const facts = this.#isMasked ? readMaskFacts(rows.slice(catalogSqls.length)) : undefined
    this.#loaded = { catalog, facts, byOid: new Map(relations.map((relation) => [relation.oid, relation])) }
    this.#texts.prune(relations)
    this.#scopes = new Map()
  }

  /** The texts that judging a statement asked for. */
  fetchTexts(): Promise<void> {
    return this.#texts.fetchWanted((oid) => this.#loaded?.byOid.get(oid))
  }

  /** One for each catalog and set of rules: views are judged once, not once a session. */
  scope(key: string, rules: ScopeRules): Scope {
    const known = this.#scopes.get(key)
    if (known !== undefined) return known
    if (this.#loaded === undefined) throw new Error('the catalog has not been read')
    if (this.#scopes.size >= MAX_SCOPES) this.#scopes.clear()
    const { catalog, facts } = this.#loaded
    const masks = facts === undefined ? undefined : new Masks(rules.mask, facts, catalog, this.#texts)
    const scope = new Scope(catalog, rules, new BehindRelation(this.#texts, catalogTextReason), masks)
    this.#scopes.set(key, scope)
    return scope
  }
}
