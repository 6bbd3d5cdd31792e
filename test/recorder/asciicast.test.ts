import t from 'tap'
import type { EventKind } from '../../gateway/model/event.ts'
import type { Moment } from '../../gateway/model/moment.ts'
import { asciicast } from '../../gateway/recorder/asciicast.ts'
import type { RecordedEvent, SessionRow } from '../../gateway/session/session.ts'

const session = {
  username: 'alice',
  target: 'prod-db',
  startedAt: 1000 as Moment,
  command: 'app',
  terminal: undefined,
} as SessionRow
async function* events(...all: readonly (readonly [EventKind, unknown])[]): AsyncGenerator<RecordedEvent> {
  let seq = 0
  for (const [kind, data] of all) {
    seq += 1
    yield {
      seq,
      at: (1000 + seq * 100) as Moment,
      kind,
      data: Buffer.from(typeof data === 'string' ? data : JSON.stringify(data)),
    }
  }
}
const played = async (row: SessionRow, ...all: readonly (readonly [EventKind, unknown])[]) => {
  const lines: unknown[] = []
  for await (const line of asciicast(row, events(...all))) lines.push(JSON.parse(line))
  return lines.slice(1)
}
const statement = (text: string, verdict: object) =>
  ['s', { n: 1, kind: 'sql', text, verdict, truncated: false }] as const

await t.test('a session without a screen shows what was judged and what became of it', async (t) => {
  const lines = await played(
    session,
    statement('select 1', { decision: 'allow' }),
    ['d', { n: 1, result: 'done', ms: 3, rows: 1, tag: 'SELECT 1' }],
    statement('drop table x', { decision: 'deny', reason: 'DROP is not a read' }),
    ['f', { operation: 'read', path: '/var/log/x', bytes: 5, result: 'done' }],
  )
  t.strictSame(
    lines.map((line) => (line as readonly unknown[])[2]),
    [
      'sql> select 1\r\n',
      '-- done, SELECT 1, 1 rows, 3 ms\r\n',
      'sql> drop table x  [deny: DROP is not a read]\r\n',
      '-- file read /var/log/x, done, 5 bytes\r\n',
    ],
  )
})

await t.test('no text of a recording steers the terminal that shows it', async (t) => {
  const [line] = await played(
    session,
    statement('select \u001b]52;c;AA\u0007 \u009b2J\r\nnext \u202e', { decision: 'allow' }),
  )
  t.notMatch((line as readonly string[])[2]?.replace(/\r\n/g, ''), /\p{Cc}|\u202e/u)
})

await t.test('where there was a screen, only the screen is played', async (t) => {
  const lines = await played(
    { ...session, terminal: { columns: 80, rows: 24, type: 'xterm' } },
    ['o', 'hello'],
    statement('ls', { decision: 'allow' }),
  )
  t.strictSame(
    lines.map((line) => (line as readonly unknown[])[2]),
    ['hello'],
  )
})
