/** Grades a corpus of command lines: each gets its verdict, and what is allowed does the same as when it is run directly. */
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { forAnyShell, judgeCommandLine, quote, shellRules } from '../../gateway/filters/filters.ts'
import { CORPUS_DIRECTORY, fillWorkspace, photograph } from '../../test/fixtures/shell-workspace.ts'

export type ShellRow = {
  readonly id?: string
  readonly cmd: string
  readonly verdict: 'allow' | 'deny'
  readonly why?: string
  readonly class?: string
  readonly pty?: boolean
  /** Typed after the program has started. */
  readonly keys?: string
  readonly cwd?: string
  readonly stdin?: string
  /** `denied_or_neutralised`: it may run when it does nothing. */
  readonly pass_if?: string
}

export type Answer = { readonly output: string; readonly exitCode: number | null }
export type Ran =
  | { readonly refused: true; readonly reason: string }
  | ({ readonly refused: false; readonly hadEffect: boolean } & Answer)

/** Runs one row the way a person would: the judge in this process, or a real ssh through a gateway. */
export type Runner = {
  readonly name: string
  run(row: ShellRow): Ran | Promise<Ran>
  /** The same without a gateway, where that is more than running it here. */
  readonly direct?: Direct
  close?(): void | Promise<void>
}

export type Grade = {
  readonly id: string
  readonly cmd: string
  readonly expected: 'allow' | 'deny'
  readonly got: 'allow' | 'deny'
  readonly passed: boolean
  readonly note: string
}

/** Does what the line says, directly, for comparison. */
export type Direct = (row: ShellRow) => Answer | Promise<Answer>

const COMMAND_NOT_FOUND = 127
const NOBODY = 65_534
const PATIENCE_MS = 3000

export async function gradeRows(rows: readonly ShellRow[], runner: Runner, direct: Direct): Promise<readonly Grade[]> {
  const grades: Grade[] = []
  for (const row of rows) {
    const ran = await runner.run(row)
    const [passed, note] = ran.refused ? [row.verdict === 'deny', ran.reason] : await gradeRun(row, ran, direct, runner)
    grades.push({
      id: row.id ?? '',
      cmd: row.cmd,
      expected: row.verdict,
      got: ran.refused ? 'deny' : 'allow',
      passed,
      note,
    })
  }
  return grades
}

async function gradeRun(
  row: ShellRow,
  ran: Ran & { refused: false },
  direct: Direct,
  runner: Runner,
): Promise<readonly [boolean, string]> {
  if (row.verdict === 'deny') {
    const mayRun = row.keys !== undefined || row.pass_if === 'denied_or_neutralised'
    return mayRun && !ran.hadEffect ? [true, 'ran without effect'] : [false, 'was allowed']
  }
  if (ran.hadEffect) return [false, 'changed files']
  const first = await direct(row)
  if (isSame(row, first, ran)) return [true, 'same as directly']
  const again = await runner.run(row)
  const second = await direct(row)
  if (!again.refused && isSame(row, second, again)) return [true, 'same as directly']
  const isUnsteady = !isSame(row, first, second) && first.exitCode === ran.exitCode
  return isUnsteady
    ? [true, 'its output differs from run to run']
    : [false, `not as directly: ${brief(ran)} instead of ${brief(first)}`]
}

const brief = ({ output, exitCode }: Answer): string => `${String(exitCode)} ${JSON.stringify(output.slice(0, 120))}`

function isSame(row: ShellRow, one: Answer, other: Answer): boolean {
  if (one.exitCode !== other.exitCode) return false
  /** Shells word it differently. */
  if (one.exitCode === COMMAND_NOT_FOUND) return true
  return one.output === other.output || comparable(row, one.output) === comparable(row, other.output)
}

/** A shell leaves marks of its own in the environment, and words that begin with a pattern become ./pattern. */
function comparable({ cmd }: ShellRow, output: string): string {
  const lines = /^\s*(?:\/usr\/bin\/|\/bin\/)?(?:env|printenv)\b/.test(cmd)
    ? output.split(/[\n\0]/).filter((line) => !/^(?:_|SHLVL|PWD|OLDPWD|HOSTNAME)=/.test(line))
    : output
        .split('\n')
        .map((line) =>
          line.replace(/^(?:\/bin\/)?(?:ba)?sh: (?:line )?\d+: /, '').replace(': command not found', ': not found'),
        )
  return lines
    .map((line) => line.replaceAll(/(^|\s)\.\//g, '$1'))
    .toSorted()
    .join('\n')
}

/** The judge in this process; what it allows is run here, as nobody. */
export function judgeRunner(scratch: Scratch): Runner {
  const { rules } = shellRules()
  return {
    name: 'judge',
    run: (row) => {
      const directory = row.cwd ?? CORPUS_DIRECTORY
      const { verdict, plan } = judgeCommandLine(row.cmd, rules, { directory })
      if (plan === undefined) return { refused: true, reason: verdict.decision === 'allow' ? '' : verdict.reason }
      const before = photograph(CORPUS_DIRECTORY).join('\n')
      const answer = scratch.run(forAnyShell(quote(plan, { directory })), row)
      const hadEffect = photograph(CORPUS_DIRECTORY).join('\n') !== before
      if (hadEffect) scratch.refill()
      return { refused: false, hadEffect, ...answer }
    },
  }
}

/** The corpus's own directory on this host, filled; without its own process group nothing of it outlives a row. */
export class Scratch {
  readonly #home: string
  constructor() {
    if (existsSync(CORPUS_DIRECTORY)) throw new Error(`${CORPUS_DIRECTORY} is there already; remove it first.`)
    this.#home = mkdtempSync(join(tmpdir(), 'sp-corpus-'))
    chmodSync(this.#home, 0o755)
    this.refill()
  }
  refill(): void {
    rmSync(CORPUS_DIRECTORY, { recursive: true, force: true })
    mkdirSync(CORPUS_DIRECTORY)
    fillWorkspace(CORPUS_DIRECTORY)
    if (process.getuid?.() === 0) chownSync(CORPUS_DIRECTORY, NOBODY, NOBODY)
  }
  /** The same line, by bash, without a gateway. */
  readonly direct: Direct = (row) => this.run(row.cmd, row)

  run(line: string, row: ShellRow): Answer {
    const keys = row.keys === undefined ? '' : row.keys.replaceAll('\n', '\r')
    const command = row.keys === undefined ? ['bash', '-c', line] : ['script', '-qefc', line, '/dev/null']
    const { stdout, stderr, status, signal } = spawnSync(
      'timeout',
      ['-s', 'KILL', String(PATIENCE_MS / 1000), ...command],
      {
        cwd: row.cwd ?? CORPUS_DIRECTORY,
        input: row.keys === undefined ? (row.stdin ?? '') : keys,
        env: {
          PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
          HOME: this.#home,
          USER: 'nobody',
          LC_ALL: 'C.UTF-8',
          TERM: 'xterm',
        },
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
        ...(process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
      },
    )
    return { output: stdout + stderr, exitCode: signal === null ? status : null }
  }
  close(): void {
    rmSync(this.#home, { recursive: true, force: true })
    rmSync(CORPUS_DIRECTORY, { recursive: true, force: true })
  }
}

export const readRows = (path: string): readonly ShellRow[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as ShellRow)

/** Through a real ssh where there is an sshd to be had; `--judge` asks only the judge. */
async function runnerFor(args: readonly string[], scratch: Scratch): Promise<Runner> {
  const { missingClient, missingSshd } = await import('../../test/fixtures/sshd.ts')
  const missing = missingSshd() ?? missingClient()
  if (missing !== undefined) process.stderr.write(`Only the judge is asked: ${missing}.\n`)
  if (missing !== undefined || args.includes('--judge')) return judgeRunner(scratch)
  const { gatewayRunner } = await import('./shell-gateway.ts')
  return gatewayRunner(() => scratch.refill())
}

/** `FILE.jsonl [--json] [--judge]`. @returns the exit code: 0 when every row passed. */
export async function run(args: readonly string[]): Promise<number> {
  const [file] = args.filter((argument) => !argument.startsWith('--'))
  if (file === undefined) {
    process.stderr.write('npm run corpus -- shell FILE.jsonl [--json] [--judge]\n')
    return 2
  }
  if (existsSync(CORPUS_DIRECTORY)) {
    process.stderr.write(
      `${CORPUS_DIRECTORY} is there already: the corpus needs that folder for itself and removes it at the end.\n` +
        `Move away what you need of it, then: rm -r ${CORPUS_DIRECTORY}\n`,
    )
    return 2
  }
  const rows = readRows(file)
  const scratch = new Scratch()
  let runner: Runner | undefined
  try {
    runner = await runnerFor(args, scratch)
    const { name } = runner
    const grades = await gradeRows(rows, runner, runner.direct ?? scratch.direct)
    const failed = grades.filter(({ passed }) => !passed)
    if (args.includes('--json'))
      process.stdout.write(`${JSON.stringify({ runner: name, rows: rows.length, failed: failed.length, grades })}\n`)
    else {
      for (const { id, cmd, expected, got, note } of failed)
        process.stdout.write(`${id} ${JSON.stringify(cmd)}: expected ${expected}, got ${got} (${note})\n`)
      const counts = (['allow', 'deny'] as const).map((verdict) => {
        const of = grades.filter(({ expected }) => expected === verdict)
        return `${verdict} ${of.filter(({ passed }) => passed).length}/${of.length}`
      })
      process.stdout.write(`${name}: ${counts.join(', ')}\n`)
    }
    return failed.length === 0 ? 0 : 1
  } finally {
    await runner?.close?.()
    scratch.close()
  }
}
