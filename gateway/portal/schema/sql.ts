/** The words of the SQL socket, {@link SQL_PATH}: text frames of JSON, one message each. The page begins with {@link sqlHello}. */
import { z } from 'zod'
import { confirmation } from './passkeys.ts'
import { count, name, time, under } from './wire.ts'

export const SQL_PATH = '/api/v1/sql'
/** Longer statements are for psql. */
export const MOST_SQL = 512 * 1024
/** The same in UTF-8 and JSON's escapes, at their worst. */
export const MOST_SQL_MESSAGE = 6 * MOST_SQL

export const sqlHello = z.strictObject({
  kind: z.literal('open'),
  csrf: z.string().max(200),
  target: name,
  under: under.optional(),
  database: z.string().min(1).max(63).optional(),
  confirmation: confirmation.optional(),
})

export const fromSqlPage = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('run'),
    id: z.int().min(1),
    sql: z.string().max(MOST_SQL),
    form: z.enum(['rows', 'csv', 'json']),
  }),
  z.strictObject({ kind: z.literal('taken'), batches: z.int().min(1).max(1000) }),
  z.strictObject({ kind: z.literal('cancel') }),
])

const words = z.string().nullable()
const id = count
const result = count

export const toSqlPage = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('opened'),
    grant: z.string(),
    role: z.string(),
    expiresAt: time,
    database: z.string(),
    version: z.string(),
    isReadOnly: z.boolean(),
    /** Rows that a file may have; 0: none may be taken. */
    downloadRows: count,
  }),
  z.strictObject({
    kind: z.literal('columns'),
    id,
    result,
    columns: z.array(z.strictObject({ name: z.string(), type: z.string() })),
  }),
  z.strictObject({ kind: z.literal('batch'), id, result, rows: z.array(z.array(words)) }),
  z.strictObject({ kind: z.literal('text'), id, text: z.string(), rows: count }),
  z.strictObject({ kind: z.literal('complete'), id, result, tag: z.string() }),
  z.strictObject({
    kind: z.literal('error'),
    id,
    code: z.string(),
    text: z.string(),
    detail: words,
    hint: words,
    /** In the run's text, in characters, from 1. */
    position: z.int().nullable(),
  }),
  /** `isCut`: there are more rows than were sent. `status` is the transaction's: idle, in one, in a failed one. */
  z.strictObject({ kind: z.literal('done'), id, status: z.enum(['I', 'T', 'E']), isCut: z.boolean(), ms: count }),
  z.strictObject({ kind: z.literal('notice'), text: z.string(), hint: words }),
  z.strictObject({ kind: z.literal('ended'), text: z.string(), next: words }),
  /** Nothing was opened. */
  z.strictObject({ kind: z.literal('refused'), code: z.string(), text: z.string(), next: words }),
])

export type SqlHello = z.infer<typeof sqlHello>
export type FromSqlPage = z.infer<typeof fromSqlPage>
export type ToSqlPage = z.infer<typeof toSqlPage>
