/** What a workspace has run, for the second person who may let its COMMIT through: all of it, with its values, or it says that it is too much. */
import { readParameters, type Whole } from './frontend.ts'

/** A second person reads all of it. */
const MOST_CHARACTERS = 64 * 1024
const MOST_PORTALS = 1000

export class WorkspaceTexts {
  readonly #showsValues: boolean
  readonly #count = new Map<string, number>()
  /** Texts of prepared statements by name, and what was bound by the name of its portal. */
  readonly #prepared = new Map<string, string>()
  readonly #bound = new Map<string, string>()
  #characters = 0
  #isWhole = true

  /** @param showsValues whether the role lets values of parameters be seen. */
  constructor(showsValues: boolean) {
    this.#showsValues = showsValues
  }

  add(text: string): void {
    this.#note(flat(text))
  }

  /** A name can be run by EXECUTE in another text, so that it is shown with what it stands for. */
  parsed(name: string, text: string): void {
    if (!this.#isWhole) return
    const line = flat(text)
    this.#prepared.set(name, line)
    if (name !== '') this.#note(`prepared as ${name}: ${line}`)
  }

  bound(portal: string, statement: string, bind: Whole): void {
    const text = this.#prepared.get(statement)
    if (!this.#isWhole || text === undefined) return
    if (this.#bound.size >= MOST_PORTALS && !this.#bound.has(portal)) return this.#tooMuch()
    this.#bound.set(portal, text + this.#valuesOf(bind))
  }

  /** Portals of cursors are none of ours: their text was a query. */
  executed(portal: string): void {
    const line = this.#bound.get(portal)
    if (line !== undefined) this.#note(line)
  }

  /** One line for each, in the order of their first use; undefined when there is more than anybody would read. */
  get lines(): readonly string[] | undefined {
    if (!this.#isWhole) return undefined
    return [...this.#count].map(([line, count]) => (count === 1 ? line : `${line}  (${count} times)`))
  }

  #valuesOf(bind: Whole): string {
    const values = readParameters(bind, MOST_CHARACTERS)
    if (values.length === 0) return ''
    if (!this.#showsValues) return '  with values that the role does not let be seen'
    return `  with ${values.map((value, at) => `$${at + 1} = ${JSON.stringify(value)}`).join(', ')}`
  }

  #note(line: string): void {
    if (!this.#isWhole) return
    const before = this.#count.get(line)
    if (before === undefined) this.#characters += line.length
    if (this.#characters > MOST_CHARACTERS) this.#tooMuch()
    else this.#count.set(line, (before ?? 0) + 1)
  }

  #tooMuch(): void {
    this.#isWhole = false
    for (const kept of [this.#count, this.#prepared, this.#bound]) kept.clear()
  }
}

const flat = (text: string): string => text.trim().replaceAll(/\s+/g, ' ')
