import { createRequire } from 'node:module'
import type { Terminal as HeadlessTerminal } from '@xterm/headless'
import t from 'tap'
import { runCommand } from '../../gateway/ssh/commands/commands.ts'
import { PlainOutput, SafeOutput } from '../../gateway/ssh/screen/safe-output.ts'
import { commandLine, openDesk, people, recorded, shelf, TERMINAL, TestChannel } from '../fixtures/ssh-front.ts'

// CommonJS without named exports.
const { Terminal } = createRequire(import.meta.url)('@xterm/headless') as { Terminal: typeof HeadlessTerminal }

const E = '\u001b'
const raw = (...bytes: number[]) => Buffer.from(bytes)

/** What was recorded, and the first line that an auditor must see of it. */
const hostile: readonly (readonly [name: string, bytes: string | Buffer, shown: string])[] = [
  ['title by OSC 0', `a${E}]0;owned\u0007b`, 'ab'],
  ['title by OSC 2, ended by ST', `a${E}]2;owned${E}\\b`, 'ab'],
  ['icon name', `a${E}]1;x\u0007b`, 'ab'],
  ['clipboard by OSC 52', `a${E}]52;c;cm0gLXJmIC8=\u0007b`, 'ab'],
  ['clipboard query', `a${E}]52;c;?\u0007b`, 'ab'],
  ['link with a script', `a${E}]8;;javascript:alert(1)${E}\\click${E}]8;;${E}\\b`, 'aclickb'],
  ['colour query', `a${E}]4;1;?\u0007${E}]10;?\u0007${E}]11;?\u0007b`, 'ab'],
  ['notification', `a${E}]777;notify;x;y\u0007${E}]9;x\u0007b`, 'ab'],
  ['iTerm file', `a${E}]1337;File=name=eA==;inline=1:AAAA\u0007b`, 'ab'],
  ['OSC as a C1 control in UTF-8', `a\u009d0;owned\u0007b`, 'ab'],
  ['OSC as a lone C1 byte', Buffer.concat([Buffer.from('a'), raw(0x9d), Buffer.from('0;x')]), 'a\ufffd0;x'],
  ['nine megabytes of title', `a${E}]0;${'x'.repeat(9 * 2 ** 20)}\u0007`, ''],
  ['OSC without an end hides nothing for ever', `a${E}]0;${'x'.repeat(70_000)}\r\n`, 'a['],
  ['OSC ended by another sequence', `a${E}]0;owned${E}[0mb`, 'ab'],
  ['OSC ended by CAN', `a${E}]0;owned\u0018b`, 'ab'],
  ['DCS: DECRQSS', `a${E}P$q"p${E}\\b`, 'ab'],
  ['DCS: XTGETTCAP', `a${E}P+q544e${E}\\b`, 'ab'],
  ['DCS without an end', `a${E}Pq#0;2;0`, 'a['],
  ['sixel', `a${E}Pq#0!9999999999~-${E}\\b`, 'ab'],
  ['APC, PM, SOS', `a${E}_Gx${E}\\${E}^x${E}\\${E}Xx${E}\\b`, 'ab'],
  ['device attributes, all three', `a${E}[c${E}[>c${E}[=cb`, 'ab'],
  ['status reports', `a${E}[5n${E}[6n${E}[?6n${E}[?15nb`, 'ab'],
  ['DECID', `a${E}Zb`, 'ab'],
  ['answerback', `a\u0005b`, 'ab'],
  ['mode requests', `a${E}[?1$p${E}[4$pb`, 'ab'],
  ['terminal parameters', `a${E}[x${E}[1xb`, 'ab'],
  ['version', `a${E}[>qb`, 'ab'],
  ['window operations and reports', `a${E}[18t${E}[21t${E}[2t${E}[8;1;1t${E}[14tb`, 'ab'],
  ['mouse and focus reports', `a${E}[?1000h${E}[?1003h${E}[?1006h${E}[?1004hb`, 'ab'],
  ['keyboard modes', `a${E}[>4;2m${E}[>1u${E}[?u${E}[?1h${E}=${E}[?2004hb`, 'ab'],
  ['a media copy to the printer', `a${E}[5i${E}[?5ib`, 'ab'],
  ['REP of 2^31', `A${E}[2147483648b`, 'A'.repeat(80)],
  ['a hundred REPs', `A${`${E}[99999999b`.repeat(100)}`, 'A'.repeat(80)],
  [
    'lines inserted, deleted, scrolled by 10^9',
    `${E}[1000000000L${E}[1000000000M${E}[1000000000S${E}[1000000000Tb`,
    'b',
  ],
  ['characters inserted and tabs by 10^9', `a${E}[1000000000@${E}[1000000000X${E}[1000000000Pb`, 'ab'],
  ['hidden text', `${E}[8msecret${E}[28m${E}[0;8;1mword`, 'secretword'],
  ['256 colours keep their number 8', `${E}[38;5;8mgrey`, 'grey'],
  ['a cursor far away', `${E}[99999999999;99999999999H${E}[Ha`, 'a'],
  ['full reset', `junk${E}ca`, 'a'],
  ['another character set', `${E}%@a${E}%G${E}(Za${E} Fb`, 'aab'],
  ['right to left', 'abc\u202etxt.exe', 'abc\ufffdtxt.exe'],
  ['invisible', 'a\u200b\u2060\ufeffb', 'a\ufffd\ufffd\ufffdb'],
  [
    'broken UTF-8',
    Buffer.concat([raw(0xc0, 0xaf, 0xed, 0xa0, 0x80, 0xf5), Buffer.from('a')]),
    '\ufffd\ufffd\ufffd\ufffd\ufffd\ufffda',
  ],
  ['half a character at the end', Buffer.concat([Buffer.from('a'), raw(0xe2, 0x82)]), 'a\ufffd'],
  ['a script', 'a</script><script>x', 'a</script><script>x'],
  ['too many parameters', `${E}[${'1;'.repeat(10_000)}mb`, ''],
  ['sequence in a sequence', `a${E}[3${E}[${E}]0;x\u0007${E}[1mb`, 'ab'],
  ['bells', `a${'\u0007'.repeat(1000)}b`, 'ab'],
]

/** The real thing on the other side: what it shows, and everything it would have sent or done. */
async function look(text: string) {
  const viewer = new Terminal({ cols: 80, rows: 24, allowProposedApi: true, scrollback: 10_000 })
  const acted: string[] = []
  viewer.onData((data) => acted.push(`answered ${JSON.stringify(data)}`))
  viewer.onBinary((data) => acted.push(`answered ${JSON.stringify(data)}`))
  viewer.onTitleChange((title) => acted.push(`title ${title}`))
  viewer.onBell(() => acted.push('bell'))
  await new Promise<void>((resolve) => viewer.write(text, resolve))
  const lines = Array.from({ length: viewer.buffer.active.length }, (_, at) =>
    viewer.buffer.active.getLine(at)?.translateToString(true),
  )
  const modes = { ...viewer.modes }
  viewer.dispose()
  return { lines, acted, modes }
}

await t.test('a hostile recording does nothing to the terminal of its viewer', async (t) => {
  t.ok(hostile.length >= 40)
  for (const [name, bytes, shown] of hostile) {
    const safe = new SafeOutput()
    const text = safe.push(Buffer.from(bytes)) + safe.end()
    const { lines, acted, modes } = await look(text)
    t.strictSame(acted, [], name)
    t.match(modes, { applicationCursorKeysMode: false, bracketedPasteMode: false, mouseTrackingMode: 'none' }, name)
    const line = lines.find((one) => one !== '') ?? ''
    if (shown.endsWith('[')) t.ok(line.startsWith(shown), `${name}: ${line.slice(0, 40)}`)
    else if (shown !== '') t.equal(line, shown, name)
  }
})

await t.test('it does not matter where a recording was cut into pieces', async (t) => {
  for (const [name, bytes] of hostile) {
    const all = Buffer.from(bytes).subarray(0, 3000)
    const whole = new SafeOutput()
    const expected = whole.push(all) + whole.end()
    const pieces = new SafeOutput()
    let text = ''
    for (const byte of all) text += pieces.push(raw(byte))
    t.equal(text + pieces.end(), expected, name)
  }
})

await t.test('random bytes never become more than the allow-list', async (t) => {
  let seed = 42
  const random = () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed
  }
  const likely = [0x1b, 0x5b, 0x5d, 0x50, 0x3f, 0x3b, 0x38, 0x63, 0x6e, 0x07, 0x9b, 0xc2, 0x9d, 0x24, 0x70, 0x5c]
  for (let round = 0; round < 60; round += 1) {
    const bytes = Uint8Array.from({ length: 2000 }, () =>
      random() % 3 === 0 ? random() % 256 : (likely[random() % likely.length] ?? 0),
    )
    const safe = new SafeOutput()
    const { acted } = await look(safe.push(bytes) + safe.end())
    if (acted.length > 0) t.fail(`round ${round}: ${acted.join(', ')}`)
    const plain = new PlainOutput()
    const text = plain.push(bytes) + plain.end()
    if (/(?![\n\t])\p{Cc}/u.test(text)) t.fail(`round ${round}: a control character in plain text`)
  }
  t.pass('sixty rounds')
})

await t.test('what belongs on a screen stays there', async (t) => {
  const safe = new SafeOutput()
  const text = `${E}[1;31mred${E}[0m ${E}[38;2;1;2;3mrgb${E}[m${E}[2;5Hhere${E}[?25l${E}[?1049h${E}[2J${E}(0lqk${E}(B é日\r\n\tx\b`
  t.equal(safe.push(Buffer.from(text)), text)
})

await t.test(
  'after a replay the cursor stands below it, also when it was left in the middle of an editor',
  async (t) => {
    const cases: readonly (readonly [string, string, readonly string[]])[] = [
      ['plain', 'one\r\ntwo', ['before', 'one', 'two', '-- end']],
      ['left in an editor', `one${E}[?1049h${E}[2J${E}[Heditor${E}[?25l`, ['before', 'one', '-- end']],
      ['with margins', `one${E}[2;3r${E}[?6h${E}[Hx`, ['before', 'xne']],
      ['in another character set', `${E}(0lqk`, ['before', '┌─┐', '-- end']],
    ]
    for (const [name, text, shown] of cases) {
      const safe = new SafeOutput()
      const { lines } = await look(`before\r\n${safe.push(Buffer.from(text))}${safe.end()}\r\n-- end`)
      t.strictSame(lines.slice(0, shown.length), shown, name)
      t.equal(lines.filter((line) => line !== '').at(-1), '-- end', name)
    }
  },
)

await t.test('a replay without a terminal is plain text in the order of the recording', async (t) => {
  const desk = await openDesk(t)
  const library = shelf(
    recorded(
      'alice',
      [
        ['s', JSON.stringify({ n: 1, kind: 'command', text: 'df', verdict: { decision: 'allow' }, truncated: false })],
        ['o', `${E}[32mFilesystem${E}[0m\r\nold\rnew\n`],
        ['e', 'df: warning\n'],
        ['m', 'Sallyport: 5 minutes left'],
        [
          's',
          JSON.stringify({
            n: 2,
            kind: 'command',
            text: 'rm x',
            verdict: { decision: 'deny', reason: 'read-only' },
            truncated: false,
          }),
        ],
        ['f', JSON.stringify({ operation: 'read', path: '/etc/\u001bpasswd', bytes: 3, result: 'done' })],
        ['k', '12'],
        ['x', '0'],
      ],
      { terminal: undefined, channel: 'exec', command: 'df' },
    ),
  )
  const { out } = await commandLine(desk, people().alice, library).type('replay 01980000')
  t.equal(
    out,
    [
      'command> df',
      'Filesystem',
      'old',
      'new',
      'df: warning',
      '-- Sallyport: 5 minutes left',
      'command> rm x  [deny: read-only]',
      '-- file read /etc/␛passwd done 3 bytes',
      '-- exit 0',
      '',
    ].join('\n'),
  )
})

await t.test('a replay on a terminal waits as the recording did; → skips, space holds, q leaves', async (t) => {
  const desk = await openDesk(t)
  const library = shelf(
    recorded('alice', [
      ['o', 'first '],
      ['o', 'second ', 20],
      ['o', 'after a long pause ', 3_600_000],
      ['o', 'never seen', 7_200_000],
    ]),
  )
  const { contextFor } = commandLine(desk, people().alice, library)
  const channel = new TestChannel({ kind: 'exec', command: 'replay' }, TERMINAL)
  const done = runCommand(contextFor(channel), 'replay 01980000 --idle 8s --speed 1', () => undefined)
  await channel.shows('second')
  t.notMatch(channel.out, 'after a long pause')
  channel.type(' ')
  channel.type(`${E}[C`)
  channel.type(' ')
  await channel.shows('after a long pause')
  channel.type('q')
  t.equal(await done, 0)
  t.notMatch(channel.out, 'never seen')
  t.match(channel.out, 'you left the replay')
  t.ok(channel.out.includes(`${E}[?25h`), 'the terminal is put back in order')
})
