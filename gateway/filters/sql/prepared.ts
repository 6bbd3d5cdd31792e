/**
 * What a session may have prepared, by name. Whether the server took a PREPARE, or a DEALLOCATE, is not known here: each text that a
 * name may stand for counts.
 */

type Entry = {
  readonly texts: readonly string[]
  /** Under which names it was judged. */
  readonly judgedAs: string
  /** It may be run. */
  readonly isOpen: boolean
  /** There were more texts than are kept: once names mean something else, it cannot be judged again. */
  readonly isLost: boolean
}

const MAX_BYTES = 4 * 1024 * 1024

export class PreparedNames {
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  /** Those that may run. */
  get open(): readonly string[] {
    return [...this.#entries].filter(([, { isOpen }]) => isOpen).map(([name]) => name)
  }

  isStale(name: string, judgedAs: string): boolean {
    const entry = this.#entries.get(name)
    return entry?.isOpen === true && entry.judgedAs !== judgedAs
  }

  /** All that has to be allowed under today's names; undefined: that cannot be told any more. */
  textsOf(name: string): readonly string[] | undefined {
    const entry = this.#entries.get(name)
    return entry === undefined || entry.isLost ? undefined : entry.texts
  }

  /** @returns false when there are too many. */
  add(name: string, text: string, judgedAs: string): boolean {
    const before = this.#entries.get(name)
    const isKnown = before?.texts.includes(text) === true
    const size = (before === undefined ? name.length : 0) + (isKnown ? 0 : text.length)
    if (this.#bytes + size > MAX_BYTES) this.#lose()
    if (this.#bytes + size > MAX_BYTES) {
      this.close(name)
      return false
    }
    this.#bytes += size
    const { texts = [], isLost = false } = this.#entries.get(name) ?? {}
    // The older texts were judged when they came, and perhaps never since.
    const oldest = before === undefined || texts.length === 0 ? judgedAs : before.judgedAs
    this.#entries.set(name, {
      texts: texts.includes(text) ? texts : [...texts, text],
      judgedAs: oldest,
      isOpen: true,
      isLost,
    })
    return true
  }

  /** Before its texts are judged under these names: one of them may run the name itself. */
  judged(name: string, judgedAs: string): void {
    const entry = this.#entries.get(name)
    if (entry !== undefined) this.#entries.set(name, { ...entry, judgedAs })
  }

  /** May not run any more; left out: none of them. */
  close(name?: string): void {
    for (const one of name === undefined ? [...this.#entries.keys()] : [name]) {
      const entry = this.#entries.get(one)
      if (entry !== undefined) this.#entries.set(one, { ...entry, isOpen: false })
    }
  }

  /** Makes room: the texts of what was closed. */
  #lose(): void {
    for (const [name, entry] of this.#entries) {
      if (entry.isOpen) continue
      this.#bytes -= entry.texts.reduce((sum, text) => sum + text.length, 0)
      this.#entries.set(name, { ...entry, texts: [], isLost: true })
    }
  }
}
