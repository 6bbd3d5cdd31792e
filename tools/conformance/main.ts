/**
 * `npm run conformance`: PostgreSQL's regression suite says the same through the gateway as directly, byte for byte,
 * and leaves nothing behind under a read-only role.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { limits } from './limits.ts'
import { BINARIES, LIBRARIES, PG_REGRESS, suite } from './sources.ts'
import { DATABASE, openWorld, USER, type World } from './world.ts'

const USAGE = `Usage: npm run conformance -- [--cache DIR] [--subset N] [--keep DIR]
       npm run conformance -- limits

  --cache DIR   where the sources of the suite are kept (default: a directory below the temporary one)
  --subset N    only the first N tests of the suite's schedule
  --keep DIR    keep what pg_regress wrote, for a look at differences

Ends with 0 when the differences to the expected results are the same directly and through the gateway,
and the databases are the same before and after all statements under a read-only role.

\`limits\` tries the limits of workspaces under a kernel with cgroup v2 (Debian's user-mode-linux), in a few minutes.`

const run = promisify(execFile)
const say = (line: string): void => void process.stdout.write(`${line}\n`)

type Result = { readonly tests: ReadonlyMap<string, string>; readonly diffs: string }

/** The schedule, up to that many tests, as groups that run side by side. */
function schedule(source: string, most: number): readonly (readonly string[])[] {
  const lines = readFileSync(join(source, 'parallel_schedule'), 'utf8').split('\n')
  const groups: string[][] = []
  let left = most
  for (const line of lines) {
    const names = /^test:\s*(.+)$/.exec(line)?.[1]?.trim().split(/\s+/) ?? []
    if (names.length === 0 || left <= 0) continue
    groups.push(names.slice(0, left))
    left -= names.length
  }
  return groups
}

async function regress(
  world: World,
  how: {
    readonly source: string
    readonly schedule: string
    readonly out: string
    readonly name: string
    readonly port: number
  },
): Promise<Result> {
  await world.renew()
  // The same place for every run, because error messages name it; and the server writes there, too.
  const place = join(how.out, 'run')
  mkdirSync(join(place, 'results'), { recursive: true })
  for (const directory of [place, join(place, 'results')]) chmodSync(directory, 0o777)
  const places = [`--inputdir=${how.source}`, `--outputdir=${place}`, `--bindir=${BINARIES}`, `--dlpath=${LIBRARIES}`]
  const where = ['--host=127.0.0.1', `--port=${how.port}`, `--user=${USER}`, `--dbname=${DATABASE}`, '--use-existing']
  const isDirect = how.port === world.server.port
  const env = { ...process.env, PGSSLMODE: 'require', PGPASSWORD: isDirect ? world.server.password : '' }
  const args = [...places, ...where, `--schedule=${how.schedule}`, '--max-connections=4']
  // It ends with 1 when a test differs from what is expected; whether directly or not is what we are about to compare.
  const { stdout } = await run(PG_REGRESS, args, { env, maxBuffer: 2 ** 28 }).catch((failure: { stdout?: string }) => ({
    stdout: failure.stdout ?? '',
  }))
  const tests = [...stdout.matchAll(/^(?:test| {4})\s*(\S+)\s+\.\.\. (ok|FAILED)/gm)].map(
    ([, name, result]) => [name ?? '', result ?? ''] as const,
  )
  renameSync(place, join(how.out, how.name))
  const file = join(how.out, how.name, 'regression.diffs')
  const diffs = existsSync(file) ? readFileSync(file, 'utf8') : ''
  // Headers have names of files and times of day.
  return { tests: new Map(tests), diffs: diffs.replaceAll(/^(---|\+\+\+|diff) .*$/gm, '$1') }
}

/** Every statement of the suite once more, by somebody who may only read. Returns how many files were run. */
async function asReader(world: World, source: string, names: readonly string[]): Promise<number> {
  const env = {
    ...process.env,
    PGSSLMODE: 'require',
    PGAPPNAME: 'conformance',
    PGPASSWORD: '',
    PG_ABS_SRCDIR: source,
    PG_ABS_BUILDDIR: tmpdir(),
    PG_LIBDIR: LIBRARIES,
    PG_DLSUFFIX: '.so',
  }
  const base = ['-X', '-q', '-h', '127.0.0.1', '-p', `${world.gatewayPort}`, '-U', USER, '-d', `${DATABASE}%read-only`]
  const left = [...names]
  let done = 0
  const one = async () => {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const file = join(source, 'sql', `${name}.sql`)
      if (!existsSync(file)) continue
      await run('psql', [...base, '-f', file], { env, maxBuffer: 2 ** 28, timeout: 120_000 }).catch(() => undefined)
      done += 1
    }
  }
  await Promise.all([one(), one(), one()])
  return done
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      cache: { type: 'string' },
      subset: { type: 'string' },
      keep: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  const isLimits = positionals.length === 1 && positionals[0] === 'limits'
  if (isLimits && values.help !== true) return limits(say)
  const most = values.subset === undefined ? Number.POSITIVE_INFINITY : Number(values.subset)
  if (values.help === true || positionals.length > 0 || !(most >= 1)) {
    process.stderr.write(`${USAGE}\n`)
    return values.help === true ? 0 : 2
  }
  const source = suite(resolve(values.cache ?? join(tmpdir(), 'sallyport-conformance')), say)
  const groups = schedule(source, most)
  const out = values.keep === undefined ? mkdtempSync(join(tmpdir(), 'sallyport-regress-')) : resolve(values.keep)
  mkdirSync(out, { recursive: true })
  chmodSync(out, 0o755)
  for (const name of ['run', 'direct', 'gateway']) rmSync(join(out, name), { recursive: true, force: true })
  const list = join(out, 'schedule')
  writeFileSync(list, groups.map((names) => `test: ${names.join(' ')}\n`).join(''))
  const world = await openWorld()
  try {
    const how = { source, schedule: list, out }
    const direct = await regress(world, { ...how, name: 'direct', port: world.server.port })
    const failed = [...direct.tests.values()].filter((result) => result !== 'ok').length
    say(`directly: ${direct.tests.size} tests, ${failed} differ from what is expected`)
    const through = await regress(world, { ...how, name: 'gateway', port: world.gatewayPort })
    say(`through the gateway, read-write: ${through.tests.size} tests`)
    const isSame = direct.tests.size > 0 && direct.diffs === through.diffs && sameTests(direct, through)
    say(isSame ? 'the differences are the same, byte for byte' : `the differences are NOT the same: see ${out}`)
    const filled = await world.dump()
    const files = await asReader(world, source, groups.flat())
    const left = await world.dump()
    const isUnchanged = filled === left && files > 0
    say(
      `through the gateway, read-only: statements of ${files} files; databases and roles ${isUnchanged ? 'are as before' : 'CHANGED'} (${digest(left).slice(0, 16)})`,
    )
    if (!isUnchanged && values.keep !== undefined) {
      writeFileSync(join(out, 'before.sql'), filled)
      writeFileSync(join(out, 'after.sql'), left)
    }
    return isSame && isUnchanged ? 0 : 1
  } finally {
    await world.close()
    if (values.keep === undefined) rmSync(out, { recursive: true, force: true })
  }
}

function sameTests(one: Result, other: Result): boolean {
  const lines = ({ tests }: Result) => [...tests].map(([name, result]) => `${name} ${result}`).toSorted()
  return lines(one).join('\n') === lines(other).join('\n')
}

try {
  process.exit(await main())
} catch (failure) {
  process.stderr.write(`${failure instanceof Error ? failure.message : String(failure)}\n`)
  process.exit(2)
}
