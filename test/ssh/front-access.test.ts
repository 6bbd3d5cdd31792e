import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Subject, Username } from '../../gateway/model/identity.ts'
import { openDoor, doorMissing } from '../fixtures/ssh-door.ts'
import { people } from '../fixtures/ssh-front.ts'
import type { GrantId } from '../../gateway/model/grant.ts'

const skip = doorMissing()

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
    t.equal((await ssh('alice@127.0.0.1', 'prod-db%operator', 'exit 4').done).code, 1)

    const older = recorder.kept.at(-1)?.start.grant ?? ''
    const newer = await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-43' })
    for (const [who, line, grant] of [
      ['alice@127.0.0.1', ['prod-db', 'exit 5'], newer.id],
      ['alice@127.0.0.1', [`prod-db%${older}`, 'exit 5'], older],
      [`alice%prod-db%${older}@127.0.0.1`, ['exit 5'], older],
      [`alice%prod-db%${newer.id}@127.0.0.1`, ['exit 5'], newer.id],
    ] as const) {
      t.equal((await ssh(who, ...line).done).code, 5)
      t.equal(recorder.kept.at(-1)?.start.grant, grant, `${who} ${line.join(' ')}`)
    }
    const named = await ssh('-J', 'alice@127.0.0.1', `root@prod-db%${older}`, 'exit 5').done
    t.match({ code: named.code, grant: recorder.kept.at(-1)?.start.grant }, { code: 5, grant: older })
    await desk.grants.release(alice, newer.id)
    t.match(
      await ssh(`alice%prod-db%${newer.id}@127.0.0.1`, 'exit 5').done,
      { code: 1, errors: /Grant \d+ is not live, or not yours\.\nSee yours: ssh .* grants\n/ },
      'one that is over opens nothing, whatever else is live',
    )
    const numbered = async (target: string, number: string) =>
      (await ssh('alice@127.0.0.1', `${target}%${number}`, 'exit 5').done).errors.replace(
        `Grant ${number} `,
        'Grant N ',
      )
    const erin = { ...alice, subject: 'https://idp.test|erin' as Subject, username: 'erin' as Username }
    const others = await desk.grants.request(erin, { target: 'prod-db', role: 'logs', reason: 'INC-44' })
    const over = await numbered('prod-db', newer.id)
    for (const [target, number] of [
      ['prod-db', '99'],
      ['prod-db', others.id],
      ['nosuch', '99'],
      ['secret', '99'],
    ] as const)
      t.equal(await numbered(target, number), over, `${target}%${number}: over, unknown, another person's: one answer`)

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
  await menu.shows('logs, 30m left')
  // Arrow down, Enter, and a line typed ahead for the shell.
  menu.type('\u001b[B\recho menu-$((40+2)); exit 9\n')
  t.match(await menu.done, { code: 9, out: /menu-42/ })
  const left = sshOnTerminal('alice@127.0.0.1')
  await left.shows('where to?')
  left.type('q')
  t.equal((await left.done).code, 0)
})

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

await t.test('who approves decides in the menu, and goes on from there', { skip }, async (t) => {
  const { sshOnTerminal, signIns, fingerprintOf, desk } = await openDoor(t)
  const { alice, erin, bob } = people()
  signIns.keys.set(fingerprintOf('alice'), bob)
  for (const who of [alice, erin, alice])
    await desk.grants
      .request(who, { target: who === erin ? 'prod-db' : 'prod-web', role: 'operator', reason: 'INC-42' })
      .catch(() => undefined)
  const menu = sshOnTerminal('bob@127.0.0.1')
  await menu.shows('request 1')
  menu.type('1')
  await menu.shows('Request 1: alice asks for operator on prod-web for 30m,')
  menu.type('5m\r')
  await menu.shows('Grant 1: operator on prod-web for alice')
  menu.type('1')
  await menu.shows('Request 2: erin asks for operator on prod-db')
  await desk.grants.withdraw(erin, '2' as GrantId)
  menu.type('no\rnot today\r')
  await menu.shows('was withdrawn by erin')
  await menu.shows('There is nothing to decide')
  t.equal((await menu.done).code, 0)
  t.match(await desk.grants.grant(alice, '1' as GrantId), { state: 'live', minutes: 5, approvals: [{ by: 'bob' }] })
})
