/** What one role may name on one database: functions, types, operators and relations, resolved as the server would at worst. */
import type { Catalog, Owned, Relation, UserFunction, UserOperator } from './catalog.ts'
import type { MaskRule } from '../../model/mask.ts'
import { isHarmless } from './functions.ts'
import type { BehindRelation } from './behind.ts'
import type { Masks, RelationColumns } from './masks.ts'

export type ScopeRules = {
  /** `schema.name` or `extension:name`. */
  readonly allow: readonly string[]
  /** `schema.name`, or `name` for every schema. */
  readonly deny: readonly string[]
  /** Empty: all that the database lets the role see. */
  readonly schemas: readonly string[]
  readonly mask: readonly MaskRule[]
}

/** Where names without a schema are looked up. */
export type Path = {
  /** Every schema that a search path of the session ever held: which one holds now depends on rollbacks. */
  readonly schemas: ReadonlySet<string>
  readonly isCatalogFirst: boolean
}

/** A call as far as the name's resolution depends on it. */
export type Call = { readonly arguments: number; readonly areNamed: boolean }

type Name = { readonly schema: string | undefined; readonly bare: string }

/** A third word in front is the database; any but the session's own is an error at the server. */
const nameOf = (words: readonly string[]): Name | undefined => {
  const bare = words.at(-1)
  return bare === undefined || words.length > 3 ? undefined : { schema: words.at(-2), bare }
}

const isReachable = (object: { schema: string }, { schema }: Name, path: Path): boolean =>
  schema === undefined ? path.schemas.has(object.schema) : object.schema === schema

/** Lower numbers came with the server (FirstNormalObjectId). */
const FIRST_OF_PEOPLE = 16_384
const SYSTEM_SCHEMAS = new Set(['pg_catalog', 'information_schema', 'pg_toast'])

export class Scope {
  readonly catalog: Catalog
  readonly behind: BehindRelation
  readonly #allow: ReadonlySet<string>
  readonly #deny: ReadonlySet<string>
  readonly #schemas: ReadonlySet<string>

  /** Undefined: nothing is masked for the role. */
  readonly masks: Masks | undefined

  constructor(catalog: Catalog, rules: ScopeRules, behind: BehindRelation, masks?: Masks) {
    this.catalog = catalog
    this.behind = behind
    this.masks = masks
    this.#allow = new Set(rules.allow)
    this.#deny = new Set(rules.deny)
    this.#schemas = new Set(rules.schemas)
  }

  allows({ schema, name, extension }: Owned): boolean {
    if (this.#allow.has(`${schema}.${name}`)) return true
    return extension !== undefined && this.#allow.has(`extension:${extension}`)
  }

  /** Why this call may not be made. */
  functionReason(words: readonly string[], path: Path, call: Call): string | undefined {
    const name = nameOf(words)
    if (name === undefined) return `function ${words.join('.')}() cannot be resolved`
    const { schema, bare } = name
    if (this.#deny.has(bare) || this.#deny.has(`${schema ?? 'pg_catalog'}.${bare}`))
      return `function ${bare}() is on the deny list of the role`
    if (schema !== undefined) {
      if (this.#isHarmlessSystem(schema, bare)) return this.#addedToSystem(schema, bare)
      const found = this.#functions(name, path)
      return found.length > 0 && found.every((f) => this.allows(f)) ? undefined : unlisted(words)
    }
    const found = this.#functions(name, path)
    if (this.catalog.systemFunctions.has(`pg_catalog.${bare}`)) {
      if (!this.#isHarmlessSystem('pg_catalog', bare)) return unlisted(words)
      const other = found.find((f) => this.#mayWin(f, call, path)) ?? this.#typeAsCall(name, path, call)
      if (other !== undefined)
        return `function ${bare}() could be ${other.schema}.${bare}(); write pg_catalog.${bare}()`
      return this.#addedToSystem('pg_catalog', bare)
    }
    return found.length > 0 && found.every((f) => this.allows(f)) ? undefined : unlisted(words)
  }

  #functions(name: Name, path: Path): readonly UserFunction[] {
    return (this.catalog.functions.get(name.bare) ?? []).filter((f) => isReachable(f, name, path))
  }

  #isHarmlessSystem(schema: string, bare: string): boolean {
    const known = this.catalog.systemFunctions.get(`${schema}.${bare}`)
    return known !== undefined && (isHarmless(bare, known) || this.#allow.has(`${schema}.${bare}`))
  }

  /** An administrator may have put more into pg_catalog than came with it. */
  #addedToSystem(schema: string, bare: string): string | undefined {
    const added = this.catalog.functions.get(bare)?.find((f) => f.schema === schema && !this.allows(f))
    return added === undefined ? undefined : `function ${schema}.${bare}() did not all come with PostgreSQL`
  }

  /** An overload elsewhere wins where its argument types fit better, whatever the order of the path. */
  #mayWin(f: UserFunction, { areNamed }: Call, path: Path): boolean {
    if (f.extension !== undefined || this.allows(f)) return false
    return !(f.isShadowed && path.isCatalogFirst && !areNamed)
  }

  /** `name('x')` is a cast where a type has that name and no function fits better. */
  #typeAsCall(name: Name, path: Path, call: Call): Owned | undefined {
    if (call.arguments !== 1) return undefined
    return this.catalog.types
      .get(name.bare)
      ?.find((t) => path.schemas.has(t.schema) && !t.isRow && t.extension === undefined && !this.allows(t))
  }

  /** Whether a function of that name could be meant before pg_catalog's. */
  isPlanted(bare: string, path: Path): boolean {
    const call = { arguments: 3, areNamed: false }
    return this.#functions({ schema: undefined, bare }, path).some((f) => this.#mayWin(f, call, path))
  }

  typeReason(words: readonly string[], path: Path): string | undefined {
    const name = nameOf(words)
    if (name === undefined) return `type ${words.join('.')} cannot be resolved`
    const { schema, bare } = name
    const found = (this.catalog.types.get(bare) ?? []).filter((t) => isReachable(t, name, path))
    const isAllowed = found.every((t) => this.allows(t))
    const isSystem = (schema ?? 'pg_catalog') === 'pg_catalog' && this.catalog.systemTypes.has(bare)
    if (isSystem && (isAllowed || (schema === undefined && path.isCatalogFirst))) return undefined
    if (!isSystem && found.length > 0 && isAllowed) return undefined
    return `type ${words.join('.')} is not PostgreSQL's own; its input or casts could run code`
  }

  /** For types that are named by number. */
  typeNumberReason(oids: readonly number[]): string | undefined {
    for (const oid of oids) {
      if (oid < FIRST_OF_PEOPLE) continue
      const type = this.catalog.typesByNumber.get(`${oid}`)
      if (type === undefined) return `type number ${oid} is not known`
      if (!this.allows(type))
        return `type ${type.schema}.${type.name} is not PostgreSQL's own; its input could run code`
    }
    return undefined
  }

  operatorReason(words: readonly string[], path: Path): string | undefined {
    const name = nameOf(words)
    if (name === undefined) return `operator ${words.join('.')} cannot be resolved`
    const { schema, bare } = name
    const found = (this.catalog.operators.get(bare) ?? []).filter((o) => isReachable(o, name, path))
    if ((schema ?? 'pg_catalog') === 'pg_catalog' && this.catalog.systemOperators.has(bare)) {
      const other = found.find((o) => this.#operatorMayWin(o, path))
      return other === undefined
        ? undefined
        : `operator ${bare} could be ${other.schema}.${bare}; write OPERATOR(pg_catalog.${bare})`
    }
    if (found.length > 0 && found.every((o) => this.allows(o))) return undefined
    return `operator ${words.join('.')} is not PostgreSQL's own`
  }

  #operatorMayWin(o: UserOperator, path: Path): boolean {
    if (o.extension !== undefined || this.allows(o)) return false
    return !(o.isShadowed && path.isCatalogFirst)
  }

  /** @param isLocal the name is that of a WITH query of the same statement. */
  relationReason(words: readonly string[], path: Path, isLocal: boolean): string | undefined {
    const name = nameOf(words)
    if (name === undefined) return `relation ${words.join('.')} cannot be resolved`
    const { schema, bare } = name
    const found = this.relations(words, path)
    if (schema === undefined && this.catalog.systemRelations.has(bare)) {
      if (path.isCatalogFirst) return undefined
    } else if (found.length === 0) {
      if (isLocal || (schema !== undefined && SYSTEM_SCHEMAS.has(schema))) return undefined
      return missing('relation', words)
    }
    const closed = this.schemaReason(words, path)
    if (closed !== undefined) return closed
    for (const relation of found) {
      const why = this.behind.reason(relation, this)
      if (why !== undefined) return why
    }
    return undefined
  }

  /** Why the relation's schema is closed to the role, whatever stands behind it. */
  schemaReason(words: readonly string[], path: Path): string | undefined {
    if (this.#schemas.size === 0) return undefined
    const closed = this.relations(words, path).find((r) => !this.#schemas.has(r.schema))
    return closed === undefined ? undefined : `schema ${closed.schema} is not open to the role`
  }

  /** Those that the name may mean. */
  relations(words: readonly string[], path: Path): readonly Relation[] {
    const name = nameOf(words)
    if (name === undefined) return []
    return (this.catalog.relations.get(name.bare) ?? []).filter((r) => isReachable(r, name, path))
  }

  /** Those of a relation of pg_catalog that the name may mean. */
  systemColumns(words: readonly string[]): readonly string[] | undefined {
    const isOurs = words.length === 1 || words.at(-2) === 'pg_catalog'
    return isOurs ? this.catalog.systemRelations.get(words.at(-1) ?? '') : undefined
  }

  maskedColumns(relation: Relation): RelationColumns {
    return this.masks?.of(relation, this) ?? { reason: 'nothing is known of masks' }
  }

  /** Every set of columns that the name may stand for. */
  columnSets(words: readonly string[], path: Path): readonly (readonly string[])[] {
    const sets = this.relations(words, path).map((r) => r.columns)
    const system = this.systemColumns(words)
    return system === undefined ? sets : [...sets, system]
  }

  /** `alias.name` and `(expression).name` are calls of `name(…)` where there is no such column. */
  attributeReason(bare: string, path: Path): string | undefined {
    const system = this.catalog.systemFunctions.get(`pg_catalog.${bare}`)
    if (system !== undefined && !this.#isHarmlessSystem('pg_catalog', bare))
      return `.${bare} can mean a call of ${bare}()`
    const name = { schema: undefined, bare }
    const called = this.#functions(name, path).find((f) => f.takesOne && !this.allows(f))
    if (called !== undefined) return `.${bare} can mean a call of ${called.schema}.${bare}()`
    const type = this.#typeAsCall(name, path, { arguments: 1, areNamed: false })
    return type === undefined ? undefined : `.${bare} can mean a cast to ${type.schema}.${bare}`
  }
}

const unlisted = (words: readonly string[]): string =>
  `function ${words.join('.')}() is not on the list of harmless functions`

const MISSING = ' is not there, or was made a moment ago'
export const missing = (what: 'relation' | 'column', words: readonly string[]): string =>
  `${what} ${words.join('.')}${MISSING}`
/** Whether a newer catalog could change the verdict. */
export const isAboutMissing = (reason: string): boolean => reason.endsWith(MISSING)
