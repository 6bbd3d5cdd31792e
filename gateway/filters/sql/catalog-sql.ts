/** The statements that read a catalog from PostgreSQL 13 to 18. They name everything with its schema, take no lock, and run as anybody. */

/** Objects below this number came with the server itself (FirstNormalObjectId). */
const OWN = 16384

/** The first statement of a session: where names are looked up. Nothing in it is looked up by path. */
export const PATH_SQL =
  'SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(true)), pg_catalog.current_setting($$search_path$$), current_user'

/** From here on, only what is qualified is found outside pg_catalog. */
export const EMPTY_PATH_SQL = 'SELECT pg_catalog.set_config($$search_path$$, $$$$, false)'

/** kind, schema, name, flags or columns */
const SYSTEM_SQL = `
SELECT 'f', n.nspname, p.proname, pg_catalog.concat(
    CASE WHEN pg_catalog.bool_or(p.provolatile = 'v') THEN 'v' END,
    CASE WHEN pg_catalog.bool_or(2275 = ANY (p.proargtypes) OR 2281 = ANY (p.proargtypes)) THEN 'i' END)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE p.oid < ${OWN} AND n.nspname IN ('pg_catalog', 'information_schema') GROUP BY n.nspname, p.proname
UNION ALL SELECT 't', '', t.typname, '' FROM pg_type t WHERE t.oid < ${OWN} AND t.typnamespace = 'pg_catalog'::regnamespace
UNION ALL SELECT DISTINCT 'o', '', o.oprname::text, '' FROM pg_operator o WHERE o.oid < ${OWN}
UNION ALL SELECT 'r', '', c.relname, (SELECT pg_catalog.json_agg(a.attname)::text FROM pg_attribute a WHERE a.attrelid = c.oid)
  FROM pg_class c WHERE c.oid < ${OWN} AND c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind IN ('r', 'v')`

const EXTENSION = (table: string, object: string, owner: string): string =>
  `(SELECT e.extname FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = '${table}'::regclass AND d.objid = ${object}
     AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND EXISTS (SELECT FROM pg_roles u WHERE u.oid = ${owner} AND u.rolsuper) LIMIT 1)`

/** oid, schema, name, extension, takes one argument, shadowed, compiled */
const FUNCTIONS_SQL = `
SELECT p.oid, n.nspname, p.proname, ${EXTENSION('pg_proc', 'p.oid', 'p.proowner')},
  (p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1) OR p.provariadic <> 0,
  p.pronargdefaults = 0 AND p.provariadic = 0 AND EXISTS (SELECT FROM pg_proc s WHERE s.oid < ${OWN} AND s.proname = p.proname
    AND s.pronamespace = 'pg_catalog'::regnamespace AND s.proargtypes = p.proargtypes AND s.provariadic = 0),
  p.prolang IN (SELECT l.oid FROM pg_language l WHERE l.lanname IN ('internal', 'c'))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid >= ${OWN} ORDER BY p.oid`

/** oid, schema, name, extension, kind, what it is made of */
const TYPES_SQL = `
SELECT t.oid, n.nspname, t.typname, ${EXTENSION('pg_type', 't.oid', 't.typowner')}, t.typtype,
  pg_catalog.concat_ws(',', NULLIF(t.typbasetype, 0), NULLIF(t.typelem, 0), (SELECT r.rngsubtype FROM pg_range r WHERE r.rngtypid = t.oid),
    CASE WHEN t.typtype = 'm' THEN (SELECT r.rngtypid FROM pg_range r WHERE pg_catalog.to_jsonb(r) ->> 'rngmultitypid' = t.oid::text) END,
    (SELECT pg_catalog.string_agg(DISTINCT a.atttypid::text, ',') FROM pg_attribute a
      WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 AND a.atttypid >= ${OWN}))
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid >= ${OWN} ORDER BY t.oid`

/** schema, name, extension, function, shadowed, oid */
const OPERATORS_SQL = `
SELECT n.nspname, o.oprname, ${EXTENSION('pg_operator', 'o.oid', 'o.oprowner')}, o.oprcode::oid,
  EXISTS (SELECT FROM pg_operator s WHERE s.oid < ${OWN} AND s.oprname = o.oprname AND s.oprleft = o.oprleft AND s.oprright = o.oprright), o.oid
FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid >= ${OWN} ORDER BY o.oid`

/** Views; where masks must be followed, materialised ones as well. */
const viewKinds = (isMasked: boolean): string => (isMasked ? "('v', 'm')" : "('v')")

/** oid, schema, name, kind, row type, columns, types of columns, versions of texts */
const relationsSql = (isMasked: boolean): string => `
SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltype,
  (SELECT pg_catalog.json_agg(a.attname ORDER BY a.attnum)::text FROM pg_attribute a WHERE a.attrelid = c.oid AND NOT a.attisdropped),
  (SELECT pg_catalog.string_agg(DISTINCT a.atttypid::text, ',') FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND a.atttypid >= ${OWN}),
  pg_catalog.concat_ws(' ',
    CASE WHEN c.relkind IN ${viewKinds(isMasked)} THEN (SELECT pg_catalog.string_agg(r.oid || '/' || r.xmin, ',' ORDER BY r.oid) FROM pg_rewrite r WHERE r.ev_class = c.oid) END,
    CASE WHEN c.relrowsecurity THEN (SELECT pg_catalog.string_agg(p.oid || '/' || p.xmin, ',' ORDER BY p.oid) FROM pg_policy p WHERE p.polrelid = c.oid) END,
    (SELECT pg_catalog.string_agg(f.oid || '/' || f.xmin, ',' ORDER BY f.oid) FROM pg_attribute a
      JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum WHERE a.attrelid = c.oid AND a.attgenerated = 'v'))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= ${OWN} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't' ORDER BY c.oid`

/** parent, child */
const INHERITS_SQL = 'SELECT i.inhparent, i.inhrelid FROM pg_inherits i ORDER BY 1, 2'

/** what has it (r relation, t type), its oid, what it needs (f function, o operator, t type), the oid of that */
const NEEDS_SQL = `
WITH d AS MATERIALIZED (
  SELECT DISTINCT classid, objid, CASE refclassid WHEN 'pg_proc'::regclass THEN 'f' WHEN 'pg_operator'::regclass THEN 'o' ELSE 't' END AS kind, refobjid
  FROM pg_depend WHERE refobjid >= ${OWN} AND refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass)
    AND classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass, 'pg_class'::regclass, 'pg_statistic_ext'::regclass)
)
SELECT 'r' AS what, r.ev_class AS oid, d.kind, d.refobjid FROM d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class
  WHERE d.classid = 'pg_rewrite'::regclass AND v.relkind = 'v'
UNION SELECT 'r', p.polrelid, d.kind, d.refobjid FROM d JOIN pg_policy p ON p.oid = d.objid WHERE d.classid = 'pg_policy'::regclass
UNION SELECT CASE WHEN k.contypid <> 0 THEN 't' ELSE 'r' END, CASE WHEN k.contypid <> 0 THEN k.contypid ELSE k.conrelid END, d.kind, d.refobjid
  FROM d JOIN pg_constraint k ON k.oid = d.objid WHERE d.classid = 'pg_constraint'::regclass
UNION SELECT 'r', f.adrelid, d.kind, d.refobjid FROM d JOIN pg_attrdef f ON f.oid = d.objid
  JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum WHERE d.classid = 'pg_attrdef'::regclass AND a.attgenerated = 'v'
UNION SELECT 'r', x.indrelid, d.kind, d.refobjid FROM d JOIN pg_index x ON x.indexrelid = d.objid WHERE d.classid = 'pg_class'::regclass
UNION SELECT 'r', s.stxrelid, d.kind, d.refobjid FROM d JOIN pg_statistic_ext s ON s.oid = d.objid WHERE d.classid = 'pg_statistic_ext'::regclass
UNION SELECT 'r', t.partrelid, d.kind, d.refobjid FROM d JOIN pg_partitioned_table t ON t.partrelid = d.objid WHERE d.classid = 'pg_class'::regclass
UNION SELECT 't', t.oid, 'f', k.castfunc FROM pg_cast k CROSS JOIN LATERAL (VALUES (k.castsource), (k.casttarget)) t(oid) WHERE k.castfunc >= ${OWN} AND t.oid >= ${OWN}
UNION SELECT 't', r.rngtypid, 'f', f.oid FROM pg_range r CROSS JOIN LATERAL (VALUES (r.rngsubdiff::oid), (r.rngcanonical::oid)) f(oid) WHERE f.oid >= ${OWN}
ORDER BY 1, 2, 3, 4`

/** domain, condition */
const CHECKS_SQL = `
SELECT k.contypid, CASE WHEN pg_catalog.octet_length(k.conbin::text) < 100000 THEN pg_catalog.pg_get_expr(k.conbin, 0) END
FROM pg_constraint k WHERE k.contypid >= ${OWN} AND k.contype = 'c' ORDER BY k.oid`

/** In this order, after {@link EMPTY_PATH_SQL}. `catalog-rows.ts` reads what comes back. */
export const catalogSql = (isMasked: boolean): readonly string[] => [
  SYSTEM_SQL,
  FUNCTIONS_SQL,
  TYPES_SQL,
  OPERATORS_SQL,
  relationsSql(isMasked),
  INHERITS_SQL,
  NEEDS_SQL,
  CHECKS_SQL,
]

/** Longer texts are not judged: their view is refused. */
const MAX_TEXT = 200_000

/** Texts behind these relations and behind every view below them: oid, kind (q query, e expression), text. @param oids digits only */
export function textsSql(oids: readonly string[], isMasked = false): string {
  const wanted = oids.filter((oid) => /^\d+$/.test(oid)).join(',')
  return `
WITH RECURSIVE seen(oid) AS (
  SELECT pg_catalog.unnest(ARRAY[${wanted}]::oid[])
  UNION SELECT d.refobjid FROM seen s JOIN pg_rewrite r ON r.ev_class = s.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid >= ${OWN}
), texts AS (
  SELECT c.oid, 'q' AS kind, pg_catalog.pg_get_viewdef(c.oid) AS body FROM seen s JOIN pg_class c ON c.oid = s.oid WHERE c.relkind IN ${viewKinds(isMasked)}
  UNION ALL SELECT p.polrelid, 'e', pg_catalog.pg_get_expr(p.polqual, p.polrelid) FROM seen s JOIN pg_policy p ON p.polrelid = s.oid
  UNION ALL SELECT f.adrelid, 'e', pg_catalog.pg_get_expr(f.adbin, f.adrelid) FROM seen s JOIN pg_attrdef f ON f.adrelid = s.oid
    JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum WHERE a.attgenerated = 'v'
)
SELECT oid, kind, CASE WHEN pg_catalog.octet_length(body) <= ${MAX_TEXT} THEN body END FROM texts WHERE body IS NOT NULL`
}
