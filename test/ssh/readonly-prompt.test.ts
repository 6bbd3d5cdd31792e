/** The prompt of the read-only shell in a real terminal. */
import { appendFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { house, ME, PROMPT, Typist } from '../fixtures/readonly.ts'
import { missingClient, missingSshd } from '../fixtures/sshd.ts'
import { until } from '../fixtures/until.ts'

t.setTimeout(150_000)
const skip = missingSshd() ?? missingClient() ?? false

t.test('the prompt', { skip }, async (t) => {
  const { client, directory, gateway, recorder, verdicts } = await house(t)
  for (const name of ['first.log', 'second file', '$(touch made)', 'new\nline', 'esc\u001b[31m', '-rf', '日本語'])
    writeFileSync(join(directory, name), `${name}\n`)
  mkdirSync(join(directory, 'sub'))
  const seen = new Typist(t, client.options)
  await seen.sees(PROMPT)
  const run = async (keys: string) => {
    seen.type(`${keys}\r`)
    return seen.sees(PROMPT)
  }
  t.test('goes about, and remembers', async (t) => {
    await run(`cd ${directory}`)
    t.match(await run('pwd'), `${directory}\r\n`)
    t.match(await run('cd /nowhere'), /can't cd|No such file/)
    t.match(await run('echo $?; pwd'), `2\r\n${directory}\r\n`)
    await run('cd sub && cd ..')
    t.match(await run('cd -'), `${directory}/sub\r\n`)
    await run('cd ..')
  })
  t.test('has the keys that people know', async (t) => {
    t.match(await run('exho \u001b[D\u001b[D\u001b[D\u007fc\u0005one'), /\r\none\r\n/, 'arrows, backspace, Ctrl-E')
    t.match(await run('two\u0001echo \u001b[C\u000b'), /\r\nt\r\n/, 'Ctrl-A, right, Ctrl-K')
    t.match(await run('rubbish\u0015echo a b\u0017c'), /\r\na c\r\n/, 'Ctrl-U, Ctrl-W')
    t.match(await run('\u001b[A\u001b[A'), /\r\nt\r\n/, 'history')
    t.match(await run('echo 日本x\u001b[D\u001b[D\u007f語'), /\r\n語本x\r\n/, 'wide characters')
    seen.type('half a line\u0003')
    t.match(await seen.sees(PROMPT), /\^C/)
    t.match(await run('echo $?'), '130')
  })
  t.test('completes commands and files, and quotes what is hostile', async (t) => {
    t.match(await run('hostna\t'), /hostname/)
    t.match(await run('cat fi\t'), /\r\nfirst\.log\r\n/)
    t.match(await run('cat se\t'), /\r\nsecond file\r\n/)
    t.match(await run('cat \\$\t'), /\r\n\$\(touch made\)\r\n/)
    t.match(await run('cat -r\t'), /cat \.\/-rf[^]*\r\n-rf\r\n/)
    seen.type('ls \t')
    const offered = await seen.sees(PROMPT)
    t.match(offered, 'second file')
    t.notMatch(offered, 'esc', 'a name with control characters is not offered')
    t.notMatch(offered, 'line')
    seen.type('\u0003')
    await seen.sees(PROMPT)
    t.notOk(existsSync(join(directory, 'made')))
    t.ok(
      verdicts().some((one) => /^allow ls -1apb -- .*# Tab/.test(one)),
      'its own questions are recorded',
    )
  })
  t.test('refuses, and goes on', async (t) => {
    t.match(await run('touch made'), /not on the list/)
    t.match(await run('help'), /Allowed:[^]*systemctl/)
    t.notOk(existsSync(join(directory, 'made')))
  })
  t.test('Ctrl-C stops what runs', async (t) => {
    seen.type(`tail -n 1 -f ${directory}/first.log\r`)
    await seen.sees('first.log\r\nfirst.log\r\n'.slice(11))
    appendFileSync(join(directory, 'first.log'), 'more\n')
    await seen.sees('more\r\n')
    seen.type('\u0003')
    await seen.sees(PROMPT)
    t.match(await run('echo $?'), '130')
    t.notMatch(await run('ps -ef'), `tail -n 1 -f ${directory}`, 'and it is gone')
  })
  t.test('everything typed and shown is recorded', async (t) => {
    t.match(recorder.bytes('i').toString(), 'rubbish')
    t.match(recorder.bytes('o').toString(), 'second file')
    t.ok(verdicts().includes('deny touch made'))
  })
  t.test('leaves with the last status', async (t) => {
    await run('ls /nowhere')
    seen.type('\u0004')
    t.equal(await seen.done, 2)
    t.same(recorder.sessions.at(-1)?.end?.cause, 'exited')
    t.same(gateway.failures, [])
  })
})

t.test('a megabyte in one line is too long, and no more', { skip }, async (t) => {
  const { client } = await house(t)
  const child = client.start(['-tt', ME], { TERM: 'xterm' })
  let shown = ''
  child.stdout?.on('data', (bytes: Buffer) => (shown = (shown + bytes.toString()).slice(-2000)))
  const shows = async (text: string) => {
    await until(() => shown.includes(text), `${text} is shown`)
  }
  await shows('(read-only)')
  child.stdin?.write(`echo ${'x'.repeat(1_000_000)}\r`)
  await shows('characters at most')
  child.stdin?.write('echo still here\r')
  await shows('\r\nstill here\r\n')
})
