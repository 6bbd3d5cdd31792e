/** PostgreSQL's own grammar, kept at arm's length: short texts here, everything else in a thread with a deadline. */
import { Worker } from 'node:worker_threads'
import { loadModule } from 'libpg-query'
import { type Parsed, parseNow, TOO_MUCH } from './grammar.ts'

export type { Parsed } from './grammar.ts'

export type Parser = {
  /** At once for short texts, through a thread for others. Never rejects. */
  parse(text: string): Parsed | Promise<Parsed>
  close(): Promise<void>
}

/** Up to here, and with few comments, the grammar needs well under a millisecond and little stack. */
export const INLINE_CHARACTERS = 4096
const INLINE_COMMENTS = 16
const MAX_CHARACTERS = 1024 * 1024
/** Comments in comments cost their number times the length. */
const MAX_COMMENT_WORK = 8 * 1024 * 1024
/** No text that could be let through needs it. */
const DEADLINE_MS = 250
/** Texts up to here cannot take long; when they do, it is the machine that is slow. */
const SMALL_CHARACTERS = 64 * 1024
const SMALL_DEADLINE_MS = 1000
const START_MS = 10_000
/** Texts that wait for the thread; more are refused rather than queued for ever. */
const MAX_WAITING = 256

type Job = { readonly text: string; readonly done: (parsed: Parsed) => void }
export type ThreadAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'parsed'; readonly json: string; readonly isSound: boolean }

const countOf = (text: string, part: string): number => {
  let count = 0
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count += 1
  return count
}

/** One per worker process. */
export async function openParser(): Promise<Parser> {
  await loadModule()
  const thread = new ParserThread()
  let isInlineSound = true
  return {
    parse(text) {
      if (text.length > MAX_CHARACTERS)
        return { failure: `a statement may have ${MAX_CHARACTERS} characters at most here` }
      if (text.includes('\0')) return { failure: 'a NUL inside a statement' }
      if (/^[ \t\n\r\f\v]*$/.test(text)) return { statements: [], texts: [], fingerprint: '' }
      const comments = countOf(text, '/*')
      if (comments * text.length > MAX_COMMENT_WORK)
        return { failure: 'a statement with that many comments cannot be judged' }
      if (isInlineSound && text.length <= INLINE_CHARACTERS && comments <= INLINE_COMMENTS) {
        const { parsed, isSound } = parseNow(text)
        if (!isSound) isInlineSound = false // from now on the thread, which is made anew each time that happens
        return parsed
      }
      return thread.parse(text)
    },
    close: () => thread.close(),
  }
}

class ParserThread {
  readonly #waiting: Job[] = []
  #running: Job | undefined
  #late: NodeJS.Timeout | undefined
  #thread: Worker | undefined
  #closed = false

  parse(text: string): Parsed | Promise<Parsed> {
    if (this.#closed) return { failure: 'the gateway is stopping' }
    if (this.#waiting.length >= MAX_WAITING)
      return { failure: 'too many large statements wait to be judged; try again' }
    return new Promise((done) => {
      this.#waiting.push({ text, done })
      this.#next()
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#discard('the gateway is stopping')
    for (const job of this.#waiting.splice(0)) job.done({ failure: 'the gateway is stopping' })
  }

  #next(): void {
    if (this.#running !== undefined) return
    const job = this.#waiting.shift()
    if (job === undefined) {
      this.#thread?.unref()
      return
    }
    this.#running = job
    if (this.#thread === undefined) this.#start()
    else this.#post(job)
    this.#thread?.ref()
  }

  #start(): void {
    const made = new Worker(new URL('./parser-thread.ts', import.meta.url), {
      resourceLimits: { stackSizeMb: 16, maxOldGenerationSizeMb: 512 },
    })
    this.#thread = made
    made.on('message', (answer: ThreadAnswer) => this.#answered(answer))
    made.on('error', () => this.#discard(TOO_MUCH))
    made.on('exit', () => this.#discard(TOO_MUCH))
    this.#late = setTimeout(() => this.#discard('the parser did not start'), START_MS)
  }

  #post(job: Job): void {
    const deadline = job.text.length <= SMALL_CHARACTERS ? SMALL_DEADLINE_MS : DEADLINE_MS
    this.#late = setTimeout(() => this.#discard('this statement takes too long to be judged'), deadline)
    this.#thread?.postMessage(job.text)
  }

  #answered(answer: ThreadAnswer): void {
    clearTimeout(this.#late)
    if (answer.kind === 'ready') {
      if (this.#running !== undefined) this.#post(this.#running)
      return
    }
    const parsed = JSON.parse(answer.json) as Parsed
    if (answer.isSound) this.#settle(parsed)
    else this.#discard('failure' in parsed ? parsed.failure : TOO_MUCH)
  }

  /** The thread is thrown away, with what it was doing. */
  #discard(failure: string): void {
    const old = this.#thread
    this.#thread = undefined
    old?.removeAllListeners()
    old?.on('error', () => undefined)
    void old?.terminate()
    this.#settle({ failure, isCostly: true })
  }

  #settle(parsed: Parsed): void {
    clearTimeout(this.#late)
    const job = this.#running
    this.#running = undefined
    job?.done(parsed)
    this.#next()
  }
}
