/** How Node runs a worker. */

export const WORKER_FLAGS: readonly string[] = [
  '--disable-warning=ExperimentalWarning',
  // A young generation of V8's usual size would be most of a worker's memory; a smaller one also stays in the processor's cache.
  '--max-semi-space-size=4',
  // Whoever types is served by code that has hardly run yet: V8 learns from the first call on instead of the eighth.
  '--no-lazy-feedback-allocation',
  // A worker's heap is about 50 MB from its first minute on: V8's first limits would have it all marked again and again on the way there.
  '--initial-old-space-size=96',
]
