/**
 * Every message of a client, judged where it can do something, journalled, and only then let through.
 * A refused one is replaced by a text that the target itself must refuse, so that its transaction state,
 * and its skipping up to the next Sync, are exactly what the client will believe they are.
 */
import { randomBytes } from 'node:crypto'
import type { Role } from '../model/role.ts'
import { ALLOW, type Verdict } from '../model/statement.ts'
import type { Road } from '../session/session.ts'
import { refused } from './deny.ts'
import { bytesOf, type FrontendMessage, readParameters, type Whole } from './frontend.ts'
import type { Gates } from './gates.ts'
import type { Judgement, SqlJudge } from './judge.ts'
import type { Masking } from './mask.ts'
import { cstring, int16, message } from './message.ts'
import type { HeldStatements } from './held.ts'
import { Names, type Portal, type Prepared } from './names.ts'
import type { Outcomes } from './outcomes.ts'
import { withoutPasswords } from './passwords.ts'
import type { Owed, Pill, Pipeline } from './pipeline.ts'
import { isBound } from './tripwire.ts'

export type StatementParts = {
  readonly road: Road
  readonly judge: SqlJudge
  readonly role: Role
  readonly pipeline: Pipeline
  readonly gates: Gates
  readonly outcomes: Outcomes
  /** Undefined: nothing is masked for the role. */
  readonly masking?: Masking | undefined
  /** Undefined: nothing waits for a second person. */
  readonly held?: HeldStatements | undefined
}

type Sql = { readonly text: string; readonly parameters?: readonly (string | null)[] }
type Executed = { readonly name: string; readonly portal: Portal | undefined }
type Asked = () => Judgement | Promise<Judgement>

/** Characters of one parameter value that are recorded. */
const MAX_PARAMETER = 4096
/** A second person sees all of what may wait for them. */
const MAX_SHOWN = 64 * 1024

export class Statements {
  readonly #parts: StatementParts
  readonly #names = new Names()
  readonly #readOnly: boolean
  readonly #isBound: boolean
  /** Forwarding of these waits: each is recorded with its first Execute, or by itself at the next Sync. */
  #unrecorded: { readonly prepared: Prepared; readonly owed: Owed | undefined }[] = []
  /** A refusal is on its way to the target. */
  onPill: () => void = () => undefined

  constructor(parts: StatementParts) {
    this.#parts = parts
    this.#readOnly = parts.role.postgres.mode === 'read-only'
    this.#isBound = isBound(parts.role)
  }

  /** All groups are answered and no transaction is open. */
  rest(): void {
    this.#names.forgetPortals()
  }

  /** A promise when the judge needs time: nothing may follow before it resolves. */
  accept(message: FrontendMessage): void | Promise<void> {
    const { held, pipeline, gates } = this.#parts
    if (held?.skips(message.type) === true) return undefined
    switch (message.type) {
      case 'query':
        return this.#query(message)
      case 'parse':
        return this.#parse(message)
      case 'bind': {
        const prepared = this.#names.statement(message.statement)
        const misplaced = prepared === undefined ? undefined : held?.placed('bind', prepared.judgement)
        if (prepared !== undefined && misplaced !== undefined && misplaced !== prepared.judgement)
          return this.#refuse('execute', pillName('execute'), { text: prepared.text }, misplaced)
        pipeline.sent('bind', { undo: this.#names.bind(message.portal, message.statement, message) })
        return gates.append(message)
      }
      case 'execute':
        return this.#execute(message)
      case 'describe':
        pipeline.sent('describe')
        this.#parts.masking?.asked()
        return gates.append(message)
      case 'close':
        pipeline.sent('close', { undo: this.#names.close(message.what, message.name) })
        return gates.append(message)
      case 'function-call':
        return this.#run('call', message, { text: `function call ${message.oid}` }, this.#callJudgement())
      case 'flush':
        this.#recordParses()
        return gates.add(message)
      case 'sync':
        this.#recordParses()
        pipeline.sent('sync')
        return gates.add(message)
      case 'copy-data':
        // Data for a COPY that was refused, or that never was: the server would ignore it too.
        return this.#readOnly ? undefined : gates.add(message)
      case 'copy-done':
      case 'copy-fail':
        if (this.#readOnly) return undefined
        pipeline.sent('copy-done')
        return gates.add(message)
      case 'terminate':
        return gates.add(message)
    }
  }

  /** A function named by number, with no text that a filter could read. */
  #callJudgement(): Judgement {
    if (!this.#readOnly) return { verdict: ALLOW }
    return {
      verdict: { decision: 'deny', reason: 'the fast-path function call is not allowed', next: 'Use a SELECT.' },
    }
  }

  #query(message: Extract<FrontendMessage, { type: 'query' }>): void | Promise<void> {
    const { text } = message
    const judgement = this.#isReadable(message) ? answered(() => this.#parts.judge.query(text), text) : UNREADABLE
    if (judgement instanceof Promise) return judgement.then((later) => this.#run('query', message, { text }, later))
    return this.#run('query', message, { text }, judgement)
  }

  #parse(message: Extract<FrontendMessage, { type: 'parse' }>): void | Promise<void> {
    const { name, text, types } = message
    const { judge } = this.#parts
    const judgement = this.#isReadable(message) ? answered(() => judge.parse(name, text, types), text) : UNREADABLE
    if (judgement instanceof Promise) return judgement.then((later) => this.#prepare(name, text, later, message))
    return this.#prepare(name, text, judgement, message)
  }

  /** What is judged as text must be text. */
  #isReadable({ valid }: { readonly valid: boolean }): boolean {
    return valid || !this.#isBound
  }

  #prepare(name: string, text: string, judgement: Judgement, message: Whole): void {
    const { pipeline, gates } = this.#parts
    const { decision } = judgement.verdict
    // Made known to the target, so that it can be described; it runs there never.
    const isHeld = decision === 'hold' && this.#parts.held !== undefined
    const prepared: Prepared = { name, text, judgement, parse: isHeld ? Buffer.from(bytesOf(message)) : undefined }
    const undo = this.#names.define(prepared)
    if (decision === 'allow' || isHeld) {
      gates.hold(message)
      this.#unrecorded.push({ prepared, owed: pipeline.sent('parse', { undo }) })
      return
    }
    this.#recordParses()
    this.#refuse('parse', name, { text }, judgement, undo)
  }

  #execute(message: Extract<FrontendMessage, { type: 'execute' }>): void | Promise<void> {
    const { judge, role } = this.#parts
    const name = message.portal
    const portal = this.#names.portal(name)
    const prepared = portal?.prepared
    const values =
      portal !== undefined && role.postgres.recordParameters
        ? readParameters(portal.bind, prepared?.parse === undefined ? MAX_PARAMETER : MAX_SHOWN)
        : []
    // Made by SQL: a PREPARE that was bound by message, or a cursor that is executed as a portal.
    const text =
      prepared?.text ??
      (portal === undefined ? `FETCH ALL FROM ${quoted(name)}` : `EXECUTE ${quoted(portal.statement)}`)
    const ask: Asked = () => (prepared === undefined ? judge.query(text) : judge.execute(prepared.name, text))
    const judgement = answered(ask, text)
    const sql: Sql = values.length === 0 ? { text } : { text, parameters: values }
    const executed: Executed = { name, portal: prepared === undefined ? undefined : portal }
    if (judgement instanceof Promise)
      return judgement.then((later) => this.#run('execute', message, sql, later, executed))
    return this.#run('execute', message, sql, judgement, executed)
  }

  #run(
    kind: 'query' | 'execute' | 'call',
    message: Whole,
    sql: Sql,
    judged: Judgement,
    executed?: Executed,
  ): void | Promise<void> {
    const { held, pipeline, gates, masking } = this.#parts
    const judgement = held?.placed(kind, judged) ?? judged
    this.#recordParses(executed?.portal?.prepared)
    if (judgement.verdict.decision === 'hold' && held !== undefined && kind !== 'call') {
      const n = this.#record(sql, judgement, judgement.verdict, gates.gate())
      return held.park({
        n,
        kind,
        ...parkedOf(message, executed?.portal),
        ...sql,
        parameters: sql.parameters,
        judgement,
      })
    }
    if (judgement.verdict.decision !== 'allow') return this.#refuse(kind, pillName(kind), sql, judgement)
    const isMasked = executed !== undefined && masking !== undefined
    const gate = gates.hold(isMasked ? whole(masking.describe(executed.name), bytesOf(message)) : message)
    const n = this.#record(sql, judgement, ALLOW, gate)
    pipeline.sent(kind, { n })
    return undefined
  }

  #refuse(
    kind: 'query' | 'execute' | 'call' | 'parse',
    name: string,
    sql: Sql,
    judgement: Judgement,
    undo?: () => void,
  ): void {
    const { pipeline, gates, role } = this.#parts
    const { verdict } = judgement
    if (verdict.decision === 'allow') return
    const pill: Pill = { word: `gateway_refused_${randomBytes(8).toString('hex')}`, answer: refused(verdict, role) }
    const isQuery = kind === 'query' || kind === 'call'
    const bytes = isQuery ? message('Q', cstring(pill.word)) : message('P', cstring(name), cstring(pill.word), int16(0))
    const gate = gates.hold(whole(bytes))
    this.onPill()
    this.#record(sql, judgement, verdict, gate)
    pipeline.sent(isQuery ? 'query' : 'parse', { pill, ...(undo === undefined ? {} : { undo }) })
  }

  /** Those that no Execute has brought into the journal. */
  #recordParses(except?: Prepared): void {
    const waiting = this.#unrecorded
    if (waiting.length === 0) return
    this.#unrecorded = []
    if (waiting.length === 1 && waiting[0]?.prepared === except) return
    const { gates, pipeline } = this.#parts
    const gate = gates.gate()
    // Only the last of them opens the gate: the others are in the journal then, too.
    for (const [i, { prepared, owed }] of waiting.entries()) {
      const opens = i === waiting.length - 1 ? gate : 0
      const { judgement, text } = prepared
      pipeline.recorded(this.#record({ text }, judgement, judgement.verdict, opens), owed)
    }
  }

  #record(sql: Sql, { fingerprint, tables }: Judgement, verdict: Verdict, gate: number): number {
    const { outcomes, road, gates } = this.#parts
    outcomes.flush()
    const open = () => gates.open(gate)
    const record = { fingerprint, tables, parameters: sql.parameters }
    const text = withoutPasswords(sql.text)
    return road.statement({ statement: { kind: 'sql', text }, verdict, record }, open, open)
  }
}

/** What the gateway itself has to say. */
function whole(...said: readonly Buffer[]): Whole {
  const memory = Buffer.concat(said)
  return { memory, start: 0, end: memory.length }
}

/** The refused text gets a name of its own, so that it takes no statement away. */
const pillName = (kind: string): string => (kind === 'execute' ? `gateway_${randomBytes(8).toString('hex')}` : '')

/** Copies: what was approved must be what runs, whatever becomes of the memory it came in. */
function parkedOf(message: Whole, portal: Portal | undefined) {
  const bind = portal === undefined ? undefined : Buffer.from(bytesOf(portal.bind))
  const parts = [portal?.prepared?.parse, bind, Buffer.from(bytesOf(message))]
  return { bind, messages: parts.filter((part) => part !== undefined) }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`

const UNREADABLE: Judgement = {
  verdict: { decision: 'deny', reason: 'a text that is not UTF-8 is not allowed' },
}

/** A judge that fails has not allowed anything. */
function answered(ask: Asked, text: string): Judgement | Promise<Judgement> {
  const failed = (): Judgement => ({
    verdict: { decision: 'deny', reason: `this statement of ${text.length} characters could not be judged` },
  })
  try {
    const judgement = ask()
    return judgement instanceof Promise ? judgement.catch(failed) : judgement
  } catch {
    return failed()
  }
}
