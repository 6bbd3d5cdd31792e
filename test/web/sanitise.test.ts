/** Hostile recordings: whatever a host wrote, the replay terminal draws text and does nothing else. */
import xterm from '@xterm/headless'
import t from 'tap'
import { Sanitiser } from '../../web-terminal/src/replay/sanitise.ts'
import { hostile } from '../fixtures/hostile-output.ts'

const e = '\x1b'
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
