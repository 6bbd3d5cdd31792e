import { existsSync } from 'node:fs'
import t from 'tap'
import { openDoor, doorMissing } from '../fixtures/ssh-door.ts'
import { people, role } from '../fixtures/ssh-front.ts'
import type { Moment } from '../../gateway/model/moment.ts'
import { Refusal } from '../../gateway/model/refusal.ts'
import { until } from '../fixtures/until.ts'

const skip = doorMissing()

await t.test('a key that is not known waits for the browser, then the same connection goes on', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf, door } = await openDoor(t, { keyBoundForMs: 60_000 })
  const { alice } = people()
  const client = ssh('-v', '-o', 'ServerAliveInterval=1', '-o', 'ServerAliveCountMax=2', 'alice@127.0.0.1', 'whoami')
  await client.shows('and type this code there: K7QF-22MX')
  t.match(client.errors, 'https://gateway.test/ssh/1')
  await until(() => signIns.asked.length > 0)
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
  'so many strangers may knock, and an approval that is waited for keeps the door open',
  { skip },
  async (t) => {
    const { ssh, signIns, fingerprintOf, configure } = await openDoor(t, {
      unsigned: { all: 2, perAddress: 1, patienceMs: 300 },
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
    await until(() => existsSync(`${target.directory}/mux`))
    t.match(await through('prod-db', 'echo one'), { code: 0, out: 'one\n' })
    await desk.grants.lock(admin, 'alice', 'left the company')
    const locked = await through('prod-db', 'echo two')
    t.equal(locked.out, '')
    t.not(locked.code, 0)
    // As identity/ does with a lock: what was signed in before is worth nothing after it.
    signIns.keys.clear()
    await desk.grants.unlock(admin, 'alice')
    t.match(await through('whoami'), { code: 1, errors: /Your sign-in has ended/ })
    signIns.keys.set(fingerprintOf('alice'), alice)
    t.match(await through('logout'), { code: 0, out: /One key is forgotten/ })
    t.match(await through('whoami'), { code: 1, errors: /Your sign-in has ended/ })
    t.match(
      desk.audited.filter(({ kind }) => kind === 'session.refused').map(({ actor, target }) => [actor, target]),
      [['alice', 'prod-db']],
    )
  },
)

await t.test('a key that was forgotten before the first channel opens none', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf, configure, target } = await openDoor(t)
  const { alice } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  configure('alice', ['BatchMode yes', `ControlPath ${target.directory}/mux`])
  const master = ssh('-M', '-N', 'alice@127.0.0.1')
  t.teardown(() => master.child.kill())
  await until(() => existsSync(`${target.directory}/mux`))
  signIns.keys.clear()
  const first = await ssh('-o', 'ControlMaster=no', 'alice@127.0.0.1', 'whoami').done
  t.match(first, { code: 1, out: '', errors: /Your sign-in has ended/ })
})

await t.test('a connection without a key is over with its sign-in', { skip }, async (t) => {
  const { ssh, sshOnTerminal, signIns, configure, target } = await openDoor(t)
  configure(undefined, [`ControlPath ${target.directory}/mux`])
  signIns.answer = people().alice
  const master = sshOnTerminal('-M', 'alice@127.0.0.1')
  await master.shows('The code that the browser shows:')
  master.type('K7QF-22MX\n')
  await master.shows('where to?')
  const through = () => ssh('-o', 'ControlMaster=no', 'alice@127.0.0.1', 'whoami').done
  t.match(await through(), { code: 0 })
  signIns.standing = undefined
  t.match(await through(), { code: 1, out: '', errors: /Your sign-in has ended/ })
})

await t.test('who never types the code does not hold a place for ever', { skip }, async (t) => {
  const { ssh, sshOnTerminal, signIns, fingerprintOf, configure } = await openDoor(t, {
    unsigned: { all: 1, perAddress: 1, patienceMs: 3000 },
  })
  signIns.keys.set(fingerprintOf('alice'), people().alice)
  configure(undefined)
  signIns.patienceMs = 700
  const silent = sshOnTerminal('alice@127.0.0.1', 'whoami')
  await silent.shows('The code that the browser shows:')
  configure('alice')
  t.match(await ssh('alice@127.0.0.1', 'whoami').done, { code: 0 }, 'the place is free again')
  silent.child.kill()
})

await t.test('who is locked or signed out while watching sees no more', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf, desk } = await openDoor(t)
  const { alice, admin } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  await desk.grants.request(alice, { target: 'prod-db', role: 'operator', reason: 'INC-42' })
  const waiting = ssh('alice@127.0.0.1', 'request', 'prod-web', '--role', 'operator', '--reason', 'INC-43', '--wait')
  await waiting.shows('equest 2')
  signIns.keys.clear()
  await desk.grants.lock(admin, 'erin', 'any change is a look')
  t.match(await waiting.done, { code: 1, errors: /Your sign-in has ended/ })
})

await t.test('the menu of somebody who is locked ends with a sentence, without a key', { skip }, async (t) => {
  const { sshOnTerminal, signIns, fingerprintOf, desk } = await openDoor(t)
  const { alice, admin } = people()
  signIns.keys.set(fingerprintOf('alice'), alice)
  const menu = sshOnTerminal('alice@127.0.0.1')
  await menu.shows('where to?')
  signIns.keys.clear()
  await desk.grants.lock(admin, 'alice', 'left the company')
  t.match(await menu.done, { code: 1, out: /Your sign-in has ended[^]*connect again/ })
})

await t.test('who signs out while a touch of the passkey is awaited opens nothing', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf, desk, recorder } = await openDoor(t)
  const { alice } = people()
  desk.rules.roles.push(role('sensitive', { approval: { kind: 'auto' }, stepUp: 'passkey', account: undefined }))
  signIns.keys.set(fingerprintOf('alice'), alice)
  await desk.grants.request(alice, { target: 'prod-db', role: 'sensitive', reason: 'INC-42' })
  const out = ssh('alice@127.0.0.1', 'prod-db', 'echo in')
  await out.shows('https://gateway.test/ssh/2')
  signIns.keys.clear()
  signIns.touch()
  t.match(await out.done, { code: 1, out: '', errors: /Your sign-in has ended/ })
  t.equal(recorder.kept.length, 0)

  signIns.keys.set(fingerprintOf('alice'), alice)
  const staying = ssh('alice@127.0.0.1', 'prod-db', 'echo in')
  await staying.shows('https://gateway.test/ssh/2')
  signIns.touch()
  t.match(await staying.done, { code: 0, out: 'in\n' })
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

await t.test('a crowd from one address keeps nobody else out', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf, configure } = await openDoor(t, {
    unsigned: { all: 4, perAddress: 4, patienceMs: 300 },
  })
  signIns.keys.set(fingerprintOf('alice'), people().alice)
  configure('stranger', ['BatchMode yes'])
  const crowd = [1, 2, 3, 4].map(() => ssh('-b', '127.0.0.2', 'alice@127.0.0.1', 'whoami'))
  for (const client of crowd) await client.shows('type this code there')
  configure('alice', ['BatchMode yes'])
  for (let n = 0; n < 3; n += 1) t.equal((await ssh('alice@127.0.0.1', 'whoami').done).code, 0)
  t.equal(crowd.filter(({ child }) => child.exitCode === 255).length, 1, 'one place was enough')
})

await t.test('a burst of connections with a known key gets through one after the other', { skip }, async (t) => {
  const { ssh, signIns, fingerprintOf } = await openDoor(t, { unsigned: { all: 2, perAddress: 1, patienceMs: 10_000 } })
  signIns.keys.set(fingerprintOf('alice'), people().alice)
  const burst = Array.from({ length: 6 }, () => ssh('alice@127.0.0.1', 'whoami'))
  for (const client of burst) t.match(await client.done, { code: 0, out: /^alice/ })
})
