/** The parts of a replay that need no browser: reading a cast, squeezing pauses, telling what was typed. */
import t from 'tap'
import type { SessionEventView } from '../../gateway/portal/schema/recordings.ts'
import { boundedSize, CastReader, parseSize } from '../../web-terminal/src/replay/cast.ts'
import { entriesOf, keyNames } from '../../web-terminal/src/replay/story.ts'
import { Tape } from '../../web-terminal/src/replay/tape.ts'
import { visible } from '../../web-terminal/src/visible.ts'

const size = { columns: 80, rows: 24 }
const mark = (seconds: number) => ({ seconds, kind: 'o', text: '' })
const read = (chunks: readonly string[]) => {
  const reader = new CastReader()
  const marks = chunks.flatMap((chunk) => reader.push(chunk))
  return { size: reader.size, marks }
}

await t.test('a cast reads the same however it is cut', async (t) => {
  const cast = [
    '{"version":3,"term":{"cols":100,"rows":30}}',
    '# a comment',
    '[0.5,"o","one\\r\\n"]',
    'not JSON',
    '["x"]',
    '[1.25,"r","120x40"]',
    '[-3,"o","two"]',
    '',
  ].join('\n')
  const whole = read([cast])
  t.strictSame(whole, {
    size: { columns: 100, rows: 30 },
    marks: [
      { seconds: 0.5, kind: 'o', text: 'one\r\n' },
      { seconds: 1.75, kind: 'r', text: '120x40' },
      { seconds: 1.75, kind: 'o', text: 'two' },
    ],
  })
  t.strictSame(read(cast.split('')), whole)
})

await t.test('a screen is never larger than a browser can draw', async (t) => {
  t.strictSame(boundedSize(1e9, 1e9), { columns: 400, rows: 200 })
  t.strictSame(boundedSize(0, Number.NaN), size)
  t.strictSame(parseSize('999999x1'), { columns: 400, rows: 1 })
  t.equal(parseSize('80x24;rm'), undefined)
})

await t.test('long pauses are squeezed, and a moment of the session is found on the squeezed clock', async (t) => {
  const tape = new Tape(size, 2)
  tape.add([mark(1), mark(61)])
  tape.add([mark(62), mark(100)])
  t.strictSame(
    [0, 1, 2, 3].map((index) => tape.timeAt(index)),
    [1, 3, 4, 6],
  )
  t.equal(tape.timeOf(0.5), 0, 'before anything happened')
  t.equal(tape.timeOf(30), 3, 'in the pause')
  t.equal(tape.timeOf(62), 4)
  t.equal(tape.length, 6)
  tape.squeeze(0)
  t.equal(tape.length, 100)
})

await t.test('typed keys become lines; what was judged is told once', async (t) => {
  let seq = 0
  const event = (seconds: number, more: Partial<SessionEventView>): SessionEventView => ({
    seq: (seq += 1),
    at: new Date(seconds * 1000).toISOString(),
    seconds,
    kind: 'i',
    text: '',
    ...more,
  })
  const statement = { n: 1, kind: 'command', text: 'df -h', verdict: { decision: 'allow' }, truncated: false } as const
  const entries = entriesOf([
    event(1, { text: 'lss\x7f -l' }),
    event(2, { text: '\x1b[D\x1b[C\r' }),
    event(3, { text: 'oops\x03' }),
    event(4, { text: 'df -h\r' }),
    event(4.2, { kind: 's', statement }),
    event(4.4, { kind: 'd', outcome: { n: 1, result: 'done', ms: 3 } }),
    event(6, { kind: 'k', text: '12' }),
  ])
  t.match(entries, [
    { kind: 'typed', text: 'ls -l' },
    { kind: 'statement', outcome: { result: 'done' } },
    { kind: 'secret', count: 12 },
  ])
  t.equal(entries.length, 3)
})

await t.test('nothing that people wrote hides or reorders itself', async (t) => {
  t.equal(visible('a\u202eb\u200bc'), 'a\ufffdb\ufffdc')
  t.equal(visible('\x1b[8mx\x07\x7f'), '␛[8mx␇␡')
  t.equal(visible('one\ttwo\nżółć 👩‍🚀'), 'one\ttwo\nżółć 👩‍🚀')
})

await t.test('keys have the names that stand on them', async (t) => {
  t.equal(keyNames('\r'), '⏎')
  t.equal(keyNames('\x1b[A'), '↑')
  t.equal(keyNames('\x03'), '^C')
  t.equal(keyNames('ls -l\r'), 'ls␣-l⏎')
})
