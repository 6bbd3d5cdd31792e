/** What masking must know of a database: every column by number, and which columns hold the values of which others. */
import { type MaskKind, type MaskRule, stricter } from '../../model/mask.ts'
import type { Catalog, Relation } from './catalog.ts'
import type { Rows } from './catalog-rows.ts'

const OWN = 16384

/** The column of the server's own that holds a value of people's tables: what rows have that are older than their column. */
export const ATTRIBUTE = { oid: 1249, table: 'pg_attribute', column: 'attmissingval' } as const

/** relation, number, name, whether its values are text */
const COLUMNS_SQL = `
SELECT a.attrelid, a.attnum, a.attname, t.typcategory = 'S'
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
WHERE (c.oid >= ${OWN} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped)
  OR (c.oid = ${ATTRIBUTE.oid} AND a.attname = '${ATTRIBUTE.column}') ORDER BY 1, 2`

/** from relation, column, to relation, column, how: f foreign key, g generated column, i inheritance or partition (no columns: by name) */
const LINKS_SQL = `
SELECT k.confrelid AS a, u.there AS b, k.conrelid AS c, u.here AS d, 'f' AS how
  FROM pg_constraint k CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(k.confkey), pg_catalog.unnest(k.conkey)) u(there, here) WHERE k.contype = 'f'
UNION SELECT f.adrelid, d.refobjsubid, f.adrelid, f.adnum, 'g' FROM pg_attrdef f
  JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum AND a.attgenerated <> ''
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = f.adrelid AND d.refobjsubid > 0 AND d.refobjsubid <> f.adnum
    AND ((d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid) OR (d.classid = 'pg_class'::regclass AND d.objid = f.adrelid AND d.objsubid = f.adnum))
UNION SELECT i.inhparent, 0, i.inhrelid, 0, 'i' FROM pg_inherits i
ORDER BY 1, 2, 3, 4, 5`

/** In this order, after those of the catalog. */
export const MASK_SQL: readonly string[] = [COLUMNS_SQL, LINKS_SQL]

type Column = { readonly number: number; readonly name: string; readonly isText: boolean }
type Link = { readonly from: string; readonly to: string; readonly how: string }

export type MaskFacts = {
  /** By the number of their relation, in their order. */
  readonly columns: ReadonlyMap<string, readonly Column[]>
  readonly links: readonly Link[]
}

/** One masked column. `shown`: `schema.table.column`. */
export type Mask = { readonly kind: MaskKind; readonly shown: string; readonly isText: boolean }
/** Nobody sees it under masks. */
export const MISSING_VALUE: Mask = {
  kind: 'null',
  shown: `pg_catalog.${ATTRIBUTE.table}.${ATTRIBUTE.column}`,
  isText: false,
}
export type MaskedColumn = { readonly number: number; readonly name: string; readonly mask: Mask | undefined }

/** @param rows of {@link MASK_SQL}, in its order. */
export function readMaskFacts([columnRows = [], linkRows = []]: readonly Rows[]): MaskFacts {
  const columns = new Map<string, Column[]>()
  for (const [relation, number, name, isText] of columnRows) {
    const known = columns.get(relation ?? '')
    const column = { number: Number(number), name: name ?? '', isText: isText === 't' }
    if (known === undefined) columns.set(relation ?? '', [column])
    else known.push(column)
  }
  const links = linkRows.flatMap(([from, fromColumn, to, toColumn, how]): Link[] => {
    if (how !== 'i') return [{ from: `${from}.${fromColumn}`, to: `${to}.${toColumn}`, how: how ?? '' }]
    const there = new Map((columns.get(to ?? '') ?? []).map(({ name, number }) => [name, number]))
    return (columns.get(from ?? '') ?? []).flatMap(({ name, number }) => {
      const other = there.get(name)
      if (other === undefined) return []
      const [parent, child] = [`${from}.${number}`, `${to}.${other}`]
      return [
        { from: parent, to: child, how: 'i' },
        { from: child, to: parent, how: 'i' },
      ]
    })
  })
  return { columns, links }
}

const fits = (word: string | undefined, name: string): boolean => word === undefined || word === name

/**
 * The columns of every relation, with the masks that rules give them. A column that refers to a masked one holds the same values and
 * inherits its mask, one that is generated from it is masked in full, and so are the same columns of parents, children and partitions.
 */
export function maskedColumns(
  rules: readonly MaskRule[],
  { columns, links }: MaskFacts,
  catalog: Catalog,
): ReadonlyMap<string, readonly MaskedColumn[]> {
  const kinds = new Map<string, MaskKind>()
  const relations = [...catalog.relations.values()].flat()
  for (const { oid, schema, name } of relations)
    for (const column of columns.get(oid) ?? [])
      for (const rule of rules)
        if (fits(rule.schema, schema) && fits(rule.table, name) && fits(rule.column, column.name))
          add(kinds, `${oid}.${column.number}`, rule.kind)
  const from = new Map<string, Link[]>()
  for (const link of links) from.set(link.from, [...(from.get(link.from) ?? []), link])
  const waiting = [...kinds.keys()]
  for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
    const kind = kinds.get(key)
    if (kind === undefined) continue
    for (const { to, how } of from.get(key) ?? [])
      if (add(kinds, to, how === 'g' ? stricter(kind, 'full') : kind)) waiting.push(to)
  }
  return new Map(relations.map((relation) => [relation.oid, named(relation, columns.get(relation.oid) ?? [], kinds)]))
}

/** Rules that mask nothing, most likely by a slip of the pen. */
export function unfitting(rules: readonly MaskRule[], { columns }: MaskFacts, catalog: Catalog): readonly MaskRule[] {
  const relations = [...catalog.relations.values()].flat()
  return rules.filter(
    (rule) =>
      !relations.some(
        ({ name, oid, schema }) =>
          fits(rule.schema, schema) &&
          fits(rule.table, name) &&
          (columns.get(oid) ?? []).some((column) => fits(rule.column, column.name)),
      ),
  )
}

/** @returns whether that made it stricter. */
function add(kinds: Map<string, MaskKind>, key: string, kind: MaskKind): boolean {
  const known = kinds.get(key)
  const next = known === undefined ? kind : stricter(known, kind)
  kinds.set(key, next)
  return next !== known
}

const named = (
  { oid, schema, name }: Relation,
  columns: readonly Column[],
  kinds: ReadonlyMap<string, MaskKind>,
): readonly MaskedColumn[] =>
  columns.map((column) => {
    const kind = kinds.get(`${oid}.${column.number}`)
    const shown = `${schema}.${name}.${column.name}`
    return {
      number: column.number,
      name: column.name,
      mask: kind === undefined ? undefined : { kind, shown, isText: column.isText },
    }
  })
