/** `npm start` as an operator meets it: arguments, a bad configuration, reload, health, metrics, traces, one gateway per directory. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { stringify } from 'yaml'
import { startTracing } from '../gateway/telemetry.ts'
import type { SessionStart } from '../gateway/model/event.ts'
import { demoConfig } from '../tools/demo/config.ts'
import { until } from './fixtures/until.ts'

const dir = mkdtempSync(join(tmpdir(), 'sallyport-start-'))
t.teardown(() => rmSync(dir, { recursive: true, force: true, maxRetries: 5 }))
const secretFile = join(dir, 'client-secret')
writeFileSync(secretFile, 'not-used-here', { mode: 0o600 })

type Config = { listen: Record<string, string>; roles: Record<string, object>; workers?: number; public_url: string }
const HOST_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDQjleBcJ5oNgcE7qksWIUGXKPtdYyGX2OBP1JUdESrf'
function configFile(name: string, change: (config: Config) => void = () => undefined): string {
  const host = { port: 9, hostKey: HOST_KEY, account: 'deploy', kind: 'sshd', stop: async () => undefined } as const
  const config = demoConfig({
    ports: { ssh: 0, https: 0, postgres: 0, admin: 0 },
    issuer: 'http://127.0.0.1:9',
    dataDir: join(dir, 'data'),
    secretFile,
    hosts: [
      { ...host, name: 'prod-db' },
      { ...host, name: 'prod-web' },
    ],
  }) as Config
  config.public_url = 'https://localhost:8443'
  change(config)
  const file = join(dir, `${name}.yaml`)
  writeFileSync(file, stringify(config))
  return file
}

type Ran = { readonly code: number | null; readonly out: string; readonly err: string }
function launch(
  args: readonly string[],
  cwd = process.cwd(),
): { readonly child: ChildProcess; readonly err: () => string; readonly done: Promise<Ran> } {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(process.cwd(), 'gateway/main.ts'), ...args],
    { cwd },
  )
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  t.teardown(() => child.kill('SIGKILL'))
  return {
    child,
    err: () => err,
    done: new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err }))),
  }
}
const run = (args: readonly string[], cwd?: string) => launch(args, cwd).done

await t.test('help, version and wrong usage', async (t) => {
  t.match(await run(['--help']), { code: 0, out: /Usage: npm start/ })
  t.match(await run(['--version']), { code: 0, out: /^\d+\.\d+\.\d+/ })
  t.match(await run(['--nope']), { code: 2, err: /nope[\s\S]*Usage/ })
  t.match(await run([], dir), {
    code: 2,
    err: /config\/sallyport\.yaml: there is none yet: copy config\/example\.yaml/,
  })
})

await t.test('--check-config says what each role opens, or where the file is wrong', async (t) => {
  const good = await run(['--config', configFile('good'), '--check-config'])
  t.equal(good.code, 0, good.err)
  t.match(
    good.out,
    /operator: A full shell, recorded\n {2}opens prod-app, prod-db, prod-web\n {2}engineers may ask for it\n {2}.*\n {2}Somebody else agrees: one person of leads/,
  )
  const bad = configFile('bad', (config) => {
    config.listen['ssh'] = 'nowhere'
    Object.assign(config, { workers: 0 })
  })
  const run2 = await run(['--config', bad, '--check-config'])
  t.equal(run2.code, 2)
  const lines = run2.err.trim().split('\n')
  t.equal(lines.length, 2)
  for (const line of lines) t.match(line, /bad\.yaml:\d+:\d+: (listen\.ssh|workers): /)

  const unset = await run(['--config', 'config/example.yaml', '--check-config'])
  t.equal(unset.code, 2)
  t.match(unset.err, /^config\/example\.yaml:5:7: data: environment variable not set: SALLYPORT_DATA\n/)
  t.match(unset.err, /yaml:21:13: password: the environment variable CLICKHOUSE_PASSWORD is not set here\n/)
  t.match(unset.err, /yaml:32:22: client_secret: the environment variable OIDC_CLIENT_SECRET is not set here\n/)
})

await t.test('a running gateway: health, metrics, reload, one per directory, an orderly end', async (t) => {
  const file = configFile('run')
  const { child, err, done } = launch(['--config', file])
  await until(() => err().includes('"msg":"ready"') || child.exitCode !== null, 'ready')
  const ready =
    err()
      .split('\n')
      .find((line) => line.includes('"msg":"ready"')) ?? '{}'
  const { ports } = JSON.parse(ready) as { ports: { ssh: number; https: number; admin: number } }
  t.ok(ports.ssh > 0 && ports.https > 0, 'free ports were taken, by all workers the same')
  const admin = `http://127.0.0.1:${ports.admin}`
  t.equal((await fetch(`${admin}/health`)).status, 200)
  t.match(await (await fetch(`${admin}/ready`)).json(), { workers: 2 })
  const page = await (await fetch(`${admin}/metrics`)).text()
  for (const name of [
    'sessions_open',
    'verdicts_total',
    'revoke_to_cut_ms_bucket',
    'journal_backlog_bytes',
    'audit_reachable',
  ])
    t.match(page, new RegExp(`^sallyport_${name}`, 'm'), name)
  t.equal((await fetch(`${admin}/metrics`, { method: 'POST' })).status, 405)

  const second = await run(['--config', file])
  t.equal(second.code, 1)
  t.match(second.err, /is used by the gateway with process id/)

  writeFileSync(file, readFileSync(file, 'utf8').replace('workers: 2', 'workers: none'))
  child.kill('SIGHUP')
  await until(() => err().includes('the old configuration stays'), 'the bad file is refused')
  writeFileSync(file, readFileSync(file, 'utf8').replace('workers: none', 'workers: 2'))
  child.kill('SIGHUP')
  await until(() => err().includes('configuration read again'), 'the good file is taken')

  for (const key of ['ssh-host.pem', 'ssh-user-ca.pem', 'tls.key'])
    t.equal(statSync(join(dir, 'data/keys', key)).mode & 0o77, 0, `${key} is the owner's alone`)
  t.equal(statSync(join(dir, 'data')).mode & 0o77, 0)
  child.kill('SIGTERM')
  t.equal((await done).code, 0)
})

await t.test('a session and its statements are spans of one trace', async (t) => {
  const spans: {
    name: string
    traceId: string
    parentSpanId?: string
    attributes: readonly { key: string; value: { stringValue?: string } }[]
  }[] = []
  const collector = createServer((request, response) => {
    const chunks: Buffer[] = []
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const raw = Buffer.concat(chunks)
        const body = JSON.parse((request.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw).toString())
        for (const resource of body.resourceSpans) for (const scope of resource.scopeSpans) spans.push(...scope.spans)
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      })
  })
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
  t.teardown(() => collector.close())
  const tracing = startTracing(
    `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`,
    'sallyport-test',
  )
  const start = {
    id: 's1',
    username: 'alice',
    target: 'prod-db',
    role: 'operator',
    grant: '7',
    protocol: 'postgres',
    clientAddress: '127.0.0.1',
  } as SessionStart
  const session = tracing.opened(start)
  session.statement(
    JSON.stringify({ n: 1, kind: 'sql', text: 'select 1', verdict: { decision: 'allow' }, truncated: false }),
  )
  session.outcome(JSON.stringify({ n: 1, result: 'done', ms: 1 }))
  session.statement(
    JSON.stringify({
      n: 2,
      kind: 'sql',
      text: 'drop table x',
      verdict: { decision: 'deny', reason: 'no' },
      truncated: false,
    }),
  )
  session.ended('closed')
  await tracing.close()
  t.equal(spans.length, 3)
  const parent = spans.find((span) => span.name === 'postgres.session')
  t.ok(parent)
  for (const span of spans.filter((s) => s !== parent))
    t.match(span, { traceId: parent?.traceId, name: 'sql statement' })
  t.notMatch(JSON.stringify(spans), /drop table|select 1/, 'texts stay in the recording')
})
