/** The cipher addon that the install has built: a process that drops its objects early must live. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import t from 'tap'

const built = 'node_modules/ssh2/lib/protocol/crypto/build/Release/sshcrypto.node'

t.test('objects of the cipher addon may die young', { skip: existsSync(built) ? false : 'not built here' }, (t) => {
  const run = spawnSync(process.execPath, ['--max-semi-space-size=1', 'tools/native-check.cjs', built], {
    encoding: 'utf8',
  })
  t.equal(run.status, 0, run.stderr)
  t.end()
})
