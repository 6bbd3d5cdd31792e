/** A policy is tried on what was recorded: real ssh and psql sessions, a changed configuration, a running and a stopped gateway. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from 'pg'
import t from 'tap'
import { WebSocket } from 'ws'
import { parse, stringify } from 'yaml'
import { sentences } from '../../tools/backtest/report.ts'
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

  /** Files, forwards and requests under a role: each is tried, whatever is said to it. */
  const browsed = async (role: string): Promise<void> => {
    const [directory, host] = [alice.client.directory, `alice%prod-web%${role}@${demo.report.ssh.host}`]
    for (const name of ['here', 'a b']) writeFileSync(join(directory, name), 'a file')
    const asked = await alice.ssh([
      '@',
      'request',
      'prod-web',
      '--role',
      role,
      '--for',
      '20m',
      '--reason',
      'files',
      '--json',
    ])
    const { id } = JSON.parse(asked.stdout.toString()) as { readonly id: string }
    await bob.ssh(['@', 'approve', id])
    const there = (name: string) => `${directory}/${name}`
    const batch = [
      `get "${there('a b')}" got`,
      `-put here ${there(`up-${role}`)}`,
      `-rename ${there('here')} "${there('new name')}"`,
      `-rename "${there('new name')}" ${there('here')}`,
      `-rm ${there(`up-${role}`)}`,
      `ls ${directory}`,
    ]
    await alice.client.sftp([...DIRECT, host], `${batch.join('\n')}\n`)
    for (const old of [[], ['-O']]) {
      await alice.client.scp([...DIRECT, ...old, `${host}:${there('here')}`, 'down'])
      await alice.client.scp([...DIRECT, ...old, 'here', `${host}:${there('copied')}`])
    }
    for (const to of [`127.0.0.1:${demo.report.ssh.port}`, 'db.internal:5432'])
      await alice.client.ssh([...DIRECT, '-W', to, host])
    await alice.visit()
    const home = `https://prod-web.apps.localhost:${new URL(demo.report.https.url).port}`
    const page = { headers: { accept: 'text/html' } }
    const handedOver = await alice.browser.open(`${home}/`, page)
    const onward = /http-equiv="refresh" content="0; url=([^"]+)"/.exec(handedOver.text)?.[1]?.replaceAll('&#38;', '&')
    await alice.browser.open(onward ?? `${home}/`, page)
    const cookie = `__Host-sallyport-web=${alice.browser.cookie(new URL(home).hostname, '__Host-sallyport-web')?.value}`
    const own = { cookie, origin: home, 'sec-fetch-site': 'same-origin' }
    const send = (method: string, path: string, more: object = {}) =>
      alice.browser.open(`${home}${path}`, { method, headers: own, redirects: 0, ...more })
    await send('GET', '/api/orders?page=2')
    await send('POST', '/api/orders/1041')
    await send('POST', '/upload', { json: { a: 1 } })
    await send('GET', '/api/orders', { json: { a: 1 } })
    await send('GET', '/api/orders', { headers: { ...own, 'x-http-method-override': 'DELETE' } })
    await send('GET', '/api/orders?_method=delete')
    await new Promise((resolve) => {
      const { hostname: servername, host: authority, port: door } = new URL(home)
      const how = { ca: demo.certificate, servername, headers: { ...own, host: authority } }
      const line = new WebSocket(`wss://127.0.0.1:${door}/echo`, how)
      line
        .once('open', () => line.close())
        .once('error', resolve)
        .once('close', resolve)
    })
    await bob.ssh(['@', 'revoke', id])
  }
  await browsed('readonly')
  await browsed('operator')

  const shipped = async (role: string, judged: number): Promise<Found> => {
    let last = ''
    let before = 0
    for (let tries = 0; tries < 30; tries++) {
      const { stdout, stderr } = await backtest('--role', role, '--config', file, '--json')
      last = stdout + stderr
      const found = stdout === '' ? undefined : (JSON.parse(stdout) as Found)
      // Workers ship each for itself: it is all there when nothing more comes.
      if (found !== undefined && found.judged >= judged && found.judged === before) return found
      before = found?.judged ?? 0
      await new Promise((wake) => setTimeout(wake, 1000))
    }
    throw new Error(`it never arrives in the store: ${last}`)
  }

  await t.test('nothing differs under the rules that were in force', async (t) => {
    // Files and requests: how many there are is OpenSSH's affair.
    for (const [role, least] of [
      ['readonly', 9 + 12],
      ['operator', 2 + 12],
    ] as const) {
      const { cannot, differ } = await shipped(role, least)
      t.same(differ, [], role)
      t.same(cannot, [], role)
    }
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
    for (const line of [
      /file {2}write \S+up-operator\n {4}was allowed\n {4}now refused/,
      /file {2}rename \S+ \S+new name\n {4}was allowed\n {4}now refused/,
      /forward {2}127\.0\.0\.1:\d+\n {4}was allowed\n {4}now refused/,
      /http {2}POST \/upload\n {4}was allowed\n {4}now refused: This role may only look/,
      /http {2}GET \/echo\n {4}was allowed\n {4}now refused: This role may not open WebSockets/,
      /\d+ statements of \d+ sessions: \d+ would be decided differently\./,
    ])
      t.match(stdout, line)
    t.notMatch(stdout, /file {2}read|http {2}GET \/api\/orders\?page=2/, 'looking is allowed by both')
    const one = { sessions: 1, judged: 1, differ: [], cannot: [] }
    t.equal(sentences(one), '1 statement of 1 session: nothing would be decided differently.')
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
