/** `npm run corpus -- sql|shell|mask FILE.jsonl [--json]`: grades a file of cases. Exits with 1 when a verdict is wrong. */
import { existsSync } from 'node:fs'

const graders: Readonly<Record<string, (args: readonly string[]) => Promise<boolean>>> = {
  sql: async (args) => (await import('./sql.ts')).gradeSql(args),
  mask: async (args) => (await import('./mask.ts')).runMasks(args),
  shell: async (args) => (await (await import('./shell.ts')).run(args)) === 0,
}

const [kind = '', ...args] = process.argv.slice(2)
const grade = graders[kind]
if (grade === undefined || args.length === 0) {
  process.stderr.write(`usage: npm run corpus -- ${Object.keys(graders).join('|')} FILE.jsonl [--json]\n`)
  process.exitCode = 2
} else if (!args.some((argument) => existsSync(argument))) {
  process.stderr.write(`${args.join(' ')}: no such file here; name a file with one case a line, as JSON.\n`)
  process.exitCode = 2
} else process.exitCode = (await grade(args)) ? 0 : 1
