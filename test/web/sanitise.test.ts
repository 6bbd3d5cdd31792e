/** Hostile recordings: whatever a host wrote, the replay terminal draws text and does nothing else. */
import xterm from '@xterm/headless'
import t from 'tap'
import { Sanitiser, type Tricks } from '../../web-terminal/src/replay/sanitise.ts'

const COLUMNS = 40
const ROWS = 8

/** What a terminal makes of it: the visible text, everything it would have answered, titles and bells. */
async function show(chunks: readonly string[]) {
  const sanitiser = new Sanitiser(COLUMNS, ROWS)
  const terminal = new xterm.Terminal({ allowProposedApi: true, cols: COLUMNS, rows: ROWS })
  const answers: string[] = []
  terminal.onData((data) => answers.push(data))
  terminal.onBinary((data) => answers.push(data))
  terminal.onTitleChange((title) => answers.push(`title ${title}`))
  terminal.onBell(() => answers.push('bell'))
  terminal.onResize(() => answers.push('resize'))
  let slowest = 0
  let written = ''
  for (const chunk of chunks)
    for (const piece of sanitiser.push(chunk)) {
      const start = performance.now()
      await new Promise<void>((resolve) => terminal.write(piece, resolve))
      slowest = Math.max(slowest, performance.now() - start)
      written += piece
    }
  const buffer = terminal.buffer.active
  const lines = Array.from({ length: ROWS }, (_, y) => buffer.getLine(buffer.baseY + y)?.translateToString(true) ?? '')
  terminal.dispose()
  return { text: lines.join('\n').trimEnd(), answers, slowest, written, tricks: sanitiser.tricks }
}

const e = '\x1b'
const hostile: readonly (readonly [name: string, output: string, text: string, trick?: keyof Tricks])[] = [
  ['cursor position query', `a${e}[6nb`, 'ab', 'query'],
  ['status query', `a${e}[5nb`, 'ab', 'query'],
  ['DEC status query', `a${e}[?6nb`, 'ab', 'query'],
  ['primary device attributes', `a${e}[cb`, 'ab', 'query'],
  ['secondary device attributes', `a${e}[>cb`, 'ab', 'query'],
  ['tertiary device attributes', `a${e}[=cb`, 'ab', 'query'],
  ['DECRQSS', `a${e}P$q"p${e}\\b`, 'ab', 'query'],
  ['XTGETTCAP', `a${e}P+q544e${e}\\b`, 'ab', 'query'],
  ['DECRQM', `a${e}[?2026$pb`, 'ab', 'query'],
  ['terminal version query', `a${e}[>0qb`, 'ab', 'query'],
  ['window size report', `a${e}[18tb`, 'ab', 'query'],
  ['title report', `a${e}[21tb`, 'ab', 'query'],
  ['answerback', 'a\x05b', 'ab'],
  ['bell', 'a\x07b', 'ab'],
  ['window title', `a${e}]0;pwned\x07b`, 'ab', 'title'],
  ['window title by OSC 2', `a${e}]2;approve?${e}\\b`, 'ab', 'title'],
  ['clipboard write', `a${e}]52;c;ZXZpbA==\x07b`, 'ab', 'clipboard'],
  ['clipboard read', `a${e}]52;c;?\x07b`, 'ab', 'clipboard'],
  ['link with a script', `${e}]8;;javascript:alert(1)\x07click${e}]8;;\x07`, 'click', 'link'],
  ['link with data', `${e}]8;id=1;data:text/html,<script>${e}\\click${e}]8;;${e}\\`, 'click', 'link'],
  ['colour query', `a${e}]4;1;?\x07b`, 'ab', 'other'],
  ['foreground query', `a${e}]10;?\x07b`, 'ab', 'other'],
  ['background set to foreground', `a${e}]11;#ffffff\x07b`, 'ab', 'other'],
  ['REP of a hundred million', `A${e}[100000000b`, `${'A'.repeat(40)}\nA`],
  ['REP of 2^31', `A${e}[2147483648b`, `${'A'.repeat(40)}\nA`],
  ['a thousand REPs', `A${`${e}[999999999b`.repeat(1000)}${e}[2J${e}[Hdone`, 'done'],
  ['SU bomb', `a${e}[2147483647S${e}[Hb`, 'b'],
  ['SD bomb', `${e}[2147483647T${e}[Hb`, 'b'],
  ['IL bomb', `${e}[2147483647L${e}[Hb`, 'b'],
  ['DL bomb', `${e}[99999999999999999999Mb`, 'b'],
  ['ICH bomb', `ab\r${e}[2147483647@c`, 'c'],
  ['ECH bomb', `ab\r${e}[100000000Xc`, 'c'],
  ['tab bomb', `a${e}[2147483647Z${e}[2147483647Ib`, `a${' '.repeat(38)}b`],
  ['cursor bomb', `${e}[2147483647;2147483647Hx${e}[Hy`, `y${'\n'.repeat(7)}${' '.repeat(39)}x`],
  ['title of nine million characters', `a${e}]2;${'x'.repeat(9_000_000)}\x07b`, 'ab', 'oversized'],
  ['unterminated OSC hides no more than a line', `a${e}]2;${'x'.repeat(5000)}\r\nb`, 'a\nb', 'oversized'],
  ['unterminated DCS', `a${e}P1;2|${'y'.repeat(5000)}\r\nb`, 'a\nb', 'oversized'],
  ['endless CSI', `a${e}[${'1;'.repeat(50_000)}mb`, 'ab', 'oversized'],
  ['APC with a picture', `a${e}_Gf=24;AAAA${e}\\b`, 'ab', 'other'],
  ['sixel', `a${e}Pq#0;2;0;0;0~~${e}\\b`, 'ab', 'other'],
  ['mouse tracking', `a${e}[?1003hb`, 'ab', 'other'],
  ['focus reports', `a${e}[?1004hb`, 'ab', 'other'],
  ['bracketed paste', `a${e}[?2004hb`, 'ab', 'other'],
  ['frozen output', `a${e}[?2026hb`, 'ab', 'other'],
  ['132 columns', `a${e}[?3hb`, 'ab', 'other'],
  ['hidden text', `${e}[8msecret${e}[0m`, 'secret', 'hidden'],
  ['hidden among colours', `${e}[31;8;1msecret`, 'secret', 'hidden'],
  ['eight-bit clipboard write', 'a\x9d52;c;ZXZpbA==\x9cb', 'ab', 'clipboard'],
  ['eight-bit query', 'a\x9b6nb', 'ab', 'query'],
  ['right-to-left override', 'rm \u202egpj.exe', 'rm \ufffdgpj.exe', 'bidi'],
  ['zero-width space', 'su\u200bdo', 'su\ufffddo', 'bidi'],
  ['a tower of combining marks', `a${'\u0301'.repeat(100_000)}b`, `a${'\u0301'.repeat(8)}b`],
  ['surrogate halves', 'a\ud800b\udc00c', 'a\ufffdb\ufffdc'],
  ['end of a script element', '</script><img src=x onerror=alert(1)>', '</script><img src=x onerror=alert(1)>'],
  ['cancelled sequence', `a${e}[31\x18b${e}]2;x\x1ac`, 'abc', 'title'],
]

await t.test('forty and more hostile outputs draw their text, and nothing answers', async (t) => {
  for (const [name, output, text, trick] of hostile) {
    const whole = await show([output])
    t.equal(whole.text, text, name)
    t.strictSame(whole.answers, [], `${name}: no answer`)
    if (trick !== undefined) t.ok(whole.tricks[trick], `${name}: is counted as ${trick}`)
    if (whole.slowest > 1000) t.fail(`${name}: one piece blocked for ${Math.round(whole.slowest)} ms`)
  }
})

await t.test('cut at every character the result is the same', async (t) => {
  for (const [name, output] of hostile) {
    if (output.length > 300) continue
    const whole = await show([output])
    const characters = await show(Array.from({ length: output.length }, (_, at) => output.charAt(at)))
    t.equal(characters.written, whole.written, name)
  }
})

await t.test('what honest programs write passes as it is', async (t) => {
  const honest = [
    'plain text\r\n',
    `${e}[1;31mred${e}[0m ${e}[38;5;208morange${e}[38;2;8;8;8mgrey${e}[4:3mcurly${e}[m`,
    `${e}[?1049h${e}[2J${e}[H${e}[1;8r${e}[8;1H${e}M${e}[?25l${e}[?25h${e}[?1049l`,
    `${e}(0lqqk${e}(B${e}7${e}8`,
    'żółć 日本 👩‍🚀\r\n',
    `${e}[K${e}[2K${e}[3P${e}[4@${e}[2 q`,
  ]
  for (const output of honest) t.equal((await show([output])).written, output)
})

await t.test('random bytes draw and answer nothing', async (t) => {
  let seed = 7
  const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648
  const alphabet = Array.from(`\x1b\x1b\x1b[]PX^_?>=!$ ;:0123456789nctqphlmbSTLM@\\\x07\x9b\x9d\x90\x18aZ\n`)
  for (let round = 0; round < 200; round += 1) {
    const output = Array.from({ length: 400 }, () => alphabet[Math.floor(random() * alphabet.length)]).join('')
    const { answers } = await show([output])
    if (answers.length > 0) t.fail('an answer came', { output, answers })
  }
  t.pass('two hundred rounds')
})
