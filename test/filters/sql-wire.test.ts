/** The corpus and the tools people have, through a running gateway to a real server: what the judge says is what happens. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { type CorpusGateway, openCorpusGateway } from '../../tools/corpus/sql-gateway.ts'
import { loadFixture, TEMPLATE } from '../../tools/corpus/sql-fixture.ts'
import { startPostgres } from '../fixtures/postgres.ts'

const run = promisify(execFile)
type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string }
const ran = (command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<Ran> =>
  run(command, [...args], { env, maxBuffer: 2 ** 26 }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (failure: Ran) => failure,
  )
const errors = ({ stderr }: Ran): readonly string[] =>
  stderr.split('\n').filter((line) => /ERROR|FATAL|error:/.test(line))
const works = async (command: string): Promise<boolean> => (await ran(command, ['--version'])).code === 0

t.setTimeout(150_000)
const directory = await mkdtemp(join(tmpdir(), 'sallyport-corpus-test-'))
t.teardown(() => rm(directory, { recursive: true, force: true }))
const hasFifteen = await works('/usr/lib/postgresql/15/bin/postgres')

async function sample(file: string, each: number): Promise<readonly string[]> {
  const text = await readFile(new URL(`../corpora/${file}.jsonl`, import.meta.url), 'utf8')
  return text
    .trim()
    .split('\n')
    .filter((line, at) => at % each === 0 || /"messages"|"startup"|"pass_if"|"copyin"/.test(line))
}

async function grade(lines: readonly string[], server: 15 | 18, more?: string) {
  const file = join(directory, `cases-${server}-${lines.length}.jsonl`)
  await writeFile(file, lines.join('\n'))
  if (more !== undefined) await writeFile(file.replace('.jsonl', '.sql'), more)
  const main = new URL('../../tools/corpus/main.ts', import.meta.url).pathname
  const { code, stdout, stderr } = await ran(process.execPath, [main, 'sql', file, '--json', '--server', `${server}`])
  if (stdout === '') throw new Error(stderr)
  return { code, ...(JSON.parse(stdout) as { cases: number; wrong: { id: string; expected: string; got: string }[] }) }
}

t.test('a part of the corpus gets its verdicts through the wire, and a wrong verdict is found', async (t) => {
  const lines = await sample('sql-shared', 6)
  const lie = { id: 'lie-1', sql: 'SELECT 1', verdict: 'deny' }
  const lie2 = { id: 'lie-2', sql: 'DELETE FROM app.probe', verdict: 'allow' }
  const graded = await grade([...lines, JSON.stringify(lie), JSON.stringify(lie2)], 18)
  t.equal(graded.cases, lines.length + 2)
  t.match(graded.wrong, [
    { id: 'lie-1', expected: 'deny', got: 'allow' },
    { id: 'lie-2', expected: 'allow', got: /^deny/ },
  ])
  t.equal(graded.wrong.length, 2)
  t.equal(graded.code, 1)
})

t.test(
  'what was planted before has no effect through the wire',
  { skip: hasFifteen ? false : 'no PostgreSQL 15 here' },
  async (t) => {
    const more = await readFile(new URL('../corpora/sql-ours.sql', import.meta.url), 'utf8')
    const graded = await grade(await sample('sql-ours', 5), 15, more)
    t.same(graded.wrong, [])
    t.equal(graded.code, 0)
  },
)

const hasClients = hasFifteen && (await works('psql')) && (await works('pg_dump'))

t.test(
  'psql, pg_dump and a refusal in their words',
  { skip: hasClients ? false : 'no psql and PostgreSQL 15 here' },
  async (t) => {
    const server = await startPostgres({ version: 15 })
    if (server === undefined) return
    t.teardown(() => server.stop())
    await loadFixture(server)
    const gateway: CorpusGateway = await openCorpusGateway(server, [''], [TEMPLATE])
    t.teardown(() => gateway.close())
    const database = gateway.name('', TEMPLATE)
    const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'))
    const where = { PGHOST: '127.0.0.1', PGPORT: `${gateway.port}`, PGUSER: 'alice', PGSSLMODE: 'disable' }
    const env = { ...Object.fromEntries(clean), ...where, PGDATABASE: database, PSQLRC: '/dev/null', LC_ALL: 'C.UTF-8' }

    const commands = String.raw`\d|\dt *.*|\d app.accounts|\d+ app.orders|\d+ app.v_accounts|\df *.*|\dn+|\du|\l+|\dT+|\do|\dC+|\dD+ *.*|\dx+|\dv *.*|\dm+ *.*|\di+ *.*|\dp *.*|\ddp|\des+|\dew+|\deu+|\det+ *.*|\dF+|\dL+|\dP+ *.*|\dRp+|\dX|\dy|\da|\dA+|\db|\dc|\dconfig|\dd|\drds|\dl+|\sf evil.ins|\sv app.v_accounts`
    const args = commands.split('|').flatMap((command) => ['-c', command])
    t.same(errors(await ran('psql', ['-X', '-At', ...args], env)), [], 'every command of psql that describes')

    const whole = await ran('pg_dump', ['--no-sync', '-N', 'evil', '--no-blobs'], env)
    t.same(errors(whole), [], 'pg_dump')
    t.match(whole.stdout, /COPY app\.accounts[\s\S]*user20/)
    t.same(errors(await ran('pg_dump', ['--no-sync', '-s'], env)), [], 'pg_dump of everything, without data')
    t.same(errors(await ran('pg_dump', ['--no-sync', '-n', 'app', '--inserts', '--serializable-deferrable'], env)), [])

    const refused = await ran('psql', ['-X', '-c', 'SELECT 1', '-c', 'DELETE FROM app.accounts', '-c', 'SELECT 2'], env)
    t.match(refused.stderr, /ERROR: {2}read-only session: DELETE is not a read/)
    t.match(refused.stdout, /\(1 row\)/)
  },
)
