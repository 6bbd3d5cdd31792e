/** A database through the whole product, with the real clients: sign-in by notice, grants, read-only, the cut, tokens, and what an auditor sees. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client, Pool } from 'pg'
import postgres from 'postgres'
import t from 'tap'
import { parse } from 'yaml'
import { type DemoPerson, startDemo } from '../fixtures/demo.ts'
import { finished, type How, type Ran } from '../fixtures/ssh-client.ts'
import { until } from '../fixtures/until.ts'

const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()

type Env = Readonly<Record<string, string>>
type Running = { readonly child: ChildProcess; readonly ended: Promise<Ran>; seen(): string }

/** A program that stays off the person's own settings. */
function program(person: DemoPerson, command: readonly string[], env: Env, how: How = {}): Running {
  const [name = '', ...args] = command
  const child = spawn(name, args, {
    env: { PATH: process.env['PATH'] ?? '', HOME: person.client.directory, ...env },
    cwd: person.client.directory,
  })
  t.teardown(() => child.kill('SIGKILL'))
  let seen = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      seen += chunk.toString()
    })
  return { child, ended: finished(child, how), seen: () => seen }
}

t.setTimeout(180_000)
const demo = existsSync('/usr/bin/ssh') && existsSync('/usr/bin/psql') ? await startDemo(t) : undefined
const port = demo?.report.postgres.port ?? null
if (demo === undefined || port === null) t.plan(0, 'no OpenSSH client, no psql or no PostgreSQL 18 for this machine')
else {
  const [alice, erin, bob, carol] = ['alice', 'erin', 'bob', 'carol'].map((name) => demo.person(name)) as [
    DemoPerson,
    DemoPerson,
    DemoPerson,
    DemoPerson,
  ]
  const certificate = join(demo.report.dataDir, 'certificate.pem')
  const base: Env = {
    PGHOST: 'localhost',
    PGPORT: `${port}`,
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: certificate,
    PGCONNECT_TIMEOUT: '60',
  }
  /** With options psql is a program to the gateway, and gets an error rather than a wait. */
  const AT_ONCE: Env = { PGOPTIONS: '-c geqo=on' }

  /** Runs psql; a sign-in that it is asked for is approved in the browser meanwhile. */
  const start = (person: DemoPerson, args: readonly string[], env: Env = {}, how: How = {}): Running => {
    const running = program(
      person,
      ['psql', '-X', '-w', '-At', '-U', person.username, ...args],
      { ...base, ...env },
      how,
    )
    let hasAsked = false
    running.child.stderr?.on('data', () => {
      const id = /\/approve\/([\w-]+)/.exec(running.seen())?.[1]
      const code = /\b([A-Z0-9]{4}-[A-Z0-9]{4})\b/.exec(running.seen())?.[1]
      if (hasAsked || id === undefined || code === undefined) return
      hasAsked = true
      const approve = async () => {
        await person.visit(`/approve/${id}`)
        await person.browser.api(demo.report.https.url, 'POST', `/sign-ins/${id}/answer`, { code })
      }
      void approve()
    })
    return running
  }
  const psql = (person: DemoPerson, sql: string, database = 'prod-db', env: Env = {}): Promise<Ran> =>
    start(person, ['-d', database, '-c', sql], env).ended

  const granted = async (asker: DemoPerson, role: string, time = '20m'): Promise<string> => {
    const words = ['request', 'prod-db', '--role', role, '--for', time, '--reason', 'INC-42', '--json']
    const asked = await asker.ssh(['@', ...words])
    if (asked.code !== 0) throw new Error(`request ended with ${asked.code}: ${asked.stderr}`)
    const { id } = JSON.parse(said(asked)) as { id: string }
    const yes = await bob.ssh(['@', 'approve', id])
    if (yes.code !== 0) throw new Error(yes.stderr)
    return id
  }

  /** The target itself, as its superuser. */
  const config = parse(readFileSync(join(demo.report.dataDir, 'sallyport.yaml'), 'utf8')) as {
    targets: Record<string, { postgres: { address: string; database: string; tls: { ca: string } } }>
  }
  const target = config.targets['prod-db']?.postgres
  const passwordFile = join(demo.report.dataDir, 'postgres', 'password')
  const root = new Client({
    host: '127.0.0.1',
    port: Number(target?.address.split(':')[1]),
    user: 'postgres',
    password: existsSync(passwordFile) ? readFileSync(passwordFile, 'utf8').trim() : '',
    database: 'app',
  })
  await root.connect()
  t.teardown(() => root.end())
  const onTarget = async (sql: string): Promise<number> => Number((await root.query<{ n: string }>(sql)).rows[0]?.n)
  const BACKENDS =
    "SELECT count(*) AS n FROM pg_stat_activity WHERE usename LIKE 'gw\\_%' OR usename LIKE 'sallyport\\_g%'"

  await t.test('without a grant, a program is told the exact command to ask', async (t) => {
    const run = await psql(alice, 'select 1', 'prod-db', AT_ONCE)
    t.equal(run.code, 2)
    t.match(run.stderr, /Sign in at https:.*\/approve\/[\s\S]*FATAL:\s+No live grant for prod-db/)
    const hint = /ssh -p \d+ alice@localhost request (prod-db --role \w+) --reason "\.\.\."/.exec(run.stderr)?.[1] ?? ''
    const asked = await alice.ssh(['@', 'request', ...hint.split(' '), '--reason', 'as the hint says', '--json'])
    t.equal(asked.code, 0, `it works as typed: ${hint} ${asked.stderr}`)
    const { id, state } = JSON.parse(said(asked)) as { id: string; state: string }
    t.equal((await alice.ssh(['@', state === 'live' ? 'release' : 'withdraw', id])).code, 0)
    const again = await psql(alice, 'select 1', 'prod-xy', AT_ONCE)
    t.match(again.stderr, /FATAL:\s+No live grant for prod-xy/, 'an unknown target gets the same answer')
  })

  const waiting = start(alice, ['-d', 'prod-db', '-c', 'select count(*) from customers'])
  let readOnlyGrant = ''
  await t.test('a person waits in psql until the request is approved', async (t) => {
    await until(() => /Ask for one in another terminal: ssh /.test(waiting.seen()), 'told how to ask')
    readOnlyGrant = await granted(alice, 'readonly')
    const run = await waiting.ended
    t.match({ code: run.code, out: said(run) }, { code: 0, out: '2000\n' }, run.stderr)
  })

  await t.test('psql under a read-only role: \\d, queries, and a refusal that says what to do', async (t) => {
    const described = await start(alice, ['-d', 'prod-db', '-c', '\\d', '-c', '\\d customers']).ended
    t.equal(described.code, 0, described.stderr)
    t.notMatch(described.stderr, /Sign in/, 'one sign-in serves the next connections')
    t.match(said(described), /public\|customers\|table[\s\S]*email\|text/)
    const joined = await psql(
      alice,
      "select country, count(*) from customers join orders on customer_id = customers.id where status = 'paid' group by 1 order by 2 desc limit 1",
    )
    t.match(said(joined), /^[A-Z]{2}\|\d+\n$/)
    const refused = await start(alice, [
      '-d',
      'prod-db',
      '-v',
      'VERBOSITY=verbose',
      '-c',
      "insert into customers (name, email, country, created_at) values ('x', 'x', 'x', now())",
      '-c',
      'select 6 * 7',
    ]).ended
    t.match(refused.stderr, /ERROR:\s+25006: read-only session: .*[\s\S]*HINT: .*(read-write|SELECT)/)
    t.match(said(refused), /42/, 'and the session goes on')
    t.equal(await onTarget("select count(*) as n from customers where name = 'x'"), 0)
  })

  await t.test("somebody else's grant opens nothing", async (t) => {
    const run = await psql(erin, 'select 1', 'prod-db', AT_ONCE)
    t.match(run, { code: 2, stderr: /No live grant for prod-db/ })
  })

  let shortSession: Running | undefined
  await t.test('a short grant opens a session (and its end is seen below)', async () => {
    await granted(erin, 'readonly', '1m')
    shortSession = start(erin, ['-d', 'prod-db'], {}, { endInput: false })
    shortSession.child.stdin?.write("select 'in as ' || current_user;\n")
    await until(() => /in as /.test(shortSession?.seen() ?? ''), 'in')
  })

  let writeGrant = ''
  await t.test('under a read-write role people write, copy and cancel', async (t) => {
    writeGrant = await granted(alice, 'operator')
    const run = await start(alice, [
      '-d',
      'prod-db%operator',
      '-c',
      "begin; update orders set status = 'paid' where id <= 3; select count(*) from orders where id <= 3 and status = 'paid'; rollback",
      '-c',
      '\\copy (select id from orders order by id limit 3) to stdout',
    ]).ended
    t.equal(run.code, 0, run.stderr)
    t.match(said(run), /3\n[\s\S]*1\n2\n3\n/)
    // There are two workers: a CancelRequest comes to either, whichever has the session.
    for (let i = 0; i < 5; i++) {
      const asleep = start(alice, ['-d', 'prod-db%operator', '-c', "select 'now', pg_sleep(60)"])
      await until(
        async () =>
          (await onTarget(
            "select count(*) as n from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()",
          )) === 1,
        'asleep',
      )
      asleep.child.kill('SIGINT')
      t.match(await asleep.ended, { code: 1, stderr: /canceling statement due to user request/ })
    }
  })

  await t.test('of two grants of one role, the number says which', async (t) => {
    const other = await granted(alice, 'operator')
    // A login that was made for one grant has its number in its name.
    const under = async (name: string) =>
      /_(\d+)_[0-9a-f]+\n$/.exec(said(await psql(alice, 'select session_user', name)))?.[1]
    t.equal(await under(`prod-db%${writeGrant}`), writeGrant)
    t.equal(await under(`prod-db%${other}/app`), other)
    t.equal(await under('prod-db%operator'), other, 'the newest of the role')
    t.equal((await alice.ssh(['@', 'release', other])).code, 0)
    // As a person at a terminal, who would wait for what can still come: this one cannot.
    const over = await start(alice, ['-d', `prod-db%${other}`, '-c', 'select 1']).ended
    t.match(over, { code: 2, stderr: /Grant \d+ is not live, or not yours[\s\S]*Ask for one: / })
    t.equal(await under(`prod-db%${writeGrant}`), writeGrant)
  })

  await t.test('a revoked grant ends the running query and takes the account away', async (t) => {
    const asleep = start(alice, ['-d', 'prod-db%operator', '-v', 'VERBOSITY=verbose', '-c', 'select pg_sleep(61)'])
    const roles =
      "select count(*) as n from pg_roles r where exists (select from pg_stat_activity a where a.usename = r.rolname and a.query like '%pg_sleep(61)%' and a.pid <> pg_backend_pid())"
    await until(async () => (await onTarget(roles)) === 1, 'asleep')
    const { rows } = await root.query<{ usename: string }>(
      "select usename from pg_stat_activity where query like '%pg_sleep(61)%' and pid <> pg_backend_pid()",
    )
    const account = rows[0]?.usename ?? ''
    t.match(account, /^(gw|sallyport)_/)
    const revoked = await bob.ssh(['@', 'revoke', writeGrant, '--note', 'enough'])
    t.equal(revoked.code, 0, revoked.stderr)
    const run = await asleep.ended
    t.equal(run.code, 2)
    t.match(run.stderr, /FATAL:\s+57P01: .*(revoked|enough)/)
    await until(
      async () =>
        (await onTarget(
          `select (select count(*) from pg_stat_activity where usename = '${account}') + (select count(*) from pg_roles where rolname = '${account}') as n`,
        )) === 0,
      'backend and role are gone',
    )
    const next = await psql(alice, 'select 1', 'prod-db%operator', AT_ONCE)
    t.match(next, { code: 2, stderr: /No live grant/ })
  })

  let token = ''
  await t.test('with a token for a password, drivers and pools come in without a browser', async (t) => {
    token = said(await alice.ssh(['@', 'token', '--for', '8h'])).trim()
    t.match(token, /^\S{20,}$/)
    const secret = { PGPASSWORD: token }
    const run = await psql(alice, 'select count(*) from orders', 'prod-db', { ...secret, PGCHANNELBINDING: 'require' })
    t.match({ code: run.code, out: said(run), err: run.stderr }, { code: 0, out: '8000\n', err: '' })
    const wrong = await psql(alice, 'select 1', 'prod-db', { ...secret, PGPASSWORD: `${token}x` })
    t.match(wrong, { code: 2, stderr: /token is wrong or has ended/ })

    const ca = readFileSync(certificate, 'utf8')
    const login = { host: 'localhost', port, user: 'alice', password: token, database: 'prod-db', ssl: { ca } }
    const pool = new Pool({ ...login, max: 4 })
    const counts = await Promise.all(
      [1, 2, 3, 4].map((n) => pool.query('select $1::int + count(*)::int as n from customers', [n])),
    )
    t.same(
      counts.map(({ rows }) => (rows as { n: number }[])[0]?.n),
      [2001, 2002, 2003, 2004],
    )
    await t.rejects(pool.query('delete from orders'), { code: '25006' })
    await pool.end()
    const { user, ssl, ...rest } = login
    const sql = postgres({ ...rest, username: user, ssl, max: 2, onnotice: () => undefined })
    t.same(await sql`select count(*)::int as n from orders where status = ${'paid'}`, [{ n: 1600 }])
    await t.rejects(sql`update orders set status = 'x'`, { code: '25006' })
    await sql.end()
  })

  const python = '/usr/lib/python3/dist-packages/psycopg2'
  await t.test('psycopg2', { skip: existsSync(python) ? false : 'no python3-psycopg2 here' }, async (t) => {
    const text =
      'import psycopg2\nc = psycopg2.connect("dbname=prod-db user=alice")\nr = c.cursor()\nr.execute("select count(*) from customers where id > %s", (1000,))\nprint(r.fetchone()[0])'
    const run = await program(alice, ['/usr/bin/python3', '-c', text], { ...base, PGPASSWORD: token }).ended
    t.match({ out: said(run), err: run.stderr }, { out: '1000\n', err: '' })
  })

  await t.test('an auditor finds the session, and reads its statements and what became of them', async (t) => {
    const list = JSON.parse(said(await carol.ssh(['@', 'sessions', '--person', 'alice', '--json']))) as readonly {
      id: string
      protocol: string
      target: string
    }[]
    t.ok(list.filter(({ protocol }) => protocol === 'postgres').length >= 8)
    const texts = await Promise.all(
      list
        .filter(({ protocol }) => protocol === 'postgres')
        .map(async ({ id }) => said(await carol.ssh(['@', 'replay', id]))),
    )
    const all = texts.join('\n')
    t.match(all, /sql> select count\(\*\) from customers/)
    t.match(all, /sql> insert into customers .*\[deny: .*\]/)
    t.match(all, /-- done, 1 rows, \d+ ms/)
    t.match(all, /-- error: 57014 canceling statement due to user request/)
    t.notMatch(all, token)
  })

  await t.test('a grant that runs out ends the session, with the reason', async (t) => {
    const poll = setInterval(() => shortSession?.child.stdin?.write('select 1;\n'), 500)
    const run = await shortSession?.ended
    clearInterval(poll)
    t.match(run?.stderr, /FATAL:\s+Grant \d+ has expired/)
    await until(async () => (await onTarget(BACKENDS)) <= 1, 'nothing of hers is left')
  })

  await t.test('releasing early is the same, and the last account goes with it', async (t) => {
    t.equal((await alice.ssh(['@', 'release', readOnlyGrant])).code, 0)
    await until(
      async () =>
        (await onTarget(
          "select count(*) as n from pg_roles where rolname ~ '^(gw|sallyport)_' and rolname <> 'sallyport_provisioner'",
        )) === 0,
      'no account is left',
    )
  })
}
