/** How Node runs a worker. */

/** A young generation of V8's usual size would be most of a worker's memory; a smaller one also stays in the processor's cache. */
export const WORKER_FLAGS: readonly string[] = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4']
