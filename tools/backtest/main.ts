/** `npm run backtest -- --role readonly --since 30d`: judges what is recorded by the configuration at hand, and says what would be decided differently. */
import { parseArgs } from 'node:util'
import { loadConfig } from '../../config/load.ts'
import { openSqlFilter } from '../../gateway/filters/filters.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { statedSessions } from '../../gateway/recorder/recorder.ts'
import { sinceOf } from '../../gateway/ssh/commands/spans.ts'
import { reservedWords } from '../../gateway/ssh/ssh.ts'
import { Counting, sentences } from './report.ts'
import { openStore } from './store.ts'
import { Verdicts } from './verdicts.ts'

const USAGE = `Judges recorded statements by a configuration, and prints what would be decided differently now.

  npm run backtest -- --role readonly --since 30d [--config FILE] [--of ROLE] [--json]

  --role ROLE     whose rules, as the configuration has them now
  --of ROLE       under which role the sessions were recorded (default: the same)
  --since SPAN    how far back: 30d, 12h, or a date like 2026-11-20 (default: 30d)
  --config FILE   the configuration (default: config/sallyport.yaml); its data directory or audit server is read
  --json          one object instead of sentences
  --help          this

Exit code: 0 nothing differs, 1 something does, 2 it could not be tried. Nothing is changed, nothing is run on a target but
reading the catalogue of its databases. The gateway may be running.`

const PROGRESS_MS = 5000

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      role: { type: 'string' },
      of: { type: 'string' },
      since: { type: 'string', default: '30d' },
      config: { type: 'string', default: 'config/sallyport.yaml' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return 0
  }
  const since = sinceOf(values.since, wallClock.now())
  if (values.role === undefined || since === undefined) {
    console.error(values.role === undefined ? USAGE : `--since takes a span like 30d or a date, not ${values.since}.`)
    return 2
  }
  const config = loadConfig(values.config, reservedWords)
  const role = config.roles.find(({ name }) => name === values.role)
  if (role === undefined) {
    console.error(
      `${values.config} has no role ${values.role}; it has ${config.roles.map(({ name }) => name).join(', ')}.`,
    )
    return 2
  }
  await using opened = new AsyncDisposableStack()
  const store = await openStore(config, opened)
  const filter = await openSqlFilter({ clock: wallClock })
  opened.defer(() => filter.close())
  const verdicts = new Verdicts(config, role, filter)
  const counting = new Counting()
  const progress = setInterval(() => console.error(`… ${counting.judged} statements`), PROGRESS_MS)
  opened.defer(() => clearInterval(progress))
  for await (const session of statedSessions(store, { role: values.of ?? role.name, since })) {
    counting.session()
    for await (const judged of verdicts.of(session)) counting.add(session.start, judged)
  }
  const findings = counting.findings()
  console.log(values.json ? JSON.stringify(findings) : sentences(findings))
  return findings.differ.length === 0 ? 0 : 1
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 2
}
