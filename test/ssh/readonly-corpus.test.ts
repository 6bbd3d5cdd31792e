/** The shared corpus of command lines by real ssh: what must be refused reaches no target, what is allowed does what it does directly. */
import { existsSync } from 'node:fs'
import t from 'tap'
import { gatewayRunner } from '../../tools/corpus/shell-gateway.ts'
import { gradeRows, readRows, Scratch } from '../../tools/corpus/shell.ts'
import { CORPUS_DIRECTORY } from '../fixtures/shell-workspace.ts'
import { missingClient, missingSshd } from '../fixtures/sshd.ts'

t.setTimeout(200_000)
const skip = missingSshd() ?? missingClient() ?? false
/** All of them run with `npm run corpus`; each takes two logins of a shell. */
const ONE_IN = 8

t.test('each line gets its verdict', { skip }, async (t) => {
  const rows = readRows('test/corpora/shell-shared.jsonl')
  let scratch: Scratch | undefined
  const runner = await gatewayRunner(() => scratch?.refill())
  t.teardown(async () => {
    await runner.close?.()
    scratch?.close()
  })
  const commands = () => runner.sshd.log().split('Starting session:').length

  const refused = rows.filter((row) => row.verdict === 'deny' && row.keys === undefined && row.cwd === undefined)
  const before = commands()
  const failed = (await gradeRows(refused, runner, runner.direct)).filter(({ passed }) => !passed)
  t.same(failed, [], `${refused.length} lines are refused`)
  t.equal(commands(), before, 'and the target never heard of any of them')

  if (existsSync(CORPUS_DIRECTORY)) return t.comment(`${CORPUS_DIRECTORY} is in use: nothing was run`)
  scratch = new Scratch()
  const others = rows.filter((row) => !refused.includes(row))
  const run = others.filter((row, n) => row.verdict === 'deny' || n % ONE_IN === 0)
  t.same(
    (await gradeRows(run, runner, runner.direct)).filter(({ passed }) => !passed),
    [],
    `${run.length} lines run as they do directly, or without effect`,
  )
  t.same(runner.gateway.failures, [])
})
