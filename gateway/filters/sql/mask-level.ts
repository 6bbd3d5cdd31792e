/** The names that one query can see, with what is masked among them. Where a name could mean several things, it means the masked one. */
import type { Mask } from './mask-facts.ts'

export type Output = { readonly name: string | undefined; readonly mask: Mask | undefined }

/** The columns of a query or of something in FROM. Not exact: their number or order is not known. */
export type Shape = { readonly outputs: readonly Output[]; readonly isExact: boolean }

/** Something in FROM. Open: it may have more columns than are known, none of them masked. */
export type Source = Shape & { readonly alias: string; readonly isOpen: boolean }

export const masksOf = ({ outputs }: Shape): readonly Mask[] =>
  outputs.flatMap(({ mask }) => (mask === undefined ? [] : [mask]))

/** In every table. */
const SYSTEM_COLUMNS = new Set(['tableoid', 'ctid', 'xmin', 'xmax', 'cmin', 'cmax'])

export type Meaning =
  | { readonly kind: 'plain' }
  | { readonly kind: 'masked'; readonly mask: Mask }
  /** All of a row that has a masked column in it. */
  | { readonly kind: 'row'; readonly mask: Mask }
  /** Nothing that is known. */
  | { readonly kind: 'missing' }

const plain: Meaning = { kind: 'plain' }
const missing: Meaning = { kind: 'missing' }

export class Level {
  readonly outer: Level | undefined
  readonly depth: number
  /** This one, and those around it. */
  readonly #all: readonly Level[]
  readonly #sources: Source[] = []
  readonly #aliases = new Map<string, Source[]>()
  readonly #masked = new Map<string, Mask>()
  readonly #names = new Set<string>()
  #isOpen = false
  #isMerged = false

  constructor(outer: Level | undefined) {
    this.outer = outer
    this.#all = [this, ...(outer === undefined ? [] : outer.#all)]
    this.depth = this.#all.length
  }

  add(source: Source): void {
    this.#sources.push(source)
    const same = this.#aliases.get(source.alias)
    if (same === undefined) this.#aliases.set(source.alias, [source])
    else same.push(source)
    this.#isOpen ||= source.isOpen
    for (const { name, mask } of source.outputs) {
      if (name === undefined) continue
      this.#names.add(name)
      if (mask !== undefined) this.#masked.set(name, mask)
    }
  }

  /** Names of its outputs count as columns, too. */
  open(): void {
    this.#isOpen = true
  }

  /** A join made one column of two: `*` has fewer than its parts. */
  merge(): void {
    this.#isMerged = true
  }

  get isMerged(): boolean {
    return this.#isMerged
  }

  /** It is a column of this query's own FROM, whatever the queries around it have. */
  isSureOf(column: string): boolean {
    return this.#names.has(column)
  }

  get sources(): readonly Source[] {
    return this.#sources
  }

  aliased(alias: string): readonly Source[] {
    return this.#aliases.get(alias) ?? []
  }

  /** `column`, within this query only. */
  own(column: string): Meaning {
    const mask = this.#masked.get(column)
    if (mask !== undefined) return { kind: 'masked', mask }
    if (this.#names.has(column)) return plain
    const row = this.aliased(column).flatMap(masksOf)[0]
    if (row !== undefined) return { kind: 'row', mask: row }
    return this.#isOpen || this.#aliases.has(column) || SYSTEM_COLUMNS.has(column) ? plain : missing
  }

  /** `column`, in this query or any around it. */
  anywhere(column: string): Meaning {
    let isKnown = false
    for (const level of this.#all) {
      const meaning = level.own(column)
      if (meaning.kind === 'masked' || meaning.kind === 'row') return meaning
      isKnown ||= meaning.kind === 'plain'
    }
    return isKnown ? plain : missing
  }

  /** `alias.column`, in this query or any around it. A column that the alias does not have is a call with the whole row. */
  qualified(alias: string, column: string): Meaning {
    let isKnown = false
    let isNamed = false
    for (const level of this.#all)
      for (const source of level.aliased(alias)) {
        isNamed = true
        const found = source.outputs.find(({ name }) => name === column)
        if (found?.mask !== undefined) return { kind: 'masked', mask: found.mask }
        const [row] = masksOf(source)
        if (found === undefined && row !== undefined && !SYSTEM_COLUMNS.has(column)) return { kind: 'row', mask: row }
        isKnown ||= found !== undefined || source.isOpen || SYSTEM_COLUMNS.has(column)
      }
    // A function in FROM goes by its own name; whatever could be masked is named here.
    return isKnown || !isNamed ? plain : missing
  }

  /** `alias.*`, in this query or any around it; without an alias everything. */
  row(alias: string | undefined): Mask | undefined {
    for (const level of this.#all) {
      const [mask] = (alias === undefined ? level.sources : level.aliased(alias)).flatMap(masksOf)
      if (mask !== undefined) return mask
    }
    return undefined
  }
}
