/** `npm run verify -- DIR | --url URL`: checks what was recorded, offline, and names the first damage of each session. Exit code 1 when there is any. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { type Evidence, readPublicKeys, verifyJournals, verifyStore } from '../gateway/recorder/recorder.ts'

const USAGE = `Checks hash chains and signatures of recordings.

  npm run verify -- DIR                                     the journals below DIR (a gateway's data directory)
  npm run verify -- --url https://clickhouse:8443 --user auditor --password-env NAME --keys DIR
                                                            an audit store; DIR holds the gateways' *.pub.pem

  --json   one object instead of sentences`

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: 'string' },
      user: { type: 'string', default: 'auditor' },
      'password-env': { type: 'string' },
      keys: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const [dir] = positionals
  if ((dir === undefined) === (values.url === undefined) || (values.url !== undefined && values.keys === undefined)) {
    console.error(USAGE)
    return 2
  }
  const evidence = dir === undefined ? await ofStore(values) : ofDirectory(dir, values.keys)
  if (values.json) console.log(JSON.stringify(evidence))
  else report(evidence)
  return evidence.damages.length === 0 ? 0 : 1
}

function ofDirectory(dir: string, keys: string | undefined): Evidence {
  const journal = existsSync(path.join(dir, 'journal')) ? path.join(dir, 'journal') : dir
  return verifyJournals(journal, readPublicKeys(keys ?? journal))
}

function ofStore(values: {
  readonly url?: string | undefined
  readonly user: string
  readonly 'password-env'?: string | undefined
  readonly keys?: string | undefined
}): Promise<Evidence> {
  const password = process.env[values['password-env'] ?? ''] ?? ''
  return verifyStore({ url: values.url ?? '', username: values.user, password }, readPublicKeys(values.keys ?? '.'))
}

function report({ sessions, records, checkpoints, unsigned, damages }: Evidence): void {
  for (const { message } of damages) console.log(`DAMAGE  ${message}`)
  console.log(
    `${sessions} sessions, ${records} records, ${checkpoints} checkpoints, ${unsigned} records not signed yet.`,
  )
  console.log(damages.length === 0 ? 'Nothing was changed.' : `${damages.length} damaged.`)
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
