/** The judges: microseconds that one decision takes on the thread that serves people. The lines are those of the corpora. */
import { readFileSync } from 'node:fs'
import { shellJudge, type SqlJudge } from '../../gateway/filters/filters.ts'
import { judgedDatabase } from '../../test/fixtures/sql-judge.ts'
import { median, percentile, round, teardowns } from './measure.ts'

/** A new statement is short up to this many characters. */
const SHORT = 160

type Figures = {
  readonly p50_us: number
  readonly p99_us: number
  /** Over texts, each with its median: what the texts cost, without what else this machine does meanwhile. */
  readonly p99_of_texts_us: number
  readonly count: number
}

export async function run(say: (line: string) => void, quick: boolean): Promise<object> {
  const t = teardowns()
  try {
    const shell = shellLines(quick ? 3 : 20)
    say(`shell: ${JSON.stringify(shell)}`)
    const database = await judgedDatabase(t, 18)
    if (database === undefined) {
      say('there is no PostgreSQL for this machine: statements need the catalog of one')
      return { sql_hit: null, sql_new: null, shell }
    }
    const judge = await database.judge()
    const short = await judgedAtOnce(judge, statements())
    const sql_new = newStatements(judge, short, quick ? 3 : 20)
    say(`SQL, new: ${JSON.stringify(sql_new)}`)
    const sql_hit = knownStatements(judge, short, quick ? 20 : 200)
    say(`SQL, known: ${JSON.stringify(sql_hit)}`)
    judge.close()
    return { sql_hit, sql_new, shell }
  } finally {
    await t.end()
  }
}

function shellLines(rounds: number): Figures {
  const lines = rows('shell').flatMap(({ cmd }) => (typeof cmd === 'string' ? [cmd] : []))
  const judge = shellJudge({ shell: 'read-only', forward: [] })
  return timed(lines, rounds, (line) => judge.line(line))
}

/** Made new by a comment of its own, so that nothing of it is known. */
function newStatements(judge: SqlJudge, texts: readonly string[], rounds: number): Figures {
  let n = 0
  return timed(texts, rounds, (text) => judge.query(`/* ${(n += 1)} */ ${text}`))
}

function knownStatements(judge: SqlJudge, texts: readonly string[], rounds: number): Figures {
  return timed(texts, rounds, (text) => judge.query(text))
}

const statements = (): readonly string[] =>
  rows('sql').flatMap(({ sql }) => (typeof sql === 'string' && sql.length <= SHORT ? [sql] : []))

/** Those that ask the server about names nobody has, or change the session's own state, measure something else. */
async function judgedAtOnce(judge: SqlJudge, texts: readonly string[]): Promise<readonly string[]> {
  const kept: string[] = []
  for (const text of texts) {
    if (/^\s*(set|prepare|deallocate|discard|execute)\b/i.test(text)) continue
    const judged = judge.query(text)
    if (judged instanceof Promise) await judged
    else kept.push(text)
  }
  return kept
}

/** After a round that is not counted: a process that serves people has judged before. */
function timed(texts: readonly string[], rounds: number, decide: (text: string) => unknown): Figures {
  const took: number[] = []
  const each = texts.map((): number[] => [])
  for (let i = 0; i <= rounds; i++)
    for (const [at, text] of texts.entries()) {
      const from = performance.now()
      const result = decide(text)
      const ms = performance.now() - from
      if (i === 0 || result instanceof Promise) continue
      took.push(ms * 1000)
      each[at]?.push(ms * 1000)
    }
  return {
    p50_us: round(percentile(took, 0.5), 1),
    p99_us: round(percentile(took, 0.99), 1),
    p99_of_texts_us: round(percentile(each.filter(({ length }) => length > 0).map(median), 0.99), 1),
    count: took.length,
  }
}

type Row = { readonly cmd?: unknown; readonly sql?: unknown }

const rows = (kind: 'shell' | 'sql'): readonly Row[] =>
  ['shared', 'ours'].flatMap((whose) =>
    readFileSync(new URL(`../../test/corpora/${kind}-${whose}.jsonl`, import.meta.url), 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Row),
  )
