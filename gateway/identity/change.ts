/** The next change of the store, or a little while: whichever comes first. */

type OnChange = (listener: () => void) => () => void

/** Changes of other people's rows come, too: many waiting clients must not read the store at each of them. */
const GATHER_MS = 60

/** Listens from the call on, so that a change that comes while the caller is still reading is not missed. Call `cancel` in the end. */
export function changed(
  onChange: OnChange,
  limits: { readonly signal: AbortSignal; readonly atMostMs: number },
): { readonly next: Promise<void>; cancel(): void } {
  const { promise: next, resolve } = Promise.withResolvers<void>()
  let gathering: NodeJS.Timeout | undefined
  const late = setTimeout(resolve, limits.atMostMs)
  const stop = onChange(() => (gathering ??= setTimeout(resolve, GATHER_MS)))
  const abort = () => resolve()
  limits.signal.addEventListener('abort', abort, { once: true })
  return {
    next,
    cancel: () => {
      clearTimeout(late)
      clearTimeout(gathering)
      stop()
      limits.signal.removeEventListener('abort', abort)
    },
  }
}
