/** Whom the agent's shell can become, and what it then is: the account itself, with its own groups and nothing of the agent's. */
import { userInfo } from 'node:os'
import t from 'tap'
import { type Account, accountNamed } from '../../agents/account.ts'
import { startProgram, type Wish } from '../../agents/program.ts'

type Ran = { readonly out: string; readonly code: number | undefined; readonly signal: string | undefined }

/** Runs to the end. */
const run = (account: Account, what: Wish['what'], terminal?: Wish['terminal']): Promise<Ran> =>
  new Promise((resolve) => {
    let out = ''
    const program = startProgram(
      { account, what, terminal, environment: new Map([['LANG', 'C']]) },
      {
        output: (bytes, _isError, taken) => {
          out += bytes.toString()
          taken()
        },
        exited: (code, signal) => resolve({ out, code, signal }),
      },
    )
    program.endInput()
  })
const words = (...those: readonly string[]): Wish['what'] => ({ kind: 'words', words: those })

await t.test('names that are no account', async (t) => {
  for (const name of ['', '-root', 'no-such-account', 'root;id', 'a b', '../root', 'root\n', '0', 'x'.repeat(70)])
    t.equal(accountNamed(name), undefined, JSON.stringify(name))
  t.match(accountNamed(userInfo().username), { become: [] })
})

const nobody = process.getuid?.() === 0 ? accountNamed('nobody') : undefined
await t.test(
  'another account',
  { skip: nobody === undefined ? 'only root can become another account' : false },
  async (t) => {
    if (nobody === undefined) return
    t.match(await run(nobody, words('id', '-un')), { out: 'nobody\n', code: 0 })
    t.match(await run(nobody, words('id', '-Gn')), { out: 'nogroup\n' }, 'none of our groups')
    t.match(await run(nobody, words('cat', '/etc/shadow')), { code: 1, out: /Permission denied/ })
    t.match(await run(nobody, words('tty'), { type: 'xterm', columns: 80, rows: 24 }), { code: 0, out: /\/dev\/pts/ })
    t.match(await run(nobody, words('grep', '-E', '^(Uid|Gid|Groups|CapEff)', '/proc/self/status')), {
      out: /Uid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\nGroups:\t65534 \nCapEff:\t0000000000000000\n/,
    })
    t.match(await run({ ...nobody, shell: '/bin/sh' }, { kind: 'line', line: 'id -un; exit 3' }), {
      out: 'nobody\n',
      code: 3,
    })
  },
)

await t.test('words are words: no shell reads them, and the environment is fixed', async (t) => {
  const own = accountNamed(userInfo().username)
  if (own === undefined) throw new Error('an account of our own was expected')
  t.match(await run(own, words('echo', '$HOME', '*', ';', 'id', '`id`', '')), { out: '$HOME * ; id `id` \n' })
  t.match(await run(own, words('no-such-program')), { code: 127 })
  const { out } = await run(own, words('env'))
  // What the test runner puts into every child of a test is not ours.
  const names = out.split('\n').map((line) => /^([A-Z][A-Z_]*)=/.exec(line)?.[1] ?? '')
  t.same(new Set(names.filter((name) => name !== '' && name !== 'NODE_OPTIONS')), new Set(['HOME', 'LANG', 'PATH']))
})
