/** PostgreSQL's own regression suite: from Debian's source package, fetched once into a cache; the system's package lists stay as they are. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const SERVER = 'postgresql-15'
export const BINARIES = '/usr/lib/postgresql/15/bin'
export const LIBRARIES = '/usr/lib/postgresql/15/lib'
export const PG_REGRESS = `${LIBRARIES}/pgxs/src/test/regress/pg_regress`

/** @returns the directory with `sql/`, `expected/` and the schedules. @throws {Error} that says what is missing. */
export function suite(cache: string, say: (line: string) => void): string {
  for (const path of [`${BINARIES}/postgres`, PG_REGRESS])
    if (!existsSync(path)) throw new Error(`${path} is missing: apt-get install ${SERVER}`)
  mkdirSync(cache, { recursive: true })
  const found = unpacked(cache)
  if (found !== undefined) return found
  say(`fetching the sources of ${SERVER} into ${cache} …`)
  fetch(cache)
  const fetched = unpacked(cache)
  if (fetched === undefined) throw new Error(`the sources in ${cache} have no regression suite`)
  return fetched
}

function unpacked(cache: string): string | undefined {
  const directory = readdirSync(cache).find((name) => /^postgresql-15\.\d+$/.test(name))
  if (directory === undefined) return undefined
  const inside = join(cache, directory, 'src/test/regress')
  return existsSync(join(inside, 'parallel_schedule')) ? inside : undefined
}

function fetch(cache: string): void {
  const lists = join(cache, 'lists')
  const list = join(cache, 'sources.list')
  mkdirSync(join(lists, 'partial'), { recursive: true })
  writeFileSync(list, sourceLines().join('\n'))
  const options = [
    `Dir::Etc::sourcelist=${list}`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State::lists=${lists}`,
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option])
  run('apt-get', [...options, 'update', '-qq'], cache)
  run('apt-get', [...options, 'source', '-qq', '--download-only', SERVER], cache)
  const archive = readdirSync(cache).find((name) => /\.orig\.tar\.\w+$/.test(name))
  if (archive === undefined) throw new Error(`no source archive came into ${cache}`)
  run('tar', ['-xf', archive, '--wildcards', '*/src/test/regress'], cache)
}

/** Where this system gets its packages from, asked for sources instead. */
function sourceLines(): readonly string[] {
  const parts = '/etc/apt/sources.list.d'
  const files = existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : []
  const lines: string[] = []
  for (const file of ['/etc/apt/sources.list', ...files].filter((name) => existsSync(name))) {
    const text = readFileSync(file, 'utf8')
    if (!file.endsWith('.sources')) {
      lines.push(...text.split('\n').flatMap((line) => (/^deb\s/.test(line) ? [line.replace(/^deb/, 'deb-src')] : [])))
      continue
    }
    for (const stanza of text.split(/\n\s*\n/)) {
      const field = (name: string) =>
        new RegExp(`^${name}:\\s*(.+)$`, 'im').exec(stanza)?.[1]?.trim().split(/\s+/) ?? []
      const [key] = field('Signed-By')
      const option = key === undefined ? '' : `[signed-by=${key}] `
      for (const uri of field('URIs'))
        for (const suite of field('Suites'))
          lines.push(`deb-src ${option}${uri} ${suite} ${field('Components').join(' ')}`)
    }
  }
  if (lines.length === 0) throw new Error('this system has no package sources to fetch from')
  return lines
}

function run(program: string, args: readonly string[], directory: string): void {
  const { status, stderr } = spawnSync(program, args, { cwd: directory, stdio: ['ignore', 'ignore', 'pipe'] })
  if (status !== 0) throw new Error(`${program} ${args.at(-1)}: ${stderr.toString().slice(-500)}`)
}
