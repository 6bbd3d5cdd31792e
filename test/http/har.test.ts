/** The archive of a web session: what a real exchange left in the recording, as HAR 1.2 that other programs can open. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { z } from 'zod'
import { har } from '../../gateway/recorder/har.ts'
import type { RecordedEvent, SessionRow } from '../../gateway/session/session.ts'
import { type Tape, webTarget, webWorld } from '../fixtures/web-door.ts'
import { until } from '../fixtures/until.ts'

/** HAR 1.2 (software is strict about what must be there; fields of one's own begin with an underscore). */
const open = <T extends z.ZodRawShape>(shape: T) =>
  z
    .object(shape)
    .catchall(z.unknown())
    .refine((value) => Object.keys(value).every((key) => key in shape || key.startsWith('_')))
const pairs = z.array(open({ name: z.string(), value: z.string() }))
const size = z.int().min(-1)
const encoding = z.literal('base64').optional()
const archive = z.strictObject({
  log: open({
    version: z.literal('1.2'),
    creator: open({ name: z.string(), version: z.string() }),
    comment: z.string().optional(),
    entries: z.array(
      open({
        startedDateTime: z.iso.datetime(),
        time: z.number().min(0),
        request: open({
          method: z.string().min(1),
          url: z.url(),
          httpVersion: z.string(),
          cookies: pairs,
          headers: pairs,
          queryString: pairs,
          headersSize: size,
          bodySize: size,
          postData: open({ mimeType: z.string(), text: z.string() }).optional(),
        }),
        response: open({
          status: z.int(),
          statusText: z.string(),
          httpVersion: z.string(),
          cookies: pairs,
          headers: pairs,
          content: open({ size: z.int(), mimeType: z.string(), text: z.string().optional(), encoding }),
          redirectURL: z.string(),
          headersSize: size,
          bodySize: size,
        }),
        cache: open({}),
        timings: open({ send: z.number().min(0), wait: z.number().min(0), receive: z.number().min(0) }),
        comment: z.string().optional(),
      }),
    ),
  }),
})

const tapedEvents = (tape: Tape) =>
  (async function* () {
    let seq = 0
    for (const { kind, data } of tape.events)
      yield { seq: (seq += 1), at: tape.start.startedAt, kind, data: Buffer.from(data) } as RecordedEvent
  })()
async function archiveOf(row: SessionRow, events: AsyncIterable<RecordedEvent>) {
  let text = ''
  for await (const piece of har(row, events)) text += piece
  return archive.parse(JSON.parse(text)).log
}
const rowOf = (tape: Tape): SessionRow => ({
  ...tape.start,
  end: undefined,
  events: 0,
  bytesIn: 0,
  bytesOut: 0,
  statements: 0,
  denials: 0,
})

await t.test('a session becomes an archive with what was recorded and nothing more', async (t) => {
  const application = createServer((request, response) => {
    request.resume()
    request.once('end', () => {
      if (request.url?.startsWith('/image') === true) response.end(Buffer.from([0xff, 0xd8, 0xff, 0x00]))
      else
        response
          .writeHead(201, {
            'content-type': 'text/plain',
            'set-cookie': 'id=verysecret; Path=/',
            location: '/x?token=1',
          })
          .end('thank you')
    })
  })
  const sockets = new WebSocketServer({ server: application })
  sockets.on('connection', (line) => line.on('message', (data) => line.send(data, { binary: false })))
  await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    application.closeAllConnections()
    application.close()
  })
  const url = `http://127.0.0.1:${(application.address() as AddressInfo).port}`
  const world = await webWorld(t, [webTarget('prod-web', { url })])
  await world.live('taped')
  const cookie = await world.cookie()
  const host = `prod-web.localhost:${world.port}`
  const head = `Host: ${host}\r\nCookie: ${cookie}; own=verysecret`
  await world.raw(
    `POST /orders?page=2&token=verysecret HTTP/1.1\r\n${head}\r\nOrigin: https://${host}\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello`,
  )
  await world.raw(`GET /image HTTP/1.1\r\n${head}\r\n\r\n`)
  const options = {
    ca: world.ca,
    servername: 'prod-web.localhost',
    headers: { host, cookie, origin: `https://${host}` },
  }
  const line = new WebSocket(`wss://127.0.0.1:${world.port}/live`, options)
  await new Promise((resolve) => line.once('open', resolve))
  line.send('typed')
  await new Promise((resolve) => line.once('message', resolve))
  line.close()
  const tape = world.recorder.tapes.at(-1)
  if (tape === undefined) throw new Error('no tape')
  await until(() => tape.events.some(({ kind, data }) => kind === 'd' && data.includes('"status":101')), 'closed')

  const { entries, comment } = await archiveOf(rowOf(tape), tapedEvents(tape))
  t.match(comment, /^alice on prod-web as taped, session /)
  const post = entries.find(({ request }) => request.method === 'POST')
  t.match(post, {
    request: {
      url: `https://${host}/orders?page=***&token=***`,
      queryString: [
        { name: 'page', value: '***' },
        { name: 'token', value: '***' },
      ],
      cookies: [{ name: 'own', value: '***' }],
      postData: { mimeType: 'text/plain', text: 'hello' },
      bodySize: 5,
    },
    response: {
      status: 201,
      statusText: 'Created',
      redirectURL: '/x',
      cookies: [{ name: 'id', value: '***' }],
      content: { size: 9, mimeType: 'text/plain', text: 'thank you' },
    },
    _verdict: 'allow',
  })
  const image = entries.find(({ request }) => request.url.endsWith('/image'))
  t.match(image?.response.content, {
    text: Buffer.from([0xff, 0xd8, 0xff, 0x00]).toString('base64'),
    encoding: 'base64',
  })
  const socket = entries.find(({ response }) => response.status === 101)
  t.match(socket, {
    _webSocketMessages: [
      { type: 'send', opcode: 1, data: 'typed' },
      { type: 'receive', opcode: 1, data: 'typed' },
    ],
  })
  t.notMatch(JSON.stringify(entries), 'verysecret')
})

const statement = (n: number, text: string, verdict: object) =>
  ['s', { n, kind: 'http', text, verdict, truncated: false, headers: [] }] as const

await t.test('what was refused, not sent, cut, or never ended is there and says so', async (t) => {
  const all = [
    statement(1, 'DELETE /orders/1', { decision: 'deny', reason: 'This role may only look.', next: '' }),
    statement(2, 'GET /late', { decision: 'allow' }),
    ['d', { n: 2, result: 'not-sent', ms: 0 }],
    statement(3, 'GET /broken', { decision: 'allow' }),
    ['o', { n: 3, part: 'answer', text: 'ab' }],
    ['o', { n: 3, part: 'answer', cut: true }],
    ['d', { n: 3, result: 'error', ms: 7, status: 200, bytes: 900, bytesIn: 0, error: 'the client left', headers: [] }],
    statement(4, 'GET /for-ever', { decision: 'allow' }),
    ['m', 'Five minutes are left.'],
  ] as const
  const events = (async function* () {
    let seq = 0
    for (const [kind, data] of all)
      yield {
        seq: (seq += 1),
        at: 1_800_000_000_000 + seq,
        kind,
        data: Buffer.from(JSON.stringify(data)),
      } as RecordedEvent
  })()
  const { entries } = await archiveOf({ target: 'prod-web', username: 'alice' } as SessionRow, events)
  t.match(
    entries.map(({ request, response, comment }) => [new URL(request.url).pathname, response.status, comment]),
    [
      ['/orders/1', 0, 'Refused by the gateway: This role may only look.'],
      ['/late', 0, 'It was not sent.'],
      ['/broken', 200, 'It broke off: the client left Not all of what passed is in this archive.'],
      ['/for-ever', 0, 'What became of it was not recorded.'],
    ],
  )
  t.match(entries[2]?.response, { bodySize: 900, content: { text: 'ab' } })
})

await t.test('a session of any length is read as it is written', async (t) => {
  let ahead = 0
  let most = 0
  const many = 3000
  const events = (async function* () {
    for (let n = 1; n <= many; n++) {
      ahead += 1
      most = Math.max(most, ahead)
      const at = 1_800_000_000_000
      const s = { n, kind: 'http', text: `GET /${n}`, verdict: { decision: 'allow' }, truncated: false, headers: [] }
      yield { seq: n * 2, at, kind: 's', data: Buffer.from(JSON.stringify(s)) } as RecordedEvent
      yield {
        seq: n * 2 + 1,
        at,
        kind: 'd',
        data: Buffer.from(JSON.stringify({ n, result: 'done', ms: 1 })),
      } as RecordedEvent
    }
  })()
  let text = ''
  for await (const piece of har({ target: 'prod-web' } as SessionRow, events)) {
    ahead = 0
    text += piece
  }
  t.equal(archive.parse(JSON.parse(text)).log.entries.length, many)
  t.ok(most <= 2, 'no request waits for the next ones')
})

await t.test(
  'what is held is given back: the last request of a long session is in its archive, with its body',
  async (t) => {
    const row = { startedAt: 0, target: 'prod-web' } as SessionRow
    // As JSON six times as long.
    const piece = '\u0001'.repeat(64 * 1024)
    const requests = 120
    const events = (async function* () {
      for (let n = 1; n <= requests; n++)
        for (const [kind, said] of [
          ['s', { n, kind: 'http', text: `GET /${n}`, verdict: { decision: 'allow' }, truncated: false }],
          ['o', { n, part: 'answer', text: piece }],
          ['d', { n, result: 'done', ms: 1, status: 200, bytes: piece.length }],
        ] as const)
          yield { seq: n, at: 0, kind, data: Buffer.from(JSON.stringify(said)) } as RecordedEvent
    })()
    const { entries } = await archiveOf(row, events)
    t.equal(entries.length, requests)
    t.equal(entries.at(-1)?.response.content.text?.length, piece.length)
  },
)
