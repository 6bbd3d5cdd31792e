/** Plays a recording in a terminal, with its timing. What it shows passes through {@link SafeOutput}: a recording is hostile. */
import type { OutcomeRecord, FileRecord, SessionStart, StatementRecord } from '../../model/event.ts'
import type { RecordedEvent } from '../../session/session.ts'
import type { Console } from './console.ts'
import { PlainOutput, SafeOutput } from './safe-output.ts'
import { plain } from './text.ts'

export type Pace = {
  /** 1 is as it was. */
  readonly speed: number
  /** Longer pauses are cut to this; 0 shows everything at once. */
  readonly idleMs: number
}

/** Right arrow. */
const SKIP_MS = 10_000
const BREATH = 64

/** Returns when the recording is over, the person quits, or the channel is gone. */
export async function play(
  console: Console,
  session: Pick<SessionStart, 'terminal'>,
  events: (signal: AbortSignal) => AsyncIterable<RecordedEvent>,
  pace: Pace,
): Promise<'over' | 'quit'> {
  const stop = new AbortController()
  const signal = AbortSignal.any([stop.signal, console.closed])
  const hands = new Hands()
  const keys = console.hasTerminal ? followKeys(console, hands, stop, signal) : Promise.resolve()
  const screen = console.hasTerminal ? new TerminalScreen(session.terminal !== undefined) : new PlainScreen()
  try {
    let last: number | undefined
    let shown = 0
    for await (const event of events(signal)) {
      if (signal.aborted) break
      const gap = last === undefined ? 0 : event.at - last
      last = event.at
      if (console.hasTerminal) await hands.wait(gap, pace, signal)
      if (signal.aborted) break
      const text = screen.show(event)
      shown += 1
      // A long recording that is at hand must not keep everybody else waiting.
      if (shown % BREATH === 0) await new Promise((resolve) => setImmediate(resolve))
      if (text !== '') await (screen.raw ? console.raw(text) : console.print(text))
    }
    const rest = screen.end()
    if (rest !== '' && !console.closed.aborted) await console.raw(rest)
    return stop.signal.aborted ? 'quit' : 'over'
  } catch (failure) {
    if (!signal.aborted) throw failure
    if (!console.closed.aborted) await console.raw(screen.end())
    return 'quit'
  } finally {
    stop.abort()
    await keys
  }
}

/** What the person's keys did to the pace. */
class Hands {
  #paused = false
  #skip = 0
  #wake: () => void = () => undefined

  pause(): void {
    this.#paused = !this.#paused
    this.#wake()
  }

  skip(): void {
    this.#skip += SKIP_MS
    this.#wake()
  }

  /** Waits as long as the recording did, at its pace; a skip swallows recorded time, a pause holds. */
  async wait(gap: number, pace: Pace, signal: AbortSignal): Promise<void> {
    let recorded = Math.min(Math.max(gap, 0), pace.idleMs)
    while ((recorded > 0 || this.#paused) && !signal.aborted) {
      if (this.#skip > 0 && recorded > 0) {
        const taken = Math.min(recorded, this.#skip)
        this.#skip -= taken
        recorded -= taken
        continue
      }
      const held = this.#paused
      const began = performance.now()
      await this.#sleep(held ? undefined : recorded / pace.speed, signal)
      if (!held) recorded -= Math.max(performance.now() - began, 0.1) * pace.speed
    }
  }

  #sleep(ms: number | undefined, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        this.#wake = () => undefined
        resolve()
      }
      const timer = ms === undefined ? undefined : setTimeout(done, Math.min(ms, 60_000))
      signal.addEventListener('abort', done)
      this.#wake = done
    })
  }
}

async function followKeys(console: Console, hands: Hands, stop: AbortController, signal: AbortSignal): Promise<void> {
  try {
    for (;;) {
      const key = await console.key(signal)
      if (key === undefined) return
      if (key.kind === 'interrupt' || key.kind === 'escape' || (key.kind === 'text' && key.text === 'q'))
        return stop.abort()
      if (key.kind === 'text' && key.text === ' ') hands.pause()
      if (key.kind === 'right') hands.skip()
    }
  } catch (failure) {
    if (!signal.aborted) throw failure
  }
}

type Screen = { readonly raw: boolean; show(event: RecordedEvent): string; end(): string }

/** Output of a session that had a terminal keeps its own line ends; other output gets those of a terminal. */
class TerminalScreen implements Screen {
  readonly raw = true
  readonly #out = new SafeOutput()
  readonly #errors = new SafeOutput()
  readonly #wasTerminal: boolean

  constructor(wasTerminal: boolean) {
    this.#wasTerminal = wasTerminal
  }

  show(event: RecordedEvent): string {
    if (event.kind === 'o' || event.kind === 'e') {
      const text = (event.kind === 'o' ? this.#out : this.#errors).push(event.data)
      return this.#wasTerminal ? text : text.replace(/\r?\n/g, '\r\n')
    }
    const line = lineOf(event, this.#wasTerminal)
    return line === undefined ? '' : `\u001b[0;2m\r\n${line}\u001b[0m\r\n`
  }

  end(): string {
    return this.#errors.end() + this.#out.end()
  }
}

class PlainScreen implements Screen {
  readonly raw = false
  readonly #out = new PlainOutput()
  readonly #errors = new PlainOutput()

  show(event: RecordedEvent): string {
    if (event.kind === 'o') return this.#out.push(event.data)
    if (event.kind === 'e') return this.#errors.push(event.data)
    const line = lineOf(event, false)
    return line === undefined ? '' : `${line}\n`
  }

  end(): string {
    return this.#out.end() + this.#errors.end()
  }
}

/** What is not output, as one line; undefined for what need not be shown. */
function lineOf(event: RecordedEvent, wasTerminal: boolean): string | undefined {
  const text = event.data.toString('utf8')
  switch (event.kind) {
    case 'm':
      return `-- ${plain(text)}`
    case 's':
      return statementLine(text, wasTerminal)
    case 'd':
      return wasTerminal ? undefined : outcomeLine(text)
    case 'f':
      return fileLine(text, wasTerminal)
    case 'x':
      return wasTerminal ? undefined : `-- exit ${plain(text, 40)}`
    case 'i':
    case 'k':
    case 'r':
    case 'o':
    case 'e':
      return undefined
  }
  return event.kind satisfies never
}

function statementLine(text: string, wasTerminal: boolean): string | undefined {
  const record = parsed(text) as StatementRecord | undefined
  if (record === undefined) return undefined
  const { approved } = record
  const by =
    approved === undefined ? '' : plain(`  [let through by ${approved.by.join(', ')}: request ${approved.request}]`)
  if (record.verdict.decision === 'allow')
    return wasTerminal && by === '' ? undefined : `${record.kind}> ${plain(record.text)}${by}`
  return `${record.kind}> ${plain(record.text)}  [${record.verdict.decision}: ${plain(record.verdict.reason)}]`
}

function outcomeLine(text: string): string | undefined {
  const record = parsed(text) as OutcomeRecord | undefined
  if (record === undefined) return undefined
  const rows = record.rows === undefined ? '' : `, ${record.rows} rows`
  const error = record.error === undefined ? '' : `: ${plain(record.error)}`
  return `-- ${record.result}${error}${rows}, ${record.ms} ms`
}

function fileLine(text: string, wasTerminal: boolean): string | undefined {
  const record = parsed(text) as FileRecord | undefined
  if (record === undefined) return undefined
  const size = record.bytes === undefined ? '' : ` ${record.bytes} bytes`
  const hash = record.sha256 === undefined ? '' : ` sha256 ${plain(record.sha256, 64)}`
  const line = `-- file ${record.operation} ${plain(record.path)}${record.to === undefined ? '' : ` to ${plain(record.to)}`} ${record.result}${size}${hash}`
  const diff = record.diff?.split('\n').map((text) => `   ${plain(text)}`) ?? []
  return [line, ...diff].join(wasTerminal ? '\r\n' : '\n').trimEnd()
}

/** The recorder wrote it; what cannot be read is left out. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
