/** A policy is tried on what was recorded: real ssh and psql sessions, a changed configuration, a running and a stopped gateway. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { type DemoPerson, startDemo } from '../fixtures/demo.ts'

type Found = {
  readonly sessions: number
  readonly judged: number
  readonly differ: readonly {
    readonly person: string
    readonly text: string
    readonly count: number
    readonly was: { decision: string }
    readonly now: { decision: string; reason?: string }
  }[]
  readonly cannot: readonly { readonly why: string; readonly count: number }[]
}
type Tried = { readonly code: number; readonly stdout: string; readonly stderr: string }
const MAIN = new URL('../../tools/backtest/main.ts', import.meta.url).pathname
const run = promisify(execFile)
const backtest = (...args: readonly string[]): Promise<Tried> =>
  run(process.execPath, [MAIN, ...args]).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (failure: Tried) => failure,
  )
const DIRECT = ['-o', 'LogLevel=ERROR']

t.setTimeout(300_000)
const demo = existsSync('/usr/bin/ssh') && existsSync('/usr/sbin/sshd') ? await startDemo(t) : undefined
const port = demo?.report.postgres.port ?? null
if (demo === undefined || port === null) t.plan(0, 'no OpenSSH client, no sshd or no PostgreSQL 18 for this machine')
else {
  const [alice, bob] = ['alice', 'bob'].map((name) => demo.person(name)) as [DemoPerson, DemoPerson]
  const file = join(demo.report.dataDir, 'sallyport.yaml')
  const changed = join(demo.report.dataDir, 'changed.yaml')
  const config = parse(readFileSync(file, 'utf8')) as { roles: Record<string, Record<string, unknown>> }

  /** Sessions under a role, by ssh and, where it can, by SQL. */
  const worked = async (role: string, commands: readonly string[], queries: readonly string[]): Promise<void> => {
    const asked = await alice.ssh([
      '@',
      'request',
      'prod-db',
      '--role',
      role,
      '--for',
      '20m',
      '--reason',
      'backtest',
      '--json',
    ])
    const { id } = JSON.parse(asked.stdout.toString()) as { readonly id: string }
    await bob.ssh(['@', 'approve', id])
    for (const command of commands) await alice.ssh([...DIRECT, '@', 'prod-db', command])
    if (queries.length === 0) return
    const password = (await alice.ssh([...DIRECT, '@', 'token', '--for', '1h'])).stdout.toString().trim()
    const login = { host: 'localhost', port, user: 'alice', database: `prod-db%${role}`, password }
    const client = new Client({ ...login, ssl: { ca: demo.certificate } })
    await client.connect()
    for (const query of queries) await client.query(query).catch(() => undefined)
    await client.query('select country from customers where id = $1', [7])
    await client.end()
  }
  await worked(
    'readonly',
    ['ls /', 'cat /etc/hostname', 'rm -rf /nowhere'],
    [
      'select email from customers where id = 1',
      "select id from customers where email like 'a%'",
      "select id from customers where email like 'b%'",
      'delete from customers',
      'select 1',
    ],
  )
  await worked('operator', ['id', 'touch /tmp/nothing'], [])

  const shipped = async (role: string, judged: number): Promise<Found> => {
    let last = ''
    for (let tries = 0; tries < 30; tries++) {
      const { stdout, stderr } = await backtest('--role', role, '--config', file, '--json')
      last = stdout + stderr
      const found = stdout === '' ? undefined : (JSON.parse(stdout) as Found)
      if (found !== undefined && found.judged >= judged) return found
      await new Promise((wake) => setTimeout(wake, 1000))
    }
    throw new Error(`it never arrives in the store: ${last}`)
  }

  await t.test('nothing differs under the rules that were in force', async (t) => {
    const found = await shipped('readonly', 9)
    t.same(found.differ, [])
    t.same(found.cannot, [])
    t.equal(found.sessions, 4)
  })

  await t.test('a changed role says what it would refuse, and what it would let through', async (t) => {
    const role = config.roles['readonly']
    const next = {
      ...role,
      ssh: { shell: 'read-only', deny: ['cat'] },
      postgres: { mode: 'read-only', mask: { 'customers.email': 'partial' } },
    }
    writeFileSync(changed, stringify({ ...config, roles: { ...config.roles, readonly: next } }))
    const { code, stdout } = await backtest('--role', 'readonly', '--config', changed, '--json')
    t.equal(code, 1)
    const { differ } = JSON.parse(stdout) as Found
    t.match(
      differ.toSorted((a, b) => b.count - a.count || a.text.localeCompare(b.text)),
      [
        {
          person: 'alice',
          text: /^select id from customers where email like/,
          count: 2,
          was: { decision: 'allow' },
          now: { decision: 'deny', reason: /customers\.email is masked/ },
        },
        { person: 'alice', text: 'cat /etc/hostname', count: 1, was: { decision: 'allow' }, now: { decision: 'deny' } },
      ],
    )
    t.equal(differ.length, 2)
  })

  await t.test('people of one role can be tried under another', async (t) => {
    await shipped('operator', 2)
    const { code, stdout } = await backtest('--role', 'readonly', '--of', 'operator', '--config', file)
    t.equal(code, 1)
    t.match(stdout, /command {2}touch \/tmp\/nothing\n {4}was allowed\n {4}now refused/)
    t.match(stdout, /2 statements of 2 sessions: 1 would be decided differently\./)
  })

  await t.test('wrong usage ends with 2, --help with 0', async (t) => {
    t.equal((await backtest()).code, 2)
    t.match(await backtest('--role', 'nobody', '--config', file), { code: 2, stderr: /has no role nobody/ })
    t.match((await backtest('--help')).stdout, /--role ROLE/)
  })

  await t.test('a stopped deployment is read as well; without the database its SQL cannot be judged', async (t) => {
    await demo.end()
    const { code, stdout, stderr } = await backtest('--role', 'readonly', '--config', changed, '--json')
    t.equal(code, 1, stderr)
    const { differ, cannot } = JSON.parse(stdout) as Found
    t.match(differ, [{ text: 'cat /etc/hostname' }])
    t.match(cannot, [{ why: /the catalogue of app on prod-db cannot be read now/, count: 6 }])
  })
}
