/** The read-only shell without its face: takes lines, has them judged and recorded, runs what is allowed step by step, and knows where it stands. */
import type { Verdict } from '../../model/statement.ts'
import { ALLOW } from '../../model/statement.ts'
import type { Session } from '../../session/session.ts'
import type { Stream } from '../engine/channel.ts'
import type { Terminal } from '../engine/contract.ts'
import type { Upstream } from '../engine/upstream.ts'
import type { HeldLine, JudgedLine, LineContext, LineStep, ShellJudge } from './judge.ts'
import type { Face } from './face.ts'
import { letThrough } from './held.ts'
import { Running } from './running.ts'
import { stated } from './stated.ts'
import { targetLine } from './target-line.ts'

export type ShellParts = {
  readonly session: Session
  readonly judge: ShellJudge
  readonly upstream: (where?: 'outside') => Promise<Upstream>
  readonly environment: ReadonlyMap<string, string>
  readonly face: Face
}

const REFUSED = 1
const MOST_ASKED = 1024 * 1024

export class Shell {
  readonly #parts: ShellParts
  directory: string | undefined
  home: string | undefined
  status = 0
  #previous: string | undefined
  #hasGawk: boolean | undefined
  /** Set while a command runs that a second person let through. */
  #where: 'outside' | undefined

  constructor(parts: ShellParts) {
    this.#parts = parts
  }

  /** Asks the target where a login starts. */
  async settle(): Promise<void> {
    const { code, text } = await this.ask('pwd', 'pwd')
    if (code !== 0 || !isPlace(text)) return
    this.directory = text.replace(/\n$/, '')
    this.home = this.directory
  }

  /** `exit`: the line said so. */
  async run(line: string): Promise<'exit' | undefined> {
    const { judge } = this.#parts
    const judged = judge.line(line, this.directory)
    if (judged.held !== undefined && judged.line !== undefined)
      return this.#held(line, { verdict: judged.verdict, line: judged.line, held: judged.held })
    const n = await this.#state(line, judged.verdict)
    if (n === undefined || judged.line === undefined) return undefined
    return this.perform(judged.line, n)
  }

  /** Waits for a second person, and runs it once they have let it through. */
  async #held(
    line: string,
    judged: { readonly verdict: Verdict; readonly line: JudgedLine; readonly held: HeldLine },
  ): Promise<undefined> {
    const { face, judge, session } = this.#parts
    const { directory } = this
    const again = () => judge.line(line, directory).held
    const through = await letThrough({
      session,
      face,
      line,
      verdict: judged.verdict,
      held: judged.held,
      directory,
      again,
    })
    this.status = REFUSED
    if (through === undefined) return undefined
    this.#where = 'outside'
    try {
      await this.perform(judged.line, through.n)
    } finally {
      this.#where = undefined
    }
    await session.hold?.ran(through.permit, `exit ${this.status}`)
    return undefined
  }

  /** Runs what was judged, and recorded as statement `n`. */
  async perform(line: JudgedLine, n: number): Promise<'exit' | undefined> {
    const { session } = this.#parts
    const since = performance.now()
    let bytes = 0
    let failure: string | undefined
    try {
      await this.contextFor(line)
      const isPlain = line.steps.every(({ kind }) => kind === 'pipeline')
      const steps: readonly LineStep[] =
        isPlain && line.steps.length > 0 ? [{ ...line, kind: 'pipeline', join: ';' }] : line.steps
      for (const step of steps) {
        if ((step.join === '&&' && this.status !== 0) || (step.join === '||' && this.status === 0)) continue
        if (step.kind === 'exit') {
          if (step.status !== undefined) this.status = step.status
          return 'exit'
        }
        if (step.kind === 'cd') await this.#go(step)
        else bytes += await this.#pipeline(step.text(this.#context), line.wantsTerminal)
      }
      return undefined
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
      throw error
    } finally {
      const error = failure ?? (this.status === 0 ? undefined : `exit ${this.status}`)
      session.road.outcome({
        n,
        result: error === undefined ? 'done' : 'error',
        ms: Math.round(performance.now() - since),
        bytes,
        ...(error === undefined ? {} : { error }),
      })
    }
  }

  /** A judged question of our own, for the prompt's sake. It is recorded under `title`; its answer is not shown. */
  async ask(
    title: string,
    line: string,
    verdict: Verdict = ALLOW,
  ): Promise<{ readonly code: number; readonly text: string; readonly bytes: Buffer }> {
    const n = await this.#state(title, verdict)
    if (n === undefined) return { code: REFUSED, text: '', bytes: Buffer.alloc(0) }
    const { bytes, code, errors, text } = await this.#answer(line)
    this.#parts.session.road.outcome({
      n,
      result: code === 0 ? 'done' : 'error',
      ms: 0,
      ...(code === 0 ? {} : { error: errors || `exit ${code}` }),
    })
    return { bytes, code, text }
  }

  /** The statement's number once it may run; undefined when it was refused and the person was told. */
  #state(text: string, verdict: Verdict): Promise<number | undefined> {
    const { session } = this.#parts
    return stated(session, text, verdict, async (sentence) => {
      this.status = REFUSED
      await this.#parts.face.tell(sentence)
    })
  }

  /** What the line must know of the target beside its own words. */
  async contextFor(line: JudgedLine): Promise<LineContext> {
    if (line.usesAwk) this.#hasGawk ??= (await this.ask('command -v gawk', 'command -v gawk')).code === 0
    return this.#context
  }

  get #context(): LineContext {
    return {
      lastStatus: this.status,
      ...(this.directory === undefined ? {} : { directory: this.directory }),
      ...(this.#previous === undefined ? {} : { previousDirectory: this.#previous }),
      ...(this.#hasGawk === undefined ? {} : { hasGawk: this.#hasGawk }),
    }
  }

  async #pipeline(text: string, wantsTerminal: boolean): Promise<number> {
    const { face } = this.#parts
    const terminal = wantsTerminal ? face.terminal : undefined
    // A person reads both streams as one, so they had better come in the order in which they were written.
    const line = face.terminal === undefined || wantsTerminal ? text : `exec 2>&1; ${text}`
    const running = await this.#start(line, terminal, (bytes, stream) =>
      face.show(bytes, stream, terminal !== undefined),
    )
    this.status = await face.attend(running)
    return running.bytes
  }

  async #go(step: LineStep & { readonly kind: 'cd' }): Promise<void> {
    const { face } = this.#parts
    if (step.isBack && this.#previous === undefined) {
      this.status = REFUSED
      return face.tell('cd: there is no directory before this one.\n')
    }
    const { code, errors, text } = await this.#answer(`${step.text(this.#context)} && pwd`)
    this.status = code
    // Going back tells where, and so do we.
    const half = text.length / 2
    const place = (step.isBack && text.slice(0, half) === text.slice(half) ? text.slice(half) : text).replace(/\n$/, '')
    if (code !== 0) return face.show(Buffer.from(errors), 1)
    if (!isPlace(place)) {
      this.status = REFUSED
      return face.tell('cd: the name of that directory is not UTF-8.\n')
    }
    this.#previous = this.directory
    this.directory = place
    return step.isBack ? face.show(Buffer.from(`${place}\n`), 0) : undefined
  }

  async #answer(
    line: string,
  ): Promise<{ readonly code: number; readonly bytes: Buffer; readonly text: string; readonly errors: string }> {
    const out: Buffer[] = []
    const errors: Buffer[] = []
    let taken = 0
    const running = await this.#start(line, undefined, async (bytes, stream) => {
      taken += bytes.length
      if (taken <= MOST_ASKED) (stream === 0 ? out : errors).push(bytes)
      else running.interrupt()
    })
    const code = await this.#parts.face.attend(running)
    const bytes = Buffer.concat(out)
    return { bytes, code, text: bytes.toString(), errors: Buffer.concat(errors).toString() }
  }

  async #start(
    text: string,
    terminal: Terminal | undefined,
    show: (bytes: Buffer, stream: Stream) => Promise<void>,
  ): Promise<Running> {
    const { environment, judge, session, upstream } = this.#parts
    return Running.start(
      { upstream: await upstream(this.#where), session, environment, terminal, show },
      targetLine(text, judge),
    )
  }
}

const isPlace = (text: string): boolean => text.startsWith('/') && !text.includes('\ufffd')
