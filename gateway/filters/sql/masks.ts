/** The masked columns of one role in one database: of tables by the rules, of views by what their queries hand on. */
import type { MaskRule } from '../../model/mask.ts'
import { stricter } from '../../model/mask.ts'
import { PENDING, type RelationTextStore } from './behind.ts'
import type { Catalog, Relation } from './catalog.ts'
import {
  ATTRIBUTE,
  type Mask,
  type MaskedColumn,
  type MaskFacts,
  maskedColumns,
  MISSING_VALUE,
  unfitting,
} from './mask-facts.ts'
import { type QueryShape, shapeOf } from './mask-query.ts'
import type { Scope } from './scope.ts'

export type RelationColumns = { readonly columns: readonly MaskedColumn[] } | { readonly reason: string }

/** Lower numbers came with the server, and none of its own tables holds what people have stored. */
const FIRST_OF_PEOPLE = 16_384

export class Masks {
  readonly #tables: ReadonlyMap<string, readonly MaskedColumn[]>
  readonly #byOid: ReadonlyMap<string, Relation>
  readonly #texts: RelationTextStore
  /** Of pg_attribute, where the server has it. */
  readonly #missingValue: number | undefined
  /** Rules that fit no column. */
  readonly unfitting: readonly MaskRule[]
  readonly #known = new Map<Relation, RelationColumns>()

  constructor(rules: readonly MaskRule[], facts: MaskFacts, catalog: Catalog, texts: RelationTextStore) {
    this.#tables = maskedColumns(rules, facts, catalog)
    this.#byOid = new Map([...catalog.relations.values()].flat().map((relation) => [relation.oid, relation]))
    this.#texts = texts
    this.#missingValue = facts.columns.get(`${ATTRIBUTE.oid}`)?.[0]?.number
    this.unfitting = unfitting(rules, facts, catalog)
  }

  /** The columns of a relation, or why it cannot be read under these masks ({@link PENDING}: its text has to be fetched first). */
  of(relation: Relation, scope: Scope): RelationColumns {
    const known = this.#known.get(relation)
    if (known !== undefined) return known
    const columns = this.#tables.get(relation.oid) ?? []
    if (relation.kind !== 'v' && relation.kind !== 'm') return { columns }
    const shown = `${relation.schema}.${relation.name}`
    this.#known.set(relation, { reason: `${shown} stands on itself` })
    const found = this.#view(relation, shown, columns, scope)
    if ('reason' in found && found.reason === PENDING) this.#known.delete(relation)
    else this.#known.set(relation, found)
    return found
  }

  #view(relation: Relation, shown: string, columns: readonly MaskedColumn[], scope: Scope): RelationColumns {
    const [parsed] = this.#texts.get(relation) ?? []
    if (parsed === undefined) return { reason: PENDING }
    if ('failure' in parsed) return { reason: `${shown}: its definition cannot be judged (${parsed.failure})` }
    const shape = shapeOf(parsed.statements[0], { scope, path: { schemas: new Set(), isCatalogFirst: true } })
    if ('reason' in shape) return { reason: shape.reason === PENDING ? PENDING : `${shown}: ${shape.reason}` }
    return handedOn(shown, columns, shape)
  }

  /** What a RowDescription names: a mask, `plain`, or `unknown` when this catalog does not have it. */
  at(table: number, column: number, scope: Scope): Mask | 'plain' | 'unknown' {
    if (table === ATTRIBUTE.oid && column === this.#missingValue) return MISSING_VALUE
    if (table < FIRST_OF_PEOPLE || column < 0) return 'plain'
    const relation = this.#byOid.get(`${table}`)
    if (relation === undefined) return 'unknown'
    if (relation.kind === 'S') return 'plain'
    const found = this.of(relation, scope)
    if ('reason' in found) return 'unknown'
    const at = found.columns.find(({ number }) => number === column)
    return at === undefined ? 'unknown' : (at.mask ?? 'plain')
  }
}

/** Columns of a view are those of its query, in their order. */
function handedOn(shown: string, columns: readonly MaskedColumn[], { outputs, isExact }: QueryShape): RelationColumns {
  if (outputs.every(({ mask }) => mask === undefined)) return { columns }
  if (!isExact || outputs.length !== columns.length)
    return { reason: `${shown}: it cannot be told which of its columns are masked` }
  return {
    columns: columns.map((column, at) => {
      const inner = outputs[at]?.mask
      if (inner === undefined) return column
      const { mask = inner } = column
      const kind = stricter(mask.kind, inner.kind)
      return { ...column, mask: { kind, isText: inner.isText, shown: `${shown}.${column.name}` } }
    }),
  }
}
