/** What a judge must know of a target's database: which names are the system's own, and what stands behind the others. Pure data. */

export type Owned = {
  readonly schema: string
  /** The extension that brought it: installed by an administrator, not planted by a person. */
  readonly extension: string | undefined
}

export type UserFunction = Owned & {
  /** Takes one argument that may be a row: `alias.name` can mean a call of it. */
  readonly takesRow: boolean
}

export type Relation = {
  readonly schema: string
  /** As in pg_class: r table, p partitioned table, v view, m materialised view, f foreign table, S sequence. */
  readonly kind: string
  readonly columns: readonly string[]
  /** Of a view: its query, every name that is not pg_catalog's qualified. */
  readonly definition: string | undefined
  /** Expressions that run when somebody reads: row security policies, virtual columns. */
  readonly expressions: readonly string[]
  /** User functions (`schema.name`) behind its indexes and constraints, which a planner may run. */
  readonly functions: readonly string[]
  /** A partition or child is a foreign table. */
  readonly reachesElsewhere: boolean
}

export type Catalog = {
  /** Changes whenever anything below may have. */
  readonly version: string
  /** Names in pg_catalog; true: an overload is volatile. */
  readonly systemFunctions: ReadonlyMap<string, boolean>
  readonly systemTypes: ReadonlySet<string>
  readonly systemOperators: ReadonlySet<string>
  readonly systemRelations: ReadonlySet<string>
  readonly functions: ReadonlyMap<string, readonly UserFunction[]>
  readonly types: ReadonlyMap<string, readonly Owned[]>
  readonly operators: ReadonlyMap<string, readonly Owned[]>
  readonly relations: ReadonlyMap<string, readonly Relation[]>
  /** Schemas that an unqualified name is looked up in when a session begins. */
  readonly searchPath: readonly string[]
}
