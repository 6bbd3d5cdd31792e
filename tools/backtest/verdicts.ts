/** What a role would say now to statements that were recorded: the same judges that a session has, and honesty about what they cannot know. */
import type { Config } from '../../config/load.ts'
import { type FileOperation, shellJudge, type SqlFilter } from '../../gateway/filters/filters.ts'
import { judge as judgeHttp } from '../../gateway/http/scope.ts'
import { covers, type Role } from '../../gateway/model/role.ts'
import { ALLOW, type Statement, type Verdict } from '../../gateway/model/statement.ts'
import type { RecordedStatement, StatedSession } from '../../gateway/recorder/recorder.ts'
import { grantedCommand } from '../../gateway/ssh/command-grants.ts'
import { mayForward } from '../../gateway/ssh/engine/forward-rule.ts'
import { SqlVerdicts } from './sql.ts'

export type Answer =
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'unknown'; readonly why: string }
export type Judged = {
  readonly statement: Statement
  readonly fingerprint: string
  readonly was: Verdict
  readonly now: Answer
}

const unknown = (why: string): Answer => ({ kind: 'unknown', why })
const answer = (verdict: Verdict): Answer => ({ kind: 'verdict', verdict })
const deny = (reason: string): Answer => answer({ decision: 'deny', reason })
const OPERATIONS: readonly FileOperation[] = [
  'read',
  'list',
  'stat',
  'write',
  'remove',
  'rename',
  'mkdir',
  'rmdir',
  'setstat',
  'link',
  'other',
]
const TRUNCATED = 'the text was cut when it was recorded'

export class Verdicts {
  readonly #config: Config
  readonly #role: Role
  readonly #sql: SqlVerdicts
  readonly #shell: ReturnType<typeof shellJudge>

  constructor(config: Config, role: Role, filter: SqlFilter) {
    this.#config = config
    this.#role = role
    this.#sql = new SqlVerdicts(filter, role)
    this.#shell = shellJudge(role.ssh, role.hold?.commands)
  }

  async *of(session: StatedSession): AsyncGenerator<Judged> {
    const { start } = session
    const statements = session.statements.length > 0 ? withoutLetThrough(session.statements) : unjudged(session)
    if (statements.length === 0) return
    const target = this.#config.targets.find(({ name }) => name === start.target)
    const closed = this.#closed(target, session)
    const isSql = start.protocol === 'postgres'
    const judge =
      closed !== undefined || target === undefined || !isSql ? undefined : await this.#sql.judge(target, session)
    for (const stated of statements) {
      const { kind, text, verdict: was, truncated, fingerprint } = stated.record
      const statement = { kind, text }
      const judged = { statement, was, fingerprint: fingerprint ?? `${kind} ${text}` }
      if (closed !== undefined) yield { ...judged, now: deny(closed) }
      else if (truncated) yield { ...judged, now: unknown(TRUNCATED) }
      else if (judge === undefined) yield { ...judged, now: this.#statement(session, stated) }
      else if ('kind' in judge) yield { ...judged, now: judge }
      else if (/^function call \d+$/.test(text)) yield { ...judged, now: this.#call() }
      else {
        const { verdict } = await judge.query(text)
        // A statement that was prepared by a message has a name that is not recorded.
        const isNameless = verdict.decision === 'deny' && verdict.reason.startsWith('no prepared statement')
        yield {
          ...judged,
          now: isNameless ? unknown('it runs a prepared statement by a name that was not recorded') : answer(verdict),
        }
      }
    }
    if (judge !== undefined && !('kind' in judge)) judge.close()
  }

  /** Why the role does not open the session at all. */
  #closed(target: Config['targets'][number] | undefined, { start }: StatedSession): string | undefined {
    const { name, endpoints, postgres } = this.#role
    if (target === undefined) return `There is no target ${start.target}.`
    if (!covers(this.#role, target)) return `Role ${name} does not open ${start.target}.`
    if (!endpoints.includes(start.protocol)) return `Role ${name} opens no ${start.protocol}.`
    const own = target.postgres?.database
    if (start.protocol === 'postgres' && start.command !== own && !postgres.databases.includes(start.command))
      return `Role ${name} does not open the database ${start.command}.`
    return undefined
  }

  #call(): Answer {
    return this.#role.postgres.mode === 'read-only' ? deny('the fast-path function call is not allowed') : answer(ALLOW)
  }

  #statement(session: StatedSession, stated: RecordedStatement): Answer {
    const { kind, text } = stated.record
    if (kind === 'command') return this.#command(session, text)
    if (kind === 'file') return this.#file(text)
    if (kind === 'http') return this.#request(stated)
    if (kind === 'forward') return this.#forward(text)
    return unknown('it is SQL outside of a database session')
  }

  #forward(text: string): Answer {
    const colon = text.lastIndexOf(':')
    const may = mayForward(this.#role.ssh.forward, text.slice(0, colon), Number(text.slice(colon + 1)))
    return may ? answer(ALLOW) : deny(`Role ${this.#role.name} does not forward to ${text}.`)
  }

  #command({ start }: StatedSession, text: string): Answer {
    const { ssh } = this.#role
    if (start.channel === 'shell' && text === '') return unknown('a full shell was typed into; keys are not statements')
    if (ssh.shell === 'full') return answer(ALLOW)
    if (ssh.shell === 'none' || (ssh.commands ?? []).some(({ name }) => name === start.command.split(' ', 1)[0])) {
      try {
        grantedCommand(this.#role, start.command)
        return answer(ALLOW)
      } catch (failure) {
        return deny(failure instanceof Error ? failure.message : 'This was refused.')
      }
    }
    const judged = start.channel === 'exec' ? this.#shell.command(text) : this.#shell.line(text)
    return 'needsHome' in judged && judged.needsHome
      ? unknown('it names a path below the home directory')
      : answer(judged.verdict)
  }

  #file(text: string): Answer {
    const { shell } = this.#role.ssh
    if (shell === 'full') return answer(ALLOW)
    if (shell === 'none') return deny(`Role ${this.#role.name} copies no files.`)
    const [word, ...rest] = text.split(' ')
    const operation = OPERATIONS.find((known) => known === word)
    if (operation === undefined) return unknown('it is no operation that a person asked for')
    const path = rest.join(' ')
    const isTwo = operation === 'rename' || operation === 'link'
    const paths = isTwo ? path.split(/ (?=\/)/) : [path]
    if (isTwo && paths.length !== 2) return unknown('its two paths cannot be told apart')
    if (paths.some((one) => !one.startsWith('/'))) return unknown('it names a path below the home directory')
    const verdicts = paths.map((one) => this.#shell.file(operation, one))
    return answer(verdicts.find(({ decision }) => decision !== 'allow') ?? ALLOW)
  }

  #request({ record, outcome }: RecordedStatement): Answer {
    const space = record.text.indexOf(' ')
    const [method, url] = [record.text.slice(0, space), record.text.slice(space + 1)]
    const mark = url.indexOf('?')
    const [path, query] = mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark)]
    if (query === '?' && this.#role.http?.mode === 'read-only') return unknown('its query was not recorded')
    const { verdict } = record
    // What was refused was not read to its end: its own reason says what there was to see.
    const refused = verdict.decision === 'allow' ? '' : verdict.reason
    if (/to be read as another method/.test(refused) && this.#role.http?.mode === 'read-only') return answer(verdict)
    const fields = record.headers ?? []
    const announced = Number(fields.find(([name]) => name === 'content-length')?.[1] ?? 0)
    const bytes = announced || (outcome?.bytesIn ?? 0)
    const isChunked = / with a body is refused/.test(refused)
    const body = bytes > 0 ? ({ kind: 'length', bytes } as const) : ({ kind: isChunked ? 'chunked' : 'none' } as const)
    const asked = { method, url, path, query, fields, ownCookies: [], body }
    const isUpgrade = fields.some(([name, value]) => name === 'upgrade' && /websocket/i.test(value))
    const isSocket = isUpgrade || outcome?.frames !== undefined || /may not open WebSockets/.test(refused)
    return answer(judgeHttp(this.#role.http, asked, isSocket ? 'websocket' : 'request').verdict)
  }
}

/** What a second person let through is recorded twice: as it waited, which is judged here, and as it ran, which is their decision. */
function withoutLetThrough(statements: readonly RecordedStatement[]): readonly RecordedStatement[] {
  const ran = statements.flatMap(
    ({ outcome }) => /^let through as statement (\d+) /.exec(outcome?.error ?? '')?.[1] ?? [],
  )
  const numbers = new Set(ran.map(Number))
  return statements.filter(({ record }) => !numbers.has(record.n))
}

/** A full shell judges nothing: the command that was asked for is what there is, and a shell that was typed into is only counted. */
function unjudged({ start }: StatedSession): readonly RecordedStatement[] {
  if (start.protocol !== 'ssh' || (start.channel !== 'exec' && start.channel !== 'shell')) return []
  const text = start.channel === 'exec' ? start.command : ''
  return [
    { record: { n: 0, kind: 'command', text, verdict: ALLOW, truncated: text.endsWith('…') }, outcome: undefined },
  ]
}
