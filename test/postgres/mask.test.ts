/** Masking of rows on the wire, by itself: any cut of the stream, every type, and what it must not let pass. */
import t from 'tap'
import type { MaskKind } from '../../gateway/model/mask.ts'
import { Masking, partial } from '../../gateway/postgres/mask.ts'
import { cstring, int16, int32, message } from '../../gateway/postgres/message.ts'

const column = (name: string, table: number, number: number, type: number, format = 0) =>
  Buffer.concat([cstring(name), int32(table), int16(number), int32(type), int16(0xffff), int32(-1), int16(format)])
const described = (...columns: readonly Buffer[]) => message('T', int16(columns.length), ...columns)
const row = (...values: readonly (string | Buffer | null)[]) =>
  message(
    'D',
    int16(values.length),
    ...values.flatMap((value) =>
      value === null ? [int32(-1)] : [int32(Buffer.byteLength(value)), Buffer.from(value)],
    ),
  )
const done = Buffer.concat([message('C', cstring('SELECT 1')), message('Z', Buffer.from('I'))])

/** Table 16400: column 1 plain, 2 partial, 3 full and no text, 4 null, 5 hash, 6 full; 16401 is not known. */
const KINDS: readonly (MaskKind | undefined)[] = [undefined, undefined, 'partial', 'full', 'null', 'hash', 'full']
const maskOf = (table: number, number: number) => {
  const kind = KINDS[number]
  if (table === 16_401) return 'unknown' as const
  return kind === undefined ? ('plain' as const) : { kind, isText: number !== 3 }
}
const all = described(
  ...[1, 2, 3, 4, 5, 6].map((n) => column(`c${n}`, 16_400, n, 25)),
  column('sum', 0, 0, 23),
  column('ctid', 16_400, 0xffff, 27),
)
const secrets = row('1', 'anna.b@example.com', '4711', 'x', 'hashed', 'secret', '7', '(0,1)')

const shape = (text: string) => text.replaceAll(/[0-9a-f]{16}/g, 'HASH')

t.test('whatever is cut where, the same comes out', async (t) => {
  const stream = Buffer.concat([all, secrets, row(null, null, null, null, null, null, null, null), secrets, done])
  const whole = new Masking(maskOf).push(stream).toString('latin1')
  t.match(whole, /a\*\*\*@example\.com/)
  t.notMatch(whole, /anna|4711|hashed|secret/)
  for (let at = 1; at < stream.length; at++) {
    const masking = new Masking(maskOf)
    const both = Buffer.concat([masking.push(stream.subarray(0, at)), masking.push(stream.subarray(at))])
    if (shape(both.toString('latin1')) !== shape(whole)) t.fail(`cut at ${at}`)
  }
  const masking = new Masking(maskOf)
  const bytewise = Buffer.concat([...stream].map((byte) => masking.push(Buffer.from([byte]))))
  t.equal(shape(bytewise.toString('latin1')), shape(whole))
})

t.test('a row without a description, and one after the end of its result, is not let through', async (t) => {
  t.throws(() => new Masking(maskOf).push(secrets), { code: 'NOT_ALLOWED' })
  const masking = new Masking(maskOf)
  masking.push(Buffer.concat([all, secrets, done]))
  t.throws(() => masking.push(secrets), { code: 'NOT_ALLOWED' })
})

t.test('a table that nobody knows, a row of another width, a broken length', async (t) => {
  t.throws(() => new Masking(maskOf).push(described(column('c', 16_401, 1, 25))), { code: 'NOT_ALLOWED' })
  t.throws(() => new Masking(maskOf).push(Buffer.concat([all, row('1', '2')])), { name: 'MalformedMessage' })
  t.throws(() => new Masking(maskOf).push(Buffer.from([0x44, 0, 0, 0, 1])), { name: 'MalformedMessage' })
  t.throws(() => new Masking(maskOf).push(Buffer.from([0x54, 0x7f, 0, 0, 0])), { name: 'MalformedMessage' })
})

const binary = (type: number) => Buffer.concat([described(column('c', 16_400, 6, type, 1)), row('secret'), done])

t.test('a binary value of another type than text becomes NULL', async (t) => {
  t.ok(new Masking(maskOf).push(binary(25)).includes('***'))
  t.notOk(new Masking(maskOf).push(binary(70_000)).includes('***'))
  t.ok(new Masking(maskOf).push(binary(70_000)).includes(Buffer.from([0xff, 0xff, 0xff, 0xff])))
})

t.test('the answer to our own question is kept from the client, in its place among theirs', async (t) => {
  const masking = new Masking(maskOf)
  const one = described(column('c', 16_400, 2, 25))
  masking.asked()
  t.same(masking.describe('p'), message('D', Buffer.from('Pp\0')))
  masking.asked()
  const said = masking.push(Buffer.concat([one, one, row('anna@x'), message('s'), message('n')])).toString('latin1')
  t.equal(said.split('T\0').length, 2)
  t.ok(said.endsWith(message('n').toString('latin1')))
  masking.describe('q')
  masking.push(done)
  t.ok(masking.push(Buffer.concat([one, row('anna@x')])).includes('c\0'), 'what an error skipped is owed no more')
})

t.test('partial shows enough to recognise, never much', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['anna.schmidt@example.com', 'a***@example.com'],
    ['bob@example.com', '***@example.com'],
    ['@example', '***le'],
    ['', '***'],
    ['abc', '***'],
    ['12345678', '***78'],
    ['4111 1111 1111 1234      ', '***1234'],
    ['żółć', '***ć'],
  ]
  for (const [value, shown] of cases) t.equal(partial(value), shown)
})
