/** `npm run corpus -- sql FILE.jsonl [--json]`: grades a file of cases through a running gateway. Exits with 1 when a verdict is wrong. */
import { gradeSql } from './sql.ts'

const graders: Readonly<Record<string, (args: readonly string[]) => Promise<boolean>>> = {
  sql: gradeSql,
}

const [kind = '', ...args] = process.argv.slice(2)
const grade = graders[kind]
if (grade === undefined || args.length === 0) {
  process.stderr.write(`usage: npm run corpus -- ${Object.keys(graders).join('|')} FILE.jsonl [--json]\n`)
  process.exitCode = 2
} else process.exitCode = (await grade(args)) ? 0 : 1
