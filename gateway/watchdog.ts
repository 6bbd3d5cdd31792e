/** Judges whether a worker's event loop is stuck: silent although it burns its core, or silent for much too long. */

export type Pulse = {
  /** Milliseconds since the worker was last heard. */
  readonly silentMs: number
  /** CPU time that it used since then; undefined where the system does not tell. */
  readonly cpuMs: number | undefined
}

/** A busy loop is stuck after this. */
export const SILENT_MS = 2000
/** Without CPU use a silent worker is starved or stopped, not looping: it gets longer. */
const STARVED_MS = 15_000

export function isStuck({ silentMs, cpuMs }: Pulse): boolean {
  if (silentMs >= STARVED_MS) return true
  return silentMs >= SILENT_MS && (cpuMs === undefined || cpuMs >= SILENT_MS * 0.6)
}
