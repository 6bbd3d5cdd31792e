/** One text that a page runs: its results in batches that the page can keep up with, or as the text of a file. */
import type { SqlColumn, SqlForm, ToSqlPage } from '../../session/session.ts'
import { columnsOf, valuesOf } from './backend-reader.ts'

/** On the screen, of one result. */
const SCREEN_ROWS = 10_000
const BATCH_ROWS = 200
const BATCH_CHARACTERS = 128 * 1024
/** Longer values are cut on the screen; files have them whole. */
const MOST_VALUE = 64 * 1024

export type PageRunParts = {
  readonly id: number
  readonly form: SqlForm
  /** Rows that a file may have. */
  readonly downloadRows: number
  readonly send: (message: ToSqlPage) => void
  /** No more rows are wanted. */
  readonly enough: () => void
}

type Row = readonly (string | null)[]

export class PageRun {
  readonly #parts: PageRunParts
  #result = 0
  #columns: readonly SqlColumn[] = []
  #rows = 0
  #isCut = false
  #batch: Row[] = []
  #batchCharacters = 0
  /** Messages that the page has to take, since it was asked last. */
  #sent = 0

  constructor(parts: PageRunParts) {
    this.#parts = parts
  }

  get id(): number {
    return this.#parts.id
  }

  /** More rows came than are shown, or may be taken. */
  get isCut(): boolean {
    return this.#isCut
  }

  /** How many batches were sent since the last call. */
  sent(): number {
    const sent = this.#sent
    this.#sent = 0
    return sent
  }

  /** RowDescription. */
  columns(body: Buffer): void {
    const { id, form, send } = this.#parts
    this.#columns = columnsOf(body)
    this.#rows = 0
    if (form === 'rows') send({ kind: 'columns', id, result: this.#result, columns: this.#columns })
    else if (form === 'csv') this.#text(`${this.#columns.map(({ name }) => quoted(name)).join(',')}\r\n`, 0)
  }

  /** DataRow. */
  row(body: Buffer): void {
    if (this.#isCut) return
    const { form, downloadRows, enough } = this.#parts
    if (this.#rows >= (form === 'rows' ? SCREEN_ROWS : downloadRows)) {
      this.#isCut = true
      enough()
      return
    }
    this.#rows += 1
    const values = valuesOf(body)
    const row = form === 'rows' ? values.map(shortened) : values
    this.#batch.push(row)
    for (const value of row) this.#batchCharacters += value?.length ?? 0
    if (this.#batch.length >= BATCH_ROWS || this.#batchCharacters >= BATCH_CHARACTERS) this.flush()
  }

  /** What has been gathered goes to the page. */
  flush(): void {
    if (this.#batch.length === 0) return
    const rows = this.#batch
    this.#batch = []
    this.#batchCharacters = 0
    const { id, form, send } = this.#parts
    if (form === 'rows') {
      this.#sent += 1
      send({ kind: 'batch', id, result: this.#result, rows })
    } else if (form === 'csv') this.#text(rows.map((row) => `${row.map(field).join(',')}\r\n`).join(''), rows.length)
    else this.#text(rows.map((row) => `${JSON.stringify(this.#object(row))}\n`).join(''), rows.length)
  }

  /** CommandComplete. */
  complete(tag: string): void {
    this.flush()
    const { id, send } = this.#parts
    send({ kind: 'complete', id, result: this.#result, tag })
    this.#result += 1
    this.#columns = []
  }

  #text(text: string, rows: number): void {
    this.#sent += 1
    this.#parts.send({ kind: 'text', id: this.#parts.id, text, rows })
  }

  /** Two columns of one name are told apart, so that none is lost. */
  #object(row: Row): Readonly<Record<string, string | null>> {
    const object: Record<string, string | null> = {}
    for (const [at, { name }] of this.#columns.entries()) {
      const key = Object.hasOwn(object, name) ? `${name} (${at + 1})` : name
      Object.defineProperty(object, key, { value: row[at] ?? null, enumerable: true, configurable: true })
    }
    return object
  }
}

const shortened = (value: string | null): string | null =>
  value !== null && value.length > MOST_VALUE ? `${value.slice(0, MOST_VALUE)}…` : value

/** RFC 4180. */
const quoted = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** Null is nothing, an empty text is `""`. A text that a spreadsheet would run as a formula gets an apostrophe in front. */
function field(value: string | null): string {
  if (value === null) return ''
  if (value === '') return '""'
  const isFormula = /^[=+\-@\t\r]/.test(value) && !/^[+-]?\d[\d.,eE+-]*$/.test(value)
  return quoted(isFormula ? `'${value}` : value)
}
