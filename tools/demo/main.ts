/** `npm run demo`: an identity provider, hosts and people beside an ordinary gateway, all on loopback, all gone at the end. */
import { chmodSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { inspect, parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { loadConfig } from '../../config/load.ts'
import type { Log } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { ensureKeys, reservedWords } from '../../gateway/ssh/ssh.ts'
import { startSupervisor } from '../../gateway/supervisor.ts'
import { AGENT_TARGET, startDemoAgent } from './agent.ts'
import { type DemoDatabase, demoConfig } from './config.ts'
import { startHost } from './hosts.ts'
import { startIdp } from './idp.ts'
import { rememberedPeople } from './people.ts'
import { type DemoPostgres, startDemoPostgres } from './postgres.ts'
import { startDemoWeb } from './web.ts'
import { welcome } from './welcome.ts'
import { freePort } from '../free-port.ts'

const USAGE = `Usage: npm run demo -- [--json] [--ports auto] [--data DIR]

  --json         print one line of JSON when everything is ready, instead of what to type next
  --ports auto   take free ports (default: 2222 ssh, 5433 postgres, 8443 https, 9443 identity provider)
  --data DIR     keep the data there (default: a temporary directory that is removed at the end)

Everything listens on 127.0.0.1 only. Ctrl-C ends all of it.`

const FIXED = { ssh: 2222, postgres: 5433, https: 8443, idp: 9443, admin: 9464 }

async function choosePorts(auto: boolean, last: typeof FIXED | undefined): Promise<typeof FIXED> {
  if (!auto) return FIXED
  if (last !== undefined) return last
  const [ssh = 0, postgres = 0, https = 0, idp = 0, admin = 0] = await Promise.all(Array.from({ length: 5 }, freePort))
  return { ssh, postgres, https, idp, admin }
}

/** The gateway's log goes into a file: the terminal is for the person. Errors are said there too. */
function fileLog(dir: string): Log {
  const file = openSync(join(dir, 'sallyport.log'), 'a', 0o600)
  return (event) => {
    const { error, ...rest } = event
    const line = { time: new Date().toISOString(), ...rest, ...(error === undefined ? {} : { error: inspect(error) }) }
    writeSync(file, `${JSON.stringify(line)}\n`)
    if (event.level === 'error')
      process.stderr.write(`sallyport: ${event.room}: ${event.message} (see ${join(dir, 'sallyport.log')})\n`)
  }
}

async function main(): Promise<number> {
  let values: { json?: boolean; ports?: string; data?: string; help?: boolean }
  try {
    values = parseArgs({
      options: {
        json: { type: 'boolean' },
        ports: { type: 'string' },
        data: { type: 'string' },
        help: { type: 'boolean' },
      },
    }).values
    if (values.ports !== undefined && values.ports !== 'auto')
      throw new Error(`--ports takes only "auto", not "${values.ports}"`)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`)
    return 2
  }
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`)
    return 0
  }
  const stopped = new Promise<void>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => resolve())
    // A terminal that was closed; where there is none, somebody has changed the configuration.
    process.on('SIGHUP', () => (process.stdin.isTTY || readAgain === undefined ? resolve() : readAgain()))
  })
  let readAgain: (() => void) | undefined
  const progress = (text: string): void => void (values.json === true || process.stderr.write(`${text}\n`))

  await using opened = new AsyncDisposableStack()
  const dataDir = values.data === undefined ? mkdtempSync(join(tmpdir(), 'sallyport-demo-')) : resolve(values.data)
  mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  if (values.data === undefined) opened.defer(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 3 }))
  const memory = rememberedPeople(dataDir)
  const ports = await choosePorts(values.ports === 'auto', memory.ports)
  memory.remember(ports)

  progress('starting the identity provider and the hosts …')
  let certificate: string | undefined
  const idp = await startIdp({
    port: ports.idp,
    people: memory.people,
    clients: [
      {
        id: 'sallyport',
        secret: memory.clientSecret,
        publicUrl: `https://localhost:${ports.https}`,
      },
    ],
    trusted: () => certificate,
  })
  opened.defer(() => idp.close())
  const gatewayDir = join(dataDir, 'gateway')
  const keys = ensureKeys(join(gatewayDir, 'keys'))
  const hosts = await Promise.all(
    ['prod-db', 'prod-web'].map(async (name) =>
      startHost(name, join(dataDir, 'hosts', name), await freePort(), keys.userAuthority.line),
    ),
  )
  for (const host of hosts) opened.defer(() => host.stop())
  const postgres = await startDemoPostgres({ directory: databaseDirectory(dataDir) })
  if (postgres !== undefined) opened.defer(() => postgres.stop())
  const web = await startDemoWeb()
  opened.defer(() => web.stop())

  progress('starting the gateway and its ClickHouse …')
  const secretFile = join(dataDir, 'client-secret')
  writeFileSync(secretFile, memory.clientSecret, { mode: 0o600 })
  const database = postgres === undefined ? undefined : keepDatabase(dataDir, postgres)
  const configFile = join(dataDir, 'sallyport.yaml')
  writeFileSync(
    configFile,
    stringify(
      demoConfig({ ports, issuer: idp.issuer, dataDir: gatewayDir, secretFile, hosts, database, webUrl: web.url }),
    ),
  )
  const log = fileLog(dataDir)
  const supervisor = await startSupervisor({
    config: loadConfig(configFile, reservedWords),
    clock: wallClock,
    log,
    environment: process.env,
  })
  opened.defer(() => supervisor.close(500))
  readAgain = () => supervisor.reload(loadConfig(configFile, reservedWords))
  certificate = supervisor.certificate
  writeFileSync(join(dataDir, 'certificate.pem'), certificate)
  const stopAgent = await startDemoAgent({
    dir: join(dataDir, 'agent'),
    stateFile: join(gatewayDir, 'state.db'),
    ssh: { host: '127.0.0.1', port: supervisor.ports.ssh, hostKey: supervisor.keys.host },
    webPort: web.port,
    log,
  })
  opened.defer(stopAgent)

  const machines = [
    ...hosts.map(({ account, kind, name }) => ({ name, kind, account })),
    { name: AGENT_TARGET, kind: 'agent' as const, account: userInfo().username },
  ]
  const report = {
    ssh: { host: '127.0.0.1', port: supervisor.ports.ssh, hostKey: supervisor.keys.host },
    postgres: { host: '127.0.0.1', port: supervisor.ports.postgres ?? null },
    https: { url: `https://localhost:${supervisor.ports.https}` },
    web: { url: `https://prod-web.apps.localhost:${supervisor.ports.https}` },
    idp: { url: idp.issuer },
    admin: { url: `http://127.0.0.1:${supervisor.ports.admin}` },
    people: memory.people.map(({ username, password, totpSecret, groups }) => ({
      username,
      password,
      totpSecret: totpSecret ?? null,
      groups,
    })),
    targets: machines.map(({ name }) => name),
    hosts: machines,
    dataDir,
  }
  // `npm run demo | head` reads no further, which is no reason to leave hosts behind.
  process.stdout.on('error', () => undefined)
  process.stdout.write(values.json === true ? `${JSON.stringify(report)}\n` : welcome(report, memory.people))
  await stopped
  progress('stopping …')
  return 0
}

/** PostgreSQL refuses root: its unprivileged user must be able to walk to its data, or gets a directory that is gone with the demo. */
function databaseDirectory(dataDir: string): string {
  if (process.getuid?.() === 0) {
    chmodSync(dataDir, 0o711)
    for (let parent = dirname(dataDir); parent !== dirname(parent); parent = dirname(parent))
      if ((statSync(parent).mode & 0o001) === 0) return mkdtempSync(join(tmpdir(), 'sallyport-demo-postgres-'))
  }
  const directory = join(dataDir, 'postgres')
  mkdirSync(directory, { recursive: true })
  return directory
}

/** What the gateway's configuration refers to: the CA that the server's certificate is checked against, the provisioner's password. */
function keepDatabase(dataDir: string, { host, port, database, ca, provisioner }: DemoPostgres): DemoDatabase {
  const caFile = join(dataDir, 'postgres-ca.pem')
  const passwordFile = join(dataDir, 'postgres-provisioner')
  writeFileSync(caFile, ca)
  writeFileSync(passwordFile, provisioner.password, { mode: 0o600 })
  return { host, port, database, caFile, provisioner: provisioner.username, passwordFile }
}

try {
  process.exitCode = await main()
  // Whatever still holds the loop, the demo is over: its children were waited for above.
  setTimeout(() => process.exit(), 500).unref()
} catch (error) {
  const taken = /EADDRINUSE\S* \S+ already in use (\S+)/.exec(String(error))?.[1]
  process.stderr.write(
    taken === undefined
      ? `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`
      : `${taken} is taken by another program (another demo?). ${
          process.argv.includes('auto')
            ? 'A data directory keeps its ports: is its demo still running? Else take another --data DIR'
            : 'Free ports: npm run demo -- --ports auto'
        }\n`,
  )
  process.exit(1)
}
