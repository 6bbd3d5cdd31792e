/** No allowed line is read differently by our reading, by bash and by dash; and what we write anew says the same to both. */
import { spawnSync } from 'node:child_process'
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { judgeCommandLine, type Plan, quote, shellRules, type Word } from '../../gateway/filters/filters.ts'
import { Lines } from '../fixtures/shell-lines.ts'

const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_120)
const WANTED = Number(process.env['FUZZ_LINES'] ?? 2000)
/** Programs without arguments of our own in front; those in the second list fail. */
const GOOD = ['ls', 'cat', 'wc', 'head']
const BAD = ['stat', 'od']
const NOBODY = 65_534
const VALUES: Readonly<Record<string, string>> = { HOME: '/nonexistent/u', USER: 'u', HOSTNAME: 'testhost' }

/** Stages of a pipe speak in any order. */
const sorted = (heard: string): string => heard.split('\u0001\0').toSorted().join('\n')
const hasBraces = (line: string): boolean => line.includes('{')
/** Words that begin with a pattern are written as ./pattern. */
const withoutDots = (call: string): string => call.replaceAll(/(^|\0)\.\//g, '$1')
const patterns = (plan: Plan): readonly Word[] =>
  plan.steps
    .flatMap((step) => (step.kind === 'pipeline' ? step.commands.flatMap(({ argv }) => argv) : []))
    .filter((word) => word.parts.some((part) => 'glob' in part))

const has = (program: string) => spawnSync(program, ['-c', ':']).status === 0
const missing = ['bash', 'dash'].filter((program) => !has(program))

t.setTimeout(300_000)
if (missing.length > 0) t.pass(`skipped: ${missing.join(' and ')} not installed`)
else {
  const root = mkdtempSync(join(tmpdir(), 'sp-fuzz-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  chmodSync(root, 0o755)
  const empty = join(root, 'empty')
  const full = join(root, 'full')
  mkdirSync(join(root, 'bin'))
  mkdirSync(empty)
  mkdirSync(full)
  for (const name of ['-l', '--help', 'a', 'b', 'ab', 'a b', 'x*', '~', '.hidden', 'c$HOME', "d'e", '{a,b}', '[a]'])
    writeFileSync(join(full, name), '')

  const { rules } = shellRules({ commands: [...GOOD, ...BAD] })
  const lines = new Lines(SEED, [...GOOD, ...BAD])
  const allowed: { readonly line: string; readonly plan: Plan }[] = []
  let made = 0
  for (; allowed.length < WANTED && made < WANTED * 20; made++) {
    const line = lines.line()
    const { plan } = judgeCommandLine(line, rules)
    if (plan !== undefined && plan.steps.length > 0 && plan.steps.every((step) => step.kind === 'pipeline'))
      allowed.push({ line, plan })
  }
  t.comment(`seed ${SEED}: ${made} lines made, ${allowed.length} allowed`)
  t.ok(allowed.length >= WANTED, 'enough lines are allowed')

  /** One shell reads all lines; its commands only say what they were called with. */
  const hear = (shell: 'bash' | 'dash', directory: string, texts: readonly string[]): readonly string[] => {
    const script = [
      'M=$(printf "\\001"); PATH=$1; set --',
      ...GOOD.map((name) => `${name}() { command printf '%s\\0' ${name} "$@" "$M" >&9; return 0; }`),
      ...BAD.map((name) => `${name}() { command printf '%s\\0' ${name} "$@" "$M" >&9; return 1; }`),
      "uname() { command printf 'testhost'; }",
      'r() { ( : ; eval "$1" ) >/dev/null 2>/dev/null </dev/null; command printf "\\002" >&9; }',
      ...texts.map((text) => `r '${text.replaceAll("'", String.raw`'\''`)}'`),
    ].join('\n')
    const scriptPath = join(root, `${shell}.sh`)
    const heardPath = join(root, `${shell}.heard`)
    writeFileSync(scriptPath, script)
    const out = openSync(heardPath, 'w+')
    const stdio: ('ignore' | 'pipe' | number)[] = [
      'ignore',
      'ignore',
      'pipe',
      ...Array<'ignore'>(6).fill('ignore'),
      out,
    ]
    const { status, stderr } = spawnSync(shell, [scriptPath, join(root, 'bin')], {
      cwd: directory,
      stdio,
      env: { ...VALUES, PWD: directory, PATH: process.env['PATH'] ?? '', LC_ALL: 'C.UTF-8' },
      ...(process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {}),
    })
    closeSync(out)
    if (status !== 0) t.fail(`${shell} read all lines`, { stderr: String(stderr).slice(0, 500) })
    return readFileSync(heardPath, 'utf8').split('\u0002').slice(0, texts.length).map(sorted)
  }
  const undotted = (heard: readonly string[]): readonly string[] =>
    heard.map((calls) => calls.split('\n').map(withoutDots).toSorted().join('\n'))

  const textIn = (word: Word, status: number, directory: string): string =>
    word.parts
      .map((part) => {
        if ('literal' in part) return part.literal
        if ('glob' in part) return part.glob
        if ('tilde' in part) return VALUES['HOME'] ?? ''
        return part.variable === '?'
          ? String(status)
          : part.variable === 'PWD'
            ? directory
            : (VALUES[part.variable] ?? '')
      })
      .join('')

  /** What the plan says a shell would call in a directory without files. */
  const said = (plan: Plan, directory: string): string => {
    let status = 0
    const calls: string[] = []
    for (const step of plan.steps) {
      if (step.kind !== 'pipeline' || (step.join === '&&' && status !== 0) || (step.join === '||' && status === 0))
        continue
      for (const { written, argv } of step.commands)
        calls.push(
          [written, ...argv.map((word) => textIn(word, status, directory))].map((text) => `${text}\0`).join(''),
        )
      status = BAD.includes(step.commands.at(-1)?.name ?? '') ? 1 : 0
    }
    return [...calls, ''].toSorted().join('\n')
  }
  /** Patterns that find something even in an empty directory: rooted ones, and in dash `.` and `..`. */
  const findsMore = patternsThat(/^(?:[/~$]|\.)|\/\./)
  const findsDots = patternsThat(/^\.|\/\./)
  function patternsThat(begin: RegExp) {
    return (plan: Plan): boolean =>
      patterns(plan).some((word) =>
        begin.test(
          word.parts.map((part) => ('literal' in part ? part.literal : 'glob' in part ? part.glob : '$')).join(''),
        ),
      )
  }
  const compare = (
    t: Test,
    ours: readonly string[],
    theirs: readonly string[],
    which: readonly number[] = ours.map((_, n) => n),
  ) => {
    const wrong = which.filter((n) => ours[n] !== theirs[n])
    t.equal(wrong.length, 0, `${which.length} lines are read alike`, {
      examples: wrong.slice(0, 5).map((n) => ({ line: allowed[n]?.line, ours: ours[n], theirs: theirs[n] })),
    })
  }

  t.test('bash and dash read each allowed line as we do', async (t) => {
    const typed = allowed.map(({ line }) => line)
    const ours = allowed.map(({ plan }) => said(plan, empty))
    const still = allowed.flatMap(({ plan }, n) => (findsMore(plan) ? [] : [n]))
    compare(t, ours, hear('bash', empty, typed), still)
    const portable = still.filter((n) => !hasBraces(typed[n] ?? ''))
    compare(t, ours, hear('dash', empty, typed), portable)
  })

  t.test(
    'what is sent says the same to both shells, with files that look like options and patterns around',
    async (t) => {
      const sent = allowed.map(({ plan }) => quote(plan))
      const lines = allowed.map(({ line }) => line)
      const portable = allowed.flatMap(({ plan }, n) => (findsDots(plan) ? [] : [n]))
      for (const directory of [empty, full]) {
        const typed = undotted(hear('bash', directory, lines))
        compare(t, typed, undotted(hear('bash', directory, sent)))
        compare(t, typed, undotted(hear('dash', directory, sent)), portable)
      }
    },
  )
}
