/** The agent's program: dials out to the gateway, and offers what its own settings name. Nothing here listens. */
import { mkdirSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { enrol, runAgent } from './agents.ts'
import { closeInherited } from './inherited.ts'
import { readOffers, readSettings, writeSettings } from './settings.ts'

const USAGE = `usage: npm run agent -- --data DIRECTORY
       npm run agent -- --data DIRECTORY --enroll TOKEN [--gateway HOST:PORT] [--offer TARGET.PROTOCOL=WHERE]...

  --data     where its keys and settings are kept
  --enroll   the token that \`ssh admin@gateway agent-token NAME --targets A,B\` shows; it works once. \`-\` reads it from standard input
  --gateway  where the gateway is reached from here, when that is not what the token says
  --offer    web-1.ssh=shell (what an agent offers unless told otherwise), db-1.postgres=127.0.0.1:5432
`

const LAST_MS = 2_000
const say = (sentence: string): void => void process.stderr.write(`${sentence}\n`)

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      enroll: { type: 'string' },
      gateway: { type: 'string' },
      offer: { type: 'string', multiple: true },
      help: { type: 'boolean', default: false },
    },
  })
  const { data, enroll: token } = values
  if (values.help || data === undefined) {
    process.stderr.write(USAGE)
    return values.help ? 0 : 2
  }
  closeInherited()
  mkdirSync(data, { recursive: true, mode: 0o700 })
  const offers = values.offer === undefined ? undefined : readOffers(values.offer)
  if (token !== undefined) {
    const text = token === '-' ? readFileSync(0, 'utf8') : token
    writeSettings(data, await enrol({ data, say }, text.trim(), { at: values.gateway, offers }))
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      stop.abort()
      // A dial that hangs must not keep it; what runs is ended by the reaper.
      setTimeout(() => process.exit(0), LAST_MS).unref()
    })
  await runAgent({ data, say }, readSettings(data), stop.signal)
  return 0
}

try {
  process.exitCode = await main()
} catch (failure) {
  say(failure instanceof Error ? failure.message : String(failure))
  process.exitCode = 1
}
