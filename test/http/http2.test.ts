/** The same door over HTTP/2: real clients, one connection for several applications, and what only a hostile client sends. */
import { spawn, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { type AddressInfo, createServer as createTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { block, END_HEADERS, END_STREAM, FRAME, frame, type Line, lineTo } from '../fixtures/http2-frames.ts'
import { requestsOf, webTarget, webWorld } from '../fixtures/web-door.ts'
import { until } from '../fixtures/until.ts'

const MB = 2 ** 20
const BIG = 40 * MB
const chunk = randomBytes(MB)
const bigHash = (() => {
  const hash = createHash('sha256')
  for (let i = 0; i < BIG / MB; i++) hash.update(chunk)
  return hash.digest('hex')
})()
const arrived: { readonly url: string; readonly headers: readonly string[]; body: string; sha256: string }[] = []
let left = 0
const app = createServer((request, response) => {
  const entry = { url: request.url ?? '', headers: request.rawHeaders, body: '', sha256: '' }
  arrived.push(entry)
  const hash = createHash('sha256')
  request.on('error', () => undefined)
  response.on('close', () => {
    if (!response.writableFinished) left += 1
  })
  request.on('data', (part: Buffer) => {
    hash.update(part)
    if (entry.body.length < 1000) entry.body += part.toString('latin1')
  })
  const { url } = entry
  if (url === '/big') {
    response.writeHead(200, { 'content-length': BIG })
    let parts = BIG / MB
    const more = () => {
      for (; parts > 0 && !response.writableNeedDrain; parts -= 1) response.write(chunk)
      if (parts === 0) response.end()
      else response.once('drain', more)
    }
    more()
  } else if (url === '/clock') {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: 1\n\n')
    const timer = setInterval(() => response.write('data: 2\n\n'), 50)
    response.on('close', () => clearInterval(timer))
  } else if (url === '/never') request.resume()
  else if (url === '/early') response.writeHead(403, { 'content-type': 'text/plain' }).end('not even reading')
  else if (url.startsWith('/die')) {
    response.writeHead(200, url === '/die' ? { 'content-length': 1000 } : {})
    response.write('abc')
    setTimeout(() => {
      if (url === '/die-late') response.write(chunk)
      response.socket?.destroy()
    }, 50)
  } else
    request.on('end', () => {
      entry.sha256 = hash.digest('hex')
      if (url === '/hints') response.writeEarlyHints({ link: '</a.css>; rel=preload' })
      if (url === '/nothing') {
        response.writeHead(204).end()
        return
      }
      response.writeHead(200, {
        'set-cookie': ['a=1', 'b=2; Domain=localhost'],
        connection: 'keep-alive, x-hop',
        'x-hop': 'no',
        'x-word': ['one', 'two'],
        ...(url === '/hints' ? { trailer: 'x-sum' } : {}),
      })
      if (url === '/hints') response.addTrailers({ 'x-sum': '9' })
      response.end(`ok ${request.method} ${request.headers.host}`)
    })
})
await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve))
t.teardown(() => {
  app.closeAllConnections()
  app.close()
})
const url = `http://127.0.0.1:${(app.address() as AddressInfo).port}`
/** Says what it is told to say. */
let odd = ''
const oddApp = createTcp((socket) => {
  socket.on('error', () => undefined)
  socket.on('data', () => {
    socket.write(Buffer.from(odd, 'latin1'))
    setTimeout(() => socket.end(), 50)
  })
})
await new Promise<void>((resolve) => oddApp.listen(0, '127.0.0.1', resolve))
t.teardown(() => oddApp.close())
const oddUrl = `http://127.0.0.1:${(oddApp.address() as AddressInfo).port}`
const targets = ['prod-web', 'other-web', 'foreign-web', 'odd-web'] as const
const world = await webWorld(
  t,
  targets.map((name) => webTarget(name, { url: name === 'odd-web' ? oddUrl : url })),
)
const cookies = new Map<string, string>()
for (const target of ['prod-web', 'other-web'] as const) {
  await world.live('web', target)
  cookies.set(target, await world.cookie(target))
}
const authority = (target: string) => `${target}.localhost:${world.port}`
const folder = mkdtempSync(join(tmpdir(), 'sallyport-http2-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const caFile = join(folder, 'ca.pem')
writeFileSync(caFile, world.ca)

function session(target = 'prod-web'): ClientHttp2Session {
  const session = connect(`https://127.0.0.1:${world.port}`, { ca: world.ca, servername: `${target}.localhost` })
  session.on('error', () => undefined)
  t.teardown(() => session.destroy())
  return session
}
type Got = {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly text: string
  readonly reset: number
  readonly trailers: Readonly<Record<string, unknown>>
}
/** Whatever comes back, whole or broken off. */
function got(stream: ClientHttp2Stream): Promise<Got> {
  let headers: Record<string, unknown> = {}
  let trailers: Record<string, unknown> = {}
  let text = ''
  stream.on('response', (said) => (headers = said))
  stream.on('trailers', (said) => (trailers = said))
  stream.on('data', (part: Buffer) => (text += part.toString('latin1')))
  stream.on('error', () => undefined)
  return new Promise((resolve) =>
    stream.once('close', () =>
      resolve({ status: Number(headers[':status'] ?? 0), headers, text, reset: stream.rstCode ?? -1, trailers }),
    ),
  )
}
const asking = (target: string, path: string, more: Record<string, string | string[]> = {}) => ({
  ':authority': authority(target),
  ':path': path,
  cookie: cookies.get(target) ?? '',
  ...more,
})

function curl(
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly out: string; readonly sha256: string }> {
  const child = spawn('curl', [
    '-sS',
    '--http2',
    '--cacert',
    caFile,
    '-H',
    `Cookie: ${cookies.get('prod-web')}`,
    ...args,
  ])
  t.teardown(() => child.kill('SIGKILL'))
  const hash = createHash('sha256')
  let out = ''
  child.stdout.on('data', (part: Buffer) => {
    hash.update(part)
    if (out.length < 10_000) out += part.toString('latin1')
  })
  child.stderr.on('data', (part: Buffer) => (out += part.toString()))
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, sha256: hash.digest('hex') })))
}
const home = `https://${authority('prod-web')}`

await t.test('curl speaks HTTP/2 with the portal and with an application', async (t) => {
  const plain = await curl(['-i', `${home}/page`])
  t.match(plain.out, /^HTTP\/2 200 [\s\S]*\r\n\r\nok GET prod-web\.localhost/)
  t.match(plain.out, /set-cookie: a=1; Secure\r\nset-cookie: b=2; Secure\r\n/)
  t.match(plain.out, /x-word: one\r\nx-word: two\r\n/)
  t.notMatch(plain.out, /x-hop|keep-alive/)
  t.match(arrived.at(-1)?.headers.join('\n'), /sallyport-assertion\ney/i)
  t.match((await curl(['-i', '-I', `${home}/page`])).out, /^HTTP\/2 200 /)
  t.match((await curl(['-i', `${home}/nothing`])).out, /^HTTP\/2 204 /)
  const page = await curl(['-i', `${world.origin}/sign-in`])
  t.match(page.out, /^HTTP\/2 302 |^HTTP\/2 200 /)
  t.match((await curl(['-i', `${world.origin}/api/v1/me`])).out, /^HTTP\/2 401 [\s\S]*"NOT_SIGNED_IN"/)
  t.match((await curl(['-i', '-d', '{}', `${world.origin}/api/v1/requests`])).out, /^HTTP\/2 4\d\d /)
  t.match((await curl(['-i', '-H', 'Cookie: x=y', '-H', 'Cookie;', `${home}/page`])).out, /^HTTP\/2 /)
})

await t.test('40 MB each way arrive whole, and ranges, early hints, trailers and waiting clients work', async (t) => {
  const down = await curl([`${home}/big`])
  t.equal(down.sha256, bigHash)
  const file = join(folder, 'big')
  writeFileSync(file, Buffer.concat(Array.from({ length: BIG / MB }, () => chunk)))
  await curl(['-T', file, `${home}/up`])
  t.equal(arrived.at(-1)?.sha256, bigHash, 'with a length')
  await curl(['-X', 'POST', '-H', 'Expect: 100-continue', '--data-binary', `@${file}`, `${home}/up`])
  t.equal(arrived.at(-1)?.sha256, bigHash, 'after 100 Continue')
  const line = session()
  const informed: unknown[] = []
  const hinted = line.request(asking('prod-web', '/hints'))
  hinted.on('headers', (said) => informed.push(said[':status'], said['link']))
  const { trailers, text } = await got(hinted)
  t.match([informed, trailers, text], [[103, '</a.css>; rel=preload'], { 'x-sum': '9' }, /^ok/])
  const open = line.request(asking('prod-web', '/up', { ':method': 'POST' }))
  open.write('no length ')
  open.end('at all')
  t.equal((await got(open)).status, 200)
  t.equal(arrived.at(-1)?.body, 'no length at all')
})

await t.test('an answer before the whole question, and an application that dies', async (t) => {
  const line = session()
  const early = line.request(asking('prod-web', '/early', { ':method': 'POST' }))
  early.write(Buffer.alloc(100_000))
  const answer = await got(early)
  t.match(answer, { status: 403, text: 'not even reading', reset: constants.NGHTTP2_NO_ERROR })
  for (const path of ['/die', '/die-early', '/die-late']) {
    const died = await got(line.request(asking('prod-web', path)))
    t.match(
      died,
      { status: 200, text: /^abc/, reset: constants.NGHTTP2_INTERNAL_ERROR },
      `${path}: nobody takes it for whole`,
    )
  }
  const refused = line.request(asking('prod-web', '/.sallyport/x', { ':method': 'POST' }))
  refused.write(Buffer.alloc(100_000))
  t.match(await got(refused), { status: 404 })
  t.equal((await got(line.request(asking('prod-web', '/page')))).status, 200, 'the connection goes on')
})

await t.test('one connection for several names: each request is judged by its own name and cookie', async (t) => {
  const line = session()
  const [one, two, stranger, borrowed, portal, nobody] = await Promise.all([
    got(line.request(asking('prod-web', '/a'))),
    got(line.request(asking('other-web', '/b'))),
    got(line.request({ ':authority': authority('other-web'), ':path': '/c' })),
    got(line.request({ ':authority': authority('other-web'), ':path': '/d', cookie: cookies.get('prod-web') ?? '' })),
    got(
      line.request({
        ':authority': new URL(world.origin).host,
        ':path': '/api/v1/me',
        cookie: cookies.get('prod-web') ?? '',
      }),
    ),
    got(line.request({ ':authority': `nothing.example:${world.port}`, ':path': '/' })),
  ])
  t.match([one.text, two.text], [/prod-web/, /other-web/])
  t.same([stranger.status, borrowed.status, portal.status, nobody.status], [401, 401, 401, 421])
  t.notOk(arrived.some(({ url }) => url === '/c' || url === '/d'))
  const tapeOf = (target: string) => world.recorder.tapes.findLast(({ start }) => start.target === target)
  for (const [target, path] of [
    ['prod-web', '/a'],
    ['other-web', '/b'],
  ] as const) {
    const tape = tapeOf(target)
    t.ok(tape !== undefined && requestsOf(tape).some(({ statement }) => statement.text === `GET ${path}`))
  }
  const crumbs = line.request(asking('prod-web', '/crumbs', { cookie: ['a=1', cookies.get('prod-web') ?? '', 'b=2'] }))
  t.equal((await got(crumbs)).status, 200, 'cookies in pieces')
  const { headers = [] } = arrived.find(({ url }) => url === '/crumbs') ?? {}
  t.same(
    headers.filter((_, i) => headers[i - 1]?.toLowerCase() === 'cookie'),
    ['a=1; b=2'],
    'one header for the application, without ours',
  )
})

const asked = (path: string, more: readonly (readonly [string, string])[] = []) =>
  block([
    [':method', 'GET'],
    [':scheme', 'https'],
    [':authority', authority('prod-web')],
    [':path', path],
    ['cookie', cookies.get('prod-web') ?? ''],
    ...more,
  ])
const opened: Line[] = []
const rawLine = async () => {
  const line = await lineTo(world.port, 'prod-web.localhost', world.ca)
  opened.push(line)
  t.teardown(() => line.socket.destroy())
  return line
}

const P = (name: string, value: string) => [name, value] as const
await t.test('requests with two readings are refused, and nothing arrives', async (t) => {
  const whole = [
    P(':method', 'GET'),
    P(':scheme', 'https'),
    P(':authority', authority('prod-web')),
    P(':path', '/evil'),
  ]
  const without = (name: string) => whole.filter(([given]) => given !== name)
  const cookie = P('cookie', cookies.get('prod-web') ?? '')
  const cases: readonly (readonly [string, readonly (readonly [string, string])[], Buffer?])[] = [
    ['no authority', [...without(':authority'), cookie]],
    ['a host instead of an authority', [...without(':authority'), P('host', authority('prod-web')), cookie]],
    ['a host that differs', [...whole, P('host', authority('other-web')), cookie]],
    ['no path', [...without(':path'), cookie]],
    ['an empty path', [...without(':path'), P(':path', ''), cookie]],
    ['no method', [...without(':method'), cookie]],
    ['two methods', [...whole, P(':method', 'POST'), cookie]],
    ['two paths', [...whole, P(':path', '/other'), cookie]],
    ['a scheme that is not ours', [...without(':scheme'), P(':scheme', 'http'), cookie]],
    ['a pseudo-header after a header', [...without(':path'), cookie, P(':path', '/evil')]],
    ['an unknown pseudo-header', [...whole, P(':admin', 'yes'), cookie]],
    ['extended CONNECT', [P(':method', 'CONNECT'), P(':protocol', 'websocket'), ...whole.slice(1), cookie]],
    ['CONNECT', [P(':method', 'CONNECT'), P(':authority', 'internal:22'), cookie]],
    ['a header in capitals', [...whole, P('X-A', '1'), cookie]],
    ['connection', [...whole, P('connection', 'close'), cookie]],
    ['keep-alive', [...whole, P('keep-alive', '1'), cookie]],
    ['upgrade', [...whole, P('upgrade', 'h2c'), cookie]],
    ['transfer-encoding', [...whole, P('transfer-encoding', 'chunked'), cookie]],
    ['te with more than trailers', [...whole, P('te', 'gzip'), cookie]],
    [
      'a line end in the path',
      [...without(':path'), P(':path', '/evil HTTP/1.1\r\nhost: internal\r\n\r\nGET /evil2'), cookie],
    ],
    ['a blank in the path', [...without(':path'), P(':path', '/evil evil'), cookie]],
    ['a line end in the method', [...without(':method'), P(':method', 'GET /evil HTTP/1.1\r\nx: y'), cookie]],
    ['an absolute path', [...without(':path'), P(':path', 'https://internal/evil'), cookie]],
    ['two slashes', [...without(':path'), P(':path', '//evil'), cookie]],
    ['dot segments', [...without(':path'), P(':path', '/a/../evil'), cookie]],
    ['encoded dots', [...without(':path'), P(':path', '/%2e%2e/evil'), cookie]],
    ['encoded slashes', [...without(':path'), P(':path', '/a%2fevil'), cookie]],
    ['a fragment', [...without(':path'), P(':path', '/evil#x'), cookie]],
    ['an asterisk', [...without(':path'), P(':path', '*'), cookie]],
    ['two lengths', [...whole, P('content-length', '3'), P('content-length', '3'), cookie], Buffer.from('abc')],
    [
      'a length that is too short',
      [...whole, P('content-length', '1'), cookie],
      Buffer.from('abcGET /evil2 HTTP/1.1\r\n'),
    ],
    ['a length that is too long', [...whole, P('content-length', '9'), cookie], Buffer.from('abc')],
    ['a length and no body', [...whole, P('content-length', '9'), cookie]],
    ['a length that is no number', [...whole, P('content-length', '+3'), cookie], Buffer.from('abc')],
  ]
  const before = arrived.length
  for (const [name, fields, body] of cases) {
    const line = await rawLine()
    line.send(frame(FRAME.headers, END_HEADERS | (body === undefined ? END_STREAM : 0), 1, block(fields)))
    if (body !== undefined) line.send(frame(FRAME.data, END_STREAM, 1, body))
    const told = (await line.about(1)) ?? { ended: await line.ending(500) }
    // HPACK: 400 has an entry of its own in the static table.
    const isRefused =
      'reset' in told ? told.reset !== 0 : 'headers' in told ? told.headers[0] !== 0x88 : told.ended !== undefined
    t.ok(isRefused, `${name}: ${JSON.stringify(told).slice(0, 60)}`)
    line.socket.destroy()
  }
  const evil = arrived.slice(before).filter(({ body }) => body !== 'abc')
  t.same(
    evil.map(({ url }) => url),
    [],
    'nothing arrived',
  )
  // nghttp2 drops single fields that cannot be fields; they are neither judged nor sent.
  for (const [name, value] of [
    ['x-request-id', 'b\r\nx-forwarded-user: root'],
    ['x-request-id', 'b\0c'],
    ['x-request-id: b\r\nx-forwarded-user', 'root'],
    ['x-request-id:b', 'root'],
  ] as const) {
    const line = await rawLine()
    line.send(frame(FRAME.headers, END_HEADERS | END_STREAM, 1, block([...whole, [name, value], cookie])))
    t.match(await line.about(1), { headers: Buffer })
    const said = arrived.at(-1)?.headers.join('\n')
    t.notMatch(said, /x-request-id|root/i, JSON.stringify([name, value]))
    line.socket.destroy()
  }
})

await t.test('the rules of a role hold over HTTP/2, and a body needs no length to be too large', async (t) => {
  const orders = await world.live('orders', 'foreign-web')
  cookies.set('foreign-web', await world.cookie('foreign-web'))
  const line = session()
  const before = arrived.length
  const ask = async (path: string, body = '', more: Record<string, string> = {}) => {
    const stream = line.request(asking('foreign-web', path, body === '' ? more : { ':method': 'POST', ...more }), {
      endStream: body === '',
    })
    const answer = got(stream)
    if (body !== '') stream.end(body)
    return answer
  }
  for (const path of ['/', '/admin', '/API/orders', '/api/admin', '/api/ADMIN/x', '/api/%61dmin', '/%2561pi/orders'])
    t.match(await ask(path), { status: 403, text: /NOT_ALLOWED/ }, path)
  t.match(await ask('/api/orders', 'x'.repeat(2000)), { status: 413 }, 'without a length')
  t.match(await ask('/api/orders', 'x'.repeat(2000), { 'content-length': '2000' }), { status: 413 }, 'with a length')
  t.notOk(arrived.slice(before).some(({ body }) => body.length > 1000))
  t.match(await ask('/api/orders', 'x'.repeat(900)), { status: 200 })
  await world.grants.release(world.identityOf('alice'), orders.id)
  const viewer = await world.live('viewer', 'foreign-web')
  t.match(await ask('/api/orders'), { status: 200 })
  t.match(await ask('/api/orders', 'x', { ':method': 'GET' }), { status: 403, text: /READ_ONLY.*with a body/ })
  t.match(await ask('/api/orders', '', { ':method': 'DELETE' }), { status: 403, text: /READ_ONLY/ })
  t.match(await ask('/api/orders?_method=delete'), { status: 403, text: /READ_ONLY/ })
  t.match(await ask('/api/orders', '', { 'x-http-method-override': 'DELETE' }), { status: 403, text: /READ_ONLY/ })
  const from = { 'sec-fetch-site': 'same-site', origin: world.originOf('other-web') }
  t.match(await ask('/api/orders', '', from), { status: 403, text: /page of another site/ })
  await world.grants.release(world.identityOf('alice'), viewer.id)
})

await t.test('what an application should not say hurts nobody, whichever HTTP it is said in', async (t) => {
  await world.live('web', 'odd-web')
  cookies.set('odd-web', await world.cookie('odd-web'))
  const chunks = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n'
  const ok = '\r\nContent-Length: 2\r\n\r\nok'
  const cases: readonly (readonly [name: string, said: string, http1: RegExp, http2: number])[] = [
    [
      'trailers of connections',
      `${chunks}keep-alive: a\r\nupgrade: x\r\nhttp2-settings: q\r\nx-sum: 9\r\n\r\n`,
      /200 OK/,
      200,
    ],
    [
      'names that every object has, as trailers',
      `${chunks}constructor: a\r\nconstructor: b\r\n__proto__: c\r\nx-sum: 9\r\n\r\n`,
      /200 OK/,
      200,
    ],
    [
      'names that every object has, as headers',
      `HTTP/1.1 200 OK\r\nconstructor: a\r\n__proto__: b\r\n__proto__: c\r\nhasOwnProperty: d${ok}`,
      /200 OK/,
      200,
    ],
    [
      'headers of connections',
      `HTTP/1.1 200 OK\r\nHTTP2-Settings: A\r\nProxy-Connection: x\r\nKeep-Alive: 5${ok}`,
      /200 OK/,
      200,
    ],
    ['a length where nothing is', `HTTP/1.1 204 No Content${ok}`, /204 No Content/, 204],
    ['headers that are there once, twice', `HTTP/1.1 200 OK\r\nETag: a\r\nETag: b${ok}`, /200 OK/, 200],
    ['two lengths', `HTTP/1.1 200 OK\r\nContent-Length: 3${ok}`, /502 Bad Gateway/, 502],
    ['a length and chunks', `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked${ok}`, /502 Bad Gateway/, 502],
    ['a pseudo-header', `HTTP/1.1 200 OK\r\n:status: 500${ok}`, /502 Bad Gateway/, 502],
    ['a control character', `HTTP/1.1 200 OK\r\nX-A: a\x01b${ok}`, /502 Bad Gateway/, 502],
    [
      'another protocol, unasked',
      'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n',
      /502 Bad Gateway/,
      502,
    ],
    ['a status that is none', `HTTP/1.1 999 X${ok}`, /999/, 502],
  ]
  for (const [name, said, http1, http2] of cases) {
    odd = said
    const head = `GET / HTTP/1.1\r\nHost: ${authority('odd-web')}\r\nCookie: ${cookies.get('odd-web')}\r\n\r\n`
    t.match((await world.raw(head, 150)).split('\r\n', 1)[0], http1, `${name}: HTTP/1.1`)
    const { status, reset, trailers } = await got(session('odd-web').request(asking('odd-web', '/')))
    t.same([status, reset], [http2, 0], `${name}: HTTP/2`)
    if (name === 'trailers of connections') t.same(Object.entries(trailers), [['x-sum', '9']])
  }
})

await t.test('who leaves a stream leaves the application, and the other streams never notice', async (t) => {
  const line = session()
  const before = left
  const gone = line.request(asking('prod-web', '/never'))
  gone.on('error', () => undefined)
  await until(() => arrived.some(({ url }) => url === '/never'), 'it arrived')
  const stays = line.request(asking('prod-web', '/clock'))
  let beats = 0
  stays.on('data', () => (beats += 1))
  stays.on('error', () => undefined)
  gone.close(constants.NGHTTP2_CANCEL)
  await until(() => left > before, 'the application knows')
  const now = beats
  await until(() => beats > now + 2, 'the other goes on')
  const polite = line.request(asking('prod-web', '/clock'))
  let heard = 0
  polite.on('data', () => (heard += 1))
  polite.on('error', () => undefined)
  await until(() => heard > 0, 'it began')
  const known = left
  polite.close(constants.NGHTTP2_NO_ERROR)
  await until(() => left > known, 'who leaves without calling it an error has left all the same')
  // A reader who stops holds up only its own stream.
  const slow = line.request(asking('prod-web', '/big'))
  slow.on('error', () => undefined)
  slow.pause()
  t.equal((await got(line.request(asking('prod-web', '/page')))).status, 200)
  slow.close(constants.NGHTTP2_CANCEL)
  stays.close(constants.NGHTTP2_CANCEL)
})

await t.test('the end of a grant resets its own streams within a second, and nobody else’s', async (t) => {
  const line = session()
  const [mine, other] = [line.request(asking('prod-web', '/clock')), line.request(asking('other-web', '/clock'))]
  let beats = 0
  other.on('data', () => (beats += 1))
  other.on('error', () => undefined)
  const cut = got(mine)
  await new Promise((resolve) => mine.once('data', resolve))
  const before = world.cuts.length
  await world.grants.revoke(world.identityOf('bob'), { target: 'prod-web' }, 'enough')
  t.match(await cut, { status: 200, reset: constants.NGHTTP2_INTERNAL_ERROR })
  t.ok((world.cuts[before] ?? 9999) < 1000)
  const now = beats
  await until(() => beats > now + 2, 'the other goes on')
  other.close(constants.NGHTTP2_CANCEL)
  const next = await got(line.request(asking('prod-web', '/page')))
  t.match([next.status, next.text], [403, /revoked by bob: enough/], 'the next request shows why')
  await world.live('web')
  t.equal((await got(line.request(asking('prod-web', '/page')))).status, 200, 'and a new grant counts at once')
})

await t.test('floods end their own connection, and nobody else notices', async (t) => {
  const witness = session()
  const isServed = async (what: string) =>
    t.equal((await got(witness.request(asking('prod-web', '/page')))).status, 200, `${what}: the others are served`)
  const calm: number = constants.NGHTTP2_ENHANCE_YOUR_CALM
  const ends = async (what: string, line: Line, codes: readonly (number | 'closed')[]) => {
    const how = await line.ending(8000)
    t.ok(how !== undefined && codes.includes(how), `${what}: ${how}`)
    await isServed(what)
  }
  const arrivedBefore = arrived.length
  const rapid = await rawLine()
  const cancel = Buffer.from([0, 0, 0, 8])
  for (let i = 0; i < 3000; i++) {
    const id = 2 * i + 1
    rapid.send(frame(FRAME.headers, END_HEADERS | END_STREAM, id, asked('/rapid')), frame(FRAME.reset, 0, id, cancel))
  }
  await ends('rapid reset', rapid, [calm, 2, 'closed'])
  t.ok(arrived.length - arrivedBefore < 600, `${arrived.length - arrivedBefore} of 3000 began`)
  const provoked = await rawLine()
  for (let i = 0; i < 3000; i++) {
    const id = 2 * i + 1
    provoked.send(
      frame(FRAME.headers, END_HEADERS | END_STREAM, id, asked('/provoked')),
      frame(FRAME.window, 0, id, Buffer.from([0, 0, 0, 0])),
    )
  }
  await ends('resets that we are made to send', provoked, [calm, 1, 2, 'closed'])
  const endless = await rawLine()
  endless.send(frame(FRAME.headers, END_STREAM, 1, asked('/endless')))
  for (let i = 0; i < 2000; i++) endless.send(frame(FRAME.continuation, 0, 1, block([[`x-${i}`, 'a'.repeat(100)]])))
  await ends('headers without an end', endless, [calm, 1, 2, 'closed'])
  const pings = await rawLine()
  for (let i = 0; i < 20_000; i++) pings.send(frame(FRAME.ping, 0, 0, Buffer.alloc(8)))
  await ends('pings', pings, [calm, 'closed'])
  const settings = await rawLine()
  for (let i = 0; i < 20_000; i++) settings.send(frame(FRAME.settings, 0, 0))
  await ends('settings', settings, [calm, 'closed'])
  const empty = await rawLine()
  empty.send(frame(FRAME.headers, END_HEADERS, 1, asked('/never')))
  for (let i = 0; i < 20_000; i++) empty.send(frame(FRAME.data, 0, 1))
  await ends('empty pieces of a body', empty, [calm, 1, 2, 11, 'closed'])
  const bomb = await rawLine()
  // One entry of the dynamic table, named again and again: a small message that unpacks to megabytes.
  const entry = Buffer.concat([Buffer.from([0x40]), block([['x-bomb', 'a'.repeat(3900)]]).subarray(1)])
  bomb.send(
    frame(FRAME.headers, END_HEADERS | END_STREAM, 1, Buffer.concat([asked('/bomb'), entry, Buffer.alloc(8000, 0xbe)])),
  )
  const told = await bomb.about(1)
  t.ok(told === undefined || 'reset' in told, 'headers that unpack to megabytes')
  t.notOk(arrived.some(({ url }) => url === '/bomb'))
  await isServed('bomb')
  const many = await rawLine()
  for (let i = 0; i < 150; i++) many.send(frame(FRAME.headers, END_HEADERS | END_STREAM, 2 * i + 1, asked('/never')))
  await until(() => arrived.filter(({ url }) => url === '/never').length >= 100, 'the first hundred')
  t.match(await many.about(2 * 149 + 1), { reset: constants.NGHTTP2_REFUSED_STREAM }, 'more than a hundred at once')
  many.socket.destroy()
  for (const line of opened) line.socket.destroy()
  await isServed('at the end')
})

const hasLoad = existsSync('/usr/bin/h2load') || spawnSync('apt-get', ['install', '-y', 'nghttp2-client']).status === 0
await t.test('nghttp and h2load are served', { skip: hasLoad ? false : 'no nghttp2-client here' }, async (t) => {
  const as = ['-H', `:authority: ${authority('prod-web')}`, '-H', `cookie: ${cookies.get('prod-web')}`]
  const there = `https://127.0.0.1:${world.port}`
  const run = (tool: string, args: readonly string[]) =>
    new Promise<string>((resolve) => {
      const child = spawn(tool, [...args])
      t.teardown(() => child.kill('SIGKILL'))
      let out = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (out += part.toString()))
      child.once('close', () => resolve(out))
    })
  t.match(await run('nghttp', ['-v', ...as, `${there}/hints`]), /:status: 200[\s\S]*x-sum: 9/)
  const load = await run('h2load', ['-n', '2000', '-c', '4', '-m', '20', ...as, `${there}/page`])
  t.match(load, /2000 succeeded, 0 failed, 0 errored/)
})

await t.test('when the gateway goes, browsers are told to go elsewhere, and what is under way ends well', async (t) => {
  const line = session()
  const stream = line.request(asking('prod-web', '/up', { ':method': 'POST' }))
  stream.write('the first half, ')
  await until(() => arrived.at(-1)?.url === '/up' && arrived.at(-1)?.body !== '', 'it arrived')
  const bye = new Promise((resolve) => line.once('goaway', resolve))
  const closing = world.close()
  t.equal(await bye, constants.NGHTTP2_NO_ERROR)
  const { status, text } = await (() => {
    const answer = got(stream)
    stream.end('and the second')
    return answer
  })()
  t.match([status, text], [200, /^ok POST/])
  await closing
  await new Promise<void>((resolve) => (line.closed ? resolve() : line.once('close', () => resolve())))
})
