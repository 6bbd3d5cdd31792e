/** What stands behind relations: views are judged by their query, tables by what their policies, indexes, constraints and types may run. */
import type { Relation, RelationTexts } from './catalog.ts'
import type { Parsed, Parser } from './parser.ts'
import type { Scope } from './scope.ts'

/** The texts are not here yet: they are fetched, and the statement is judged again. */
export const PENDING = 'what stands behind it has not been read yet'

/** How a text of the catalog is judged: under an empty search path, with nothing of the session. */
export type TextReason = (parsed: Parsed, scope: Scope) => string | undefined

/** Judged texts of one database, for all its roles. */
export class RelationTextStore {
  readonly #known = new Map<string, readonly Parsed[]>()
  readonly #fetch: (oids: readonly string[]) => Promise<ReadonlyMap<string, RelationTexts>>
  readonly #parser: Parser
  #wanted = new Map<string, Relation>()
  #fetching: Promise<void> = Promise.resolve()

  constructor(parser: Parser, fetch: (oids: readonly string[]) => Promise<ReadonlyMap<string, RelationTexts>>) {
    this.#parser = parser
    this.#fetch = fetch
  }

  /** The parsed texts, or undefined after having noted that somebody wants them. */
  get(relation: Relation): readonly Parsed[] | undefined {
    const known = this.#known.get(keyOf(relation))
    if (known === undefined) this.#wanted.set(relation.oid, relation)
    return known
  }

  /** A short text, at once. */
  parse(text: string): Parsed | undefined {
    const parsed = this.#parser.parse(text)
    if (!(parsed instanceof Promise)) return parsed
    parsed.catch(() => undefined) // nobody waits for it
    return undefined
  }

  /** Reads what was wanted, and what stands behind that in turn. @param relationOf by number, from the catalog in use. */
  fetchWanted(relationOf: (oid: string) => Relation | undefined): Promise<void> {
    const fetched = this.#fetching.then(() => this.#fetchNow(relationOf))
    this.#fetching = fetched.catch(() => undefined)
    return fetched
  }

  async #fetchNow(relationOf: (oid: string) => Relation | undefined): Promise<void> {
    const wanted = this.#wanted
    if (wanted.size === 0) return
    this.#wanted = new Map()
    const texts = await this.#fetch([...wanted.keys()])
    for (const [oid, found] of texts) {
      const relation = wanted.get(oid) ?? relationOf(oid)
      if (relation?.textVersion !== undefined) this.#known.set(keyOf(relation), await this.#parsed(found))
    }
    for (const relation of wanted.values())
      if (!this.#known.has(keyOf(relation)))
        this.#known.set(keyOf(relation), [{ failure: 'it was changed a moment ago' }])
  }

  async #parsed({ query, expressions, isComplete }: RelationTexts): Promise<readonly Parsed[]> {
    if (!isComplete) return [{ failure: 'its definition is too long' }]
    const parsed: Parsed[] = []
    for (const text of [...(query === undefined ? [] : [query]), ...expressions.map((e) => `SELECT ${e}`)])
      parsed.push(await this.#parser.parse(text))
    return parsed
  }

  /** Keeps what is still in use. */
  prune(relations: Iterable<Relation>): void {
    const live = new Set([...relations].map(keyOf))
    for (const key of this.#known.keys()) if (!live.has(key)) this.#known.delete(key)
  }
}

const keyOf = ({ oid, textVersion }: Relation): string => `${oid} ${textVersion}`

/** Verdicts on relations for one scope. */
export class BehindRelation {
  readonly #texts: RelationTextStore
  readonly #textReason: TextReason
  readonly #judged = new Map<Relation, string | undefined>()

  constructor(texts: RelationTextStore, textReason: TextReason) {
    this.#texts = texts
    this.#textReason = textReason
  }

  /** {@link PENDING} when texts have to be fetched first. */
  reason(relation: Relation, scope: Scope): string | undefined {
    if (this.#judged.has(relation)) return this.#judged.get(relation)
    // A view cannot contain itself; one that is reached again while it is judged adds nothing.
    this.#judged.set(relation, undefined)
    const why = this.#look(relation, scope)
    if (why === PENDING) this.#judged.delete(relation)
    else this.#judged.set(relation, why)
    return why
  }

  #look(relation: Relation, scope: Scope): string | undefined {
    const shown = `${relation.schema}.${relation.name}`
    if (scope.allows({ ...relation, extension: undefined })) return undefined
    if (relation.kind === 'f') return `${shown} is a foreign table: what it reads runs elsewhere`
    if (relation.reachesElsewhere) return `${shown} has a foreign table among its partitions`
    if (!['r', 'p', 'v', 'm', 'S'].includes(relation.kind)) return `${shown} is not a table or view`
    // What an administrator's extension does behind an index is its business; in a view it is named, and judged by name.
    const ran = relation.runs.find((f) => !scope.allows(f) && f.extension === undefined && !f.isNative)
    if (ran !== undefined) return `${shown}: reading it may run ${ran.schema}.${ran.name}()`
    for (const check of relation.checks) {
      const parsed = this.#texts.parse(`SELECT ${check}`)
      const why = parsed === undefined ? 'its condition is too long' : this.#textReason(parsed, scope)
      if (why !== undefined) return `${shown}: the condition of a domain in it: ${why}`
    }
    if (relation.textVersion === undefined) return undefined
    const texts = this.#texts.get(relation)
    if (texts === undefined) return PENDING
    let isPending = false
    for (const parsed of texts) {
      const why = this.#textReason(parsed, scope)
      if (why === PENDING) isPending = true
      else if (why !== undefined) return `${shown}: ${why}`
    }
    return isPending ? PENDING : undefined
  }
}
