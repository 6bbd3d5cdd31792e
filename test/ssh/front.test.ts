import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openDoor, doorMissing } from '../fixtures/ssh-door.ts'
import { people } from '../fixtures/ssh-front.ts'
import type { GrantId } from '../../gateway/model/grant.ts'
import type { Moment } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'

const skip = doorMissing()

await t.test('a key that is not known waits for the browser, then the same connection goes on', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf, door } = await openDoor(t, { keyBoundForMs: 60_000 })
  const { alice } = people()
  const client = ssh('-v', '-o', 'ServerAliveInterval=1', '-o', 'ServerAliveCountMax=2', 'alice@127.0.0.1', 'whoami')
  await client.shows('and type this code there: K7QF-22MX')
  t.match(client.errors, 'https://gateway.test/ssh/1')
  await new Promise((resolve) => setTimeout(resolve, 100))
  t.match(signIns.asked, [
    { kind: 'ssh', username: 'alice', keyFingerprint: fingerprintOf('alice'), target: undefined },
  ])
  signIns.decide(alice)
  const { code, out, errors } = await client.done
  t.equal(code, 0, errors)
  t.match(out, /^alice \(engineers\)\n/)
  t.match(errors, /Signed in as alice until [\d :-]+\.\s/)
  const again = await ssh('alice@127.0.0.1', 'whoami', '--json').done
  t.equal(signIns.asked.length, 1, 'the key is known now')
  t.match(JSON.parse(again.out), { username: 'alice' })
  t.ok(door.port > 0)
})

await t.test('nobody gets in by another name, by a refusal, or without a key in batch mode', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf, configure, logged } = await openDoor(t)
  const { alice, bob } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  signIns.answer = new Refusal('NOT_SIGNED_IN', 'The sign-in was denied by its person.')
  const asBob = await ssh('bob@127.0.0.1', 'whoami').done
  t.equal(asBob.code, 255)
  t.match(asBob.errors, 'The sign-in was denied by its person.')
  t.match(asBob.errors, 'Permission denied (publickey')
  t.match(logged, [{ message: 'A sign-in was refused.', details: { username: 'bob' } }])
  signIns.answer = bob
  t.equal((await ssh('erin@127.0.0.1', 'whoami').done).code, 255, 'somebody else signed in')
  const asked = signIns.asked.length
  for (const name of ['al ice', 'alice;id', 'alice%../x', 'Alice', 'alice%a%b%c'])
    t.equal((await ssh('-l', name, '127.0.0.1', 'whoami').done).code, 255, name)
  t.equal(signIns.asked.length, asked, 'odd names ask nobody')
  configure(undefined, ['BatchMode yes'])
  t.match(await ssh('alice@127.0.0.1', 'whoami').done, { code: 255, errors: /Permission denied/ })
})

await t.test('without a key the browser shows a code, and the person types it', { skip }, async (t) => {
  const { sshOnTerminal, signIns, configure } = await openDoor(t)
  configure(undefined)
  signIns.answer = people().alice
  const client = sshOnTerminal('alice@127.0.0.1', 'whoami')
  await client.shows('The code that the browser shows:')
  t.match(client.out, 'https://gateway.test/ssh/code')
  client.type('WRONG\n')
  await client.shows('That is not the code.')
  client.type('K7QF-22MX\n')
  t.match(await client.done, { code: 0, out: /alice \(engineers\)/ })
})

await t.test(
  'a command, a shell, a jump: all reach the target under a grant, and all are recorded',
  { skip },
  async (t) => {
    const { ssh, sshOnTerminal, signIns, fingerprintOf, desk, recorder } = await openDoor(t)
    const { alice } = people()
    signIns.keys.set(fingerprintOf('alice'), alice)
    const none = await ssh('alice@127.0.0.1', 'prod-db', 'id').done
    t.equal(none.code, 1)
    t.match(
      none.errors,
      /No live grant for prod-db\.\nAsk for one: ssh -p \d+ alice@127\.0\.0\.1 request prod-db --role \w+ --for 30m --reason "why"\n/,
    )
    const unknown = await ssh('alice@127.0.0.1', 'nosuch', 'id').done
    const forbidden = await ssh('alice@127.0.0.1', 'secret', 'id').done
    t.equal(unknown.errors.replaceAll('nosuch', 'X'), forbidden.errors.replaceAll('secret', 'X'))
    t.equal(unknown.code, 1)
    await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })

    const one = await ssh('alice@127.0.0.1', 'prod-db', 'echo "two  words"; exit 7').done
    t.match(one, { code: 7, out: 'two  words\n' })
    t.match(recorder.kept.at(-1), {
      start: { channel: 'exec', command: 'echo "two  words"; exit 7', username: 'alice' },
    })
    t.equal((await ssh('alice%prod-db%logs@127.0.0.1', 'exit 3').done).code, 3)
    t.equal((await ssh('alice:prod-db@127.0.0.1', 'exit 4').done).code, 4)
    t.equal((await ssh('alice%prod-db%operator@127.0.0.1', 'exit 4').done).code, 1, 'not with another role')

    const piped = ssh('alice@127.0.0.1', 'prod-db')
    piped.child.stdin.end('echo from-$((40+2))-stdin\nexit 5\n')
    t.match(await piped.done, {
      code: 5,
      out: /from-42-stdin/,
      errors: /no terminal: use ssh -t -p \d+ alice@127\.0\.0\.1 prod-db/,
    })

    const shell = sshOnTerminal('-t', 'alice@127.0.0.1', 'prod-db')
    shell.type('tty; echo on-$((40+2))-host; exit 6\n')
    const seen = await shell.done
    t.equal(seen.code, 6)
    t.match(seen.out, '/dev/pts/')
    t.match(seen.out, 'on-42-host')
    t.match(recorder.kept.at(-1), { start: { channel: 'shell', terminal: { type: 'xterm' } } })
    t.match(
      recorder.kept
        .at(-1)
        ?.events.map(({ text }) => text)
        .join(''),
      'on-42-host',
    )

    const jumped = await ssh('-J', 'alice@127.0.0.1', 'root@prod-db', 'echo jumped').done
    t.match(jumped, { code: 0, out: 'jumped\n' })
    t.match(recorder.kept.at(-1), { start: { command: 'echo jumped', username: 'alice', target: 'prod-db' } })
    const hidden = await ssh('-J', 'alice@127.0.0.1', 'root@secret', 'echo jumped').done
    t.match(hidden, { code: 1, errors: /No live grant for secret\./ })
    t.match(await ssh('-W', 'localhost:5432', 'alice@127.0.0.1').done, {
      code: 255,
      errors: /Forwarding goes through a target/,
    })
  },
)

await t.test('asking, approving and going on happen in the connection that wanted access', { skip }, async (t) => {
  const { ssh, sshOnTerminal, signIns, fingerprintOf, configure, desk, recorder } = await openDoor(t)
  const { alice, bob } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  signIns.keys.set(fingerprintOf('bob'), bob)
  const hers = sshOnTerminal('-t', 'alice@127.0.0.1', 'prod-db')
  await hers.shows('Which role?')
  hers.type('1')
  await hers.shows('For how long?')
  hers.type('15m\r')
  await hers.shows('Why?')
  hers.type('disk fulx\u007fl INC-42\r')
  await hers.shows('waiting for approval by leads… request 1 (Ctrl-C withdraws)')
  configure('bob', ['BatchMode yes'])
  const his = await ssh('bob@127.0.0.1', 'approve', '1', '--for', '302s').done
  t.match(his, { code: 0, out: /Grant 1: operator on prod-db for alice/ })
  await hers.shows('Grant 1: operator on prod-db')
  hers.type('echo in-$((40+2))\n')
  await hers.shows('in-42')
  t.match(recorder.kept, [{ start: { reason: 'disk full INC-42', role: 'operator' } }])
  await hers.shows('5 minutes left')
  t.match(await ssh('bob@127.0.0.1', 'revoke 1 --note enough').done, { code: 0 })
  const { code, out } = await hers.done
  t.equal(code, 255)
  t.match(out, /revoked by bob: enough/)
  t.match(recorder.kept[0]?.end, { cause: 'cut' })
  t.match(
    recorder.kept[0]?.events.find(({ kind }) => kind === 'm')?.text,
    /^\[sallyport\] 5 minutes left, until .* extend 1$/,
  )
  t.equal((await desk.grants.grant(alice, '1' as GrantId)).state, 'ended')

  configure('alice')
  const second = sshOnTerminal('-t', 'alice@127.0.0.1', 'prod-web')
  await second.shows('Which role?')
  second.type('q')
  t.match(await second.done, { code: 1, out: /Nothing was asked for\./ })
  const third = sshOnTerminal('-t', 'alice%prod-web%operator@127.0.0.1')
  await third.shows('For how long?')
  third.type('\rno\rwhy not\r')
  await third.shows('Ctrl-C withdraws')
  third.type('\u0003')
  t.match(await third.done, { code: 1, out: /Request 2 is withdrawn\./ })
})

await t.test('plain ssh shows a menu on a terminal and a list without one', { skip }, async (t) => {
  const { ssh, sshOnTerminal, signIns, fingerprintOf, desk } = await openDoor(t)
  const { alice } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  await desk.grants.request(alice, { target: 'prod-web', role: 'logs', reason: 'INC-42' })
  const list = ssh('alice@127.0.0.1')
  list.child.stdin.end()
  t.match(await list.done, { code: 0, out: /^TARGET +ENDPOINTS/, errors: /no terminal: use ssh -t/ })
  const menu = sshOnTerminal('alice@127.0.0.1')
  await menu.shows('where to?')
  await menu.shows('logs until')
  // Arrow down, Enter, and a line typed ahead for the shell.
  menu.type('\u001b[B\recho menu-$((40+2)); exit 9\n')
  t.match(await menu.done, { code: 9, out: /menu-42/ })
  const left = sshOnTerminal('alice@127.0.0.1')
  await left.shows('where to?')
  left.type('q')
  t.equal((await left.done).code, 0)
})

await t.test(
  'so many strangers may knock, and an approval that is waited for keeps the door open',
  { skip },
  async (t) => {
    const { ssh, signIns, fingerprintOf, configure } = await openDoor(t, {
      unsigned: { all: 2, perAddress: 1 },
      graceMs: 3500,
    })
    signIns.keys.set(fingerprintOf('alice'), people().alice)
    configure('erin', ['BatchMode yes'])
    const waiting = ssh('-o', 'ServerAliveInterval=1', 'erin@127.0.0.1', 'whoami')
    await waiting.shows('and type this code there')
    configure('alice', ['BatchMode yes'])
    t.match(await ssh('alice@127.0.0.1', 'whoami').done, { code: 255, errors: /Too many are signing in/ })
    // An approval that is waited for keeps the grace time open.
    await new Promise((resolve) => setTimeout(resolve, 4500))
    signIns.decide(people().erin)
    t.match(await waiting.done, { code: 0, out: /^erin/ })
    t.equal((await ssh('alice@127.0.0.1', 'whoami').done).code, 0)
  },
)

await t.test('when the door closes, sessions are told, and end', { skip }, async (t) => {
  const { sshOnTerminal, signIns, fingerprintOf, desk, door, recorder } = await openDoor(t)
  const { alice } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })
  const shell = sshOnTerminal('-t', 'alice@127.0.0.1', 'prod-db')
  shell.type('echo up-$((40+2))\n')
  await shell.shows('up-42')
  const closed = door.close(700)
  await shell.shows('the gateway is closing')
  await closed
  const ended = recorder.kept[0]?.end
  t.not((await shell.done).code, 0)
  t.ok(ended, 'the recording has its end before the door is closed')
})

await t.test('one approval serves all connections that wait with the same key', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf } = await openDoor(t)
  const waiting = [1, 2].map(() => ssh('alice@127.0.0.1', 'whoami'))
  for (const client of waiting) await client.shows('and type this code there')
  // Approved for a connection of another worker.
  signIns.keys.set(fingerprintOf('alice'), people().alice)
  for (const client of waiting) t.match(await client.done, { code: 0, out: /^alice/ })
})

await t.test('a second factor that is too old is asked for again where it is needed', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf, desk, recorder } = await openDoor(t)
  const { alice } = people()
  const stale = { ...alice, proof: { ...alice.proof, authTime: (Date.now() - 10 * 3_600_000) as Moment } }
  signIns.keys.set(fingerprintOf('alice'), stale)
  await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })
  const client = ssh('alice@127.0.0.1', 'prod-db', 'echo fresh')
  await client.shows('and type this code there: K7QF-22MX')
  t.match(client.errors, 'asks for a sign-in of the last 480 minutes')
  t.equal(recorder.kept.length, 0)
  signIns.decide(alice)
  t.match(await client.done, { code: 0, out: 'fresh\n' })
})

await t.test(
  'who has logged out or was locked opens nothing more on a connection that is still open',
  { skip },
  async (t) => {
    const { ssh, signIns, fingerprintOf, configure, desk, target } = await openDoor(t)
    const { alice, admin } = people()
    signIns.keys.set(fingerprintOf('alice'), alice)
    await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })
    configure('alice', ['BatchMode yes', `ControlPath ${target.directory}/mux`])
    const master = ssh('-M', '-N', 'alice@127.0.0.1')
    t.teardown(() => master.child.kill())
    const through = (...command: string[]) => ssh('-o', 'ControlMaster=no', 'alice@127.0.0.1', ...command).done
    for (let tries = 0; tries < 100 && !existsSync(`${target.directory}/mux`); tries += 1)
      await new Promise((resolve) => setTimeout(resolve, 20))
    t.match(await through('prod-db', 'echo one'), { code: 0, out: 'one\n' })
    await desk.grants.lock(admin, 'alice', 'left the company')
    const locked = await through('prod-db', 'echo two')
    t.equal(locked.out, '')
    t.not(locked.code, 0)
    await desk.grants.unlock(admin, 'alice')
    t.match(await through('logout'), { code: 0, out: /One key is forgotten/ })
    t.match(await through('whoami'), { code: 1, errors: /Your sign-in has ended/ })
    t.match(
      desk.audited.filter(({ kind }) => kind === 'session.refused').map(({ actor, target }) => [actor, target]),
      [['alice', 'prod-db']],
    )
  },
)

await t.test('files go both ways, and only with the target in the user name', { skip }, async (t) => {
  const { scp, ssh, signIns, fingerprintOf, desk, recorder, target } = await openDoor(t)
  const { alice } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })
  const there = join(target.directory, 'there')
  const back = join(target.directory, 'back')
  const content = randomBytes(300_000)
  writeFileSync(join(target.directory, 'here'), content)
  t.equal((await scp(join(target.directory, 'here'), `alice%prod-db@127.0.0.1:${there}`).done).code, 0)
  t.equal((await scp(`alice%prod-db@127.0.0.1:${there}`, back).done).code, 0)
  t.ok(readFileSync(back).equals(content))
  t.match(recorder.kept, [{ start: { channel: 'sftp' } }, { start: { channel: 'sftp' } }])
  t.match(await scp(back, `alice@127.0.0.1:${there}`).done, { errors: /Say which target in the user name/ })
  t.match(await ssh('-W', 'localhost:1', 'alice%prod-db@127.0.0.1').done, { errors: /does not allow forwarding/ })
})

await t.test('a live session is listed and can be ended by its person, and says who did it', { skip }, async (t) => {
  const { ssh, sshOnTerminal, signIns, fingerprintOf, desk } = await openDoor(t)
  const { alice } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })
  const shell = sshOnTerminal('-t', 'alice@127.0.0.1', 'prod-db')
  shell.type('echo up-$((40+2))\n')
  await shell.shows('up-42')
  const { out } = await ssh('alice@127.0.0.1', 'sessions --live --json').done
  const [live] = JSON.parse(out) as { id: string }[]
  t.match(live, { username: 'alice', target: 'prod-db', live: true })
  t.match(await ssh('alice@127.0.0.1', `kill ${live?.id} --note wrong host`).done, { code: 0 })
  t.match(await shell.done, { code: 255, out: /wrong host/ })
})

await t.test('a connection has so many channels, so many tries, and so much time to sign in', { skip }, async (t) => {
  const settings = { channels: 1, maxFailures: 3, graceMs: 400 }
  const { ssh, signIns, keyOf, fingerprintOf, configure, desk, target, sshOnTerminal } = await openDoor(t, settings)
  const { alice } = people()
  keyOf('locked', 'passphrase')
  configure('locked')
  const idle = sshOnTerminal('alice@127.0.0.1', 'whoami')
  await idle.shows('Enter passphrase')
  await new Promise((resolve) => setTimeout(resolve, 600))
  idle.type('passphrase\n')
  t.match(await idle.done, { code: 255, out: /Signing in took too long|Connection (closed|reset)|Broken pipe/ })
  t.equal(signIns.asked.length, 0)

  signIns.answer = new Refusal('NOT_SIGNED_IN', 'The sign-in was denied by its person.')
  configure('erin', ['BatchMode yes', ...['1', '2', '3', '4'].map((name) => `IdentityFile ${keyOf(name)}`)])
  const denied = await ssh('alice@127.0.0.1', 'whoami').done
  t.match(denied, { code: 255, errors: /Too many attempts to sign in/ })
  t.equal(signIns.asked.length, 1, 'after a no the other keys do not ask again')

  signIns.keys.set(fingerprintOf('alice'), alice)
  await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })
  configure('alice', ['BatchMode yes', `ControlPath ${target.directory}/mux`])
  const master = ssh('-M', 'alice@127.0.0.1', 'prod-db', 'echo first; sleep 30')
  await master.shows('first')
  t.match(await ssh('-o', 'ControlMaster=no', 'alice@127.0.0.1', 'whoami').done, {
    code: 1,
    errors: /No more than 1 channels at a time/,
  })
  master.child.kill()
})
