import t from 'tap'
import type { Moment } from '../../gateway/model/moment.ts'
import type { GrantId } from '../../gateway/model/grant.ts'
import type { Subject } from '../../gateway/model/identity.ts'
import { Entrance, sourceOf } from '../../gateway/ssh/auth-limits.ts'
import { namedPerson } from '../../gateway/ssh/auth-name.ts'
import { reservedWords } from '../../gateway/ssh/commands/commands.ts'
import { shortIds } from '../../gateway/ssh/commands/sessions.ts'
import { minutesOf, spanOf } from '../../gateway/ssh/commands/spans.ts'
import { firstWord, words } from '../../gateway/ssh/commands/words.ts'
import { routeOf, tcpipRouteOf } from '../../gateway/ssh/route.ts'
import { Console } from '../../gateway/ssh/screen/console.ts'
import { choose } from '../../gateway/ssh/screen/menu.ts'
import { askLine } from '../../gateway/ssh/screen/prompt.ts'
import { table, together } from '../../gateway/ssh/screen/table.ts'
import { fit, plain, width } from '../../gateway/ssh/screen/text.ts'
import { commandLine, openDesk, people, recorded, shelf, TERMINAL, TestChannel } from '../fixtures/ssh-front.ts'
import { until } from '../fixtures/until.ts'

const ESC = String.fromCharCode(27)
const exec = (command: string) => routeOf(undefined, { kind: 'exec', command })
const COLOUR = new RegExp(`${ESC}\\[\\d*m`, 'g')

await t.test('a user name says who, and perhaps where and as what; anything odd is nobody', async (t) => {
  const place = { target: 'prod-db', under: undefined }
  t.strictSame(namedPerson('alice'), { username: 'alice', place: undefined })
  t.strictSame(namedPerson('alice%prod-db'), { username: 'alice', place })
  t.strictSame(namedPerson('alice:prod-db'), { username: 'alice', place })
  t.strictSame(namedPerson('alice%prod-db%logs')?.place?.under, { kind: 'role', role: 'logs' })
  t.strictSame(namedPerson('alice%prod-db%37')?.place?.under, { kind: 'grant', grant: '37' })
  t.equal(namedPerson('alice@corp.example%prod-db')?.username, 'alice@corp.example')
  const odd = [
    '',
    'Alice',
    'alice%',
    '%prod-db',
    'alice%a%b%c',
    'alice%a%',
    'alice%a%1%',
    'alice%a%-1',
    `alice%a%${'1'.repeat(65)}`,
    'alice:a:b',
    'alice%prod db',
    'alice;x',
    'alice%../x',
    'alice\u0000',
    'alice%a\n',
    'älice',
    'alice%ä',
    '-oProxyCommand=x',
    'a'.repeat(65),
    `a%${'b'.repeat(65)}`,
    'a'.repeat(1_000_000),
  ]
  for (const name of odd) t.equal(namedPerson(name), undefined, JSON.stringify(name.slice(0, 30)))
})

await t.test('quotes are optional in a reason, and an apostrophe is an apostrophe', async (t) => {
  t.strictSame(words('request prod-db --reason INC-42 disk full --for 30m'), [
    'request',
    'prod-db',
    '--reason',
    'INC-42 disk full',
    '--for',
    '30m',
  ])
  t.strictSame(words('request prod-db --reason "INC-42  disk full" --wait'), [
    'request',
    'prod-db',
    '--reason',
    'INC-42  disk full',
    '--wait',
  ])
  t.strictSame(words("request x --reason can't log in"), ['request', 'x', '--reason', "can't log in"])
  t.strictSame(words("request x --reason 'twice quoted' --json"), [
    'request',
    'x',
    '--reason',
    'twice quoted',
    '--json',
  ])
  t.strictSame(words('deny 3 --reason=not now please'), ['deny', '3', '--reason', 'not now please'])
  t.strictSame(words('kill 0198 --note "say \\"hi\\""'), ['kill', '0198', '--note', 'say "hi"'])
  t.strictSame(words('deny 3 --reason'), ['deny', '3', '--reason'])
  t.equal(words('"a '.repeat(50_000)).length, 50_000, 'a long line of quotes is read once')
  t.strictSame(words('   '), [])
  t.strictSame(words('a "unfinished'), ['a', '"unfinished'])
  t.strictSame(firstWord("prod-db  psql -c 'select  1'"), ['prod-db', " psql -c 'select  1'"])
})

await t.test('spans are typed and read the same way', async (t) => {
  const typed: readonly (readonly [string, number | undefined])[] = [
    ...([
      ['90s', 1.5],
      ['30m', 30],
      ['1h', 60],
      ['1h30m', 90],
      ['1d', 1440],
      ['0m', undefined],
      ['', undefined],
    ] as const),
    ...([
      ['30', undefined],
      ['-5m', undefined],
      ['1m1h', undefined],
      ['1.5h', undefined],
      ['99999999h', undefined],
    ] as const),
  ]
  for (const [text, minutes] of typed) t.equal(minutesOf(text), minutes, text)
  t.equal(spanOf(59_001), '60s')
  t.equal(spanOf(90 * 60_000), '1h30m')
  t.equal(spanOf(25 * 3_600_000), '1d1h')
})

await t.test(
  'the first word is a command of ours or a target; a target in the user name takes everything',
  async (t) => {
    const place = { target: 'prod-db', under: undefined }
    t.strictSame(routeOf(undefined, { kind: 'shell' }), { to: 'menu' })
    t.strictSame(exec('help approve'), { to: 'command', line: 'help approve' })
    t.strictSame(exec('prod-db'), { to: 'target', place, request: { kind: 'shell' } })
    t.strictSame(exec('prod-db echo "a  b"'), {
      to: 'target',
      place,
      request: { kind: 'exec', command: 'echo "a  b"' },
    })
    t.strictSame(routeOf(place, { kind: 'exec', command: 'help' }), {
      to: 'target',
      place,
      request: { kind: 'exec', command: 'help' },
    })
    t.equal(routeOf(undefined, { kind: 'sftp' }).to, 'nowhere')
    t.strictSame(exec('prod-db%37 id'), {
      to: 'target',
      place: { target: 'prod-db', under: { kind: 'grant', grant: '37' } },
      request: { kind: 'exec', command: 'id' },
    })
    t.equal(exec('prod-db% id').to, 'nowhere')
    t.equal(exec('/bin/sh -c id').to, 'nowhere')
    t.equal(exec('\u001b]0;x').to, 'nowhere')
    t.strictSame(tcpipRouteOf(undefined, 'prod-db', 22), { to: 'jump', host: 'prod-db' })
    t.equal(tcpipRouteOf(undefined, '10.0.0.1;x', 22).to, 'nowhere')
    t.equal(tcpipRouteOf(undefined, 'localhost', 5432).to, 'nowhere')
    t.strictSame(tcpipRouteOf(place, 'localhost', 5432), { to: 'forward', place })
    for (const word of ['help', 'request', 'approve', 'replay', 'ssh-config']) t.ok(reservedWords.includes(word), word)
  },
)

await t.test('the doorstep has room for so many, and for so many of one address', async (t) => {
  const cases: readonly (readonly [string, { all: number; perAddress: number }, readonly string[], number])[] = [
    ['all places', { all: 3, perAddress: 9 }, ['a', 'b', 'c', 'd'], 3],
    ['one address', { all: 9, perAddress: 2 }, ['a', 'a', 'a', 'b'], 3],
    ['one IPv6 network', { all: 9, perAddress: 1 }, ['2001:db8::1', '2001:db8::2', '2001:db8:0:1::1'], 2],
    ['IPv4 over IPv6', { all: 9, perAddress: 1 }, ['10.0.0.1', '::ffff:10.0.0.1'], 1],
    ['nobody', { all: 0, perAddress: 1 }, ['a'], 0],
  ]
  for (const [name, most, knocks, inside] of cases) {
    const entrance = new Entrance(most)
    const places = knocks.map((address) => entrance.enter(address))
    t.equal(places.filter((leave) => leave !== undefined).length, inside, name)
    for (const leave of places) {
      leave?.()
      leave?.()
    }
    const again = knocks.map((address) => entrance.enter(address)).filter((leave) => leave !== undefined)
    t.equal(again.length, inside, `${name}: who left makes room, once`)
  }
  const crowded = new Entrance({ all: 4, perAddress: 4 })
  const shownOut: string[] = []
  const knock = (address: string, name: string) => crowded.enter(address, () => shownOut.push(name)) !== undefined
  t.same(
    [1, 2, 3, 4].map((n) => knock('a', `a${n}`)),
    [true, true, true, true],
  )
  t.ok(knock('b', 'b1') && knock('c', 'c1'), 'a crowd of one address makes room for others')
  t.same(shownOut, ['a1', 'a2'], 'its oldest first')
  t.notOk(knock('b', 'b2') || knock('a', 'a5'), 'but not for one more of those who are many')
  t.ok(knock('d', 'd1'))
  t.notOk(knock('e', 'e1'), 'where everybody has one place nobody loses it')
  t.equal(sourceOf('fe80::1%eth0'), sourceOf('fe80::2'))
  t.equal(sourceOf('2001:0db8:0:0::1'), sourceOf('2001:db8::9'))
})

await t.test('words from outside cannot act on a terminal, and tables fit it', async (t) => {
  t.equal(plain('a\u001b[2Jb\r\nc\u0007\u009b31m'), 'a␛[2Jb␍␊c␇\ufffd31m')
  t.equal(plain('abc\u202etxt.exe'), 'abc\ufffdtxt.exe')
  t.equal(plain('\ud800'), '\ufffd')
  t.equal(width('日本e\u0301'), 5)
  t.equal(fit('abcdef', 4), 'abc…')
  const lines = table(['NAME', 'WHAT'], [['prod-db', `${'long words '.repeat(20)}\u001b]0;x`]], 40).split('\n')
  for (const line of lines) t.ok(width(line) <= 40, line)
  t.notOk(lines.join('').includes(ESC))
  t.match(table(['A'], [['x'.repeat(300)]], undefined), 'x'.repeat(300))
  t.match(
    table(['A', 'B'], [['x'.repeat(76), together('2 lines')]], undefined),
    /2 lines/,
    'what is read as one stays so',
  )
  const session = ['01a1f99b-385c', 'alice', 'prod-db', 'operator', 'postgres query', 'the disk is full '.repeat(4)]
  const cards = table(['SESSION', 'WHO', 'TARGET', 'ROLE', 'WHAT', 'REASON'], [session, session], 40)
  for (const line of cards.split('\n')) t.ok(width(line) <= 40, line)
  t.match(
    cards,
    /^SESSION 01a1f99b-385c\nWHO +alice\nTARGET +prod-db\nROLE +operator\n/,
    'a phone shows what can be typed',
  )
  const usual = ['01a1f99b-385c', 'mallory', 'prod-web', 'rehearse', 'postgres query', '18:37', together('12m, live')]
  const listed = table(
    ['SESSION', 'WHO', 'TARGET', 'ROLE', 'WHAT', 'BEGAN', 'LASTED', 'COMMAND OR REASON'],
    [
      [...usual.with(4, 'ssh exec'), `tail ${'/var/log/unattended-upgrades'.repeat(2)}`],
      [...usual, 'INC-42'],
    ],
    80,
  )
  for (const line of listed.split('\n')) t.ok(width(line) <= 80, line)
  t.match(listed, /^01a1f99b-385c {2}mallory .* postgres .*12m, live/m, 'a usual terminal shows columns')
  t.match(listed, /\/unatten\n +ded-upgr\n/, 'a long path goes on below')
  const wrapped = table(['NO', 'REASON'], [['1', 'the disk is full '.repeat(9)]], undefined)
  t.equal(
    wrapped.split('\n').every((line) => width(line) <= 80),
    true,
  )
  t.equal(wrapped.match(/full/g)?.length, 9, 'a pipe gets every word')
})

await t.test('a menu fits the screen, and numbers and arrows choose', async (t) => {
  const choices = Array.from({ length: 50 }, (_, at) => ({ label: `host-${at + 1}`, detail: 'd'.repeat(200) }))
  const chosen = async (...typed: string[]) => {
    const channel = new TestChannel({ kind: 'shell' }, { ...TERMINAL, columns: 40, rows: 10 })
    for (const keys of typed) channel.type(keys)
    const at = await choose(new Console(channel.endInput()), 'where to?', choices)
    return { at, out: channel.out }
  }
  t.equal((await chosen('23')).at, 22)
  t.equal((await chosen('7')).at, 6, 'there is no 70')
  t.equal((await chosen('3')).at, undefined, 'a 3 may become a 30')
  t.equal((await chosen('3\r')).at, 2)
  t.equal((await chosen(`${ESC}[B`, `${ESC}[B`, `${ESC}[A`, '\r')).at, 1)
  t.equal((await chosen(`${ESC}OB\r`)).at, 1)
  for (const leave of ['q', '\u0003', '\u0004', ESC]) t.equal((await chosen(leave)).at, undefined)
  const { out } = await chosen('50')
  const last = out.split(`${ESC}[J`).at(-1)?.replaceAll(COLOUR, '').split('\r\n') ?? []
  t.ok(last.length <= 10)
  for (const line of last) t.ok(width(line) <= 40, line)
})

const answer = async (typed: string) => {
  const channel = new TestChannel({ kind: 'shell' }, TERMINAL).type(typed).endInput()
  return askLine(new Console(channel), 'Why?', 'because')
}

await t.test('an answer can be corrected while it is typed', async (t) => {
  t.equal(await answer('abd\u007fc\r'), 'abc')
  t.equal(await answer('one two\u0017three\r'), 'one three')
  t.equal(await answer('wrong\u0015right\r'), 'right')
  t.equal(await answer('日本\u007f\r'), '日')
  t.equal(await answer('\r'), 'because')
  t.equal(await answer(`a${ESC}[200~b\u0001\r`), 'ab', 'control keys are not text')
  t.equal(await answer('\u0003'), undefined)
  t.equal((await answer(`${'x'.repeat(2000)}\r`))?.length, 500)
})

await t.test('ids are abbreviated as far as they stay different', async (t) => {
  t.strictSame(shortIds(['01980000-0000-7000-8000-000000000001', '01990000-0000-7000-8000-000000000001']), [
    '01980000-0000',
    '01990000-0000',
  ])
  t.strictSame(shortIds(['01980000-0000-7000-8000-000000000001', '01980000-0000-7001-8000-000000000001']), [
    '01980000-0000-7000',
    '01980000-0000-7001',
  ])
})

await t.test('a person asks, somebody else says yes, and both read what to do next', async (t) => {
  const desk = await openDesk(t)
  const { alice, bob, mallory } = people()
  const hers = commandLine(desk, alice)
  const his = commandLine(desk, bob)
  const asked = await hers.type('request prod-db --role operator --for 15m --reason INC-42 disk full')
  t.equal(asked.code, 0)
  t.match(asked.out, 'Request 1: operator on prod-db for 15m waits for approval by leads (0 of 1).')
  t.match(asked.errors, 'ssh -p 2222 alice@gateway.test withdraw 1')
  const list = await his.type('requests')
  t.match(list.out, /1 +alice +operator +prod-db +15m .*you decide +INC-42 disk full/)
  const all = await his.type('requests 1')
  for (const line of [
    /^Request 1: alice asks for operator on prod-db for 15m\n/,
    /^why +INC-42 disk full\n/m,
    /^signed in +.* with pwd, otp, when this was asked\n/m,
    /^role +operator: the operator role\nallows +ssh: A shell as deploy, with every command/m,
    /^terms +It lasts 30 min unless asked otherwise, 2 h at most\./m,
    /^approvals +0 of 1, by one person of leads\n/m,
    /^before +nothing by alice on prod-db\n/m,
    /^Allow it: ssh -p 2222 bob@gateway\.test approve 1 .*--read-only\)\nDeny it: +ssh -p 2222 bob@gateway\.test deny 1 --reason "why"\n/m,
  ])
    t.match(all.out, line)
  for (const line of all.out.split('\n').slice(0, -3)) t.ok(width(line) <= 80, line)
  const dark = commandLine(desk, bob, { ...shelf(), sessions: () => Promise.reject(new Error('no ClickHouse')) })
  t.match((await dark.type('requests 1')).out, /before +the recordings cannot be read just now\n[^]*Allow it/)
  const earlier = recorded('alice', [])
  const later = recorded('alice', [], { startedAt: (Date.now() + 3_600_000) as Moment, role: 'logs' })
  const looked = (await commandLine(desk, bob, shelf(earlier, later)).type('requests 1')).out
  t.match(looked, /^before +.*operator, ssh/m)
  t.notMatch(looked, /logs, ssh/, 'what came after the request is not before it')
  t.notMatch((await hers.type('requests 1')).out, 'Allow it', 'who asks reads the same, and decides nothing')
  t.match((await his.type('requests 1 --json')).json, [
    { id: '1', mayApprove: true, allows: [/^ssh: A shell/], terms: [/30 min/], past: [] },
  ])
  t.match((await his.type('requests --json')).json, [{ id: '1', state: 'requested', mayApprove: true, minutes: 15 }])
  t.match((await hers.type('approve 1')).code, 1, 'nobody approves their own request')
  t.match((await his.type('requests 7')).errors, 'There is no grant or request 7 for you.')
  const allowed = await his.type('approve 1 --for 5m')
  t.equal(allowed.code, 0)
  t.match(allowed.out, 'Grant 1: operator on prod-db for alice, until ')
  t.match((await hers.type('grants')).out, /1 +alice +operator +prod-db +until \d\d:\d\d \(5m\) +INC-42 disk full/)
  t.match((await hers.type('grants --json')).json, [{ id: '1', state: 'live', approvals: [{ by: 'bob' }] }])
  t.match((await hers.type('targets')).out, /prod-db +ssh +operator logs +operator, 5m left /)
  t.match(
    (await hers.type('requests 1')).out,
    /^approvals +1 of 1.*\n +bob, \d\d:\d\d\n[^]*^now +live until/m,
    'later, too',
  )
  t.match(await commandLine(desk, people().erin).type('requests 1'), {
    code: 1,
    errors: /no grant or request 1 for you/,
  })
  t.match((await commandLine(desk, mallory).type('targets')).errors, 'There is no target that you may ask for.')
  t.equal((await hers.type('release 1')).code, 0)
  t.match((await hers.type('grants')).errors, 'No grant.')
  t.match((await hers.type('grants --all')).out, /released by alice/)
  await hers.type('request prod-db --role operator --reason INC-43 a look')
  t.match((await his.type('approve 2 --read-only')).out, 'Grant 2: operator (looking only) on prod-db for alice')
  t.match((await hers.type('grants')).out, /operator \(looking only\) +prod-db +until/)
})

await t.test('a role by rule is live at once and says how to get in', async (t) => {
  const desk = await openDesk(t)
  const { out, code } = await commandLine(desk, people().alice).type(
    'request prod-db --role logs --reason just looking',
  )
  t.equal(code, 0)
  t.match(out, /Grant 1: logs on prod-db for alice, until .* \(30m\)\.\nssh -t -p 2222 alice@gateway.test prod-db\n/)
})

await t.test('an unknown target and a forbidden one get one answer', async (t) => {
  const desk = await openDesk(t)
  const { type } = commandLine(desk, people().alice)
  const unknown = await type('request nosuch --reason why not')
  const forbidden = await type('request secret --reason why not')
  t.equal(unknown.code, 1)
  t.equal(forbidden.code, 1)
  t.equal(unknown.errors.replaceAll('nosuch', 'X'), forbidden.errors.replaceAll('secret', 'X'))
  t.notMatch(unknown.errors, /Did you mean/)
})

await t.test('a target or a role that was mistyped is guessed out of those that are open to the person', async (t) => {
  const desk = await openDesk(t)
  const { type } = commandLine(desk, people().alice)
  t.match(await type('request prod-bd --role logs --reason why not'), { code: 1, errors: /Did you mean prod-db\?/ })
  t.match(await type('request prod-db --role opertor --reason why not'), { code: 1, errors: /Did you mean operator\?/ })
  t.notMatch((await type('request secrt --reason why not')).errors, /secret|Did you mean/)
})

await t.test('wrong usage is one clear line, the usage of that command, and exit code 2', async (t) => {
  const desk = await openDesk(t)
  const { type } = commandLine(desk, people().alice)
  const cases: readonly (readonly [string, RegExp])[] = [
    ['nosuch', /^There is no command nosuch\. Type `help` for all\.\n$/],
    ['request', /^request needs TARGET\.\nusage: request TARGET /],
    ['request prod-db', /^--reason is missing\.\nusage: request /],
    ['request prod-db --reason', /^.*--reason.*\.\nusage: request /],
    ['request prod-db --for soon --reason x y z', /^--for takes a span like 90s, 30m or 1h30m, not soon\.\n/],
    ['request prod-db --colour red', /^Unknown option '--colour'\.\nusage: request /],
    ['request a b --reason x y z', /^b is one word too many\.\n/],
    ['approve', /^approve needs NUMBER\.\n/],
    ['approve x', /^x is not the number of a request or grant\.\n/],
    ['approve 1 --for', /^.*--for.*\.\nusage: approve /],
    ['revoke', /^revoke needs exactly one of/],
    ['revoke 1 --person alice', /^revoke needs exactly one of/],
    ['lock alice', /^--note is missing\.\n/],
    ['sessions --since yesterday', /^--since takes a span/],
    ['replay zz', /^zz is not the id of a session/],
    ['replay 01980000 --speed fast', /^--speed takes a number/],
    ['help nosuch', /^There is no command nosuch/],
    ['help aprove', /^There is no command aprove\. Did you mean approve\? Type `help` for all\.\n/],
    ['request prod-db --reson x y z', /^Unknown option '--reson'\. Did you mean --reason\?\n/],
    [
      'request prod-db --role operator --for 3h --reason x y z',
      /^Role operator lasts 2 h at most\.\nSay 2 h, or less\.\n$/,
    ],
    ['request prod-db --role operator --for 1s --reason x y z', /^The time must be 3 s at least\.\n$/],
    ['approve \u001b[2J', /^␛\[2J is not the number/],
  ]
  for (const [line, complaint] of cases) {
    const { code, errors, out } = await type(line)
    t.equal(code, 2, line)
    t.match(errors, complaint)
    t.equal(out, '', 'nothing where a script would read')
  }
})

await t.test('help lists every command, and tells more about each', async (t) => {
  const desk = await openDesk(t)
  const { type } = commandLine(desk, people().alice)
  const { out, code } = await type('help')
  t.equal(code, 0)
  for (const word of reservedWords) if (word !== 'help') t.match(out, new RegExp(`^  ${word} `, 'm'))
  for (const word of reservedWords) {
    const help = await type(`help ${word}`)
    t.match(help.out, new RegExp(`^${word}[^]*\nExample:\n  ssh (-t )?-p 2222 alice@gateway.test ${word}`))
    t.match(await type(`${word} --help`), { code: 0, out: help.out, errors: '' })
  }
  const narrow = (await type('help', { ...TERMINAL, columns: 60 })).out
  t.match(narrow, /\r\n {2}ssh -p 2222 alice@gateway\.test help COMMAND\r\n {4}more about one of these:\r\n/)
  for (const line of narrow.split('\r\n'))
    t.ok(line.startsWith('  ssh') || width(plain(line.replaceAll(COLOUR, ''))) <= 60, line)
})

await t.test('waiting goes on when somebody says yes, and Ctrl-C takes the request back', async (t) => {
  const desk = await openDesk(t)
  const { alice, bob } = people()
  const { type, contextFor } = commandLine(desk, alice)
  const waiting = type('request prod-db --role operator --reason INC-42 --wait')
  await until(async () => (await desk.grants.requests(bob)).length > 0)
  await desk.grants.approve(bob, '1' as GrantId, {})
  const { code, out, errors } = await waiting
  t.equal(code, 0)
  t.match(errors, 'waiting for approval by leads… request 1\n')
  t.match(out, 'Grant 1: operator on prod-db')

  const { runCommand } = await import('../../gateway/ssh/commands/commands.ts')
  const channel = new TestChannel({ kind: 'shell' }, TERMINAL)
  const second = runCommand(
    contextFor(channel),
    'request prod-web --role operator --reason INC-43 --wait',
    () => undefined,
  )
  await channel.shows('(Ctrl-C withdraws)')
  channel.type('x\u0003')
  t.equal(await second, 1)
  t.match(channel.out, 'Request 2 is withdrawn.\r\n')

  const third = new TestChannel({ kind: 'shell' }, TERMINAL)
  const denied = runCommand(
    contextFor(third),
    'request prod-web --role operator --reason INC-44 --wait',
    () => undefined,
  )
  await third.shows('(Ctrl-C withdraws)')
  await desk.grants.deny(bob, '3' as GrantId, 'not on a Friday')
  t.equal(await denied, 1)
  t.match(third.out, 'Request 3 was denied by bob: not on a Friday')
})

await t.test('who decides can revoke, lock and unlock; others cannot', async (t) => {
  const desk = await openDesk(t)
  const { alice, admin, bob } = people()
  const hers = commandLine(desk, alice)
  await hers.type('request prod-db --role logs --reason just looking')
  t.equal((await hers.type('lock bob --note revenge')).code, 1)
  const revoked = await commandLine(desk, bob).type('revoke --person alice --note over')
  t.equal(revoked.code === 0 || revoked.code === 1, true)
  const all = await commandLine(desk, admin).type('revoke --target prod-db --note maintenance')
  t.equal(all.code, 0)
  t.match(all.out + all.errors + revoked.out, /Grant 1 of alice \(logs on prod-db\) is revoked\./)
  t.match(await commandLine(desk, admin).type('lock alice --note left the company'), { code: 0, errors: '' })
  t.match(
    (await commandLine(desk, admin).type('lock alcie --note left the company')).errors,
    /^Nobody of that name has signed in/,
  )
  t.match(
    (await hers.type('request prod-db --role logs --reason again please')).errors,
    /locked by admin: left the company/,
  )
  t.equal((await commandLine(desk, admin).type('unlock alice')).code, 0)
  t.equal((await hers.type('request prod-db --role logs --reason again please')).code, 0)
})

await t.test(
  'sessions are listed for their person and for auditors, and found by the beginning of their id',
  async (t) => {
    const desk = await openDesk(t)
    const { alice, erin, carol } = people()
    const library = shelf(
      recorded('alice', [['o', 'hello\r\n']]),
      recorded('erin', [['o', 'secret \u001b]52;c;aGk=\u0007words\r\n']]),
    )
    const hers = commandLine(desk, alice, library)
    const auditor = commandLine(desk, carol, library)
    t.match((await hers.type('sessions --json')).json, [{ username: 'alice', endedAt: /Z$/, cause: 'exited' }])
    t.equal(((await auditor.type('sessions --json')).json as unknown[]).length, 2)
    t.equal((await hers.type('sessions --person erin')).code, 1)
    t.match((await auditor.type('sessions --person erin')).out, /erin +prod-db +operator +ssh shell/)
    const id = recorded('erin', []).start.id
    const odd = shelf(recorded('alice', [], { command: 'a\u009b31m\u202e' }))
    const { out } = await commandLine(desk, alice, odd).type('sessions --json')
    t.match(out, 'a\\u009b31m\\u202e', 'nothing in a document acts on a terminal')
    t.match(
      await hers.type(`replay ${id}`),
      { code: 1, errors: /There is no session/ },
      'others’ sessions are not there',
    )
    t.equal((await auditor.type('replay 0198')).code, 2, 'a beginning of two sessions is not enough')
    const played = await auditor.type(`replay ${id.slice(0, 13)}`)
    t.strictSame([played.code, played.out], [0, 'secret words\n'])
    t.match(
      desk.audited.filter(({ kind }) => kind === 'session.replayed'),
      [{ actor: 'carol', session: id, text: 'carol replayed a session of erin.' }],
    )
    t.equal((await commandLine(desk, erin, library).type(`replay ${id.slice(0, 13)}`)).code, 0, 'one’s own')
    t.match((await auditor.type(`replay ${id} --cast`)).out, /^\{"version":3/)
    t.match(desk.audited.at(-1), { kind: 'session.exported', actor: 'carol' })
    const { id: number } = await desk.grants.request(alice, { target: 'prod-db', role: 'logs', reason: 'INC-42' })
    const file = await auditor.type(`evidence ${number}`)
    t.match(
      JSON.parse(file.out),
      { grant: number, role: 'logs', by: 'carol' },
      'with the role, which an auditor may not ask for',
    )
    t.match(desk.audited.at(-1), { kind: 'grant.exported', actor: 'carol', grant: number })
    t.match(await commandLine(desk, erin, library).type(`evidence ${number}`), { code: 1, errors: /no grant/ })
    const web = recorded('erin', [['s', JSON.stringify({ n: 1, kind: 'http', text: 'GET /', verdict: {} })]], {
      protocol: 'http',
    })
    const archive = await commandLine(desk, carol, shelf(web)).type(`replay ${web.start.id} --har`)
    t.match(JSON.parse(archive.out), { log: { version: '1.2', entries: [{ request: { method: 'GET' } }] } })
  },
)

await t.test('who got the user name of somebody before does not get their sessions', async (t) => {
  const desk = await openDesk(t)
  const { alice } = people()
  const before = recorded('alice', [['o', 'secret of the first alice']], {
    subject: 'https://idp.test|gone' as Subject,
  })
  const hers = commandLine(desk, alice, shelf(before))
  t.same((await hers.type('sessions --json')).json, [])
  for (const name of [before.start.id, before.start.id.slice(0, 13)])
    t.match(await hers.type(`replay ${name}`), { code: 1, out: '', errors: /There is no session/ })
})

await t.test('whoami, explain-role, ssh-config and logout say it plainly', async (t) => {
  const desk = await openDesk(t)
  const { type } = commandLine(desk, people().alice)
  t.match((await type('whoami')).out, /^alice \(engineers\)\nsigned in at test with pwd, otp, /)
  t.match((await type('whoami --json')).json, { username: 'alice', groups: ['engineers'], duties: [] })
  const role = await type('explain-role operator')
  t.match(role.out, 'A shell as deploy, with every command that account may run.')
  t.match(role.out, 'Somebody else agrees: one person of leads.')
  t.equal((await type('explain-role nosuch')).code, 1)
  t.match((await type('explain-role operater')).errors, 'Did you mean operator?')
  const config = (await type('ssh-config')).out
  t.match(config, 'Host prod-db\n  HostName gateway.test\n  Port 2222\n  User alice%prod-db\n')
  t.notMatch(config, 'secret')
  t.match((await type('logout')).out, '0 keys are forgotten.')
  t.match((await type('roles')).out, /logs +ssh +rule +30m +2h/)
})

await t.test('no line of words breaks the command line', async (t) => {
  const desk = await openDesk(t)
  const { type } = commandLine(desk, people().admin, shelf(recorded('alice', [['o', 'hello']])))
  let seed = 7
  const random = (most: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return Math.floor(seed / 65_536) % most
  }
  const more =
    'prod-db 1 999 01980000 -- - --json --for 30m --reason why --note --person alice --target --since 2h --live --all --speed 2 --idle 1s --cast --wait=1 " \' "a b" --reason= \u0000 \u001b[2J 日本 __proto__ --__proto__ -1 --for=0m --no-json'
  const some = [...reservedWords, ...more.split(' ')]
  const codes = new Set<number>()
  for (let round = 0; round < 600; round += 1) {
    const rest = Array.from({ length: random(6) }, () => some[random(some.length)])
    const line = [reservedWords[random(reservedWords.length)], ...rest].join(' ')
    const { code, out, errors } = await type(line.replace('--wait', '--json'))
    codes.add(code)
    if (![0, 1, 2].includes(code) || `${out}${errors}`.includes('broke on our side') || errors.includes(ESC))
      t.fail(JSON.stringify({ line, code, errors }))
  }
  t.strictSame(
    [...codes].toSorted((a, b) => a - b),
    [0, 1, 2],
  )
})
