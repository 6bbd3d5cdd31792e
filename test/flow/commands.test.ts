/** The first example of the README with the real ssh: somebody may see the application's logs on one host for a while, and nothing else. */
import { existsSync } from 'node:fs'
import t from 'tap'
import { startDemo } from '../fixtures/demo.ts'
import { until } from '../fixtures/until.ts'

const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()

if (!existsSync('/usr/bin/ssh')) t.plan(0, 'no OpenSSH client here')
else {
  const demo = await startDemo(t)
  const [alice, carol] = [demo.person('alice'), demo.person('carol')] as const

  await t.test('the role is granted by rule, and says what it opens', async (t) => {
    const asked = await alice.ssh(['@', 'request', 'prod-web', '--role', 'logs', '--for', '10m', '--reason', 'INC-42'])
    t.equal(asked.code, 0, asked.stderr)
    t.match(said(await alice.ssh(['@', 'explain-role', 'logs'])), /ssh: logs: tail -n/)
  })

  await t.test('the command runs with its values', async (t) => {
    const run = await alice.ssh(['@', 'prod-web', 'logs', 'app=orders', 'lines=3'])
    t.equal(run.code, 0, run.stderr)
    t.equal(said(run).trim().split('\n').length, 3)
    t.match(said(run), /orders ERROR payment provider timed out/)
    t.match(said(await alice.ssh(['@', 'prod-web', 'disk'])), /Filesystem/)
  })

  await t.test('nothing else does, and the answer says what can be typed', async (t) => {
    for (const command of [
      'id',
      'sh',
      'logs app=orders lines=3; id',
      'logs app=../orders lines=3',
      'logs app=orders lines=99999',
      'tail -n 3 /etc/passwd',
    ]) {
      const run = await alice.ssh(['@', 'prod-web', command])
      t.not(run.code, 0, command)
      t.equal(said(run), '', command)
      t.match(run.stderr, /logs app=orders\|billing|logs \[lines/, command)
    }
    const shell = await alice.ssh(['@', 'prod-web'])
    t.match({ code: shell.code, err: shell.stderr }, { code: 2, err: /no shell on prod-web, but these commands/ })
    const files = await alice.client.sftp([`alice%prod-web@${demo.report.ssh.host}`], 'ls /\n')
    t.not(files.code, 0)
    t.match(await alice.client.scp([`alice%prod-web@${demo.report.ssh.host}:/etc/passwd`, 'x']), { code: /[^0]/ })
    t.not((await alice.ssh(['@', 'prod-db', 'logs', 'app=orders'])).code, 0, 'on this host only')
  })

  await t.test('a menu asks for the values', async (t) => {
    const child = alice.start(['-tt', '@', 'prod-web'])
    const closed = new Promise((resolve) => child.once('close', resolve))
    let out = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    const shows = async (text: RegExp) => {
      await until(() => text.test(out), `${text} is shown`)
      out = ''
    }
    await shows(/logs on prod-web[\s\S]*follow/)
    child.stdin?.write('\r')
    await shows(/lines, a number from 1 to 10000/)
    child.stdin?.write('2\r')
    await shows(/app, one of orders, billing/)
    child.stdin?.write('billing\r')
    await shows(/billing ERROR[^\n]*\r\n/)
    t.equal(await closed, 0)
  })

  await t.test('what follows a log ends with Ctrl-C, and leaves nothing behind', async (t) => {
    const child = alice.start(['-tt', '@', 'prod-web', 'follow', 'app=orders'])
    const closed = new Promise((resolve) => child.once('close', resolve))
    let out = ''
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        out += chunk.toString()
      })
    await until(() => out.includes('ERROR'))
    child.stdin?.write('\u0003')
    t.equal(await closed, 255)
    t.match(out, /Interrupted/)
    const { execFileSync } = await import('node:child_process')
    const running = () =>
      execFileSync('ps', ['-eo', 'args']).toString().includes(`tail -n 10 -F ${demo.report.dataDir}`)
    await until(() => !running(), 'nothing of it runs on')
  })

  await t.test('an auditor sees each command with its verdict', async (t) => {
    const list = JSON.parse(said(await carol.ssh(['@', 'sessions', '--json']))) as {
      command: string
      denials: number | null
      statements: number | null
    }[]
    const at = (command: string) => list.find((row) => row.command === command)
    t.match(at('logs app=orders lines=3'), { statements: 1, denials: 0 })
    t.match(at('id'), { statements: 1, denials: 1 })
  })
}
