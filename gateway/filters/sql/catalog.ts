/** What a judge must know of a target's database: which names are the system's own, and what stands behind the others. Pure data. */

/** A function, type or operator that did not come with PostgreSQL itself. */
export type Owned = {
  readonly schema: string
  readonly name: string
  /** The extension that brought it, when a superuser owns it: not planted by a person. */
  readonly extension: string | undefined
}

export type UserFunction = Owned & {
  readonly oid: string
  /** Can be called with one argument: `alias.name` can mean a call of it. */
  readonly takesOne: boolean
  /** pg_catalog has one with the same arguments, which wins where pg_catalog comes first and arguments are not named. */
  readonly isShadowed: boolean
  /** Compiled: only a superuser makes such a function. */
  readonly isNative: boolean
}

/** `isRow`: of a relation or of its own; such a type's name is never a cast that looks like a call. */
export type UserType = Owned & { readonly isRow: boolean }

export type UserOperator = Owned & {
  readonly isShadowed: boolean
}

export type SystemFunction = {
  /** An overload is volatile. */
  readonly isVolatile: boolean
  /** An overload takes `internal` or `cstring`: input functions and the like, which run what stands behind a type. */
  readonly isPlumbing: boolean
}

export type Relation = {
  readonly oid: string
  readonly schema: string
  readonly name: string
  /** As in pg_class: r table, p partitioned table, v view, m materialised view, f foreign table, S sequence. */
  readonly kind: string
  readonly columns: readonly string[]
  /** Functions that reading may run without naming them: behind the view, indexes, constraints, policies, column types and casts. */
  readonly runs: readonly UserFunction[]
  /** Conditions of domains among its column types: a literal beside such a column can become one of its values. */
  readonly checks: readonly string[]
  /** Changes with its view query, policies and virtual columns; undefined: it has none of them. */
  readonly textVersion: string | undefined
  /** It, a partition or a child is a foreign table. */
  readonly reachesElsewhere: boolean
}

export type Catalog = {
  /** Changes whenever anything below has. */
  readonly version: string
  /** `pg_catalog.name` and `information_schema.name`. */
  readonly systemFunctions: ReadonlyMap<string, SystemFunction>
  readonly systemTypes: ReadonlySet<string>
  readonly systemOperators: ReadonlySet<string>
  /** Of pg_catalog, with their columns. */
  readonly systemRelations: ReadonlyMap<string, readonly string[]>
  readonly functions: ReadonlyMap<string, readonly UserFunction[]>
  readonly types: ReadonlyMap<string, readonly UserType[]>
  readonly typesByNumber: ReadonlyMap<string, UserType>
  readonly operators: ReadonlyMap<string, readonly UserOperator[]>
  readonly relations: ReadonlyMap<string, readonly Relation[]>
}

/** Where a session looks up names that have no schema, when it begins. */
export type StartPath = {
  readonly schemas: readonly string[]
  /** pg_catalog is searched before all others. */
  readonly isCatalogFirst: boolean
}

/** The texts behind a relation: `query` of a view, `expressions` of policies and virtual columns. Undefined: too long to be judged. */
export type RelationTexts = {
  readonly query: string | undefined
  readonly expressions: readonly string[]
  readonly isComplete: boolean
}
