/** The keys that clients hold for cancelling their queries: ours, random, never the target's. */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'

type Entry = { readonly key: Buffer; readonly cancel: () => void }

export class CancelKeys {
  readonly #worker: number
  readonly #entries = new Map<number, Entry>()

  /** @param worker 0…127, the high byte of every process id given out. */
  constructor(worker: number) {
    if (!Number.isInteger(worker) || worker < 0 || worker > 127) throw new RangeError('worker number')
    this.#worker = worker
  }

  /** Which worker gave out this process id. */
  static workerOf(processId: number): number {
    return processId >>> 24
  }

  add(cancel: () => void): { readonly processId: number; readonly key: Buffer; remove(): void } {
    let processId: number
    do processId = (this.#worker << 24) | randomInt(1, 1 << 24)
    while (this.#entries.has(processId))
    const key = randomBytes(4)
    this.#entries.set(processId, { key, cancel })
    return { processId, key, remove: () => this.#entries.delete(processId) }
  }

  /** A wrong key does nothing, like an unknown process id. */
  use(processId: number, key: Buffer): void {
    const entry = this.#entries.get(processId)
    if (entry === undefined || key.length !== entry.key.length || !timingSafeEqual(key, entry.key)) return
    entry.cancel()
  }
}
