/** The read-only shell by real ssh: what runs, what does not, and how it ends. */
import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { house, ME, PROMPT, Typist } from '../fixtures/readonly.ts'
import { missingClient, missingSshd } from '../fixtures/sshd.ts'
import { until } from '../fixtures/until.ts'

t.setTimeout(150_000)
const skip = missingSshd() ?? missingClient() ?? false
const FILES = { read: ['/**'], write: [], deny: [] }

t.test('one command', { skip }, async (t) => {
  const { client, directory, exec, gateway, logins, recorder, verdicts } = await house(t)
  t.test('what is refused says why, and reaches nothing', async (t) => {
    const file = join(directory, 'made')
    for (const command of [
      `touch ${file}`,
      `echo x > ${file}`,
      `ls; touch ${file}`,
      `ls $(touch ${file})`,
      `scp -t ${directory}`,
      `find . -exec touch ${file} ;`,
    ]) {
      const ran = await exec(command)
      t.equal(ran.code, 1, command)
      t.equal(ran.stdout.length, 0)
      t.match(ran.stderr, /\S/)
    }
    t.notOk(existsSync(file))
    t.equal(logins(), 0, 'the target was not even called')
    t.match(verdicts().at(-1), /^deny find/)
  })
  t.test('what is allowed runs as it would directly', async (t) => {
    const ran = await exec('echo out; ls /nowhere')
    t.equal(ran.stdout.toString(), 'out\n')
    t.match(ran.stderr, /cannot access '\/nowhere'/)
    t.equal(ran.code, 2)
    t.equal((await exec('exit 7')).code, 7)
    t.equal((await exec('cd /usr && pwd')).stdout.toString(), '/usr\n')
    t.equal((await exec('wc -c', 'twelve bytes')).stdout.toString(), '12\n')
    t.match(recorder.json('d').at(-1), { n: 1, result: 'done' })
  })
  t.test('a terminal does not make programs interactive', async (t) => {
    const seen = new Typist(t, client.options, ['tr a b; ls /nowhere; echo end'])
    t.equal(await seen.done, 0)
    t.match(seen.out, /cannot access[^\n]*\r\nend\r\n/)
  })
  t.test('pagers cannot start anything', async (t) => {
    writeFileSync(join(directory, 'page'), 'text\n'.repeat(100))
    const seen = new Typist(t, client.options, [`less ${join(directory, 'page')}`])
    await seen.sees('text')
    seen.type(`!touch ${directory}/shell\r`)
    await sleep(300)
    seen.type('q')
    await sleep(200)
    seen.type('q')
    t.equal(await seen.done, 0)
    t.notOk(existsSync(join(directory, 'shell')))
  })
  t.test('hostile bytes are refused, however many', async (t) => {
    for (const command of ['l\u00a0s', 'ls\u001b[2J', 'ls \u202e/etc', 'lѕ', 'ls\nid', `echo ${'x'.repeat(20_000)}`])
      t.equal((await exec(command)).code, 1, JSON.stringify(command.slice(0, 20)))
  })
  t.test('nothing went wrong inside', async (t) => t.same(gateway.failures, []))
})

t.test('a role may have less', { skip }, async (t) => {
  const { directory, exec, client } = await house(t, {
    readOnly: { commands: ['cat', { systemctl: ['status'] }], deny: [], files: { ...FILES, read: ['/usr/**'] } },
  })
  t.equal((await exec('ls')).code, 1)
  t.match((await exec('ls')).stderr, /Allowed: cd pwd exit cat systemctl\./)
  t.equal((await exec('cat /etc/hostname')).code, 0)
  t.match((await exec('systemctl list-units')).code, 1)
  const got = await client.scp(['-q', `${ME}:/etc/hostname`, join(directory, 'got')])
  t.not(got.code, 0)
  t.notOk(existsSync(join(directory, 'got')))
})

t.test('files', { skip }, async (t) => {
  const { client, directory, gateway } = await house(t, {
    readOnly: { commands: undefined, deny: [], files: { ...FILES, deny: ['/etc/shadow'] } },
  })
  const file = (name: string) => join(directory, name)
  writeFileSync(file('here'), 'content')
  for (const options of [[], ['-O']]) {
    const down = await client.scp(['-q', ...options, `${ME}:${file('here')}`, file(`got${options.length}`)])
    t.equal(down.code, 0, down.stderr)
    t.ok(existsSync(file(`got${options.length}`)))
    const up = await client.scp(['-q', ...options, file('here'), `${ME}:${file('there')}`])
    t.not(up.code, 0)
    t.notOk(existsSync(file('there')))
    t.not((await client.scp(['-q', ...options, `${ME}:/etc/shadow`, file('shadow')])).code, 0)
    t.not((await client.scp(['-q', ...options, `${ME}:/usr/../etc/shadow`, file('shadow')])).code, 0)
    t.notOk(existsSync(file('shadow')))
  }
  const changed = await client.sftp(
    [ME],
    `-rm ${file('here')}\n-mkdir ${file('new')}\n-rename ${file('here')} ${file('there')}\nls ${directory}\n`,
  )
  t.equal(changed.code, 0, changed.stderr)
  t.ok(existsSync(file('here')))
  t.notOk(existsSync(file('new')) || existsSync(file('there')))
  t.same(gateway.failures, [])
})

t.test('lines from a pipe', { skip }, async (t) => {
  const { client, directory } = await house(t)
  const ran = await client.ssh(['-T', ME], {
    input: `cd ${directory}\npwd\ntouch x\necho $?\nls /nowhere\nexit\npwd\n`,
  })
  t.equal(ran.stdout.toString(), `${directory}\n1\n`)
  t.match(ran.stderr, /`touch` is not on the list/)
  t.equal(ran.code, 2, 'the status of the last command')
  const long = await client.ssh(['-T', ME], { input: `${'x'.repeat(1_000_000)}\necho after\n` })
  t.equal(long.stdout.toString(), 'after\n')
  t.match(long.stderr, /8192 characters at most/)
})

t.test('when it has to stop', { skip }, async (t) => {
  t.test('a revoked grant cuts what runs', async (t) => {
    const { client, directory, gateway, recorder } = await house(t)
    writeFileSync(join(directory, 'log'), 'line\n')
    const seen = new Typist(t, client.options)
    await seen.sees(PROMPT)
    seen.type(`tail -f ${directory}/log\r`)
    await seen.sees('line\r\n')
    gateway.endGrant()
    await seen.sees('Grant 7 was revoked by bob.')
    t.equal(await seen.done, 255)
    t.match(recorder.sessions.at(-1)?.end, { cause: 'cut', detail: 'Grant 7 was revoked by bob.' })
    await until(async () => {
      const left = spawn('pgrep', ['-f', `tail -f ${directory}/log`])
      return (await new Promise((resolve) => left.once('close', resolve))) === 1
    }, 'nothing of it is left on the host')
  })
  t.test('what cannot be recorded does not run', async (t) => {
    const { client, directory, recorder } = await house(t)
    writeFileSync(join(directory, 'log'), 'secret line\n')
    const seen = new Typist(t, client.options)
    await seen.sees(PROMPT)
    recorder.fail({ quietly: true })
    seen.type(`cat ${directory}/log\r`)
    await seen.sees('cannot be written')
    t.equal(await seen.done, 255)
    t.notMatch(seen.out, 'secret line')
    const ran = await client.ssh([ME, `cat ${directory}/log`])
    t.notMatch(ran.stdout.toString(), 'secret')
    t.not(ran.code, 0)
  })
  t.test('without a judge there is nothing', async (t) => {
    const { client } = await house(t, { shell: 'none' })
    t.match((await client.ssh([ME, 'ls'])).stderr, /has no full shell/)
  })
})
