/** PostgreSQL's own grammar, kept at arm's length: short texts here, everything else in a thread with a deadline. */
import { Worker } from 'node:worker_threads'
import { fingerprintSync, hasSqlDetails, loadModule, parseSync } from 'libpg-query'
import type { Tree } from './expressions.ts'

export type Parsed =
  | { readonly statements: readonly Tree[]; readonly fingerprint: string }
  /** The text cannot be parsed, or took too long: a sentence. */
  | { readonly failure: string }

export type Parser = {
  /** At once for short texts, through a thread for others. Never rejects. */
  parse(text: string): Parsed | Promise<Parsed>
  close(): Promise<void>
}

/** Up to here, and without a comment that could nest, the grammar has never needed more than 16 ms. */
const INLINE_CHARACTERS = 4096
const MAX_CHARACTERS = 1024 * 1024
const DEADLINE_MS = 250
/** Texts that wait for the thread; more are refused rather than queued for ever. */
const MAX_WAITING = 256

type Job = { readonly text: string; readonly done: (parsed: Parsed) => void }

/** One per worker process. */
export async function openParser(): Promise<Parser> {
  await loadModule()
  let isInlineSound = true
  const waiting: Job[] = []
  let running: { readonly job: Job; readonly late: NodeJS.Timeout } | undefined
  let thread: Worker | undefined
  let closed = false

  const settle = (parsed: Parsed): void => {
    if (running === undefined) return
    clearTimeout(running.late)
    const { job } = running
    running = undefined
    job.done(parsed)
    next()
  }
  const discard = (failure: string): void => {
    const old = thread
    thread = undefined
    old?.removeAllListeners()
    old?.on('error', () => undefined)
    void old?.terminate()
    settle({ failure })
  }
  const start = (): Worker => {
    const made = new Worker(new URL('./parser-thread.ts', import.meta.url), {
      resourceLimits: { stackSizeMb: 16, maxOldGenerationSizeMb: 512 },
    })
    made.on('message', ({ parsed, isSound }: { parsed: Parsed; isSound: boolean }) => {
      if (isSound) settle(parsed)
      else discard('failure' in parsed ? parsed.failure : 'the parser failed')
    })
    made.on('error', () => discard('this statement is too large or too deep to be judged'))
    made.on('exit', () => {
      if (thread === made) discard('the parser ended')
    })
    made.unref()
    return made
  }
  function next(): void {
    if (running !== undefined || closed) return
    const job = waiting.shift()
    if (job === undefined) return
    thread ??= start()
    running = {
      job,
      late: setTimeout(() => discard(`this statement took more than ${DEADLINE_MS} ms to read`), DEADLINE_MS),
    }
    thread.postMessage(job.text)
  }

  return {
    parse(text) {
      if (text.length > MAX_CHARACTERS)
        return { failure: `a statement may have ${MAX_CHARACTERS} characters at most here` }
      if (text.includes('\0')) return { failure: 'a NUL inside a statement' }
      if (text.trim() === '') return { statements: [], fingerprint: '' }
      if (isInlineSound && text.length <= INLINE_CHARACTERS && !text.includes('/*')) {
        const { parsed, isSound } = parseNow(text)
        if (isSound) return parsed
        isInlineSound = false // its stack may be unwound half; threads are made anew
      }
      if (waiting.length >= MAX_WAITING) return { failure: 'too many large statements wait to be judged; try again' }
      return new Promise((done) => {
        waiting.push({ text, done })
        next()
      })
    },
    close: async () => {
      closed = true
      if (running !== undefined) clearTimeout(running.late)
      await thread?.terminate()
    },
  }
}

/** `isSound` is false when the instance must not be used again. */
export function parseNow(text: string): { readonly parsed: Parsed; readonly isSound: boolean } {
  try {
    const { stmts = [] } = parseSync(text) as { readonly stmts?: readonly { readonly stmt?: object }[] }
    return {
      parsed: {
        statements: stmts.map(({ stmt }) => stmt as Tree),
        fingerprint: stmts.length === 0 ? '' : fingerprintSync(text),
      },
      isSound: true,
    }
  } catch (error) {
    if (hasSqlDetails(error)) return { parsed: { failure: error.message }, isSound: true }
    return { parsed: { failure: 'this statement is too large or too deep to be judged' }, isSound: false }
  }
}
