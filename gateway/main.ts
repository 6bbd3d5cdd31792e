/** Start here: `npm start`. Reads the arguments and the configuration, starts the supervisor, listens to signals. */
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { absentHere } from '../config/absent.ts'
import { pino } from 'pino'
import { type Config, ConfigError, loadConfig } from '../config/load.ts'
import { explainConfig } from './explain.ts'
import { productVersion } from './gateway.ts'
import type { Log } from './model/log.ts'
import { wallClock } from './model/moment.ts'
import { reservedWords } from './ssh/ssh.ts'
import { startSupervisor } from './supervisor.ts'

const USAGE = `Usage: npm start -- [--config FILE] [--check-config]

  --config FILE     the configuration (default: config/sallyport.yaml)
  --check-config    only check it, and say in plain words what it allows
  --version         print the version
  --help            print this

To try Sallyport without a configuration: npm run demo`

const DEFAULT_CONFIG = 'config/sallyport.yaml'
/** Sessions that are live at SIGTERM have this long to be told why they end. */
const GRACE_MS = 1000

/** Lines of JSON on standard error. */
export function jsonLog(): Log {
  const out = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ dest: 2, sync: true }))
  return ({ level, room, message, details, error }) =>
    out[level]({ room, ...details, ...(error === undefined ? {} : { err: error }) }, message)
}

function read(file: string): Config {
  if (file === DEFAULT_CONFIG && !existsSync(file))
    throw new ConfigError(
      `${file}: there is none yet: copy config/example.yaml there and make it yours, or try \`npm run demo\``,
    )
  return loadConfig(file, reservedWords)
}

/** All that is wrong or absent at once, each at its place. */
function checkConfig(file: string): number {
  const absent = () => absentHere(file, process.env).map((line) => `WARNING: ${line}\n`)
  try {
    process.stdout.write(`${explainConfig(read(file))}\n${absent().join('')}${file}: good\n`)
    return 0
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n${absent().join('')}`)
    return 2
  }
}

async function main(): Promise<number> {
  let values: { config?: string; 'check-config'?: boolean; version?: boolean; help?: boolean }
  try {
    values = parseArgs({
      options: {
        config: { type: 'string' },
        'check-config': { type: 'boolean' },
        version: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}\n`)
    return 2
  }
  const said = values.help === true ? USAGE : values.version === true ? productVersion() : undefined
  if (said !== undefined) {
    process.stdout.write(`${said}\n`)
    return 0
  }
  const file = values.config ?? DEFAULT_CONFIG
  if (values['check-config'] === true) return checkConfig(file)
  const config = read(file)
  const log = jsonLog()
  for (const line of absentHere(file, process.env)) log({ level: 'warn', room: 'main', message: line })
  const supervisor = await startSupervisor({ config, clock: wallClock, log, environment: process.env })
  log({
    level: 'info',
    room: 'main',
    message: 'ready',
    details: { ports: supervisor.ports, dataDir: supervisor.dataDir },
  })
  process.on('SIGHUP', () => {
    try {
      supervisor.reload(read(file))
      log({ level: 'info', room: 'main', message: 'configuration read again' })
    } catch (error) {
      log({
        level: 'error',
        room: 'main',
        message: 'the old configuration stays',
        details: { why: error instanceof Error ? error.message : String(error) },
      })
    }
  })
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve)
  })
  log({ level: 'info', room: 'main', message: 'stopping', details: { signal } })
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => process.exit(1))
  await supervisor.close(GRACE_MS)
  return 0
}

if (import.meta.main) {
  try {
    process.exitCode = await main()
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(error instanceof ConfigError ? 2 : 1)
  }
}
