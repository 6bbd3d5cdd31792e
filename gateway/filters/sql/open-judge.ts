/** The judge of a read-write session: only the role's deny list is refused; fingerprint and tables are for the recording. */
import { ALLOW } from '../../model/statement.ts'
import type { SqlJudge } from './judge.ts'
import type { Parsed, Parser } from './parser.ts'
import { child, relationWords, type Tree, words } from './tree.ts'
import { type Found, foldNumbers, type SqlJudgement, type VerdictCache } from './verdicts.ts'

const UNKNOWN: SqlJudgement = { verdict: ALLOW }
/** More are not worth an auditor's while. */
const MAX_TABLES = 64

/** @param deny `schema.name`, or `name` for every schema. */
export function createOpenJudge(parser: Parser, cache: VerdictCache, deny: readonly string[]): SqlJudge {
  const denied = new Set(deny)
  const prefix = `rw ${JSON.stringify(deny)} `
  const decide = (text: string, parsed: Parsed): SqlJudgement => {
    // The server refuses what the grammar does not know; newer syntax than the grammar's is the person's right.
    const judgement = 'failure' in parsed ? UNKNOWN : judged(parsed.statements, parsed.fingerprint, denied)
    const found: Found = { judgement, effects: [] }
    cache.put(prefix + foldNumbers(text), found)
    return judgement
  }
  const judge = (text: string): SqlJudgement | Promise<SqlJudgement> => {
    const known = cache.get(prefix + foldNumbers(text))
    if (known !== undefined) return known.judgement
    const parsed = parser.parse(text)
    if (!(parsed instanceof Promise)) return decide(text, parsed)
    const later = parsed.then((p) => decide(text, p))
    return denied.size > 0 ? later : UNKNOWN // only the recording would wait
  }
  return {
    query: judge,
    parse: (_name, text) => judge(text),
    execute: (_name, text) => judge(text),
    close: () => undefined,
  }
}

function judged(statements: readonly Tree[], fingerprint: string, denied: ReadonlySet<string>): SqlJudgement {
  const tables = new Set<string>()
  const queries = new Set<string>()
  let bad: string | undefined
  const stack: Tree[] = [...statements]
  while (stack.length > 0) {
    const node = stack.pop()
    if (typeof node !== 'object' || node === null) continue
    const called = words(child(node, 'funcname'))
    if (called.length > 0 && isDenied(called, denied)) bad = called.join('.')
    const name = child(node, 'ctename')
    if (typeof name === 'string') queries.add(name)
    const relation = child(node, 'relname') === undefined ? [] : relationWords(node)
    if (relation.length > 0 && tables.size < MAX_TABLES) tables.add(relation.slice(-2).join('.'))
    for (const value of Object.values(node)) if (typeof value === 'object') stack.push(value)
  }
  const more = {
    ...(fingerprint === '' ? {} : { fingerprint }),
    tables: [...tables].filter((table) => !queries.has(table)),
  }
  if (bad === undefined) return { verdict: ALLOW, ...more }
  return { verdict: { decision: 'deny', reason: `Function ${bad}() is on the deny list of the role.` }, ...more }
}

const isDenied = (called: readonly string[], denied: ReadonlySet<string>): boolean => {
  const bare = called.at(-1) ?? ''
  return denied.has(bare) || denied.has(`${called.at(-2) ?? 'pg_catalog'}.${bare}`)
}
