/** One box over what was typed, shown and asked. */
import t from 'tap'
import type { Username } from '../../gateway/model/identity.ts'
import { silent } from '../../gateway/model/log.ts'
import { wallClock } from '../../gateway/model/moment.ts'
import { ShownLines, TypedLines } from '../../gateway/recorder/lines.ts'
import { openLibrary, startShipper } from '../../gateway/recorder/recorder.ts'
import { embeddedClickHouse, noClickHouse, temporaryDir } from '../fixtures/clickhouse.ts'
import { journalAt, sessionEnd, sessionStart, terminal } from './parts.ts'
import { until } from '../fixtures/until.ts'

const engine = await embeddedClickHouse(t)

const shown = (text: string | Uint8Array, columns = 80) => {
  const lines: string[] = []
  const reader = new ShownLines((line) => lines.push(line), columns)
  for (const byte of Buffer.from(text)) reader.write(Uint8Array.of(byte))
  reader.commit()
  return lines
}

const typed = (text: string) => {
  const lines: string[] = []
  const reader = new TypedLines((line) => lines.push(line))
  reader.write(Buffer.from(text))
  reader.commit()
  return lines
}

t.test('a line is what a person saw, not the bytes that drew it', async (t) => {
  t.same(shown('one\r\ntwo\r\n'), ['one', 'two'])
  t.same(shown('grpe\b\bep\r\n'), ['grep'], 'a typing mistake')
  t.same(shown('\u001b]0;title\u0007\u001b[1;31mred\u001b[0m\u001b(B text\r\n'), ['red text'])
  t.same(shown('50%\r100%\r\n'), ['100%'], 'a progress bar')
  t.same(shown('abcdef\u001b[3D\u001b[K\r\n'), ['abc'])
  t.same(shown('bc\r\u001b[1@a\r\n'), ['abc'])
  t.same(shown('xabc\r\u001b[P\r\n'), ['abc'])
  t.same(shown('12345678901234\r4\r\n', 10), ['12345678904234'], 'a line that was wrapped')
  t.same(shown('Grüße €\r\n'), ['Grüße €'])
  t.same(shown('before\u001b[?1049hin vim\u001b[?1049lafter'), ['before', 'in vim', 'after'])
  t.same(shown('\u001b]52;c;never ended'), [])
  t.same(shown(`${'x'.repeat(9_000)}\r\n`)[0]?.length, 4_096)
})

t.test('a few bytes do not become megabytes of lines', async (t) => {
  for (const sequence of [
    '\u001b[4096Gx\n',
    '\u001b[9999Cx\u001b[A',
    'x\u001b[4096@\n',
    '\u001b[4096G\u001b[4096@x\r\n',
  ]) {
    const bytes = sequence.repeat(20_000)
    const length = shown(bytes).reduce((sum, line) => sum + line.length, 0)
    t.ok(length <= 9 * bytes.length + 65_536, `${JSON.stringify(sequence)}: ${length} characters from ${bytes.length}`)
  }
  t.same(shown('\u001b[70Gx\r\n'.repeat(1000)).at(-1)?.length, 70, 'a table keeps its columns')
})

t.test('a typed line is what was sent, with its corrections applied', async (t) => {
  t.same(typed('ls -la\rpwd\r'), ['ls -la', 'pwd'])
  t.same(typed('lx\u007fs\r'), ['ls'])
  t.same(typed('rm -rf /\u0015ls\r'), ['ls'])
  t.same(typed('cat secret file\u0017name\r'), ['cat secret name'])
  t.same(typed('\u001b[A\u001bOBx\r'), ['x'])
  t.same(typed('wrong\u0003right\r'), ['right'])
})

if (engine === undefined) t.test('search', { skip: noClickHouse }, () => undefined)
else
  t.test('search finds what was typed, shown and asked, and never a password', async (t) => {
    const library = openLibrary(engine.auditor)
    t.teardown(() => library.close())
    const dir = temporaryDir(t, 'journal')
    const journal = journalAt(dir)
    const shipper = startShipper({ dir, store: engine.shipper, clock: wallClock, log: silent })
    t.teardown(() => shipper.stop())
    const shell = journal.open(sessionStart({ terminal, username: 'erin' as Username }))
    shell.take('o', '$ ')
    for (const key of 'curlx\u007f evil.example') {
      shell.take('i', key)
      shell.take('o', key === '\u007f' ? '\b \b' : key)
    }
    shell.take('i', '\r')
    shell.take('o', '\r\n\u001b[31mConnection\u001b[0m refused: Grüße\r\nPassword: ')
    for (const key of 'zebra7') shell.take('i', key)
    shell.take('i', '\r')
    shell.take('o', '\r\n')
    shell.end(sessionEnd())
    const db = journal.open(sessionStart({ protocol: 'postgres', username: 'erin' as Username }))
    const text = 'SELECT iban FROM vault.accounts'
    db.take('s', JSON.stringify({ n: 1, kind: 'sql', text, verdict: { decision: 'allow' }, truncated: false }))
    db.end(sessionEnd())
    await until(async () => (await library.session(db.id))?.end)
    await journal.close()
    await shipper.stop()
    const found = async (text: string) =>
      (await library.search({ text, username: 'erin' })).map((hit) => `${hit.source}: ${hit.text}`).toSorted()
    t.same(await found('EVIL.example'), ['shown: $ curl evil.example', 'typed: curl evil.example'])
    t.same(await found('connection refused: grüße'), ['shown: Connection refused: Grüße'])
    t.same(await found('vault.accounts'), ['statement: SELECT iban FROM vault.accounts'])
    t.same(await found('zebra7'), [])
    t.same(await found('accounts.vault'), [])
    t.same(await found("'; --"), [])
    t.same(await library.search({ text: 'evil.example', username: 'bob' }), [])
    const [hit] = await library.search({ text: 'evil.example', since: wallClock.now() })
    t.equal(hit, undefined)
    const [first] = await library.search({ text: 'evil.example', target: 'prod-db', limit: 1 })
    t.equal(first?.session, shell.id)
  })
