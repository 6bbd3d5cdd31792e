/** Whether somebody types anywhere in this process: then nobody's bulk may take long turns of the event loop. */

/** After the last key. */
const MS = 1_000

export class Typing {
  #timer: NodeJS.Timeout | undefined

  /** A key came. */
  seen(): void {
    if (this.#timer === undefined) {
      this.#timer = setTimeout(() => {
        this.#timer = undefined
      }, MS)
      this.#timer.unref()
    } else this.#timer.refresh()
  }

  get isOn(): boolean {
    return this.#timer !== undefined
  }
}
