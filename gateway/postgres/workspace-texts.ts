/** What a workspace has run, for the second person who may let its COMMIT through: all of it, or it says that it is too much. */

/** A second person reads all of it. */
const MOST_CHARACTERS = 64 * 1024

export class WorkspaceTexts {
  readonly #count = new Map<string, number>()
  #characters = 0
  #isWhole = true

  add(text: string): void {
    const before = this.#count.get(text)
    if (before === undefined) this.#characters += text.length
    if (this.#characters > MOST_CHARACTERS) this.#isWhole = false
    else this.#count.set(text, (before ?? 0) + 1)
  }

  /** One line for each, in the order of their first use; undefined when there is more than anybody would read. */
  get lines(): readonly string[] | undefined {
    if (!this.#isWhole) return undefined
    return [...this.#count].map(([text, count]) => {
      const line = text.trim().replaceAll(/\s+/g, ' ')
      return count === 1 ? line : `${line}  (${count} times)`
    })
  }
}
