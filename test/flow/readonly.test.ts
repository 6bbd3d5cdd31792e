/** The read-only role through the whole product: asked for, approved, used with real ssh, cut, and replayed. */
import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startDemo } from '../fixtures/demo.ts'
import { until } from '../fixtures/until.ts'

t.setTimeout(200_000)
const said = (run: { readonly stdout: Buffer }): string => run.stdout.toString()

if (!existsSync('/usr/bin/ssh') || !existsSync('/usr/sbin/sshd')) t.plan(0, 'no OpenSSH client or sshd here')
else {
  const demo = await startDemo(t)
  const [alice, bob] = [demo.person('alice'), demo.person('bob')]
  const file = (name: string) => join(alice.client.directory, name)
  const asked = await alice.ssh(['@', 'request', 'prod-db', '--role', 'readonly', '--reason', 'looking', '--json'])
  const { id } = JSON.parse(said(asked)) as { id: string }
  const yes = await bob.ssh(['@', 'approve', id])
  t.equal(yes.code, 0, yes.stderr)

  await t.test('the role says what it is', async (t) => {
    const words = said(await alice.ssh(['@', 'explain-role', 'readonly']))
    t.match(words, /for looking/)
    t.match(words, /to there: none/)
  })

  await t.test('looking works, changing does not', async (t) => {
    const looked = await alice.ssh(['@', 'prod-db', 'echo seen | tr a-z A-Z; exit 3'])
    t.equal(said(looked), 'SEEN\n')
    t.equal(looked.code, 3)
    const refused = await alice.ssh(['@', 'prod-db', `touch ${file('made')}`])
    t.equal(refused.code, 1)
    t.match(refused.stderr, /not on the list/)
    t.notOk(existsSync(file('made')))
  })

  await t.test('the prompt is ours, and a revoked grant cuts what runs in it', async (t) => {
    writeFileSync(file('log'), 'a line\n')
    const shell = alice.start(['-tt', '@', 'prod-db'])
    let out = ''
    for (const stream of [shell.stdout, shell.stderr]) stream?.on('data', (bytes: Buffer) => (out += bytes.toString()))
    const closed = new Promise<number | null>((resolve) => shell.once('close', resolve))
    await until(() => out.includes('(read-only)'), 'the prompt')
    shell.stdin?.write('rm -rf /tmp/nothing\r')
    await until(() => out.includes('not on the list'), 'the refusal')
    const follow = `tail -n 1 -f ${file('log')}`
    shell.stdin?.write(`${follow}\r`)
    await until(() => out.includes('a line\r\n'), 'the line')
    t.equal((await bob.ssh(['@', 'revoke', id, '--note', 'enough'])).code, 0)
    t.equal(await closed, 255)
    t.match(out, /\[sallyport\][^\n]*revoked/)
    await until(() => {
      try {
        return execFileSync('pgrep', ['-f', follow]).length === 0
      } catch {
        return true
      }
    }, 'nothing is left on the host')
    t.equal((await alice.ssh(['@', 'prod-db', 'id'])).code, 1)
  })

  await t.test('an auditor sees what was typed, refused and shown', async (t) => {
    const carol = demo.person('carol')
    let replay = ''
    await until(async () => {
      const list = JSON.parse(said(await carol.ssh(['@', 'sessions', '--json']))) as readonly {
        id: string
        channel: string
      }[]
      const shell = list.find(({ channel }) => channel === 'shell')
      if (shell !== undefined) replay = said(await carol.ssh(['@', 'replay', shell.id, '--cast']))
      return replay.includes('a line')
    }, 'the sessions are there')
    const typed = replay
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line) as [number, string, string])
      .filter(([, kind]) => kind === 'i')
    t.match(typed.map(([, , text]) => text).join(''), 'rm -rf /tmp/nothing\r')
  })
}
