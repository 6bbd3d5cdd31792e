/** A second person lets a statement or a command through, in the whole product: real psql, real ssh, two workers, the portal, a crash. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import t from 'tap'
import { parse } from 'yaml'
import { startDemo } from '../fixtures/demo.ts'
import { finished } from '../fixtures/ssh-client.ts'
import { until } from '../fixtures/until.ts'

const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()
type Waiting = { readonly id: string; readonly mayApprove: boolean; readonly held: Record<string, unknown> | null }

t.setTimeout(180_000)
const demo = existsSync('/usr/bin/ssh') && existsSync('/usr/bin/psql') ? await startDemo(t) : undefined
const port = demo?.report.postgres.port ?? null
if (demo === undefined || port === null) t.plan(0, 'no OpenSSH client, no psql or no PostgreSQL 18 for this machine')
else {
  const [alice, bob] = [demo.person('alice'), demo.person('bob')]
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-held-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const requests = async (): Promise<readonly Waiting[]> => {
    const run = await bob.ssh(['@', 'requests', '--json'])
    return (JSON.parse(said(run)) as readonly Waiting[]).filter(({ held }) => held !== null)
  }
  const parked = (): Promise<Waiting> => until(async () => (await requests())[0], 'a statement waits')
  const words = ['request', 'prod-db', '--role', 'careful', '--for', '20m', '--reason', 'INC-42', '--json']
  const { id: grant } = JSON.parse(said(await alice.ssh(['@', ...words]))) as { id: string }
  await bob.ssh(['@', 'approve', grant])
  const token = said(await alice.ssh(['@', 'token', '--for', '1h'])).trim()

  /** The target itself, past the gateway. */
  const onTarget = async (): Promise<Client> => {
    const config = parse(readFileSync(join(demo.report.dataDir, 'sallyport.yaml'), 'utf8')) as {
      targets: Record<string, { postgres: { address: string } }>
    }
    const client = new Client({
      host: '127.0.0.1',
      port: Number(config.targets['prod-db']?.postgres.address.split(':')[1]),
      user: 'postgres',
      password: readFileSync(join(demo.report.dataDir, 'postgres', 'password'), 'utf8').trim(),
      database: 'app',
    })
    client.on('error', () => undefined)
    await client.connect()
    t.teardown(() => client.end().catch(() => undefined))
    return client
  }
  const root = await onTarget()
  const status = async (id: number): Promise<string | undefined> =>
    (await root.query<{ status: string }>('select status from orders where id = $1', [id])).rows[0]?.status
  const psql = (sql: string): ChildProcess => {
    const child = spawn('psql', ['-X', '-w', '-At', '-U', 'alice', '-d', 'prod-db', '-c', sql], {
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: alice.client.directory,
        PGHOST: 'localhost',
        PGPORT: `${port}`,
        PGSSLMODE: 'verify-full',
        PGSSLROOTCERT: join(demo.report.dataDir, 'certificate.pem'),
        PGPASSWORD: token,
      },
    })
    t.teardown(() => child.kill('SIGKILL'))
    return child
  }

  await t.test('the approver reads all of it, and nothing in it acts on their terminal', async (t) => {
    const run = psql("UPDATE orders SET status = E'paid' /* \u001b[2Jclean \u202edrow */ WHERE id = 3")
    const ended = finished(run)
    const { id, mayApprove, held } = await parked()
    t.match(held, { verb: 'UPDATE', estimatedRows: 1, mostRows: 100, tables: ['public.orders'] })
    t.equal(mayApprove, true)
    const list = await bob.ssh(['@', 'requests'])
    t.match(said(list), new RegExp(`${id} +alice +careful +prod-db +once .*UPDATE orders`))
    const all = said(await bob.ssh(['@', 'requests', id]))
    t.match(all, /asks a second person to let this run once on database app of prod-db/)
    t.match(all, /\/\* ␛\[2Jclean �drow \*\//)
    t.match(all, /without comments:\n +UPDATE orders SET status = E'paid' WHERE id = 3\n/)
    t.match(all, /plan:\n +Update on public\.orders/)
    t.notOk(all.includes('\u001b'))
    await bob.visit()
    const page = await bob.browser.api(demo.report.https.url, 'GET', '/requests')
    t.match(page.json(), {
      requests: [{ grant: { id, held: { verb: 'UPDATE', mostRows: 100, under: grant }, may: { approve: true } } }],
    })
    t.equal((await alice.ssh(['@', 'approve', id])).code, 1, 'nobody their own')
    t.match(said(await bob.ssh(['@', 'approve', id])), /is approved: UPDATE runs once/)
    const done = await ended
    t.equal(done.code, 0)
    t.match(done.stderr, /waits for a second person[\s\S]*approved by bob/)
    t.equal(await status(3), 'paid')
  })

  await t.test('a command of a read-only shell waits on standard error, and runs as it was shown', async (t) => {
    const file = join(directory, "it's made")
    const quoted = `'${file.replaceAll("'", `'\\''`)}'`
    const ended = finished(alice.start(['@', `prod-db%careful`.split('%')[0] ?? '', `touch ${quoted}`]))
    const { id, held } = await parked()
    t.match(held, { kind: 'command', verb: 'touch', text: `touch ${quoted}` })
    t.notOk(existsSync(file))
    await bob.ssh(['@', 'approve', id])
    const done = await ended
    t.equal(done.code, 0, done.stderr)
    t.match(done.stderr, /touch waits for a second person \(request \d+\)[\s\S]*approved by bob/)
    t.ok(existsSync(file))
  })

  await t.test('a no, a pipe, a pattern, a program that is not named: nothing runs', async (t) => {
    const file = join(directory, 'never')
    const ended = finished(alice.start(['@', 'prod-db', `touch ${file}`]))
    const { id } = await parked()
    await bob.ssh(['@', 'deny', id, '--reason', 'not now'])
    const done = await ended
    t.equal(done.code, 1)
    t.match(done.stderr, /was denied by bob: not now/)
    for (const line of [
      `touch ${file} | cat`,
      `touch ${file}*`,
      `touch ${file} > ${file}`,
      `X=1 touch ${file}`,
      `rm ${file}`,
      `ls; touch ${file}`,
    ]) {
      const run = await alice.ssh(['@', 'prod-db', line])
      t.equal(run.code, 1, line)
    }
    t.notOk(existsSync(file))
    t.same(await requests(), [])
  })

  await t.test('at the prompt Ctrl-C takes it back, and the prompt goes on', async (t) => {
    const file = join(directory, 'prompt')
    const child = spawn(
      'script',
      [
        '-qefc',
        ['ssh', ...alice.client.options, '-tt', `alice@${demo.report.ssh.host}`, 'prod-db']
          .map((word) => `'${word}'`)
          .join(' '),
        '/dev/null',
      ],
      {
        env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm', HOME: alice.client.directory },
      },
    )
    t.teardown(() => child.kill('SIGKILL'))
    let out = ''
    child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()))
    await until(() => out.includes('(read-only)'), 'a prompt')
    child.stdin.write(`touch ${file}\r`)
    await until(() => /touch waits for a second\s+person/.test(out), 'it waits')
    child.stdin.write('\u0003')
    await until(() => /You took it back/.test(out), 'it is taken back')
    child.stdin.write('echo still $((here\r')
    child.stdin.write('echo still here\r')
    await until(() => /\r\nstill here\r\n/.test(out), 'the prompt goes on')
    t.same(await requests(), [])
    t.notOk(existsSync(file))
    child.stdin.write('exit\r')
  })

  await t.test('the gateway dies while a statement waits: it never runs, and nobody can approve it', async (t) => {
    const run = psql("UPDATE orders SET status = 'crashed' WHERE id = 5")
    void finished(run)
    const { id } = await parked()
    await demo.end('SIGKILL')
    const again = await demo.again()
    const late = await until(async () => {
      const tried = await again.person('bob').ssh(['@', 'approve', id])
      return tried.code === 255 ? undefined : tried
    }, 'the gateway is back')
    t.equal(late.code, 1)
    t.match(late.stderr, /withdrawn/)
    const database = await onTarget()
    const { rows } = await database.query("select from orders where status = 'crashed'")
    t.equal(rows.length, 0)
  })
}
