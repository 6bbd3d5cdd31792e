/**
 * node-pty 1.1.0 destroys a terminal 200 ms after its program's end, with everything in it that a slow reader has not taken yet. Here what is
 * left is read first: it ends by itself, or is quiet for a while where something of the program still holds the terminal.
 */
import type { IPty } from '@lydell/node-pty'

/** Nothing more comes of a terminal that somebody holds and does not write to. */
const QUIET_MS = 200
/** Somebody holds it and goes on writing. */
const MOST_MS = 2_000

/** @param ending called when the program is over and the rest should be read without waiting for anybody. */
export function readToTheEnd(pty: IPty, ending: () => void): void {
  const socket: unknown = Reflect.get(pty, '_socket')
  if (typeof socket !== 'object' || socket === null) return
  const destroy: unknown = Reflect.get(socket, 'destroy')
  if (typeof destroy !== 'function') return
  let isEnding = false
  Reflect.set(socket, 'destroy', (...why: readonly unknown[]) => {
    const now = () => void Reflect.apply(destroy, socket, why)
    // What the stream does by itself, at its end or after an error, is none of this.
    if (isEnding || why[0] !== undefined) return now()
    isEnding = true
    let quiet = setTimeout(now, QUIET_MS)
    const late = setTimeout(now, MOST_MS)
    const more = pty.onData(() => {
      clearTimeout(quiet)
      quiet = setTimeout(now, QUIET_MS)
    })
    pty.onExit(() => {
      clearTimeout(quiet)
      clearTimeout(late)
      more.dispose()
    })
    return ending()
  })
}
