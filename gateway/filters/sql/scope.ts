/** What one role may name on one database: functions, types, operators and relations, resolved as the server would at worst. */
import type { Catalog, Owned, Relation } from './catalog.ts'
import { isHarmless } from './functions.ts'

export type ScopeRules = {
  /** `schema.name` or `extension:name`. */
  readonly allow: readonly string[]
  readonly deny: readonly string[]
  /** Empty: all that the database lets the role see. */
  readonly schemas: readonly string[]
}

const SYSTEM_SCHEMAS = new Set(['pg_catalog', 'information_schema', 'pg_toast'])

export class Scope {
  readonly catalog: Catalog
  readonly #allow: ReadonlySet<string>
  readonly #deny: ReadonlySet<string>
  readonly #schemas: ReadonlySet<string>
  /** Relation → why not, once judged; undefined while it is being judged (a view may lead back to itself only through rules we refuse). */
  readonly #judged = new Map<Relation, string | undefined>()
  readonly #expressionReason: (text: string, scope: Scope) => string | undefined

  /** @param expressionReason judges a query or an expression of the catalog (a view's text, a policy) under an empty search path. */
  constructor(
    catalog: Catalog,
    rules: ScopeRules,
    expressionReason: (text: string, scope: Scope) => string | undefined,
  ) {
    this.catalog = catalog
    this.#allow = new Set(rules.allow)
    this.#deny = new Set(rules.deny)
    this.#schemas = new Set(rules.schemas)
    this.#expressionReason = expressionReason
  }

  /** Why this call may not be made. @param path schemas that any search path of this session ever held. */
  functionReason(name: readonly string[], path: ReadonlySet<string>): string | undefined {
    const [schema, bare] = name.length === 1 ? [undefined, name[0]] : [name[0], name[1]]
    if (bare === undefined || name.length > 2) return `function ${name.join('.')}() cannot be resolved`
    if (this.#deny.has(bare) || this.#deny.has(`${schema ?? 'pg_catalog'}.${bare}`))
      return `function ${bare}() is on the deny list of the role`
    const volatile = this.catalog.systemFunctions.get(bare)
    const known = volatile !== undefined && (isHarmless(bare, volatile) || this.#allow.has(`pg_catalog.${bare}`))
    if (schema === 'pg_catalog')
      return known ? undefined : `function ${bare}() is not on the list of harmless functions`
    const others = (this.catalog.functions.get(bare) ?? []).filter((f) =>
      schema === undefined ? path.has(f.schema) : f.schema === schema,
    )
    if (schema === undefined && volatile !== undefined) {
      if (!known) return `function ${bare}() is not on the list of harmless functions`
      // An overload in another schema wins where its argument types fit better, whatever the order of the path.
      const planted = others.find((f) => f.extension === undefined && !this.#allowed(f, bare))
      return planted === undefined
        ? undefined
        : `function ${bare}() could be ${planted.schema}.${bare}(); write pg_catalog.${bare}()`
    }
    if (others.length > 0 && others.every((f) => this.#allowed(f, bare))) return undefined
    return `function ${name.join('.')}() is not on the list of harmless functions`
  }

  typeReason(name: readonly string[], path: ReadonlySet<string>): string | undefined {
    const [schema, bare] = name.length === 1 ? [undefined, name[0]] : [name[0], name[1]]
    if (bare === undefined || name.length > 2) return `type ${name.join('.')} cannot be resolved`
    if ((schema === undefined || schema === 'pg_catalog') && this.catalog.systemTypes.has(bare)) return undefined
    const found = (this.catalog.types.get(bare) ?? []).filter((t) =>
      schema === undefined ? path.has(t.schema) : t.schema === schema,
    )
    if (found.length > 0 && found.every((t) => this.#allowed(t, bare))) return undefined
    return `type ${name.join('.')} is not PostgreSQL's own; its input or casts could run code`
  }

  operatorReason(name: readonly string[], path: ReadonlySet<string>): string | undefined {
    const [schema, bare] = name.length === 1 ? [undefined, name[0]] : [name[0], name[1]]
    if (bare === undefined || name.length > 2) return `operator ${name.join('.')} cannot be resolved`
    const found = (this.catalog.operators.get(bare) ?? []).filter((o) =>
      schema === undefined ? path.has(o.schema) : o.schema === schema,
    )
    const planted = found.find((o) => o.extension === undefined && !this.#allowed(o, bare))
    if (schema === 'pg_catalog' || schema === undefined) {
      if (this.catalog.systemOperators.has(bare) && (schema !== undefined || planted === undefined)) return undefined
      if (schema === undefined && found.length > 0 && found.every((o) => this.#allowed(o, bare))) return undefined
      return planted === undefined
        ? `operator ${bare} is not PostgreSQL's own`
        : `operator ${bare} could be ${planted.schema}.${bare}; write OPERATOR(pg_catalog.${bare})`
    }
    if (found.length > 0 && found.every((o) => this.#allowed(o, bare))) return undefined
    return `operator ${name.join('.')} is not PostgreSQL's own`
  }

  /** @param isLocal the name is that of a WITH query of the same statement. */
  relationReason(
    schema: string | undefined,
    name: string,
    path: ReadonlySet<string>,
    isLocal: boolean,
  ): string | undefined {
    if (schema !== undefined && SYSTEM_SCHEMAS.has(schema)) return undefined
    if (schema === undefined && this.catalog.systemRelations.has(name)) return undefined
    const found = (this.catalog.relations.get(name) ?? []).filter((r) =>
      schema === undefined ? path.has(r.schema) : r.schema === schema,
    )
    const shown = schema === undefined ? name : `${schema}.${name}`
    if (found.length === 0) return isLocal ? undefined : `relation ${shown} is not there, or was made a moment ago`
    for (const relation of found) {
      if (this.#schemas.size > 0 && !this.#schemas.has(relation.schema))
        return `schema ${relation.schema} is not open to the role`
      const why = this.#behind(relation, name)
      if (why !== undefined) return why
    }
    return undefined
  }

  /** Why `alias.name` may be a call. `columnOf`: tells whether every relation that the alias can mean has such a column. */
  attributeReason(name: string, path: ReadonlySet<string>, isColumn: boolean): string | undefined {
    if (isColumn) return undefined
    const called = (this.catalog.functions.get(name) ?? []).find(
      (f) => f.takesRow && path.has(f.schema) && !this.#allowed(f, name),
    )
    return called === undefined ? undefined : `.${name} means a call of ${called.schema}.${name}()`
  }

  columnsOf(schema: string | undefined, name: string, path: ReadonlySet<string>): readonly (readonly string[])[] {
    return (this.catalog.relations.get(name) ?? [])
      .filter((r) => (schema === undefined ? path.has(r.schema) : r.schema === schema))
      .map((r) => r.columns)
  }

  #allowed(owned: Owned, name: string): boolean {
    if (this.#allow.has(`${owned.schema}.${name}`)) return true
    return owned.extension !== undefined && this.#allow.has(`extension:${owned.extension}`)
  }

  #behind(relation: Relation, name: string): string | undefined {
    if (this.#judged.has(relation)) return this.#judged.get(relation)
    this.#judged.set(relation, undefined)
    const why = this.#look(relation, `${relation.schema}.${name}`)
    this.#judged.set(relation, why)
    return why
  }

  #look(relation: Relation, shown: string): string | undefined {
    if (this.#allow.has(shown)) return undefined
    if (relation.kind === 'f') return `${shown} is a foreign table: what it reads runs elsewhere`
    if (relation.reachesElsewhere) return `${shown} has a foreign table among its partitions`
    if (!['r', 'p', 'v', 'm', 'S'].includes(relation.kind)) return `${shown} is not a table or view`
    for (const called of relation.functions)
      if (!this.#allow.has(called)) return `${shown} has an index or constraint with ${called}(), which reading may run`
    for (const text of [
      ...(relation.definition === undefined ? [] : [relation.definition]),
      ...relation.expressions.map((e) => `SELECT ${e}`),
    ]) {
      const why = this.#expressionReason(text, this)
      if (why !== undefined) return `${shown}: ${why}`
    }
    return undefined
  }
}
