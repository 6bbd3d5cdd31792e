/** The database's own catalogue, as far as the person may read it: asked for in SQL, through the same door as everything else. */
import type { SQLNamespace } from '@codemirror/lang-sql'
import type { Result } from './sql-line.ts'

export type Table = {
  readonly schema: string
  readonly name: string
  readonly kind: 'table' | 'view' | 'other'
  readonly columns: readonly { readonly name: string; readonly type: string }[]
}

const MOST_COLUMNS = 5000

export const TABLES_SQL = `select n.nspname, c.relname, c.relkind, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid
where c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped
and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname not like 'pg\\_%'
and pg_catalog.has_table_privilege(c.oid, 'select')
order by 1, 2, a.attnum limit ${MOST_COLUMNS}`

export function tablesOf(result: Result | undefined): readonly Table[] {
  const tables = new Map<string, Table & { readonly columns: { name: string; type: string }[] }>()
  for (const [schema = '', name = '', kind = '', column = '', type = ''] of result?.rows ?? []) {
    const key = `${schema}.${name}`
    const table = tables.get(key) ?? {
      schema: schema ?? '',
      name: name ?? '',
      kind: kind === 'r' || kind === 'p' ? 'table' : kind === 'v' || kind === 'm' ? 'view' : 'other',
      columns: [],
    }
    table.columns.push({ name: column ?? '', type: type ?? '' })
    tables.set(key, table)
  }
  return [...tables.values()]
}

/** For completions: `schema.table`, and plain names of `public`. */
export function namespaceOf(tables: readonly Table[]): SQLNamespace {
  const namespace: Record<string, string[]> = {}
  for (const { schema, name, columns } of tables) {
    const names = columns.map((column) => column.name)
    namespace[`${schema}.${name}`] = names
    if (schema === 'public') namespace[name] = names
  }
  return namespace
}

/** As it has to be written: bare where that reads the same. */
export const quotedName = (name: string): string =>
  /^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`
