/** `npm run verify -- FILE | DIR | --url URL`: checks what was recorded, offline, and names the first damage of each session. Exit code 1 when there is any. */
import { createReadStream, existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import {
  type Evidence,
  type FileEvidence,
  readPublicKeys,
  verifyEvidenceFile,
  verifyJournals,
  verifyStore,
} from '../gateway/recorder/recorder.ts'

const USAGE = `Checks hash chains and signatures of recordings.

  npm run verify -- FILE --keys DIR                         the evidence file of one grant; DIR holds the gateways' *.pub.pem, or is a gateway's data directory
  npm run verify -- DIR                                     the journals below DIR (a gateway's data directory)
  npm run verify -- --url https://clickhouse:8443 --user auditor --password-env NAME --keys DIR
                                                            an audit store; DIR as above

  --json   one object instead of sentences
  --help   this

Exit code: 0 nothing was changed, 1 something was, 2 it could not be checked.`

const asked = () =>
  parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      url: { type: 'string' },
      user: { type: 'string', default: 'auditor' },
      'password-env': { type: 'string' },
      keys: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })

async function main(): Promise<number> {
  let given: ReturnType<typeof asked>
  try {
    given = asked()
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
    return 2
  }
  const { positionals, values } = given
  const [dir] = positionals
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  if ((dir === undefined) === (values.url === undefined) || (values.url !== undefined && values.keys === undefined)) {
    console.error(USAGE)
    return 2
  }
  if (dir !== undefined && !existsSync(dir)) {
    console.error(`There is no file or directory ${dir}.`)
    return 2
  }
  const evidence =
    dir === undefined
      ? await ofStore(values)
      : statSync(dir).isDirectory()
        ? ofDirectory(dir, values.keys)
        : await ofFile(dir, values.keys)
  if (values.json) console.log(JSON.stringify(evidence))
  else report(evidence)
  return evidence.damages.length === 0 ? 0 : 1
}

/** A gateway's data directory stands for the journals in it, and for its keys. */
const journalOf = (dir: string): string => (existsSync(path.join(dir, 'journal')) ? path.join(dir, 'journal') : dir)

function ofDirectory(dir: string, keys: string | undefined): Evidence {
  const journal = journalOf(dir)
  return verifyJournals(journal, readPublicKeys(keys === undefined ? journal : journalOf(keys)))
}

const ofFile = (file: string, keys: string | undefined): Promise<FileEvidence> =>
  verifyEvidenceFile(linesOf(file), keys === undefined ? undefined : readPublicKeys(journalOf(keys)))

/** With their newlines: they are part of what was signed. */
async function* linesOf(file: string): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of createReadStream(file, 'utf8')) {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield `${line}\n`
  }
  if (rest !== '') yield rest
}

function ofStore(values: {
  readonly url?: string | undefined
  readonly user: string
  readonly 'password-env'?: string | undefined
  readonly keys?: string | undefined
}): Promise<Evidence> {
  const password = process.env[values['password-env'] ?? ''] ?? ''
  return verifyStore(
    { url: values.url ?? '', username: values.user, password },
    readPublicKeys(journalOf(values.keys ?? '.')),
  )
}

function report(evidence: Evidence | FileEvidence): void {
  const { sessions, records, checkpoints, unsigned, damages } = evidence
  if ('about' in evidence) reportFile(evidence)
  for (const { message } of damages) console.log(`DAMAGE  ${message}`)
  console.log(
    `${many(sessions, 'session')}, ${many(records, 'record')}, ${many(checkpoints, 'checkpoint')}, ${many(unsigned, 'record')} not signed yet.`,
  )
  if ((evidence.expired ?? 0) > 0)
    console.log(`${evidence.expired} older than the store keeps recordings: not checked.`)
  console.log(damages.length === 0 ? 'Nothing was changed.' : `${damages.length} damaged.`)
}

const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

function reportFile({ about, key }: FileEvidence): void {
  console.log(about)
  console.log(
    key.isKnown
      ? `Signed by ${key.id}, one of your keys.`
      : `Signed by ${key.id}, as the file says of itself: give the gateway's public key with --keys to know who made it.`,
  )
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
