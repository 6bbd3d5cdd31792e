/** Programs of an agent with a terminal: what they said last is heard, however slow the reader. */
import { userInfo } from 'node:os'
import t from 'tap'
import { accountNamed } from '../../agents/account.ts'
import { startProgram } from '../../agents/program.ts'

const terminal = { columns: 80, rows: 24, type: 'xterm' }

const me = ((account) => {
  if (account === undefined) throw new Error('nobody')
  return account
})(accountNamed(userInfo().username))

/** What was heard of a program, by somebody who takes each piece after `slowMs`. */

async function heard(
  line: string,
  slowMs: number,
): Promise<{ readonly out: string; readonly code: number | undefined }> {
  let out = ''
  const code = await new Promise<number | undefined>((resolve) =>
    startProgram(
      { account: me, what: { kind: 'line', line }, terminal, environment: new Map() },
      {
        output: (bytes, _isError, taken) => {
          out += bytes.toString()
          setTimeout(taken, slowMs)
        },
        exited: resolve,
      },
    ),
  )
  return { out, code }
}

t.test('a program that ends while its reader is slow is heard to its end', async (t) => {
  const { out, code } = await heard('echo first; sleep 0.2; seq 1 500; echo last; exit 7', 900)
  t.equal(code, 7)
  t.match(out, /^first\r\n1\r\n[^]*\r\n500\r\nlast\r\n$/)
})

t.test('a terminal that somebody still holds ends all the same', async (t) => {
  const { out, code } = await heard('echo first; (trap "" HUP; sleep 20) & exit 3', 1)
  t.equal(code, 3)
  t.equal(out, 'first\r\n')
})
